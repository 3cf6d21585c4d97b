"""Pictures in numbers: light, colour, sharpness, background, drawing; how they look, never what they show.

A handful of pictures is made small and measured with plain arithmetic; `flame.picture.words` says it in words. Shades
and colours are shares of full (0 to 1), steps are differences between neighbouring pixels.

Shape:
    h height, w width, of a copy of at most `SIDE` pixels; at least 4 each
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flame.errors import DataError
from flame.picture.pictures import from_pillow, open_picture, picture_size

N_PICTURES = 64
"""Pictures that are measured, evenly spread over the list or its classes."""
FINE, SIDE = 256, 128
"""Largest side of the copies that are measured: for grain and sharpness, and for everything else."""
STEP = 24 / 255
"""Difference of shade from which a pixel is no longer of the background's colour."""
_TILE = 16
"""Pixels; grain and sharpness are looked at in squares of this side."""


@dataclass(frozen=True)
class PictureFacts:
    """What pictures look like together: the middle one's number, if nothing else is said."""

    n_pictures: int
    """Pictures that were measured, 1 to 64."""
    width: float
    """Pixels as stored."""
    height: float
    """Pixels as stored."""
    one_size: float
    """Share of pictures of the most frequent size, 0 to 1."""
    brightness: float
    """Mean shade, 0 (black) to 1 (white)."""
    brightness_spread: float
    """Standard deviation of the brightness from picture to picture, 0 to 0.5."""
    contrast: float
    """Standard deviation of the shades within a picture, 0 to 0.5."""
    whites: float
    """Share of pixels that are all but white, 0 to 1."""
    blacks: float
    """Share of pixels that are all but black, 0 to 1."""
    grey: float
    """Share of pictures without any colour, 0 to 1."""
    saturation: float
    """Mean distance of the strongest from the weakest of red, green and blue, 0 to 1."""
    warmth: float
    """Red less blue, -1 (bluish) to 1 (reddish)."""
    palette: float
    """Colours, of 512 coarse ones, that cover nine tenths of a picture: 1 to 461."""
    flat: float
    """Share of steps that cannot be seen: areas of one colour, 0 to 1."""
    texture: float
    """Share of small steps: grain, cloth, leaves, brush strokes; 0 to 1."""
    edges: float
    """Share of large steps: borders of things, 0 to 1."""
    sharpness: float
    """Share of the steps that a slight blur takes away, 0 (soft) to 1 (crisp)."""
    focus_spread: float
    """Difference between the sharpest and the softest parts of a picture that are not flat, 0 to 1."""
    centre: float
    """Share of the steps that lie in the middle quarter, 0 to 1; 0.25 if they are everywhere alike."""
    noise: float
    """Standard deviation of the grain in the smoothest parts, 0 to 1; 0.01 can be seen."""
    blocking: float
    """How much larger steps are at the borders of 8 by 8 blocks, as JPEG leaves them: 0 to 1; 0 also if unknown."""
    plain: float
    """Share of pictures whose border is of one colour, 0 to 1."""
    cluttered: float
    """Share of pictures whose border is mostly of other colours than its middle one, 0 to 1."""
    ground: float
    """Brightness of the border, 0 to 1."""
    ground_spread: float
    """Standard deviation of the border's brightness from picture to picture, 0 to 0.5."""
    ink: float
    """Share of pixels that differ from the border's colour: what is shown, 0 to 1."""
    vivid: float
    """Share of the ink that is of a strong colour, 0 to 1."""
    outlines: float
    """Share of large steps within the ink, 0 to 1."""


def picture_facts(images: Sequence[Any], *, classes: Sequence[Any] | None = None) -> PictureFacts:
    """How pictures look, in numbers; at most 64 are opened. What cannot be decoded is passed over: the reader tells.

    Args:
        images: paths, Pillow images or arrays, as `flame.picture.pictures.open_picture` takes them.
        classes: one per image, so that all are looked at; they change nothing else. None: spread over the list.

    Raises:
        DataError: if there is no picture, or none can be decoded.
        MissingExtraError: if Pillow is not installed.

    >>> picture_facts([np.full((8, 8), 255, dtype="uint8")]).brightness
    1.0
    """
    found = []
    for place in spread(len(images), classes):
        try:
            found.append(measure(images[place]))
        except DataError:
            continue
    return gather(found)


def spread(n: int, classes: Sequence[Any] | None = None) -> list[int]:
    """At most 64 places of `n`, evenly spread over the classes in sorted order, or over the list."""
    order = list(range(n)) if classes is None else sorted(range(n), key=lambda i: (str(classes[i]), i))
    return [order[i] for i in np.linspace(0, max(n - 1, 0), min(N_PICTURES, n)).astype(int)]


def gather(measured: Sequence[Mapping[str, float]]) -> PictureFacts:
    """The facts of several pictures; their order does not matter.

    Raises:
        DataError: if there is none.
    """
    if not measured:
        raise DataError("pictures are expected, however none can be decoded; give at least one that opens")
    columns = {name: np.sort([m[name] for m in measured]) for name in measured[0]}
    facts = {name: float(np.median(values)) for name, values in columns.items()}
    sizes = [(m["width"], m["height"]) for m in measured]
    return PictureFacts(
        n_pictures=len(measured),
        one_size=max(map(sizes.count, set(sizes))) / len(sizes),
        brightness_spread=float(columns["brightness"].std()),
        ground_spread=float(columns["ground"].std()),
        grey=float(np.mean(columns["grey"])),
        plain=float(np.mean(columns["uniform"] >= 0.8)),
        cluttered=float(np.mean(columns["uniform"] < 0.5)),
        **{name: facts[name] for name in facts if name not in ("grey", "uniform")},
    )


def measure(cell: Any) -> dict[str, float]:
    """The numbers of one picture; those of `PictureFacts` that a single one has, and `uniform`, its border.

    Raises:
        DataError: if it cannot be decoded; names the file.
        MissingExtraError: if Pillow is not installed.
    """
    width, height = picture_size(cell)
    fine = open_picture(cell, side=FINE)
    k = SIDE / max(*fine.size, SIDE)
    small = fine if k == 1 else fine.resize([max(1, round(n * k)) for n in fine.size], from_pillow().Resampling.BOX)
    cells, shades = _cells(small), _shades(_cells(fine))
    return {
        "width": float(width),
        "height": float(height),
        **_colours(cells),
        **_border(cells),
        **_clarity(shades),
        "blocking": _blocking(shades) if max(width, height) <= FINE else 0.0,
    }


def _cells(image: Any) -> np.ndarray:
    """Shares of full (3, h, w); what has fewer than 4 pixels a side is continued."""
    cells = np.asarray(image).transpose(2, 0, 1).astype(np.float32, order="C") / 255
    lacking = [(0, max(0, 4 - n)) for n in cells.shape[1:]]
    return np.pad(cells, [(0, 0), *lacking], mode="edge") if np.any(lacking) else cells


def _shades(cells: np.ndarray) -> np.ndarray:
    shades: np.ndarray = 0.299 * cells[0] + 0.587 * cells[1] + 0.114 * cells[2]
    return shades


def _strength(cells: np.ndarray) -> np.ndarray:
    """How far every pixel is from grey."""
    strength: np.ndarray = cells.max(axis=0) - cells.min(axis=0)
    return strength


def _colours(cells: np.ndarray) -> dict[str, float]:
    shades, strength = _shades(cells), _strength(cells)
    red, green, blue = np.minimum(cells * 8, 7).astype(int)
    covered = np.cumsum(np.sort(np.bincount((64 * red + 8 * green + blue).ravel()))[::-1]) / shades.size
    return {
        "brightness": _rounded(shades.mean()),
        "contrast": _rounded(shades.std()),
        "whites": _rounded(np.mean(shades >= 0.95)),
        "blacks": _rounded(np.mean(shades <= 0.08)),
        "grey": float(np.mean(strength > 12 / 255) <= 0.02),
        "saturation": _rounded(strength.mean()),
        "warmth": _rounded(np.mean(cells[0] - cells[2])),
        "palette": float(np.searchsorted(covered, 0.9 - 1e-9) + 1),
    }


def _rounded(value: Any) -> float:
    """Sums of single precision, without the digits that mean nothing."""
    return round(float(value), 5)


def _border(cells: np.ndarray) -> dict[str, float]:
    """The background as the border shows it, and what stands out from it."""
    k = max(1, min(cells.shape[1:]) // 10)
    parts = (cells[:, :k], cells[:, -k:], cells[:, :, :k], cells[:, :, -k:])
    border = np.concatenate([part.reshape(3, -1) for part in parts], axis=1)
    colour = np.median(border, axis=1)
    ink = np.abs(cells - colour[:, None, None]).max(axis=0) > STEP
    return {
        "uniform": _rounded(np.mean(np.abs(border - colour[:, None]).max(axis=0) <= STEP)),
        "ground": _rounded(_shades(colour)),
        "ink": _rounded(ink.mean()),
        "vivid": _rounded(np.mean(_strength(cells)[ink] > 0.3)) if ink.any() else 0.0,
        **_steps(cells, ink),
    }


def _steps(cells: np.ndarray, ink: np.ndarray) -> dict[str, float]:
    across, down = (np.abs(np.diff(cells, axis=axis)).max(axis=0) for axis in (2, 1))
    every = np.concatenate([across.ravel(), down.ravel()])
    h, w = cells.shape[1] // 4, cells.shape[2] // 4
    inner = across[h:-h, w:-w].sum() + down[h:-h, w:-w].sum()
    inked = np.maximum(across[:-1], down[:, :-1])[ink[:-1, :-1]]
    return {
        "flat": _rounded(np.mean(every <= 3.5 / 255)),
        "texture": _rounded(np.mean((every > 8.5 / 255) & (every <= 40.5 / 255))),
        "edges": _rounded(np.mean(every > 60.5 / 255)),
        "outlines": _rounded(np.mean(inked > 60.5 / 255)) if inked.size else 0.0,
        "centre": _rounded(inner / every.sum()) if every.any() else 0.25,
    }


def _clarity(shades: np.ndarray) -> dict[str, float]:
    """Sharpness by what a blur takes away (Crete and others, 2007), over all and by squares, and the finest grain."""
    steps, lost = np.zeros_like(shades), np.zeros_like(shades)
    for axis in (0, 1):
        before, after = (np.abs(np.diff(s, axis=axis)) for s in (shades, _blurred(shades, axis)))
        place = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        steps[place] += before
        lost[place] += np.maximum(before - after, 0)
    sums, gone = _squares(steps), _squares(lost)
    seen = sums > 0.02  # elsewhere it is grain that is measured
    local = gone[seen] / sums[seen]
    return {
        "sharpness": _rounded(lost.sum() / steps.sum()) if steps.any() else 0.0,
        "focus_spread": _rounded(np.subtract(*np.percentile(local, [90, 10]))) if len(local) >= 8 else 0.0,
        "noise": _rounded(_grain(shades)),
    }


def _blurred(shades: np.ndarray, axis: int) -> np.ndarray:
    """Means of five neighbours."""
    width = [(0, 0), (0, 0)]
    width[axis] = (2, 2)
    padded, n = np.pad(shades, width, mode="edge"), shades.shape[axis]
    total = np.zeros_like(shades)
    for first in range(5):
        total += padded[first : first + n] if axis == 0 else padded[:, first : first + n]
    return total / 5


def _grain(shades: np.ndarray) -> float:
    """Noise by a mask that no slope passes (Immerkaer, 1996), in the smoother of the squares that are not clipped."""
    bent = np.diff(np.diff(shades, n=2, axis=0), n=2, axis=1)
    grain, light = _squares(np.abs(bent)), _squares(shades[1:-1, 1:-1])
    there = grain[(light > 0.04) & (light < 0.96)]
    return float(np.percentile(there, 25) * np.sqrt(np.pi / 2) / 6) if len(there) >= 4 else 0.0


def _squares(values: np.ndarray) -> np.ndarray:
    """Means of whole squares, one after another; of everything where there is no whole one."""
    h, w = (n // _TILE for n in values.shape)
    if not h or not w:
        return values.mean(keepdims=True).ravel()
    return values[: h * _TILE, : w * _TILE].reshape(h, _TILE, w, _TILE).mean(axis=(1, 3)).ravel()


def _blocking(shades: np.ndarray) -> float:
    shares = []
    for axis in (0, 1):
        steps = np.abs(np.diff(shades, axis=axis)).mean(axis=1 - axis)
        at = np.arange(len(steps)) % 8 == 7
        if at.sum() >= 8 and steps[~at].mean() > 0:
            shares.append(steps[at].mean() / steps[~at].mean() - 1)
    return _rounded(np.clip(np.mean(shares), 0, 1)) if shares else 0.0
