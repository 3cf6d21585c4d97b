"""What is exported of a model: a module from tensors to the answer, rows to compare it on, and its card.

One function a modality: text and picture models get theirs beside `table_form`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flame.data import read_rows
from flame.errors import DataError
from flame.export.card import card_of, made_up_rows, same_matrix
from flame.export.parity import ExportError
from flame.model import GeneratedModel
from flame.table.preprocessing import TablePreprocessor


@dataclass(frozen=True)
class Form:
    """A model as exporters see it. Every input and output has the rows along its first axis.

    Shape:
        inputs: (n, ...) each; expected (n, k)
    """

    module: nn.Module
    """In evaluation, on the CPU, in 32-bit numbers; its output is the answer: probabilities, or a number."""
    inputs: dict[str, Tensor]
    """The rows of the parity check, by the names that the export's inputs get."""
    expected: np.ndarray
    """What torch makes of them."""
    card: dict[str, Any]
    given: bool
    """Whether the rows are the user's."""
    reader_agrees: bool
    """Whether the shipped reader makes the same inputs of the rows."""

    @property
    def example(self) -> tuple[Tensor, ...]:
        """Two rows, to trace with: a single one would be taken for a constant."""
        return tuple(value[:1].expand(2, *value.shape[1:]).clone() for value in self.inputs.values())

    @property
    def classes(self) -> bool:
        """Whether the outputs are probabilities."""
        return bool(self.card["labels"])


class Answer(nn.Module):
    """The network, and probabilities where it tells classes apart.

    Shape:
        (n, m) -> (n, k)
    """

    def __init__(self, module: nn.Module, *, classes: bool) -> None:
        super().__init__()
        self.module = module
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.module(x)
        return outputs.softmax(-1) if self.classes else outputs


def form_of(model: GeneratedModel, rows: Any = None) -> Form:
    """The form of a model of any modality.

    Raises:
        ExportError: if there is none for it yet.
        DataError: if there are no rows, or a column is missing.
    """
    if isinstance(model.preprocessor, TablePreprocessor):
        return table_form(model, rows)
    raise ExportError(f"a table's model is expected, however: {model.metadata.arch!r}; others cannot be exported yet")


def table_form(model: GeneratedModel, rows: Any = None) -> Form:
    """The form of a table's model; see `form_of`."""
    preprocessor = model.preprocessor
    assert isinstance(preprocessor, TablePreprocessor)
    frame = made_up_rows(preprocessor) if rows is None else read_rows(rows)
    if len(frame) == 0:
        raise DataError("rows to compare the export with the model are expected, however: none; leave them out")
    x = torch.from_numpy(preprocessor.transform(frame))
    module = Answer(copy.deepcopy(model.module), classes=not model.is_regression).cpu().float().eval()
    card = card_of(model)
    with torch.inference_mode():
        expected = module(x).numpy()
    return Form(module, {"x": x}, expected, card, rows is not None, same_matrix(card, preprocessor, frame))
