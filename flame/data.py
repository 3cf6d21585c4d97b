"""The data batch: whatever the user hands over, read once into one checked type.

Nothing else of the library looks at raw user data.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flame.columns import Column, distinct_cells, plain, shorten, take, type_column
from flame.errors import DataError, did_you_mean
from flame.modality import Choice, Modality, check_modality, choose_modality
from flame.picture.sources import IMAGE, as_frame, located, read_pictures, short_name
from flame.reading import to_frame
from flame.text.reading import read_texts

__all__ = ["Column", "DataBatch", "Modality", "plain", "read_data", "read_labelled", "read_picture_cells", "read_rows"]

LIKELY_TARGETS = ("target", "label", "class", "y", "outcome")
"""Columns taken as the target when none is named (exact names, case ignored)."""


@dataclass(frozen=True)
class DataBatch:
    """Rows, labels and what is known of them.

    `features` holds the input columns, `labels` the target of the same rows (None: not labelled). A text is one column
    of str, a pair of texts two ("" where one is missing); an image is one column named "image" of paths (str), Pillow
    images or uint8 arrays (h, w, 3) or (h, w), which `flame.picture.pictures.open_picture` opens; all else is a table.
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

    def rows(self, places: Sequence[int]) -> DataBatch:
        """Some of the rows, in this order."""
        features = self.features.iloc[list(places)].reset_index(drop=True)
        labels = None if self.labels is None else self.labels.iloc[list(places)].reset_index(drop=True)
        return replace(self, features=features, labels=labels)

    def label_by(self, name: str) -> DataBatch:
        """The same table with one of its columns as the labels; rows without a label are left out.

        Raises:
            DataError: if the column holds no value, or the batch is no table.
        """
        if self.modality != "table":
            raise DataError(f"a column of a table can become the labels, however the data are {self.modality}")
        notes = [*self.notes, f"column {name!r} is taken as the target"]
        # As objects, because integers have become floats while reading; labels are rather integers.
        features, labels = _split_labels(self.features.astype({name: "object"}), name, notes)
        return _profile(features, labels, name, notes)


def read_data(
    data: Any,
    *,
    target: str | None = None,
    labels_needed: bool = False,
    modality: Modality | None = None,
    likely: Sequence[str] = LIKELY_TARGETS,
) -> DataBatch:
    """Read a frame, array, list, mapping, `datasets.Dataset`, file or folder into a checked batch.

    Args:
        data: a pandas DataFrame; a 2-d numpy array; a pair (X, y); a list of dicts; a dict of columns; anything with
            `to_pandas()`; or a path to CSV, TSV, Parquet, JSON or JSONL. Texts: a list of str, of pairs of str, or
            columns of free text. Pictures: a folder with one folder per class, a flat folder, a list of Pillow images,
            uint8 arrays or paths, or of pairs of any of these and its label, an array (n, h, w, 3), or a column.
        target: name of the column to predict. Left out, a column named like `target`, `label`, `class` or `y` is
            taken and noted.
        labels_needed: refuse data without labels.
        modality: `table`, `text`, `text_pair` or `image`; None: as the columns look.
        likely: columns that are taken as the target, in this order, where none is named.

    Raises:
        DataError: with every fault of the input, and what to do about it.
    """
    asked = check_modality(modality)
    notes: list[str] = []
    frame, own = _to_frame(data, target, asked, notes)
    name = own or _find_target(frame, target, notes, likely)
    if labels_needed and name is None:
        raise _unlabelled(frame)
    _refuse_empty(frame, name)
    features, labels = (frame, None) if name is None else _split_labels(frame, name, notes)
    choice = choose_modality(features, asked=asked, listed=_is_listed(_inputs_of(data)))
    notes += choice.notes
    if choice.modality == "table":
        return _profile(features, labels, name, notes)
    return _alone(choice, features, labels, name, notes, folder=_folder_of(data))


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


def read_picture_cells(data: Any) -> list[Any]:
    """The pictures of anything `read_data` accepts, one for each row and in its order; labels are passed over.

    What is no picture comes as `flame.picture.sources.Broken`; nothing is opened.

    Raises:
        DataError: if there is no column of pictures.
    """
    frame, own = _to_frame(data, None, "image", [])
    features = frame if own is None else frame.drop(columns=own)
    column = choose_modality(features, asked="image").columns[0]
    return located(features[column], _folder_of(data))


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


def _to_frame(
    data: Any, target: str | None, asked: Modality | None, notes: list[str]
) -> tuple[pd.DataFrame, str | None]:
    """As `to_frame`, and pictures that are in no table yet become one."""
    inputs = _inputs_of(data)
    # Names of files may be meant as texts; other pictures may not.
    texts = asked in ("text", "text_pair")
    skipped = asked == "table" or (texts and isinstance(inputs, list) and all(isinstance(c, str) for c in inputs))
    found = None if skipped else as_frame(inputs, target=target, notes=notes)
    if found is None:
        return to_frame(data, target=target)
    if texts:
        raise DataError(f"modality={asked!r} needs texts, however pictures came; give modality='image' or leave it out")
    frame, own = found
    if inputs is data:
        return frame, own
    if own is not None:
        frame = frame.drop(columns=own)
        notes.append("the labels that were given are used, not the names of the folders")
    return to_frame((frame, data[1]), target=target)


def _inputs_of(data: Any) -> Any:
    """X of a pair (X, y); other data as they are."""
    return data[0] if isinstance(data, tuple) and len(data) == 2 else data


def _is_listed(inputs: Any) -> bool:
    """Whether plain texts or pairs of them came, under no name: a list, an array or a nameless series."""
    if isinstance(inputs, pd.Series):
        return inputs.name is None
    if isinstance(inputs, np.ndarray):
        return inputs.ndim == 1
    return isinstance(inputs, list | tuple) and all(
        c is None or isinstance(c, str | float) or (isinstance(c, list | tuple) and len(c) == 2) for c in inputs
    )


def _folder_of(data: Any) -> Path | None:
    """The folder of the file that came; relative paths in it start there."""
    inputs = _inputs_of(data)
    return Path(inputs).expanduser().parent if isinstance(inputs, str | os.PathLike) else None


def _alone(
    choice: Choice,
    features: pd.DataFrame,
    labels: pd.Series | None,
    target: str | None,
    notes: list[str],
    *,
    folder: Path | None,
) -> DataBatch:
    """A batch of texts, pairs of texts or pictures; rows without any are left out."""
    if choice.modality == "image":
        frame, columns, kept, found = read_pictures(features[choice.columns[0]], folder=folder)
    else:
        frame, columns, kept, found = read_texts(features[list(choice.columns)])
    labels = labels[kept].reset_index(drop=True) if labels is not None else None
    return DataBatch(choice.modality, frame, columns, labels, target, _label_values(labels), (*notes, *found))


def _label_values(labels: pd.Series | None) -> tuple[Any, ...]:
    return tuple(sorted(set(labels), key=lambda v: (isinstance(v, str), v))) if labels is not None else ()


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
    return DataBatch("table", frame, columns, labels, target, _label_values(labels), tuple(notes))


def refuse_one_class(batch: DataBatch) -> None:
    """Refuse labels that are all the same.

    Raises:
        DataError: naming the value.
    """
    if batch.labels is None or len(batch.label_values) != 1:
        return
    only = shorten(batch.label_values[0])
    if batch.modality == "image":
        first = batch.features[IMAGE].iloc[0]
        such = f", such as {short_name(first)}" if isinstance(first, str) else ""
        raise DataError(f"every picture is of class {only}{such}; give at least two classes")
    raise DataError(
        f"column {batch.target!r} is the target but every row holds the same value {only}; give at least two classes"
    )
