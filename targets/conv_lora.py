"""Adapters of convolutional networks: layers that hold generated tensors, and forward passes of many adapters at once.

Three kinds of layers replace those of a network; names and tensors of its state dict stay as they were:

* `LoRAConv2d` (kind `lora`), as PEFT has it: A is a convolution of the same kernel, stride and padding to r channels, B
  a 1x1 convolution from r to the outputs. Grouped and depthwise convolutions are left out: no pair of dense factors can
  be merged into their block-diagonal weight, and a depthwise 3x3 filter has fewer numbers than its factors.
* `FilmBatchNorm2d` (kind `film`): a factor and an offset per channel behind a normalisation.
* `FrozenBatchNorm2d`: every other normalisation; it keeps its running statistics, also while training (appendix B).

Shape letters: b = adapters, n = images of each, c = channels in, o = channels out, r = rank, k = kernel, h, w = image.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame.errors import WeightsError
from targets.base import Weights, WeightSpec

KINDS = ("lora", "film")
GAIN_A = 1 / 3
"""Variance of A at the start times its fan-in, that of PEFT's `kaiming_uniform_(a=sqrt(5))`."""


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: what is odd goes to the bottom and the right.

    With stride 2 and an even size that shifts the picture by one pixel against symmetric padding.

    >>> SameConv2d(3, 4, 3, stride=2)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 4, 4, 4])
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> SameConv2d:
        """One that shares the tensors of another convolution, whose own padding is dropped."""
        sizes: dict[str, Any] = {name: getattr(conv, name) for name in ("kernel_size", "stride", "dilation", "groups")}
        made = cls(conv.in_channels, conv.out_channels, **sizes, bias=conv.bias is not None, device="meta")
        made.weight, made.bias = conv.weight, conv.bias
        return made

    def padded(self, x: Tensor) -> Tensor:
        """The input with the zeros that this convolution wants around it."""
        around: list[int] = []
        for size, k, stride, d in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True):
            missing = max(0, (math.ceil(size / stride) - 1) * stride + (k - 1) * d + 1 - size)
            around = [missing // 2, missing - missing // 2, *around]
        return functional.pad(x, around)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(self.padded(input))


class LoRAConv2d(nn.Module):
    """A frozen convolution plus `alpha / r * B(A(x))`.

    The factors are buffers that `torch.func.functional_call` replaces by generated tensors, with or without an axis of
    adapters; zeros until then. `weight` and `bias` are those of the convolution.

    Shape:
        x (b * n, c, h, w), lora_A ([b,] r, c, k, k), lora_B ([b,] o, r, 1, 1) -> (b * n, o, h', w')
    """

    lora_A: Tensor  # noqa: N815 - the name that everyone knows
    lora_B: Tensor  # noqa: N815

    def __init__(self, conv: nn.Conv2d, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.conv = [conv]  # not registered: its tensors keep the names that they had
        self.weight, self.bias = conv.weight, conv.bias
        self.scaling = alpha / rank
        shape = (rank, conv.in_channels, *conv.kernel_size)
        self.register_buffer("lora_A", conv.weight.new_zeros(shape), persistent=False)
        self.register_buffer("lora_B", conv.weight.new_zeros(conv.out_channels, rank, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv[0]
        if isinstance(conv, SameConv2d):
            x = conv.padded(x)
        base = nn.Conv2d._conv_forward(conv, x, self.weight, self.bias)
        return base + self.scaling * _low_rank(x, self.lora_A, self.lora_B, conv)

    def specs(self, name: str) -> tuple[WeightSpec, ...]:
        """The tensors to be generated; B starts at zero."""
        return (
            WeightSpec(f"{name}.lora_A", tuple(self.lora_A.shape), gain=GAIN_A),
            WeightSpec(f"{name}.lora_B", tuple(self.lora_B.shape), zero_init=True),
        )

    def merged(self, weights: Weights, name: str) -> nn.Module:
        """A convolution of weight `W + alpha / r * B @ A`."""
        a, b = weights[f"{name}.lora_A"][0].detach(), weights[f"{name}.lora_B"][0].detach()
        plain = copy.deepcopy(self.conv[0])
        with torch.no_grad():
            # The slots may have been moved or cast with the network, the convolution in the list was not.
            plain.weight = nn.Parameter(self.weight + self.scaling * (b.flatten(1) @ a.flatten(1)).view_as(self.weight))
            plain.bias = None if self.bias is None else nn.Parameter(self.bias.clone())
        return plain


def _low_rank(x: Tensor, a: Tensor, b: Tensor, conv: nn.Conv2d) -> Tensor:
    """`B(A(x))` of one adapter, or of many that each have their part of the rows."""
    if a.dim() == 4 or len(a) == 1:
        a, b = (f[0] if f.dim() == 5 else f for f in (a, b))
        return functional.conv2d(functional.conv2d(x, a, None, conv.stride, conv.padding, conv.dilation), b)
    x = x.unflatten(0, (len(a), -1))
    if set(conv.kernel_size) == {1} and not any(_pair(conv.padding)):
        x = x[..., :: conv.stride[0], :: conv.stride[1]]
        inner = a.flatten(2)[:, None] @ x.flatten(3)
        outer = b.flatten(2)[:, None] @ inner
        return outer.unflatten(-1, x.shape[-2:]).flatten(0, 1)
    # One convolution with a group per adapter, whose channels stand behind each other.
    beside = x.transpose(0, 1).flatten(1, 2)
    made = functional.conv2d(beside, a.flatten(0, 1), None, conv.stride, conv.padding, conv.dilation, groups=len(a))
    inner = made.unflatten(1, (len(a), -1)).transpose(0, 1)
    outer = b.flatten(2)[:, None] @ inner.flatten(3)
    return outer.unflatten(-1, made.shape[-2:]).flatten(0, 1)


def _pair(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    return (int(padding == "same"),) if isinstance(padding, str) else padding


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that stays in evaluation mode, whatever mode its network is in."""

    def train(self, mode: bool = True) -> FrozenBatchNorm2d:
        return super().train(False)


class FilmBatchNorm2d(FrozenBatchNorm2d):
    """`norm(x) * (1 + scale) + shift` per channel; the two are buffers, as in `LoRAConv2d`.

    Shape:
        x (b * n, c, h, w), film_scale ([b,] c), film_shift ([b,] c) -> (b * n, c, h, w)
    """

    film_scale: Tensor
    film_shift: Tensor

    def __init__(self, num_features: int, **options: float | bool | None) -> None:
        super().__init__(num_features, **options)  # type: ignore[arg-type]
        self.register_buffer("film_scale", torch.zeros(num_features), persistent=False)
        self.register_buffer("film_shift", torch.zeros(num_features), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        scale, shift = (t if t.dim() == 2 else t[None] for t in (self.film_scale, self.film_shift))
        y = super().forward(input).unflatten(0, (len(scale), -1))
        return (y * (1 + scale[:, None, :, None, None]) + shift[:, None, :, None, None]).flatten(0, 1)

    def specs(self, name: str) -> tuple[WeightSpec, ...]:
        """The tensors to be generated; both start at zero."""
        return tuple(WeightSpec(f"{name}.film_{part}", (self.num_features,), zero_init=True) for part in _FILM)

    def merged(self, weights: Weights, name: str) -> nn.Module:
        """A frozen normalisation whose own factor and offset hold the generated ones."""
        scale, shift = (weights[f"{name}.film_{part}"][0].detach() for part in _FILM)
        plain = frozen_norm(self)
        with torch.no_grad():
            plain.weight.copy_(self.weight * (1 + scale))
            plain.bias.copy_(self.bias * (1 + scale) + shift)
        return plain


_FILM = ("scale", "shift")
AdapterLayer = LoRAConv2d | FilmBatchNorm2d


# --- putting adapters in, and taking them out -------------------------------------------------------------------------


def frozen_norm(norm: nn.BatchNorm2d, kind: type[FrozenBatchNorm2d] = FrozenBatchNorm2d) -> FrozenBatchNorm2d:
    """A copy of a normalisation that stays in evaluation mode."""
    weight = norm.weight if norm.affine else norm.running_var
    assert weight is not None, "a normalisation without running statistics cannot be frozen"
    frozen = kind(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine).to(weight)
    frozen.load_state_dict(norm.state_dict())
    return frozen.requires_grad_(False).eval()


def freeze_norms(network: nn.Module) -> nn.Module:
    """Replace every batch normalisation of a network by a frozen one; returns the network."""
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, FrozenBatchNorm2d):
            network.set_submodule(name, frozen_norm(module))
    return network


def put_adapters(network: nn.Module, pattern: str, *, kind: str, rank: int, alpha: float) -> list[str]:
    """Replace the layers that `pattern` names by adapted ones and freeze the rest; the names of what was adapted."""
    names = adaptable(network, pattern, kind)
    freeze_norms(network).requires_grad_(False)
    for name in names:
        layer = network.get_submodule(name)
        if isinstance(layer, nn.Conv2d):
            network.set_submodule(name, LoRAConv2d(layer, rank=rank, alpha=alpha))
        elif isinstance(layer, nn.BatchNorm2d):
            network.set_submodule(name, frozen_norm(layer, FilmBatchNorm2d))
    return names


def adaptable(network: nn.Module, pattern: str, kind: str) -> list[str]:
    """Names of the layers that can be adapted and that `pattern` matches in full, in the network's order."""
    return [name for name in candidates(network, kind) if re.fullmatch(pattern, name)]


def candidates(network: nn.Module, kind: str) -> list[str]:
    """Names of all layers that can be adapted: convolutions of one group, or normalisations."""
    if kind == "film":
        return [name for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    return [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.groups == 1]


def adapters(network: nn.Module) -> Iterator[tuple[str, AdapterLayer]]:
    """The adapted layers of a network and their names."""
    return ((name, m) for name, m in network.named_modules() if isinstance(m, LoRAConv2d | FilmBatchNorm2d))


def adapter_specs(network: nn.Module) -> tuple[WeightSpec, ...]:
    """The tensors that the adapted layers want."""
    return tuple(spec for name, layer in adapters(network) for spec in layer.specs(name))


def merge_adapters(network: nn.Module, weights: Weights) -> nn.Module:
    """A copy without adapted layers that computes the same; its convolutions and head can be trained."""
    merged = copy.deepcopy(network)
    for name, layer in list(adapters(merged)):
        merged.set_submodule(name, layer.merged(weights, name))
    for module in merged.modules():
        frozen = isinstance(module, FrozenBatchNorm2d)
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(not frozen)
    return merged


# --- many adapters in one pass ----------------------------------------------------------------------------------------


class _Part(nn.Module):
    """Some steps of a network, run under the names of the whole."""

    def __init__(self, network: nn.Module, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self._run = [run]  # a list keeps a module out of the names

    def forward(self, x: Tensor) -> Tensor:
        return self._run[0](x)


def run_adapted(network: nn.Module, weights: Weights, inputs: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
    """Run some steps of a network for b adapters; layers without an adapter see all b * n images as one batch.

    Shape:
        weights (b, *shape) each, inputs (b, n, ...) -> (b, n, ...)

    Raises:
        WeightsError: if the tensors are of different numbers of adapters, or do not fit the inputs.
    """
    b = n_adapters(weights)
    if inputs.shape[0] not in (1, b):
        raise WeightsError(f"inputs (b, n, ...) of {b} adapters are expected, however: {tuple(inputs.shape)}")
    rows = inputs.expand(b, *inputs.shape[1:]).flatten(0, 1)
    slots = {f"network.{name}": value for name, value in weights.items()}
    made: Tensor = torch.func.functional_call(_Part(network, run), slots, (rows,), tie_weights=False)
    return made.unflatten(0, (b, -1))


def n_adapters(weights: Weights) -> int:
    """How many adapters the tensors hold.

    Raises:
        WeightsError: if there is none, or their numbers differ.
    """
    counts = {len(value) for value in weights.values()}
    if len(counts) != 1:
        raise WeightsError(f"tensors (b, *shape) of one number b of adapters are expected, however: b = {counts or 0}")
    return counts.pop()
