"""The contract between a model to be written and the hypernetwork that writes it.

Shape letters: b = batch of generated models, n = rows, d_in = inputs, k = classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from flame.errors import MetadataError, WeightsError, did_you_mean
from flame.metadata import Metadata

Weights = dict[str, Tensor]
"""Generated tensors by state-dict name, always with the batch axis: (b, *shape)."""


@dataclass(frozen=True)
class WeightSpec:
    """One tensor to be generated: all that a hypernetwork learns about its target."""

    name: str
    """Name in the target's state dict."""
    shape: tuple[int, ...]
    """Shape without the batch axis."""
    zero_init: bool = False
    """True: an untrained generator writes exactly zero (biases, the B factor of LoRA)."""
    gain: float = 1.0
    """Variance of a well-scaled start times the fan-in: 2 before a ReLU, 1 for a linear output."""

    @property
    def size(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)

    @property
    def init_std(self) -> float:
        """Standard deviation of a well-scaled start (He et al. 2015: variance from the fan-in).

        >>> WeightSpec("w", (8, 50), gain=2.0).init_std
        0.2
        """
        fan_in = math.prod(self.shape[1:]) if len(self.shape) > 1 else self.shape[0]
        return 0.0 if self.zero_init else math.sqrt(self.gain / fan_in)


class Target(Protocol):
    """A family of small models whose weights can be written; one file per family."""

    name: str

    def build(self, metadata: Metadata) -> nn.Module:
        """A fresh module of the right dimensions, ordinarily initialised."""
        ...

    def static_specs(self) -> tuple[WeightSpec, ...]:
        """Tensors that have the same shape for every task (section 3.2.2)."""
        ...

    def dynamic_specs(self, metadata: Metadata) -> tuple[WeightSpec, ...]:
        """Tensors whose shape depends on the task's dimensions."""
        ...

    def merge(self, model: nn.Module, weights: Weights) -> nn.Module:
        """A copy of `model` that holds the generated weights (b = 1); `model` stays as it is."""
        ...


_REGISTRY: dict[str, Target] = {}


def register_target(target: Target) -> None:
    """Make a target known under its name.

    Raises:
        ValueError: if another object is registered under that name.
    """
    if _REGISTRY.setdefault(target.name, target) is not target:
        raise ValueError(f"a different target is registered under {target.name!r} already")


def get_target(name: str) -> Target:
    """The target of an architecture name.

    Raises:
        MetadataError: if none is registered; the message lists those that are.
    """
    if name not in _REGISTRY:
        raise MetadataError(f"no target for arch={name!r}; this version writes {did_you_mean(name, sorted(_REGISTRY))}")
    return _REGISTRY[name]


def target_names() -> list[str]:
    """Names of the architectures that can be written."""
    return sorted(_REGISTRY)


def check_weights(weights: Weights, specs: Sequence[WeightSpec]) -> None:
    """Compare generated tensors with the specs, all faults at once.

    Raises:
        WeightsError: names the missing, the unexpected and the misshapen tensors.
    """
    faults = [f"missing generated tensor {s.name!r}" for s in specs if s.name not in weights]
    known = {s.name: s for s in specs}
    faults += [f"unexpected generated tensor {name!r}" for name in weights if name not in known]
    for name, value in weights.items():
        if name in known and tuple(value.shape[1:]) != known[name].shape:
            expected = ", ".join(map(str, ("b", *known[name].shape)))
            faults.append(
                f"expected generated tensor {name!r} of shape ({expected}), however: {tuple(value.shape)}; "
                "was this checkpoint trained for other dimensions?"
            )
    if faults:
        raise WeightsError("; ".join(faults))


def stack_weights(parts: Sequence[Weights]) -> Weights:
    """Join weights of tasks with different dimensions into one batch, zero-padded to the largest.

    A padded input column meets an input of zero and a padded class is masked in the loss, so one
    vectorised forward serves all tasks of a batch.

    >>> small, large = {"w": torch.ones(1, 2, 3)}, {"w": torch.ones(2, 2, 5)}
    >>> tuple(stack_weights([small, large])["w"].shape)
    (3, 2, 5)
    """
    joined: Weights = {}
    for name in parts[0]:
        tensors = [p[name] for p in parts]
        shape = [max(sizes) for sizes in zip(*(t.shape[1:] for t in tensors), strict=True)]
        joined[name] = torch.cat([_pad(t, shape) for t in tensors])
    return joined


def _pad(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    missing = [want - have for want, have in zip(shape, tensor.shape[1:], strict=True)]
    if not any(missing):
        return tensor
    return nn.functional.pad(tensor, [p for m in reversed(missing) for p in (0, m)])


def batched_forward(model: nn.Module, weights: Weights, inputs: Tensor) -> Tensor:
    """Run b generated models at once, each on its own inputs, with gradients to the weights.

    Shape:
        weights: (b, *shape) each; inputs (b, n, d_in) -> (b, n, k)
    """
    forward: Callable[[Weights, Tensor], Tensor] = lambda w, x: functional_call(model, w, (x,))  # noqa: E731
    return vmap(forward, randomness="different")(weights, inputs)
