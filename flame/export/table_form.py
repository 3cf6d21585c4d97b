"""A table's model as exporters see it."""

from __future__ import annotations

import copy
from typing import Any

import torch

from flame.data import read_rows
from flame.errors import DataError
from flame.export.card import card_of, made_up_rows, same_matrix
from flame.export.forms import Form, ready
from flame.model import GeneratedModel
from flame.table.preprocessing import TablePreprocessor


def form(model: GeneratedModel, rows: Any = None) -> Form:
    """See `flame.export.forms.form_of`; all rows are one batch."""
    preprocessor = model.preprocessor
    assert isinstance(preprocessor, TablePreprocessor)
    frame = made_up_rows(preprocessor) if rows is None else read_rows(rows)
    if len(frame) == 0:
        raise DataError("rows to compare the export with the model are expected, however: none; leave them out")
    x = torch.from_numpy(preprocessor.transform(frame))
    module = ready(copy.deepcopy(model.module), classes=not model.is_regression)
    card = card_of(model)
    with torch.inference_mode():
        expected = module(x).numpy()
    told = "made up" if rows is None else "given"
    return Form(module, ({"x": x},), expected, card, told, same_matrix(card, preprocessor, frame))
