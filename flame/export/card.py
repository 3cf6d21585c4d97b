"""Cards of exported models as JSON, which a reader without this library needs: what all say, and the table's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flame.columns import MISSING, categories_in, numbers_in
from flame.export.runner import FORMAT, VERSION, card_hash
from flame.export.table_reader import TableReader
from flame.table.preprocessing import CLIP, ColumnEncoding, TablePreprocessor

if TYPE_CHECKING:
    from flame.model import GeneratedModel

MADE_UP_ROWS = 512
"""Rows of a parity check when none are given."""


def story_of(model: GeneratedModel) -> dict[str, Any]:
    """What every card says, whatever its model reads."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": model.metadata.task,
        "arch": model.metadata.arch,
        "requirement": model.requirement,
        "target": model.target,
        "labels": list(model.labels),
        "output": "number" if model.is_regression else "probabilities",
    }


def signed_card(card: dict[str, Any]) -> dict[str, Any]:
    """With the hash by which a change is noticed."""
    return {**card, "sha256": card_hash(card)}


def card_of(model: GeneratedModel) -> dict[str, Any]:
    """All that turns cells of a table into the model's inputs and its outputs into an answer; no weights, no rows."""
    reading = {**model.preprocessor.to_json(), "clip": CLIP, "missing": list(MISSING)}
    return signed_card({**story_of(model), "modality": "table", **reading})


def made_up_rows(preprocessor: TablePreprocessor, n: int = MADE_UP_ROWS, *, seed: int = 0) -> pd.DataFrame:
    """Rows within what the preprocessing has seen, and a little beyond: missing cells, outliers, unseen categories."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({c.name: pd.Series(_made_up_cells(c, n, rng), dtype=object) for c in preprocessor.columns})


def _made_up_cells(column: ColumnEncoding, n: int, rng: np.random.Generator) -> list[Any]:
    if column.kind == "numeric":
        cells: list[Any] = (column.mean + column.std * rng.normal(0, 1.5, n)).tolist()
    else:
        choices = [*column.categories, "a value that was never seen"]
        cells = [choices[i] for i in rng.integers(0, len(choices), n)]
    return [None if blank else cell for blank, cell in zip(rng.random(n) < 0.05, cells, strict=True)]


def same_matrix(card: dict[str, Any], preprocessor: TablePreprocessor, frame: pd.DataFrame) -> bool:
    """Whether the reader that is shipped makes the same numbers of these rows as the library, bit for bit."""
    cells = {c["name"]: cells_of(frame[c["name"]], c["kind"]) for c in card["columns"]}
    return np.array_equal(TableReader(card).matrix(cells), preprocessor.transform(frame))


def cells_of(values: pd.Series, kind: str) -> list[Any]:
    """Cells as JSON or CSV could hold them; dates and durations become what the library makes of them."""
    cells = values.astype(object).where(values.notna(), None).tolist()
    if all(c is None or isinstance(c, str | bool | int | float) for c in cells):
        return cells
    if kind == "numeric":
        return [None if np.isnan(v) else v for v in numbers_in(values).tolist()]
    codes, texts = categories_in(values)
    return [None if code < 0 else texts[code] for code in codes]
