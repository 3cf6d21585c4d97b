"""torchvision's networks: built when first asked for, and taken apart into steps.

Shape letters: n = images, h, w = picture, d = features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from flame.errors import MetadataError, did_you_mean, missing_extra
from targets.conv_lora import SameConv2d

Step = tuple[str, Callable[[Tensor], Tensor]]
"""Name of a part of a network, and what it does."""


def torchvision_models() -> Any:
    """The module `torchvision.models`, imported when the first network is built.

    Raises:
        MissingExtraError: if torchvision is not installed.
    """
    try:
        from torchvision import models  # type: ignore[import, unused-ignore]
    except ImportError as error:
        raise missing_extra("torchvision", "vision", "Models for pictures") from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        # Its compiled part is of another build than torch (CUDA, CPU). Only detectors use it, but the import wants the
        # names of its operators.
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision import models
    return models


def new_network(arch: str, n_classes: int = 1000) -> nn.Module:
    """A fresh network of torchvision's, ordinarily initialised.

    Raises:
        MetadataError: if torchvision has no classifier of that name.
        MissingExtraError: if torchvision is not installed.
    """
    models = torchvision_models()
    if arch not in models.list_models(module=models):
        raise MetadataError(
            f"torchvision has no classifier {arch!r}; it has {did_you_mean(arch, models.list_models(module=models))}"
        )
    network: nn.Module = models.get_model(arch, weights=None, num_classes=n_classes)
    return network


def empty_network(arch: str, n_classes: int = 1000) -> nn.Module:
    """As `new_network`, of which only names and shapes exist."""
    with torch.device("meta"):
        return new_network(arch, n_classes)


def imagenet_names(arch: str) -> tuple[str, ...]:
    """Names of ImageNet's 1,000 classes in the order of the outputs of a pretrained network of torchvision's.

    Raises:
        MissingExtraError: if torchvision is not installed.
    """
    return tuple(torchvision_models().get_model_weights(arch).DEFAULT.meta["categories"])


def head_name(network: nn.Module) -> str:
    """Name of the last linear layer: the classifier that a task replaces.

    Raises:
        MetadataError: if there is none.
    """
    names = [name for name, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not names:
        raise MetadataError(f"a network whose last layer is linear is expected, however: {type(network).__name__}")
    return names[-1]


def use_same_padding(network: nn.Module) -> None:
    """Pad strided convolutions as TensorFlow does; for the others it makes no difference."""
    for name, old in list(network.named_modules()):
        if isinstance(old, nn.Conv2d) and max(old.stride) > 1 and max(old.kernel_size) > 1:
            network.set_submodule(name, SameConv2d.like(old))


def steps(network: nn.Module) -> list[Step]:
    """A network as functions that follow each other, from images to what its last linear layer reads.

    ResNets, MobileNets, EfficientNets, VGGs and AlexNet come block by block, every other network as one step.
    """
    kind = type(network).__name__
    if kind == "ResNet":
        names = ["conv1", "bn1", "relu", "maxpool"]
        names += [f"{layer}.{i}" for layer in _LAYERS for i in range(len(network.get_submodule(layer)))]  # type: ignore[arg-type]
        names += ["avgpool"]
    elif kind in ("MobileNetV2", "MobileNetV3", "EfficientNet", "VGG", "AlexNet"):
        names = [f"features.{i}" for i in range(len(network.get_submodule("features")))]  # type: ignore[arg-type]
        names += ["avgpool"]
    else:
        return [("", partial(_read_by_the_head, network))]
    pool: dict[str, Callable[[Tensor], Tensor]] = {"avgpool": _average}  # MobileNetV2 has no layer for it
    found = [(n, pool[n] if n in pool and not hasattr(network, n) else network.get_submodule(n)) for n in names]
    before = [f"classifier.{i}" for i in range(len(getattr(network, "classifier", ())) - 1)]
    return [*found, ("flatten", _flatten), *((n, network.get_submodule(n)) for n in before)]


_LAYERS = ("layer1", "layer2", "layer3", "layer4")


def _average(x: Tensor) -> Tensor:
    return functional.adaptive_avg_pool2d(x, 1)


def _flatten(x: Tensor) -> Tensor:
    return x.flatten(1)


def run_steps(parts: Sequence[Step]) -> Callable[[Tensor], Tensor]:
    """Steps as one function."""

    def run(x: Tensor) -> Tensor:
        for _, part in parts:
            x = part(x)
        return x

    return run


def _read_by_the_head(network: nn.Module, x: Tensor) -> Tensor:
    read: list[Tensor] = []
    hook = head_of(network).register_forward_pre_hook(lambda _, given: read.append(given[0]))
    try:
        network(x)
    finally:
        hook.remove()
    return read[-1]


def head_of(network: nn.Module) -> nn.Linear:
    """The last linear layer."""
    head = network.get_submodule(head_name(network))
    assert isinstance(head, nn.Linear)
    return head
