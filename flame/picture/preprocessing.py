"""What a picture model reads of anything that holds pictures; resizing, cutting and scaling are part of the model."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from flame.data import LIKELY_TARGETS, read_data, read_picture_cells
from flame.errors import CheckpointError, DataError
from flame.inputs import Training
from flame.picture.pictures import holds_picture, is_picture_path
from flame.picture.rows import Checked, PictureRows, check_pictures
from flame.picture.sources import IMAGE, left_out, picture_frame
from targets.vision_weights import PictureScale

MOST_PIXELS = 4096
"""Side of the largest pictures that a saved model may ask for."""


@dataclass(frozen=True)
class PicturePreprocessor:
    """Pictures of any size and kind to the pixels that a network reads."""

    scale: PictureScale
    modality: ClassVar[str] = "image"
    # A hundredth of the classifiers' usual rate: every convolution is trained.
    training: ClassVar[Training] = Training(1e-4, 16, methods=("full", "head"), n_held_out=500)

    @property
    def names(self) -> tuple[str, ...]:
        """The one column of pictures."""
        return (IMAGE,)

    def read(self, data: Any) -> pd.DataFrame:
        """One picture, or those of anything `flame.read_data` accepts; each is decoded once, to see whether it can be.

        Broken files of a folder are left out with a warning. In every other form a row is expected for each picture.

        Raises:
            DataError: if there are none, or one of a list, an array or a column cannot be read; names them.
        """
        if isinstance(data, list) and not data:
            return picture_frame([])
        cells = read_picture_cells([data] if _is_one(data) else data)
        checked = check_pictures(cells)
        if checked.faults and not (isinstance(data, str | os.PathLike) and os.path.isdir(Path(data).expanduser())):
            named = ", ".join(list(checked.faults.values())[:3]) + (", ..." if len(checked.faults) > 3 else "")
            raise DataError(f"{len(checked.faults)} of {len(cells)} pictures cannot be read: {named}; leave them out")
        return picture_frame(_without_faults(cells, checked))

    def read_labelled(self, data: Any, *, target: str | None, known: str) -> tuple[pd.DataFrame, list[Any], str]:
        """Labelled pictures; those that cannot be read are left out with a warning.

        Raises:
            DataError: if the labels are missing, or no picture can be read.
        """
        likely = (known, *LIKELY_TARGETS)
        batch = read_data(data, target=target, labels_needed=True, modality="image", likely=likely)
        for note in batch.notes:
            if "cannot be read" in note:
                warnings.warn(note, stacklevel=2)
        cells = batch.features[IMAGE].tolist()
        assert batch.labels is not None
        assert batch.target is not None
        checked = check_pictures(cells)
        labels = [label for i, label in enumerate(batch.labels) if i not in checked.faults]
        return picture_frame(_without_faults(cells, checked)), labels, batch.target

    def encode(self, rows: pd.DataFrame) -> PictureRows:
        """Pictures that `read` or `read_labelled` gave, as the network reads them."""
        return PictureRows(tuple(rows[IMAGE]), self.scale)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self.scale)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PicturePreprocessor:
        """Read a JSON object back.

        Raises:
            CheckpointError: if it is not one of ours.
        """
        try:
            mean, std = (tuple(map(float, value[name])) for name in ("mean", "std"))
            scale = PictureScale(int(value["resize"]), int(value["side"]), mean, std, str(value["interpolation"]))
            sizes = 1 <= scale.side <= MOST_PIXELS and 1 <= scale.resize <= MOST_PIXELS
            if not sizes or len(mean) != 3 or len(std) != 3 or 0 in std or not np.isfinite([*mean, *std]).all():
                raise ValueError(f"{scale}")
            if scale.interpolation not in ("bilinear", "bicubic"):
                raise ValueError(f"interpolation {scale.interpolation!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the stored preprocessing is not readable: {error}") from error
        return cls(scale)


def _is_one(data: Any) -> bool:
    """Whether a single picture came, and not a list of them."""
    if isinstance(data, str | os.PathLike):
        return is_picture_path(data) and not os.path.isdir(data)
    if isinstance(data, np.ndarray):
        return data.dtype == np.uint8 and (data.ndim == 2 or (data.ndim == 3 and data.shape[2] in (1, 3, 4)))
    return holds_picture(data)


def _without_faults(cells: list[Any], checked: Checked) -> list[Any]:
    for note in left_out(checked.faults, len(cells)):
        warnings.warn(note, stacklevel=3)
    return [cell for i, cell in enumerate(cells) if i not in checked.faults]
