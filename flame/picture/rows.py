"""Pictures as a network reads them: opened when their turn comes, so that memory does not grow with their number.

Shape letters: n = pictures, s = side in pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flame.errors import DataError
from flame.inputs import Rows
from flame.picture.opening import fine_side, middle
from flame.picture.pictures import fault_of, open_picture, picture_size
from flame.picture.sources import Broken, short_name
from flame.progress import Progress
from targets.vision_weights import PictureScale

PART = 32
"""Pictures that run through the network together where no gradient is asked for."""
SEEN = 64
"""Largest side in pixels of the copies by which files are checked and compared."""


@dataclass(frozen=True)
class PictureRows:
    """Pictures that are decoded in parts."""

    cells: tuple[Any, ...]
    """As in a batch: paths, Pillow images or arrays."""
    scale: PictureScale

    def __len__(self) -> int:
        return len(self.cells)

    def parts(self) -> Iterator[slice]:
        """Runs of `PART` pictures."""
        progress = Progress(len(self.cells), "pictures are read")
        for start in range(0, len(self.cells), PART):
            part = slice(start, min(start + PART, len(self.cells)))
            yield part
            progress.add(part.stop - start)

    def take(self, rows: Rows) -> tuple[Tensor]:
        """Pixels of some of the pictures.

        Shape:
            -> (n, 3, s, s)

        Raises:
            DataError: names the picture that cannot be read.
        """
        places = range(len(self.cells))[rows] if isinstance(rows, slice) else rows.tolist()
        return (torch.stack([picture_tensor(self.cells[i], self.scale) for i in places]),)

    def choose(self, rows: Tensor) -> PictureRows:
        return PictureRows(tuple(self.cells[i] for i in rows.tolist()), self.scale)


def picture_tensor(cell: Any, scale: PictureScale) -> Tensor:
    """One picture, resized, cut out and standardised as its network wants it.

    Shape:
        -> (3, s, s)

    Raises:
        DataError: if it cannot be read; names it.
    """
    picture = open_picture(cell, side=fine_side(picture_size(cell), scale.resize))
    return scale(torch.from_numpy(np.array(middle(picture))).permute(2, 0, 1))


@dataclass(frozen=True)
class Checked:
    """What decoding every picture once has shown."""

    faults: dict[int, str]
    """By place: the names of those that cannot be read, and why."""
    same: list[list[int]]
    """Places of pictures that look the same, pixel by pixel when made small."""


def check_pictures(cells: Sequence[Any]) -> Checked:
    """Decode every picture, as small as its format allows; headers alone do not show what is cut short."""
    faults: dict[int, str] = {}
    seen: dict[bytes, list[int]] = {}
    progress = Progress(len(cells), "pictures are checked")
    for place, cell in enumerate(cells):
        if isinstance(cell, Broken):
            faults[place] = f"{cell.name} ({cell.why})"
        else:
            try:
                small = open_picture(cell, side=SEEN)
                key = hashlib.sha256(f"{picture_size(cell)}{small.size}".encode() + small.tobytes()).digest()
                seen.setdefault(key, []).append(place)
            except DataError as error:
                faults[place] = f"{short_name(cell)} ({fault_of(error)})"
        progress.add()
    return Checked(faults, [places for places in seen.values() if len(places) > 1])
