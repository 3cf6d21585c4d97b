"""Rows to numbers: fitted on training or support rows only, kept as JSON, never pickled.

Shape letters: n = rows, d_input = columns after encoding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import numpy as np
import pandas as pd
import torch

from flame.columns import Kind, categories_in, numbers_in, unnamed
from flame.data import DataBatch, read_labelled, read_rows
from flame.errors import CheckpointError, DataError, did_you_mean
from flame.inputs import TensorRows, Training

MAX_CATEGORIES = 64
"""Most levels of a categorical column that get an input of their own; rarer ones count as unseen."""
CLIP = 5.0
"""Standardised values are cut here, so that one outlier cannot rule a prediction."""


@dataclass(frozen=True)
class ColumnEncoding:
    """How one column becomes inputs: standardised number (+ missing flag), or one input per category."""

    name: str
    kind: Kind
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] = ()
    has_missing: bool = False
    """Values were missing in the fitted rows, so an input says 'missing'."""

    @property
    def width(self) -> int:
        """Inputs this column takes."""
        return (1 if self.kind == "numeric" else len(self.categories)) + self.has_missing

    def encode(self, values: pd.Series) -> np.ndarray:
        """Inputs of the column's cells.

        Shape:
            -> (n, width) float32

        Raises:
            DataError: if a cell of a numeric column is no number.
        """
        block = np.zeros((len(values), self.width), dtype=np.float32)
        if self.kind == "numeric":
            numbers = numbers_in(values)
            missing = np.isnan(numbers)
            with np.errstate(over="ignore"):  # what overflows is clipped
                scaled = np.clip((numbers - self.mean) / self.std, -CLIP, CLIP)
            block[:, 0] = np.where(missing, 0.0, scaled)
        else:
            codes, texts = categories_in(values)
            missing = codes < 0
            places = {c: i for i, c in enumerate(self.categories)}
            inputs = np.array([*(places.get(t, -1) for t in texts), -1])[codes]
            seen = np.flatnonzero(inputs >= 0)
            block[seen, inputs[seen]] = 1.0
        if self.has_missing:
            block[:, -1] = missing
        return block


@dataclass(frozen=True)
class TablePreprocessor:
    """Turns a frame into the float matrix a model reads.

    Unseen categories and values that are missing only at prediction time are handled, not refused: the first read as
    zeros, the second as the mean (numbers) or zeros (categories).
    """

    columns: tuple[ColumnEncoding, ...]
    modality: ClassVar[str] = "table"
    training: ClassVar[Training] = Training(learning_rate=2e-3, batch_size=64)

    @classmethod
    def fit(cls, batch: DataBatch) -> TablePreprocessor:
        """Learn scales and categories from the rows of a batch."""
        return cls(tuple(_fit_column(c.name, c.kind, batch.features[c.name]) for c in batch.columns))

    @property
    def names(self) -> tuple[str, ...]:
        """Input columns, in order."""
        return tuple(c.name for c in self.columns)

    @property
    def width(self) -> int:
        """Inputs of the model: d_input."""
        return sum(c.width for c in self.columns)

    def read(self, data: Any) -> pd.DataFrame:
        """Rows of anything `flame.read_data` accepts."""
        return read_rows(data)

    def read_labelled(self, data: Any, *, target: str | None, known: str) -> tuple[pd.DataFrame, list[Any], str]:
        """Rows, their labels and the target's name."""
        return read_labelled(data, target=target, known=known)

    def encode(self, rows: pd.DataFrame) -> TensorRows:
        """Encoded rows as a module reads them; see `transform`."""
        return TensorRows(torch.from_numpy(self.transform(rows)))

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode rows; extra columns are ignored.

        Shape:
            -> (n, d_input) float32

        Raises:
            DataError: names the columns that are missing from `frame`, with the nearest match.
        """
        names = [str(c) for c in frame.columns]
        positions = {n: i for i, n in enumerate(names)}
        lacking = [n for n in self.names if n not in positions]
        if lacking:
            raise DataError(self._lacking(lacking, names))
        blocks, faults = [], []
        for column in self.columns:
            try:
                blocks.append(column.encode(frame.iloc[:, positions[column.name]]))
            except DataError as error:
                faults.append(str(error))
        if faults:
            raise DataError("; ".join(faults))
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(frame), 0), np.float32)

    def _lacking(self, lacking: list[str], names: list[str]) -> str:
        if names and unnamed(names):
            return (
                f"the model reads the columns {list(self.names)!r}, however: the rows' columns have no names; give "
                "them, as in pandas.DataFrame(X, columns=[...])"
            )
        return (
            f"the model reads the columns {list(self.names)!r}, however: {', '.join(map(repr, lacking))} missing from "
            f"{did_you_mean(lacking[0], names)}"
        )

    def renamed(self, mapping: dict[str, str]) -> TablePreprocessor:
        """The same encoding under the user's column names."""
        columns = [ColumnEncoding(**{**c.__dict__, "name": mapping.get(c.name, c.name)}) for c in self.columns]
        return TablePreprocessor(tuple(columns))

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"columns": [c.__dict__ for c in self.columns]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TablePreprocessor:
        """Read a JSON object back.

        Raises:
            CheckpointError: if it is not one of ours.
        """
        try:
            columns = [ColumnEncoding(**{**c, "categories": tuple(c["categories"])}) for c in value["columns"]]
            for c in columns:
                known = c.kind in get_args(Kind)
                if not known or not 0 < c.std < np.inf or not np.isfinite(c.mean):
                    raise ValueError(f"column {c.name!r} has kind {c.kind!r}, mean {c.mean!r}, std {c.std!r}")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the stored preprocessing is not readable: {error}") from error
        return cls(tuple(columns))


def _fit_column(name: str, kind: Kind, values: pd.Series) -> ColumnEncoding:
    has_missing = bool(values.isna().any())
    if kind == "numeric":
        mean, std = _moments(values.to_numpy(dtype="float64"))
        return ColumnEncoding(name, kind, mean, std, (), has_missing)
    codes, texts = categories_in(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    # The commonest are kept; which of equally common ones does not depend on the order of the rows.
    ranked = sorted(range(len(texts)), key=lambda i: (-counts[i], texts[i]))
    kept = sorted({texts[i] for i in ranked[:MAX_CATEGORIES]})
    return ColumnEncoding(name, kind, categories=tuple(kept), has_missing=has_missing)


def _moments(numbers: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the numbers that are there; 0 and 1 where they would be of no use."""
    present = numbers[~np.isnan(numbers)]
    if len(present) == 0:
        return 0.0, 1.0
    if present.min() == present.max():  # its inputs are zero, and not rounding errors divided by rounding errors
        return float(present[0]), 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(present.mean()), float(present.std())
    return mean if np.isfinite(mean) else 0.0, std if np.isfinite(std) and std > 0 else 1.0
