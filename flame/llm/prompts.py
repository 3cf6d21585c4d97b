"""What a language model gets to see of a task: facts, a profile of the inputs, a few rows, small pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pandas as pd

from flame.data import DataBatch, plain
from flame.picture.pictures import from_pillow, open_picture
from requirements_prompts import TaskFacts
from requirements_prompts.sentences import TYPE_WORDS

MAX_COLUMNS, MAX_NAME, MAX_CELL, MAX_DESCRIPTION = 40, 60, 400, 4000
MAX_PICTURES, PICTURE_SIDE = 8, 256


def shown_facts(facts: TaskFacts) -> dict[str, Any]:
    """The facts as the prompt names them; null is what the model has to find out."""
    return {
        "task_type": TYPE_WORDS[facts.task_type],
        "n_classes": facts.n_classes,
        "n_features": facts.n_features,
        "scale": facts.scale,
    }


def profile(facts: TaskFacts, batch: DataBatch | None) -> dict[str, Any]:
    """Names, kinds and counts; not a single cell and no label."""
    if batch is None:
        known: dict[str, Any] = {"columns": [{"name": _cut(name, MAX_NAME)} for name in facts.columns[:MAX_COLUMNS]]}
        n_columns = len(facts.columns)
    else:
        known = {
            "modality": batch.modality,
            "rows": len(batch),
            "columns": [
                {"name": _cut(c.name, MAX_NAME), "kind": c.kind, "missing": c.n_missing, "distinct": c.n_unique}
                for c in batch.columns[:MAX_COLUMNS]
            ],
        }
        n_columns = len(batch.columns)
    if n_columns > MAX_COLUMNS:
        known["further_columns"] = n_columns - MAX_COLUMNS
    target = batch.target if batch is not None else facts.target
    return known | ({"column_to_predict": _cut(target, MAX_NAME)} if target else {})


def sample(batch: DataBatch | None, n: int) -> list[dict[str, Any]]:
    """A few rows, of as many labels as possible; long texts are cut, pictures are numbered."""
    if batch is None:
        return []
    pictured = batch.modality == "image"
    rows = []
    for number, place in enumerate(_places(batch, min(n, MAX_PICTURES) if pictured else n), start=1):
        cells = {} if pictured else {_cut(c.name, MAX_NAME): c.name for c in batch.columns[:MAX_COLUMNS]}
        shown = {name: _cell(batch.features[column].iloc[place]) for name, column in cells.items()}
        row: dict[str, Any] = {"input": f"picture {number}" if pictured else shown}
        if batch.labels is not None:
            row["label"] = _cell(batch.labels.iloc[place])
        rows.append(row)
    return rows


def pictures(batch: DataBatch | None, n: int) -> list[str]:
    """The pictures of the same rows as data URLs: small JPEGs, written anew so that no metadata travels along.

    Cells may be Pillow images, arrays of bytes (height, width, channels) or paths.

    Raises:
        DataError: if a picture cannot be read.
        MissingExtraError: if Pillow is not installed.
    """
    if batch is None or batch.modality != "image" or not batch.columns:
        return []
    column = batch.features[batch.columns[0].name]
    return [_data_url(column.iloc[place]) for place in _places(batch, min(n, MAX_PICTURES))]


def _places(batch: DataBatch, n: int) -> list[int]:
    """Row numbers: one of each label in turn, where the labels are few; else the first rows."""
    n = max(n, 0)
    if batch.labels is None or not 0 < len(batch.label_values) <= n:
        return list(range(min(n, len(batch))))
    by_label = [np.flatnonzero((batch.labels == value).to_numpy()) for value in batch.label_values]
    turns = [int(places[turn]) for turn in range(n) for places in by_label if turn < len(places)]
    return turns[:n]


def _cell(value: Any) -> Any:
    value = None if pd.api.types.is_scalar(value) and pd.isna(value) else plain(value)
    return _cut(value, MAX_CELL) if isinstance(value, str) else value


def _cut(text: str, n: int) -> str:
    return text if len(text) <= n else text[:n] + " ..."


def _data_url(cell: Any) -> str:
    image = open_picture(cell, side=PICTURE_SIDE)
    bare = from_pillow().new("RGB", image.size)
    bare.paste(image)
    buffer = io.BytesIO()
    bare.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
