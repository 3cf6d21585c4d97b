"""Does a task head fit the user's rows? Units, kinds and labels are checked on the rows that were handed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flame.columns import categories_in, shorten
from flame.data import DataBatch
from flame.errors import RouteError
from flame.table.preprocessing import ColumnEncoding, TablePreprocessor
from hypernet.tasks import TaskRecord

FAR = 8.0
"""Standard deviations between a column's median and the trained mean beyond which units are doubted."""
FEW_ROWS = 5
"""With fewer rows a single strange column can be a strange row; half of the columns must be strange."""
MAX_CHECKED_ROWS = 2000
"""About how many labelled rows are compared with the generated model."""
CLEAR_MARGIN = 1.4
"""How many standard deviations a label's best partner must be ahead; two rows, both right, are just enough."""
UNLIKELY = 0.01
"""Chance below which so few right labels cannot be bad luck."""


def doubts(preprocessor: TablePreprocessor, batch: DataBatch) -> list[str]:
    """Columns that hold something else than in training, or are so far away that they must be in another unit."""
    wrong_kind, strange, n_present = [], [], 0
    for encoding, column in zip(preprocessor.columns, batch.columns, strict=True):
        if column.n_unique == 0:
            continue
        n_present += 1
        if encoding.kind == "numeric" and column.kind == "categorical":
            wrong_kind.append(f"column {column.name!r} holds text, the trained one holds numbers")
        elif encoding.kind == "numeric":
            strange += _far(encoding, batch, column.name)
        else:
            strange += _unknown(encoding, batch, column.name)
    if len(batch) < FEW_ROWS and 2 * len(strange) < n_present:
        strange = []
    return wrong_kind + strange


def _far(encoding: ColumnEncoding, batch: DataBatch, name: str) -> list[str]:
    median = float(np.nanmedian(batch.features[name].to_numpy(dtype="float64")))
    if abs(median - encoding.mean) <= FAR * encoding.std:
        return []
    trained = f"{encoding.mean:.4g} ± {encoding.std:.2g}"
    return [f"column {name!r} has median {median:.4g}, far from the trained {trained}: is it in another unit?"]


def _unknown(encoding: ColumnEncoding, batch: DataBatch, name: str) -> list[str]:
    texts = categories_in(batch.features[name])[1]
    if not encoding.categories or set(texts) & set(encoding.categories):
        return []
    known = ", ".join(map(repr, encoding.categories[:4])) + (", ..." if len(encoding.categories) > 4 else "")
    return [f"column {name!r} holds {shorten(texts[0])} and none of the trained values {known}"]


def rows_to_check(labels: np.ndarray) -> np.ndarray:
    """Positions of about `MAX_CHECKED_ROWS` rows, the classes in their shares and none without a few rows.

    A table that is sorted by its label would show one class only in its first rows.
    """
    if len(labels) <= MAX_CHECKED_ROWS:
        return np.arange(len(labels))
    _, codes = np.unique(labels.astype(str), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    even = order[np.linspace(0, len(order) - 1, MAX_CHECKED_ROWS).astype(int)]
    few = np.concatenate([np.flatnonzero(codes == c)[:10] for c in range(codes.max() + 1)])
    return np.union1d(even, few)


def labels_by_agreement(
    predicted: np.ndarray, given: np.ndarray, record: TaskRecord, values: Sequence[Any]
) -> dict[str, Any]:
    """The one-to-one mapping of labels on which model and labelled rows agree most (support rows only).

    Args:
        predicted: class numbers that the generated model gives.
        given: the user's labels of the same rows.

    Raises:
        RouteError: if the rows are too few, or show no partner for a label.
    """
    from scipy.optimize import linear_sum_assignment

    unlike = f"the labels {shorten(list(values))} are not those of the task {record.name!r} ({list(record.labels)!r})"
    if min(int(np.sum(given == v)) for v in values) < 2:
        raise RouteError(
            f"{unlike}, and with fewer than 2 labelled rows per class they cannot be matched by agreement; rename them "
            "or give more rows"
        )
    table = np.array([[np.sum((predicted == i) & (given == v)) for v in values] for i in range(len(record.labels))])
    rows, columns = linear_sum_assignment(-table)
    unclear = sorted({j for j in columns if not _clear(table, dict(zip(columns, rows, strict=True)), j)})
    if unclear:
        lost = ", ".join(shorten(values[j]) for j in unclear)
        raise RouteError(
            f"{unlike}, and on the labelled rows the model shows no clear partner for {lost}; rename the labels to "
            "those of the task, or give more rows"
        )
    return {record.labels[i]: values[j] for i, j in zip(rows, columns, strict=True)}


def _clear(table: np.ndarray, partner: dict[int, int], label: int) -> bool:
    """Whether every other partner for a label explains clearly fewer of the rows.

    Shape:
        table (known labels, given labels): rows for which the model gives one and the user the other
    """
    own, owner = partner[label], {i: j for j, i in partner.items()}
    if table[own, label] == 0:
        return False
    for other in range(len(table)):
        if other == own:
            continue
        # The other partner is taken from the label that has it, which gets this one's.
        before, after = table[own, label], table[other, label]
        if other in owner:
            before, after = before + table[other, owner[other]], after + table[own, owner[other]]
        if before - after < CLEAR_MARGIN * np.sqrt(before + after):
            return False
    return True


def check_agreement(predicted: np.ndarray, given: np.ndarray, labels: dict[str, Any], record: TaskRecord) -> float:
    """The share of right labels; a model closer to guessing than to the head's own score is refused.

    Raises:
        RouteError: if the share is too low to be bad luck.
    """
    from scipy.special import bdtr

    names = np.array([labels.get(k, k) for k in record.labels], dtype=object)
    right = int(np.sum(names[predicted] == given))
    share = right / len(given)
    majority = max(float(np.mean(given == v)) for v in set(given))
    own = record.scores.get("validation_accuracy", majority)
    # A few wrong labels among few rows happen to a good model too; 0.97, because no model is without error.
    unlikely = bdtr(right, len(given), min(own, 0.97)) < UNLIKELY
    if unlikely and share < (majority + max(own, majority)) / 2:
        beside = f"its own validation rows: {own:.0%}, always the commonest label: {majority:.0%}"
        raise RouteError(
            f"the head {record.name!r} fits by its columns, but gives the right label on only {share:.0%} of the "
            f"{len(given)} labelled rows ({beside}); are the columns in other units, the labels mixed up, or is it "
            "another task?"
        )
    return share
