"""Cells of a table to the matrix that its model reads. Needs numpy alone.

Shape letters: n = rows, d_input = columns after encoding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flame.export.rows import SHOWN, Columns, Fault, RowError, plain_cell, read_csv_files, shown


class TableReader:
    """From cells to the matrix that the model reads, as the card says."""

    at_once = 65_536
    told: tuple[str, ...] = ()

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.columns, self.clip, self.missing = card["columns"], card["clip"], frozenset(card["missing"])
        self.names = [c["name"] for c in self.columns]
        self.numbers: dict[str, int] = {}
        self.categories: dict[str, dict[str, int]] = {}
        self.flags: dict[str, int] = {}
        self.width = 0
        for c in self.columns:  # where its inputs stand: the number or the categories, then the flag 'missing'
            if c["kind"] == "numeric":
                self.numbers[c["name"]] = self.width
            else:
                self.categories[c["name"]] = {text: i for i, text in enumerate(c["categories"], self.width)}
            self.width += 1 if c["kind"] == "numeric" else len(c["categories"])
            self.flags |= {c["name"]: self.width} if c["has_missing"] else {}
            self.width += bool(c["has_missing"])
        scales = [(c["mean"], c["std"]) for c in self.columns if c["kind"] == "numeric"]
        self.mean, self.std = np.array(scales, dtype="float64").reshape(-1, 2).T[:, :, None]

    def inputs(self, table: Columns, first: int = 1) -> dict[str, np.ndarray]:
        """The matrix as the model's only input."""
        return {"x": self.matrix(table, first)}

    def read_files(self, paths: Iterable[str | Path]) -> Iterator[tuple[int, Columns]]:
        """The rows of CSV files."""
        return read_csv_files(paths, self)

    def matrix(self, table: Columns, first: int = 1) -> np.ndarray:
        """Standardised numbers, one input per category, flags of missing cells; `first`: number of the first row.

        Shape:
            -> (n, d_input) float32

        Raises:
            RowError: if a cell is neither number nor text, or no number in a column of numbers.
        """
        faults: list[Fault] = []
        values = {name: self._values(name, table[name], first, faults) for name in self.names}
        if faults:
            raise RowError(*faults)
        block = np.zeros((len(values[self.names[0]]), self.width), dtype=np.float32)
        if self.numbers:
            numbers = np.array([values[name] for name in self.numbers], dtype="float64")  # None becomes NaN
            with np.errstate(over="ignore"):  # what overflows is clipped
                scaled = np.clip((numbers - self.mean) / self.std, -self.clip, self.clip)
            block[:, list(self.numbers.values())] = np.where(np.isnan(numbers), 0.0, scaled).T
        for name, places in self.categories.items():
            for i, text in enumerate(values[name]):
                if text in places:  # unseen ones stay zeros
                    block[i, places[text]] = 1.0
        for name, at in self.flags.items():
            block[:, at] = [v is None or v != v for v in values[name]]
        return block

    def _values(self, name: str, cells: Sequence[Any], first: int, faults: list[Fault]) -> list[Any]:
        """Cells as numbers or texts, None where missing or at fault."""
        convert, values = _number if name in self.numbers else _text, []
        for row, cell in enumerate(cells, first):
            try:
                value = plain_cell(cell, self.missing)
                values.append(None if value is None else convert(value))
            except ValueError as error:
                values.append(None)
                if len(faults) <= SHOWN:
                    faults.append({"row": row, "column": name, "message": f"{error}, however: {shown(cell)}"})
        return values


def _number(value: Any) -> float:
    try:
        number = float("no" if isinstance(value, str) and "_" in value else value)  # '1_000' is no number in a table
    except ValueError:
        raise ValueError("a number is expected") from None
    return number if math.isfinite(number) else math.nan


def _text(value: Any) -> str:
    """A category: 3, 3.0, '3' and '3.0' are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value))
