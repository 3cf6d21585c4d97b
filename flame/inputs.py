"""What a generated model reads, whatever it is made of: rows are encoded once and handed to the module in parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
from torch import Tensor

CHUNK = 65_536
"""Rows of a table that are predicted at once."""

Rows = Tensor | slice
"""Row numbers, (n,) long, or a run of rows."""


@dataclass(frozen=True)
class Training:
    """Defaults of fine-tuning."""

    learning_rate: float
    """Adam's step size."""
    batch_size: int
    """Rows of a step."""
    methods: tuple[str, ...] = ("full", "lora", "head")
    """What can be trained, the usual first: all weights, low-rank adapters, or the last layer."""
    n_held_out: int = 10_000
    """Rows that are held out at most; running the network on them is part of every epoch."""


class Encoded(Protocol):
    """Rows as numbers."""

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def parts(self) -> Iterator[Rows]:
        """Groups of rows that fit the memory, together every row once."""
        ...

    def take(self, rows: Rows) -> tuple[Tensor | None, ...]:
        """What the module is called with for some of the rows, which stand along the first axis."""
        ...

    def choose(self, rows: Tensor) -> Encoded:
        """Some of the rows, in this order."""
        ...


class Preprocessor(Protocol):
    """From a user's rows to what a module reads. One class a modality; the model asks no further."""

    @property
    def modality(self) -> str:
        """`table`, `text` or `image`; the form in which a model is saved."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """Input columns, in order."""
        ...

    @property
    def training(self) -> Training:
        """How modules of this input are fine-tuned where nothing else is asked for."""
        ...

    def read(self, data: Any) -> pd.DataFrame:
        """Unlabelled rows of anything a user may hand over, for prediction."""
        ...

    def read_labelled(self, data: Any, *, target: str | None, known: str) -> tuple[pd.DataFrame, list[Any], str]:
        """Rows, their labels and the target's name; see `flame.data.read_labelled`."""
        ...

    def encode(self, rows: pd.DataFrame) -> Encoded:
        """Rows as numbers; columns are found by name."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object that the same preprocessing can be made from."""
        ...


@dataclass(frozen=True)
class TensorRows:
    """Rows that are one tensor already.

    Shape:
        x (n, ...)
    """

    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def parts(self) -> Iterator[slice]:
        yield from (slice(start, start + CHUNK) for start in range(0, len(self.x), CHUNK))

    def take(self, rows: Rows) -> tuple[Tensor]:
        return (self.x[rows],)

    def choose(self, rows: Tensor) -> TensorRows:
        return TensorRows(self.x[rows])
