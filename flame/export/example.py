"""Rows to show how a model is asked; made of its card, so no row of the user's is shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any


def example_csv(card: Mapping[str, Any]) -> str:
    """A header and a row that the model can read."""
    row = typical_row(card)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([row, row.values()])
    return out.getvalue()


def typical_row(card: Mapping[str, Any]) -> dict[str, Any]:
    """A row for documentation: means of numbers, the first of the categories."""
    return {c["name"]: _typical(c) for c in card["columns"]}


def _typical(column: Mapping[str, Any]) -> Any:
    if column["kind"] == "numeric":
        return float(f"{column['mean']:.4g}")
    if column["kind"] == "boolean":
        return (column["categories"] or ["True"])[0] == "True"
    return next(iter(column["categories"]), None)
