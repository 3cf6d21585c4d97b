"""Low-rank adapters of linear layers (Hu et al. 2021): y = W x + alpha/r B A x, with A and B generated.

Shape letters: b = adapters, m = rows one adapter reads (texts times tokens), r = rank, d_in, d_out = widths of a layer.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flame.errors import ConfigError, WeightsError
from targets.base import Weights, WeightSpec

UNIFORM_GAIN = 1 / 3
"""Gain of LoRA's own start of A, and of `nn.Linear`'s: uniform within 1/sqrt(d_in), whose variance is 1/(3 d_in)."""


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers are adapted, and how strongly."""

    targets: str
    """Regular expression that must match a module's name in full, as a string does in PEFT's `target_modules`."""
    rank: int = 16
    """Rank r of the update."""
    alpha: float = 32.0
    """The update is scaled by alpha / r."""

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            faults.append(f"rank must be a positive integer, however: {self.rank!r}")
        if not isinstance(self.alpha, int | float) or not self.alpha > 0:
            faults.append(f"alpha must be a positive number, however: {self.alpha!r}")
        try:
            re.compile(self.targets)
        except (re.error, TypeError) as error:
            faults.append(f"targets must be a regular expression, however: {self.targets!r} ({error})")
        if faults:
            raise ConfigError("LoRA: " + "; ".join(faults))

    @property
    def scale(self) -> float:
        """What the product B A is multiplied by.

        >>> LoRAConfig(".*query", rank=16, alpha=32).scale
        2.0
        """
        return self.alpha / self.rank


def find_linears(model: nn.Module, pattern: str) -> dict[str, nn.Linear]:
    """The linear layers whose full name matches, in the model's order.

    >>> list(find_linears(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2)), "[02]"))
    ['0', '2']

    Raises:
        ConfigError: if no module matches, or one that is not linear does.
    """
    found = {name: module for name, module in model.named_modules() if re.fullmatch(pattern, name)}
    if not found:
        raise ConfigError(f"LoRA: no module's name matches {pattern!r} in full; the model has {module_types(model)}")
    linears = {name: module for name, module in found.items() if isinstance(module, nn.Linear)}
    others = [f"{name!r} ({type(module).__name__})" for name, module in found.items() if name not in linears]
    if others:
        raise ConfigError(f"LoRA: {pattern!r} also matches {', '.join(others[:3])}; only linear layers can be adapted")
    return linears


def module_types(model: nn.Module) -> str:
    """The kinds of layers a model is made of, the most frequent first, for messages.

    >>> module_types(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))
    'Linear (2), ReLU (1)'
    """
    leaves = Counter(type(m).__name__ for m in model.modules() if not any(True for _ in m.children()))
    return ", ".join(f"{kind} ({count})" for kind, count in leaves.most_common())


def lora_specs(layers: Mapping[str, nn.Linear], rank: int) -> tuple[WeightSpec, ...]:
    """The factors of every layer: A starts as LoRA's does and B at zero, so the untrained adapter changes nothing.

    >>> [(s.name, s.shape, s.zero_init) for s in lora_specs({"q": nn.Linear(6, 4)}, rank=2)]
    [('q.lora_A', (2, 6), False), ('q.lora_B', (4, 2), True)]
    """
    return tuple(
        spec
        for name, layer in layers.items()
        for spec in (
            WeightSpec(f"{name}.lora_A", (rank, layer.in_features), gain=UNIFORM_GAIN),
            WeightSpec(f"{name}.lora_B", (layer.out_features, rank), zero_init=True),
        )
    )


def merged_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """W + alpha/r B A.

    Shape:
        weight (d_out, d_in), a (r, d_in), b (d_out, r) -> (d_out, d_in)
    """
    return torch.addmm(weight, b.to(weight), a.to(weight), alpha=scale)


def merge_lora(model: nn.Module, weights: Weights, config: LoRAConfig) -> None:
    """Add one adapter (b = 1) to the layers of `model`, which the caller owns: it is changed in place."""
    with torch.no_grad():
        for name, layer in find_linears(model, config.targets).items():
            a, b = weights[f"{name}.lora_A"][0], weights[f"{name}.lora_B"][0]
            layer.weight.copy_(merged_weight(layer.weight, a, b, config.scale))


@contextmanager
def live_adapters(model: nn.Module, weights: Weights, config: LoRAConfig) -> Iterator[None]:
    """Within the block, forward passes of `model` on b equal groups of rows use b adapters, one a group.

    The base weights are shared by all groups and never copied; gradients reach the factors. Other threads that run the
    same model meanwhile see the base model. Gradient checkpointing would run the layers again after the block, without
    the adapters: leave it off.

    Shape:
        weights (b, *shape) each; the model's rows (b * n, ...), the n rows of an adapter next to each other
    """
    owner = threading.get_ident()
    handles = [
        layer.register_forward_hook(_adapter(weights[f"{name}.lora_A"], weights[f"{name}.lora_B"], config.scale, owner))
        for name, layer in find_linears(model, config.targets).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _adapter(a: Tensor, b: Tensor, scale: float, owner: int) -> Callable[..., Tensor | None]:
    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if threading.get_ident() != owner:
            return None
        x = inputs[0]
        if len(x) % len(a):
            raise WeightsError(f"expected rows in {len(a)} equal groups, one an adapter, however: {len(x)} rows")
        return add_low_rank(output, x, a, b, scale)

    return add


def add_low_rank(output: Tensor, x: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """output + alpha/r B A x, each group of rows with its own factors, in two batched products.

    Shape:
        output (b * n, ..., d_out), x (b * n, ..., d_in), a (b, r, d_in), b (b, d_out, r) -> like output
    """
    groups = len(a)
    inner = torch.bmm(x.reshape(groups, -1, x.shape[-1]), a.mT.to(x))
    flat = output.reshape(groups, -1, output.shape[-1])
    return torch.baddbmm(flat, inner, b.mT.to(inner), alpha=scale).view_as(output)
