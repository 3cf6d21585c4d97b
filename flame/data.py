"""The data batch: whatever the user hands over, read once into one checked type.

Nothing else of the library looks at raw user data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from flame.columns import Column, distinct_cells, plain, shorten, take, type_column
from flame.errors import DataError, did_you_mean
from flame.reading import to_frame

__all__ = ["Column", "DataBatch", "plain", "read_data", "read_labelled", "read_rows"]

Modality = Literal["table", "text", "text_pair", "image"]

LIKELY_TARGETS = ("target", "label", "class", "y", "outcome")
"""Columns taken as the target when none is named (exact names, case ignored)."""


@dataclass(frozen=True)
class DataBatch:
    """Rows, labels and what is known of them.

    `features` holds the input columns, `labels` the target of the same rows (None: not labelled).
    """

    modality: Modality
    features: pd.DataFrame
    columns: tuple[Column, ...]
    labels: pd.Series | None = None
    """Plain Python values."""
    target: str | None = None
    label_values: tuple[Any, ...] = ()
    """Distinct labels in sorted order, as plain Python values."""
    notes: tuple[str, ...] = ()
    """What was left out or assumed while reading."""

    def __len__(self) -> int:
        return len(self.features)

    @property
    def n_missing(self) -> int:
        """Missing cells in the input columns."""
        return sum(c.n_missing for c in self.columns)

    def select(self, names: Sequence[str]) -> DataBatch:
        """The same rows with these columns only, in this order."""
        by_name = {c.name: c for c in self.columns}
        return replace(self, features=self.features[list(names)], columns=tuple(by_name[n] for n in names))

    def label_by(self, name: str) -> DataBatch:
        """The same table with one of its columns as the labels; rows without a label are left out.

        Raises:
            DataError: if the column holds no value.
        """
        notes = [*self.notes, f"column {name!r} is taken as the target"]
        # As objects, because integers have become floats while reading; labels are rather integers.
        features, labels = _split_labels(self.features.astype({name: "object"}), name, notes)
        return _profile(features, labels, name, notes)


def read_data(data: Any, *, target: str | None = None, labels_needed: bool = False) -> DataBatch:
    """Read a frame, array, list, mapping, `datasets.Dataset` or file into a checked batch.

    Args:
        data: a pandas DataFrame; a 2-d numpy array; a pair (X, y); a list of dicts; a dict of columns; anything with
            `to_pandas()`; or a path to CSV, TSV, Parquet, JSON or JSONL.
        target: name of the column to predict. Left out, a column named like `target`, `label`, `class` or `y` is
            taken and noted.
        labels_needed: refuse data without labels.

    Raises:
        DataError: with every fault of the input, and what to do about it.
    """
    frame, own = to_frame(data, target=target)
    notes: list[str] = []
    name = own or _find_target(frame, target, notes)
    if labels_needed and name is None:
        raise _unlabelled(frame)
    _refuse_empty(frame, name)
    if name is None:
        return _profile(frame, None, None, notes)
    features, labels = _split_labels(frame, name, notes)
    return _profile(features, labels, name, notes)


def read_labelled(data: Any, *, target: str | None, known: str) -> tuple[pd.DataFrame, list[Any], str]:
    """The unchecked input columns, the labels and the target's name of anything `read_data` accepts.

    Args:
        target: name of the column with the labels, if the user gave it.
        known: name under which a model knows its target; tried next.

    Raises:
        DataError: if it is no table or the labels are missing.
    """
    frame, own = to_frame(data, target=target)
    name = own or _find_target(frame, target, [], likely=(known, *LIKELY_TARGETS))
    if name is None:
        raise _unlabelled(frame)
    _refuse_empty(frame, name)
    features, labels = _split_labels(frame, name, [])
    return features, labels.tolist(), name


def read_rows(data: Any) -> pd.DataFrame:
    """The rows of anything `read_data` accepts, unchecked but for shape and names; for prediction.

    Raises:
        DataError: if it is no table, has no columns, or names columns twice.
    """
    frame, _ = to_frame(data)
    if frame.shape[1] == 0:
        raise DataError("the data has no columns")
    return frame


def _find_target(
    frame: pd.DataFrame, target: str | None, notes: list[str], likely: Sequence[str] = LIKELY_TARGETS
) -> str | None:
    if target is not None:
        if str(target) in frame.columns:
            return str(target)
        near = did_you_mean(str(target), frame.columns)
        raise DataError(f"the target column {str(target)!r} is not in the data; columns are {near}")
    folded = {c.casefold(): c for c in frame.columns}
    found = next((folded[t.casefold()] for t in likely if t.casefold() in folded), None)
    if found is not None:
        notes.append(f"column {found!r} is taken as the target, because of its name")
    return found


def _unlabelled(frame: pd.DataFrame) -> DataError:
    return DataError(f"labels are needed; name the target column: target=... (one of {list(frame.columns)!r})")


def _refuse_empty(frame: pd.DataFrame, target: str | None) -> None:
    if frame.shape[1] == 0:
        raise DataError("the data has no columns")
    if len(frame) == 0:
        raise DataError(f"the data has no rows (columns: {list(frame.columns)!r})")
    if list(frame.columns) == [target]:
        raise DataError(f"the data has no column besides the target {target!r}; at least one input column is needed")


def _split_labels(frame: pd.DataFrame, target: str, notes: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    labels = _clean_labels(frame[target], target, notes)
    features = frame.drop(columns=[target]).loc[labels.index]
    return features.reset_index(drop=True), labels.reset_index(drop=True)


def _clean_labels(values: pd.Series, target: str, notes: list[str]) -> pd.Series:
    """Labels as plain Python values; rows without one are left out."""
    codes, cells = distinct_cells(values)
    kept = codes >= 0
    if not kept.any():
        raise DataError(f"the target column {target!r} holds no value in any of its {len(values)} rows")
    plain_cells = [plain(c) for c in cells]
    if values.dtype.kind == "f" and kept.all():
        plain_cells = [
            float(c) for c in cells
        ]  # the user's own type; integers become floats only beside missing values
    if not kept.all():
        notes.append(f"{int((~kept).sum())} row(s) without a value in {target!r} are left out")
    return pd.Series(take(plain_cells, codes), index=values.index, name=target, dtype=object)[kept]


def _profile(features: pd.DataFrame, labels: pd.Series | None, target: str | None, notes: list[str]) -> DataBatch:
    typed, faults = {}, []
    for name in features.columns:
        try:
            typed[name] = type_column(features[name])
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError("; ".join(faults))
    columns = tuple(
        Column(name, kind, int(values.isna().sum()), int(values.nunique())) for name, (kind, values) in typed.items()
    )
    frame = pd.DataFrame({name: values for name, (_, values) in typed.items()}, index=features.index)
    values = tuple(sorted(set(labels), key=lambda v: (isinstance(v, str), v))) if labels is not None else ()
    return DataBatch("table", frame, columns, labels, target, values, tuple(notes))


def refuse_one_class(batch: DataBatch) -> None:
    """Refuse labels that are all the same.

    Raises:
        DataError: naming the value.
    """
    if batch.labels is not None and len(batch.label_values) == 1:
        same = f"every row holds the same value {shorten(batch.label_values[0])}"
        raise DataError(f"column {batch.target!r} is the target but {same}; give at least two classes")
