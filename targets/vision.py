"""Classifiers of pictures: adapters of torchvision's networks, and the classifier of the task.

Static component: LoRA factors of the convolutions that a regular expression names, or FiLM factors of normalisations
(`targets.conv_lora` holds the layers). Dynamic component: the last linear layer. What the last linear layer reads is
called features, so a head may be solved in closed form on adapted features.

Shape letters: b = adapters, n = images of each, h, w = picture, d = features, k = classes.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from flame.errors import ConfigError, MetadataError, WeightsError, did_you_mean
from flame.metadata import Metadata
from targets.base import Weights, WeightSpec, check_weights, register_target
from targets.conv_lora import (
    KINDS,
    adaptable,
    adapter_specs,
    adapters,
    candidates,
    merge_adapters,
    n_adapters,
    put_adapters,
    run_adapted,
)
from targets.vision_networks import empty_network, head_name, head_of, new_network, run_steps, steps

if TYPE_CHECKING:
    from targets.vision_weights import BaseWeights

PATTERNS: dict[str, dict[str, str]] = {
    "lora": {
        # Table 7: every convolution of the residual blocks, but not those of the shortcuts.
        "(wide_)?resne[x]?t.*": r"layer.*conv.*",
        # Pointwise convolutions of the blocks and the last one; neither the stem nor squeeze-and-excite.
        "mobilenet_v[23].*": r"features\.[1-9].*\.\d+",
    },
    "film": {
        "(wide_)?resne[x]?t.*": r"layer4.*bn\d",
        "mobilenet_v2": r"features\.1[5-8].*",
        "mobilenet_v3_small": r"features\.(9|1[0-2]).*",
        "mobilenet_v3_large": r"features\.1[3-6].*",
    },
}
"""Which layers are adapted by default: kind, names of networks, names of layers (full matches)."""


class VisionTarget:
    """Writes adapters and the classifier of a network of torchvision's.

    An untrained generator leaves the base model's features exactly as they are.
    """

    def __init__(
        self,
        name: str,
        *,
        arch: str | None = None,
        kind: str = "lora",
        pattern: str | None = None,
        rank: int = 8,
        alpha: float = 16.0,
    ) -> None:
        """Nothing is built yet, and torchvision not yet imported.

        Args:
            name: of the target.
            arch: torchvision's name of the network; the target's name if not given.
            kind: `lora` (factors of convolutions) or `film` (factor and offset of normalisations).
            pattern: names of the adapted layers, as a regular expression that matches in full; see `PATTERNS`.
            rank: r of the LoRA factors (table 7: 8).
            alpha: the update is scaled by `alpha / rank` (table 7: 16).

        Raises:
            ConfigError: if the kind is unknown, the rank not positive, or the pattern broken or not known.
        """
        self.name, self.arch, self.kind, self.rank, self.alpha = name, arch or name, kind, rank, alpha
        if kind not in KINDS:
            raise ConfigError(f"kind of adapter must be one of {did_you_mean(kind, KINDS)} However: {kind!r}")
        if rank < 1:
            raise ConfigError(f"the rank of adapters must be a positive integer, however: {rank!r}")
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ConfigError(
                f"a regular expression of layer names is expected, however: {pattern!r} ({error})"
            ) from None
        known = [p for archs, p in PATTERNS[kind].items() if re.fullmatch(archs, self.arch)]
        if pattern is None and not known:
            raise ConfigError(f"which layers of {self.arch!r} are adapted is not known; give a pattern of their names")
        self.pattern: str = known[0] if pattern is None else pattern

    def build(self, metadata: Metadata, base: BaseWeights | None = None) -> nn.Module:
        """The network with adapted layers, in evaluation mode; without `base` it is ordinarily initialised.

        Nothing in it asks for gradients: what is learned are the generated tensors.

        Raises:
            ConfigError: if the pattern matches no layer that can be adapted.
            MetadataError: if `base` is of another network, or torchvision has no such classifier.
            MissingExtraError: if torchvision is not installed.
        """
        network = new_network(self.arch, metadata.out_dim)
        if base is not None and base.arch != self.arch:
            raise MetadataError(f"base weights of {self.arch!r} are expected, however: those of {base.arch!r}")
        return self._adapted(network if base is None else base.put_into(network))

    def static_specs(self) -> tuple[WeightSpec, ...]:
        """Factors of the adapted layers; see `build` for what is raised."""
        return adapter_specs(self._skeleton)

    def dynamic_specs(self, metadata: Metadata) -> tuple[WeightSpec, ...]:
        head = head_name(self._skeleton)
        d = head_of(self._skeleton).in_features
        return (
            WeightSpec(f"{head}.weight", (metadata.out_dim, d)),
            WeightSpec(f"{head}.bias", (metadata.out_dim,), zero_init=True),
        )

    def merge(self, model: nn.Module, weights: Weights) -> nn.Module:
        """A copy of torchvision's own layers with names as torchvision has them, that computes the same.

        Its normalisations stay in evaluation mode (appendix B); all else can be fine-tuned.

        Raises:
            WeightsError: if the tensors do not fit, or are those of several models.
        """
        head = head_name(model)
        classifier = {f"{head}.{name}": p for name, p in head_of(model).named_parameters()}
        specs = [*adapter_specs(model), *(WeightSpec(name, tuple(p.shape)) for name, p in classifier.items())]
        check_weights(weights, specs)
        if n_adapters(weights) != 1:
            raise WeightsError(f"merge takes the weights of one model, however: {n_adapters(weights)}; cut out one row")
        merged = merge_adapters(model, weights)
        merged.load_state_dict({name: weights[name].detach()[0] for name in classifier}, strict=False)
        return merged

    @cached_property
    def _skeleton(self) -> nn.Module:
        return self._adapted(empty_network(self.arch))

    def _adapted(self, network: nn.Module) -> nn.Module:
        if not adaptable(network, self.pattern, self.kind):
            what = "convolution of one group" if self.kind == "lora" else "batch normalisation"
            names = candidates(network, self.kind)
            shown = f"{names[:3] + names[-1:]} and {max(0, len(names) - 4)} more"
            raise ConfigError(f"the pattern {self.pattern!r} matches no {what} of {self.arch}, which has {shown}")
        put_adapters(network, self.pattern, kind=self.kind, rank=self.rank, alpha=self.alpha)
        return network.eval()


# --- forward passes of many adapters ----------------------------------------------------------------------------------


def forward_features(model: nn.Module, weights: Weights, inputs: Tensor, *, skip: int = 0) -> Tensor:
    """What the classifier reads, of b adapters at once, with gradients to their factors.

    The base model is not copied: only the factors have an axis of adapters. Tensors of the classifier are ignored.

    Args:
        model: as `VisionTarget.build` makes it.
        weights: generated tensors; at least those of all adapted layers.
        inputs: images, or what `prefix_features` made of them; (1, n, ...) if all adapters share them.
        skip: steps that the inputs have behind them: 0 for images, else `prefix_length(model)`.

    Shape:
        inputs (b, n, 3, h, w) -> (b, n, d)

    Raises:
        WeightsError: if tensors are missing, misshapen or unknown, or of different numbers of adapters.
    """
    head = head_name(model)
    factors = {name: value for name, value in weights.items() if not name.startswith(f"{head}.")}
    check_weights(factors, adapter_specs(model))
    return run_adapted(model, factors, inputs, run_steps(steps(model)[skip:]))


def forward_logits(model: nn.Module, weights: Weights, inputs: Tensor, *, skip: int = 0) -> Tensor:
    """As `forward_features`, with each adapter's own classifier behind it.

    Shape:
        inputs (b, n, 3, h, w) -> (b, n, k)

    Raises:
        WeightsError: as `forward_features`, or if the tensors of the classifier are missing.
    """
    head = head_name(model)
    names = [f"{head}.weight", f"{head}.bias"]
    missing = [name for name in names if name not in weights]
    if missing:
        raise WeightsError(f"missing generated tensors {missing}; `forward_features` needs no classifier")
    features = forward_features(model, weights, inputs, skip=skip)
    return torch.baddbmm(weights[names[1]][:, None], features, weights[names[0]].mT)


def prefix_length(model: nn.Module) -> int:
    """Steps of a model before the first that holds an adapted layer; 0 for networks of an unknown layout."""
    adapted = [name for name, _ in adapters(model)]
    inside = [any(name == step or name.startswith(f"{step}.") for name in adapted) for step, _ in steps(model)]
    return inside.index(True) if True in inside else 0


@torch.no_grad()
def prefix_features(model: nn.Module, images: Tensor) -> Tensor:
    """What the first adapted step reads: the same for every adapter, so it may be computed once and kept.

    Shape:
        (n, 3, h, w) -> (n, c, h', w')
    """
    return run_steps(steps(model)[: prefix_length(model)])(images)


for _name in ("mobilenet_v3_small", "mobilenet_v2", "resnet50", "resnet152"):
    register_target(VisionTarget(_name))
