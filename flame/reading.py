"""Rows from files and from whatever holds them in memory: everything becomes one frame with text for column names."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flame.columns import MISSING, is_broken
from flame.errors import DataError, missing_extra

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".json")
_HEAD_BYTES = 65_536


def to_frame(data: Any, *, target: str | None = None) -> tuple[pd.DataFrame, str | None]:
    """A frame with its rows numbered from 0, and the name that the labels of a pair (X, y) got; None for other data.

    The caller's object stays as it is.

    Raises:
        DataError: if it is no table, or names columns twice or in levels.
    """
    name = None
    if isinstance(data, tuple) and len(data) == 2:
        frame, name = _from_pair(*data, target=target)
    else:
        frame = _to_raw_frame(data)
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(
            f"column names of one level are expected, however: {frame.columns.nlevels} levels; join them first, as in "
            "frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
        )
    names = [str(c) for c in frame.columns]
    broken = [n for n in names if is_broken(n)]
    if broken:
        raise DataError(f"column names {broken!r} hold characters that are none (half of a pair); rename the columns")
    _refuse_duplicates(names)
    return frame.reset_index(drop=True).set_axis(names, axis=1), name


def _to_raw_frame(data: Any) -> pd.DataFrame:
    if isinstance(data, str | os.PathLike):
        return read_file(Path(data).expanduser())
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, pd.Series):
        return data.to_frame()
    if isinstance(data, np.ndarray):
        return _from_array(data)
    if callable(getattr(data, "to_pandas", None)):
        return _from_foreign(data)
    if isinstance(data, Mapping) or (isinstance(data, Sequence) and not isinstance(data, bytes)):
        return _from_rows(data)
    raise DataError(
        f"data of type {type(data).__name__} is not understood; give a DataFrame, an array, a list of dicts, "
        "a pair (X, y), a datasets.Dataset or a path to a CSV, TSV, Parquet, JSON or JSONL file"
    )


def _from_array(array: np.ndarray) -> pd.DataFrame:
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"a table needs an array of shape (rows, columns), however: shape {array.shape}")
    if array.dtype.kind not in "biufOUS":
        raise DataError(f"an array of numbers or strings is expected, however: dtype {array.dtype}")
    return pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])


def _from_foreign(data: Any) -> pd.DataFrame:
    try:
        frame = data.to_pandas()
    except Exception as error:
        raise DataError(f"to_pandas() of the {type(data).__name__} that was given failed: {error}") from error
    if isinstance(frame, pd.Series):
        return frame.to_frame()
    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"to_pandas() must give a DataFrame, however: {type(frame).__name__}")
    return frame


def _from_rows(data: Any) -> pd.DataFrame:
    """A list of rows, a mapping of columns, or a mapping of cells, which is one row."""
    if isinstance(data, Mapping):
        data = dict(data)
        if data and all(isinstance(v, str | bytes) or not hasattr(v, "__len__") for v in data.values()):
            data = [data]
        else:  # pandas wants flat columns; pictures are cells
            data = {k: list(v) if isinstance(v, np.ndarray) and v.ndim > 2 else v for k, v in data.items()}
    try:
        return pd.DataFrame(data)
    except Exception as error:
        raise DataError(f"cannot make a table of the {type(data).__name__} that was given: {error}") from error


def _from_pair(x: Any, y: Any, *, target: str | None) -> tuple[pd.DataFrame, str]:
    frame, _ = to_frame(x)
    if getattr(y, "ndim", 1) == 2 and y.shape[1] == 1:
        y = y.iloc[:, 0] if isinstance(y, pd.DataFrame) else y[:, 0]
    named = target or (str(y.name) if isinstance(y, pd.Series) and y.name is not None else "target")
    try:
        # A list stays one of objects: numpy would turn [1, "a"] into text.
        labels = (
            pd.Series(y) if isinstance(y, pd.Series | np.ndarray) else pd.Series(list(y), dtype=object).infer_objects()
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a pair (X, y) needs one label per row, however: y of type {type(y).__name__} ({error})"
        ) from error
    if len(labels) != len(frame):
        raise DataError(f"a pair (X, y) needs one label per row, however: {len(frame)} rows and {len(labels)} labels")
    while named in frame.columns:
        named += "_"
    return pd.concat([frame, labels.reset_index(drop=True).rename(named)], axis=1), named


# --- files ------------------------------------------------------------------------------------------------------------


def read_file(path: Path) -> pd.DataFrame:
    """Read a table from a file; '?' and the usual words for 'no value' become missing.

    Raises:
        DataError: if the path is missing, a folder, empty, of another kind, or cannot be parsed.
        MissingExtraError: if Parquet is given and pyarrow is not installed.
    """
    shown = str(path)[:200]
    if os.path.isdir(path):
        raise DataError(f"{shown} is a folder; a table is expected")
    if not os.path.exists(path):  # unlike Path.exists, no error for a text too long to be a name
        words = " " in shown.strip() and path.suffix.lower() not in SUFFIXES
        advice = "; words that describe a task are its description (-d of the command)" if words else ""
        raise DataError(f"no file at {shown}{advice}")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{shown} has the suffix {path.suffix!r}; known are {list(SUFFIXES)}")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{shown} is empty")
        return _parse_file(path)
    except (DataError, ImportError):
        raise
    except UnicodeDecodeError as error:
        raise DataError(
            f"{shown} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except Exception as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"{shown} cannot be read as {path.suffix[1:].upper()}: {why}") from error


def _parse_file(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            return pd.read_parquet(path)
        except ImportError as error:
            raise missing_extra("pyarrow", "parquet", "Parquet files") from error
    if suffix == ".jsonl":
        lines = path.read_text("utf-8-sig").split("\n")
        return _from_rows([json.loads(line) for line in lines if line.strip()])
    if suffix == ".json":
        value = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(value, list | dict):
            raise DataError(f"{path} must hold a list of rows or an object of columns, however: {type(value).__name__}")
        return _from_rows(value)
    return _read_csv(path, "\t" if suffix == ".tsv" else None)


def _read_csv(path: Path, separator: str | None) -> pd.DataFrame:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if b"\0" in head:
        raise DataError(f"{path} holds binary data; text in UTF-8 is expected")
    separator = separator or _guess_separator(head)
    options: dict[str, Any] = {"sep": separator, "skipinitialspace": True, "encoding": "utf-8-sig"}
    # The header is read apart: pandas would rename duplicate columns and hide them.
    header = pd.read_csv(path, nrows=1, header=None, dtype=str, keep_default_na=False, **options)
    names = [str(n).strip() for n in header.iloc[0]]
    options["decimal"] = _decimal(head, separator)
    frame = pd.read_csv(path, na_values=list(MISSING), keep_default_na=False, low_memory=False, **options)
    if len(frame.columns) != len(names) or not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{path}: the rows have another number of cells than the {len(names)} names of the header")
    if len(frame) and frame.iloc[:, -1].isna().any():
        _refuse_short_rows(path, separator, len(names))
    return frame.set_axis(names, axis=1)


def _guess_separator(head: bytes) -> str:
    lines = re.sub(r'"[^"]*"', "", head.decode("utf-8-sig", "replace")).lstrip().splitlines()
    return max(",;\t", key=(lines[0] if lines else "").count)


def _decimal(head: bytes, separator: str) -> str:
    """Tables with semicolons are often from where 2,5 is a number."""
    return "," if separator == ";" and re.search(rb"\d,\d", head) and not re.search(rb"\d\.\d", head) else "."


def _refuse_short_rows(path: Path, separator: str, n_names: int) -> None:
    """Pandas fills short rows in silence; only rows whose last cell is missing can be short."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
        for cells in rows:
            if "".join(cells).strip() and len(cells) != n_names:
                raise DataError(
                    f"{path}, line {rows.line_num}: {len(cells)} cells, however the header has {n_names} names; "
                    "is a separator or a quotation mark missing?"
                )


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({n for n in names if list(names).count(n) > 1})
    if twice:
        raise DataError(f"column names must differ, however: {', '.join(map(repr, twice))} stand(s) more than once")
