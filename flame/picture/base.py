"""Finding the pretrained network that models for pictures are written for: by name, in a file, or in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import cast

from torch import Tensor

from flame.errors import CheckpointError, did_you_mean
from flame.metadata import Arch
from flame.picture.features import tensors_sha256
from targets.vision_networks import imagenet_names
from targets.vision_weights import BaseWeights, fitting_arch, load_base

VARIABLE = "FLAME_PICTURE_BASE"
"""Environment variable that names the base model where a request does not."""
BASES = ("mobilenet_v2", "mobilenet_v3_small", "resnet50", "resnet152")
"""Networks of torchvision's that are used; the first one if nothing is said."""
WAYS = (
    f"Ways to get a base model for pictures: name one of torchvision's networks, {', '.join(BASES)}, which is fetched "
    "once where the network is reachable; or name a file of its weights (.safetensors, .pth), or a folder of "
    f"MobileNetV2 with spec.json: base_model=..., --base-model, or the environment variable {VARIABLE}"
)


@dataclass(frozen=True, eq=False)
class PictureBase:
    """A pretrained network in memory; shared by all models that are written for it, and never changed."""

    name: str
    """For people: the network, and the name of its file."""
    weights: BaseWeights = field(repr=False)

    @property
    def arch(self) -> Arch:
        """torchvision's name of the network."""
        return cast(Arch, self.weights.arch)

    @cached_property
    def sha256(self) -> str:
        """Of its tensors but the classifier's, whatever file they came in."""
        return tensors_sha256(self.weights)

    @cached_property
    def own_rows(self) -> Tensor | None:
        """Its own classifier, if that has as many rows as ImageNet has classes: they are taken for these.

        Shape:
            (1000, p)
        """
        rows = self.weights.classifier
        return rows if rows is not None and len(rows) == len(imagenet_names(self.arch)) else None


def find_picture_base(name: str | None = None) -> PictureBase:
    """A base model; kept in memory for the next call.

    Args:
        name: of a network of torchvision's, of a file or of a folder; as `FLAME_PICTURE_BASE` says, else MobileNetV2,
            if not given.

    Raises:
        CheckpointError: if there is none, or it cannot be read; the ways to get one are listed.
        MissingExtraError: if torchvision is not installed.
    """
    asked = name or os.environ.get(VARIABLE) or BASES[0]
    try:
        return _found(asked, _changed(Path(asked)))
    except CheckpointError as error:
        raise CheckpointError(f"no base model {asked!r} for pictures: {error}. {WAYS}") from error


@lru_cache(maxsize=4)
def _found(name: str, changed: int) -> PictureBase:
    place = Path(name).expanduser()
    if place.is_dir():
        base = load_base(BASES[0], place)
    elif place.is_file():
        base = load_base(fitting_arch(place, BASES), place)
    elif name in BASES:
        return PictureBase(name, load_base(name))
    else:
        raise CheckpointError(f"there is no such file or folder, and the networks are {did_you_mean(name, BASES)}")
    # Where it lies is nobody's business: the name is stored with every model.
    return PictureBase(f"{base.arch} ({place.resolve().name})", base)


def _changed(place: Path) -> int:
    """When a file, or what lies in a folder, was last written, so that others in its place are noticed; else 0."""
    try:
        files = [place, *place.iterdir()] if place.is_dir() else [place]
        return max(file.stat().st_mtime_ns for file in files)
    except (OSError, ValueError):
        return 0
