"""What is exported of a model: a module from tensors to the answer, rows to compare it on, and its card.

One function a modality makes it: `table_form`, `text_form` and `picture_form`, each in a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flame.export.parity import ExportError
from flame.export.rows import Columns, Reader
from flame.model import GeneratedModel

Batch = dict[str, Tensor]
"""Inputs by name, rows along the first axis of each."""


@dataclass(frozen=True)
class Form:
    """A model as exporters see it. Every input and output has the rows along its first axis.

    Shape:
        batches: (n, ...) each; expected (all n, k)
    """

    module: nn.Module
    """In evaluation, on the CPU, in 32-bit numbers; its output is the answer: probabilities, or a number."""
    batches: tuple[Batch, ...]
    """The rows of the parity check, as the shipped reader makes them of cells; the first is traced."""
    expected: np.ndarray
    """What the model makes of the same rows."""
    card: dict[str, Any]
    rows: str
    """Whose the rows are: `given`, `made up`, or both."""
    reader_agrees: bool
    """Whether the shipped reader makes the same inputs of the rows as the model does."""
    axes: Mapping[int, tuple[str, int | None]] = field(default_factory=lambda: {0: ("n", None)})
    """Axes of the inputs that differ from batch to batch: name, and the largest size where there is one."""
    calibrated: bool = False
    """Whether 8-bit numbers need the ranges that activations have on the rows: else inputs are scaled as they come."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Formats by name that cannot hold the model, and why."""

    @property
    def example(self) -> tuple[Tensor, ...]:
        """Two rows, to trace with: a single one would be taken for a constant."""
        return tuple(value[:1].expand(2, *value.shape[1:]).clone() for value in self.batches[0].values())

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs, in the module's order."""
        return tuple(self.batches[0])

    @property
    def classes(self) -> bool:
        """Whether the outputs are probabilities."""
        return bool(self.card["labels"])


class Answer(nn.Module):
    """The network, and probabilities where it tells classes apart.

    Shape:
        inputs (n, ...) -> (n, k)
    """

    def __init__(self, module: nn.Module, *, classes: bool) -> None:
        super().__init__()
        self.module = module
        self.classes = classes

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs = self.module(*inputs)
        return outputs.softmax(-1) if self.classes else outputs


FORMS = {
    "table": "flame.export.table_form",
    "text": "flame.export.text_form",
    "image": "flame.export.picture_form",
}
"""By modality, the module whose `form` makes it; imported when it is needed."""


def form_of(model: GeneratedModel, rows: Any = None) -> Form:
    """The form of a model of any modality.

    Raises:
        ExportError: if the model is none of this library's.
        DataError: if there are no rows, or a column is missing.
    """
    modality = getattr(model.preprocessor, "modality", None)
    if modality not in FORMS:
        raise ExportError(f"a model of {', '.join(FORMS)} is expected, however: {type(model.preprocessor).__name__}")
    make: Callable[..., Form] = import_module(FORMS[modality]).form
    return make(model, rows)


def ready(module: nn.Module, *, classes: bool) -> Answer:
    """A module that may be exported: on the CPU, in 32-bit numbers, in evaluation."""
    return Answer(module, classes=classes).cpu().float().eval()


def expected_of(model: GeneratedModel, rows: Any) -> np.ndarray:
    """What the model itself says of rows.

    Shape:
        -> (n, k)
    """
    return model.predict(rows)[:, None] if model.is_regression else model.predict_proba(rows)


def read_batches(reader: Reader, cells: Columns) -> tuple[Batch, ...]:
    """Cells as the shipped reader makes inputs of them, in its own portions."""
    n = len(cells[reader.names[0]])
    parts = [
        reader.inputs({name: cells[name][start : start + reader.at_once] for name in reader.names})
        for start in range(0, n, reader.at_once)
    ]
    return tuple({name: torch.from_numpy(value) for name, value in part.items()} for part in parts)


def spread(n: int, most: int) -> list[int]:
    """At most so many of n places, evenly spread."""
    return np.linspace(0, n - 1, min(n, most)).astype(int).tolist()
