"""Made-up domains: training pictures in another manner, with the sentences that their pixels then give.

A handful of real domains is too few to learn what a description means for the weights; these are more of them.

Shape letters: n = pictures, s = side in pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from flame.picture.facts import N_PICTURES, picture_facts
from flame.picture.pictures import from_pillow
from flame.picture.sets import ImageDomain

Style = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""One picture (s, s, 3) uint8 to another."""


def restyled(domain: ImageDomain, style: str, *, n: int = 100, seed: int = 0) -> ImageDomain:
    """At most `n` training pictures of a domain in another manner; all of them are training pictures.

    Raises:
        KeyError: if there is no such style; see `STYLES`.
    """
    rows = domain.rows("train")
    rows = rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]
    draws = np.random.default_rng(seed)
    pictures = np.stack([STYLES[style](picture, draws) for picture in domain.pictures[rows]])
    facts = picture_facts(list(pictures[np.linspace(0, len(rows) - 1, min(N_PICTURES, len(rows))).astype(int)]))
    if domain.facts is not None:  # the size is that of the pictures as they came
        own = domain.facts
        facts = replace(facts, width=own.width, height=own.height, one_size=own.one_size)
    part = np.zeros(len(rows), dtype=np.int8)
    return ImageDomain(f"{domain.name}, {style}", pictures, domain.y[rows], part, facts)


def _image(picture: np.ndarray) -> Any:
    return from_pillow().fromarray(picture)


def _grey(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    return np.asarray(_image(picture).convert("L").convert("RGB"))


def _lines(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Dark lines on white where shades change."""
    shades = picture.astype(np.float32).mean(2)
    blurred = _blurred(_blurred(shades))
    down, across = np.gradient(blurred)
    steps = np.hypot(down, across)
    strong = np.clip(steps / max(1.0, float(np.percentile(steps, 93))), 0, 1) ** 2
    return np.repeat((255 * (1 - strong)).astype(np.uint8)[:, :, None], 3, axis=2)


def _flat(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Few strong colours with dark outlines."""
    image = _image(picture)
    smooth = image.resize((48, 48)).resize(image.size)
    few = np.asarray(smooth.quantize(8).convert("RGB")).astype(np.float32)
    grey = few.mean(2, keepdims=True)
    strong = grey + 2.0 * (few - grey)
    outlines = _lines(picture, draws).astype(np.float32) / 255
    return np.clip(strong * outlines, 0, 255).astype(np.uint8)


def _coarse(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    image = _image(picture)
    return np.asarray(image.resize((24, 24), from_pillow().Resampling.BOX).resize(image.size))


def _noisy(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    cast = draws.uniform(0.8, 1.2, 3)
    noise = draws.normal(0, 16, picture.shape)
    return np.clip(picture * cast + noise, 0, 255).astype(np.uint8)


def _inverted(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    return 255 - picture


def _blended(picture: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """Over a ground of changing colours, as MNIST-M is made."""
    coarse = _image(draws.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    ground = np.asarray(coarse.resize(picture.shape[1::-1], from_pillow().Resampling.BICUBIC)).astype(np.int16)
    return np.abs(ground - picture).astype(np.uint8)


def _blurred(shades: np.ndarray) -> np.ndarray:
    padded = np.pad(shades, 1, mode="edge")
    mean: np.ndarray = (
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] + padded[1:-1, 1:-1]
    ) / 5
    return mean


STYLES: dict[str, Style] = {
    "grey": _grey,
    "lines": _lines,
    "flat colours": _flat,
    "coarse": _coarse,
    "noisy": _noisy,
    "inverted": _inverted,
    "blended": _blended,
}
"""Manners that say nothing of what is shown."""
