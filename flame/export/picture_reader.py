"""Bytes of pictures to the pixels that their model reads. Needs numpy and Pillow.

Shape letters: n = pictures, s = side in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from flame.export.rows import SHOWN, Columns, Fault, RowError
from flame.picture.opening import MAX_PIXELS, draft, fine_side, middle, open_encoded, refuse_bomb, upright


class PictureReader:
    """From encoded pictures to pixels, as the card says: resized, cut out of the middle, standardised."""

    at_once = 16
    told: tuple[str, ...] = ("file",)

    def __init__(self, card: Mapping[str, Any], max_pixels: int = MAX_PIXELS) -> None:
        import PIL  # noqa: F401  where it is missing, better now than at the first picture

        self.columns = card["columns"]
        self.names = [c["name"] for c in self.columns]
        self.resize, self.side, self.cubic = card["resize"], card["side"], card["interpolation"] == "bicubic"
        self.mean, self.std = (np.array(card[key], dtype=np.float32)[:, None, None] for key in ("mean", "std"))
        self.max_pixels = max_pixels

    def inputs(self, table: Columns, first: int = 1) -> dict[str, np.ndarray]:
        """Pixels of the pictures, whose cells are the bytes of files.

        Shape:
            -> (n, 3, s, s) float32

        Raises:
            RowError: if one is broken, of an unknown format or too large.
        """
        faults: list[Fault] = []
        made = []
        for row, cell in enumerate(table[self.names[0]], first):
            try:
                made.append(self.pixels(cell))
            except ValueError as error:
                if len(faults) <= SHOWN:
                    faults.append({"row": row, "column": self.names[0], "message": str(error)})
        if faults:
            raise RowError(*faults)
        return {"x": np.stack(made) if made else np.zeros((0, 3, self.side, self.side), np.float32)}

    def pixels(self, content: bytes) -> np.ndarray:
        """One picture.

        Shape:
            -> (3, s, s) float32

        Raises:
            ValueError: if it cannot be read.
        """
        try:
            with open_encoded(io.BytesIO(content)) as opened:
                side = fine_side(opened.size, self.resize)
                draft(opened, side)
                refuse_bomb(opened.size, self.max_pixels)
                opened.load()
                whole = np.asarray(middle(upright(opened, side)), dtype=np.float32)
        except Exception as error:  # decoders raise many kinds on broken files
            why = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"a picture cannot be read: {why}") from error
        square = np.clip(self._square(whole.transpose(2, 0, 1)), 0, 255) / np.float32(255)
        result: np.ndarray = (square - self.mean) / self.std
        return result

    def read_files(self, paths: Iterable[str | Path]) -> Iterator[tuple[int, Columns]]:
        """Files of pictures, and all files in folders."""
        places = map(Path, paths)
        files = (f for p in places for f in (sorted(x for x in p.iterdir() if x.is_file()) if p.is_dir() else [p]))
        first = 1
        while part := list(islice(files, self.at_once)):
            yield first, {self.names[0]: [p.read_bytes() for p in part], "file": [str(p) for p in part]}
            first += len(part)

    def _square(self, whole: np.ndarray) -> np.ndarray:
        """The middle of a picture whose shorter side is made `resize` pixels long."""
        h, w = whole.shape[1:]
        high, wide = (max(self.side, self.resize * n // min(h, w)) for n in (h, w))
        top, left = (round((n - self.side) / 2) for n in (high, wide))
        down, across = _resizing(h, high, self.cubic), _resizing(w, wide, self.cubic)
        result: np.ndarray = down[top : top + self.side] @ whole @ across[left : left + self.side].T
        return result


def _resizing(n_in: int, n_out: int, cubic: bool) -> np.ndarray:
    """The matrix that resizes a row of pixels, in 32 bits like torch's `interpolate(..., antialias=True)`.

    Shape:
        -> (n_out, n_in) float32
    """
    half = np.float32(0.5)
    scale = np.float32(n_in) / np.float32(n_out)
    centre = scale * (np.arange(n_out, dtype=np.float32) + half)
    x = np.abs((np.arange(n_in, dtype=np.float32) - centre[:, None] + half) / max(scale, np.float32(1)))
    if cubic:
        near, far = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
        weights = np.where(x < 1, near, np.where(x < 2, far, 0))
    else:
        weights = np.maximum(1 - x, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
