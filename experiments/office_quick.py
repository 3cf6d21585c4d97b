"""Made-up pictures and a small random network: what `--quick` runs on, without data and without a network."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flame.picture.facts import picture_facts
from flame.picture.features import PictureEncoder
from flame.picture.sets import ImageDomain, ImageSet
from targets.vision_networks import new_network
from targets.vision_weights import BaseWeights

CLASSES = ("stripe", "square", "corner")
DOMAINS = {"bright": (255, 0), "dark": (0, 230), "grey": (128, 250)}
"""Shade of the ground, and of the thing."""
WRITTEN = {
    "made-up/bright": ["Black things on white paper."],
    "made-up/dark": ["White things in the dark."],
    "made-up/grey": ["Pale things on grey walls."],
    "nowhere": ["X-ray scans of luggage."],
}


def quick_set(*, n: int = 20, side: int = 32) -> ImageSet:
    """Three domains of `n` pictures of each class."""
    domains = {}
    for place, (name, (ground, thing)) in enumerate(DOMAINS.items()):
        draws = np.random.default_rng(place)
        y = np.repeat(np.arange(len(CLASSES)), n)
        pictures = np.stack([_picture(int(c), ground, thing, side, draws) for c in y])
        part = np.tile(np.repeat([0, 1, 2], [n // 2, n // 10, n - n // 2 - n // 10]), len(CLASSES)).astype(np.int8)
        domains[name] = ImageDomain(name, pictures, y, part, picture_facts(list(pictures[part == 0])))
    return ImageSet("made-up", "made-up things", CLASSES, domains, dict.fromkeys(DOMAINS, "made up"))


def quick_encoder(kind: str = "lora", *, seed: int = 0) -> PictureEncoder:
    """A ResNet-18 that was never trained, adapted in its last block."""
    torch.manual_seed(seed)
    network = new_network("resnet18", 2)
    base = BaseWeights("resnet18", network.state_dict(), "made up")
    return PictureEncoder(base, kind=kind, pattern=r"layer4\.1\.conv.*", rank=2)


def random_base(folder: Path) -> str:
    """A file of weights, as `base_model` takes it, of a network that was never trained."""
    torch.manual_seed(0)
    torch.save(new_network("mobilenet_v3_small", 2).state_dict(), folder / "random.pth")
    return str(folder / "random.pth")


def quick_embedding(sentences: Sequence[str]) -> Tensor:
    """Words counted by their hash: enough to tell sentences apart.

    Shape:
        -> (n, 32)
    """
    counts = torch.zeros(len(sentences), 32)
    for place, sentence in enumerate(sentences):
        for word in sentence.lower().split():
            counts[place, zlib.crc32(word.encode()) % 32] += 1
    return counts


def _picture(label: int, ground: int, thing: int, side: int, draws: np.random.Generator) -> np.ndarray:
    picture = np.full((side, side, 3), ground, dtype=np.int16)
    at, size = int(draws.integers(2, side // 2)), side // 3
    if CLASSES[label] == "stripe":
        picture[at : at + 4] = thing
    elif CLASSES[label] == "square":
        picture[at : at + size, at : at + size] = thing
    else:
        picture[:size, :4] = thing
        picture[:4, :size] = thing
    return np.clip(picture + draws.normal(0, 8, picture.shape), 0, 255).astype(np.uint8)
