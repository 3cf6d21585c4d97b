"""The tables of a data folder: whatever `tabular/tasks.json` lists, as frames of numbers and categories.

    tabular/tasks.json    one entry a table: its files, how to read them, target, numeric columns, family, role

Roles: `seen` (the ten tables of the paper), `select` (may guide choices), `evaluate` (reported figures only).
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from flame.errors import DataError, did_you_mean

ROLES = ("seen", "select", "evaluate")
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
# A value of an ARFF row: in single or double quotes, or bare up to the next comma.
_VALUE = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,]*))\s*(?:,|$)""")
_ATTRIBUTE = re.compile(r"""@attribute\s+(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(\S+))""", re.IGNORECASE)


@dataclass(frozen=True)
class KitTable:
    """One table, target and features apart."""

    name: str
    kind: Literal["classification", "regression"]
    role: str
    family: str
    """Near-duplicates share it."""
    target: str
    x: pd.DataFrame
    """Numeric columns as float64, all others as pandas categories; NaN where missing."""
    y: pd.Series
    """Class names as text, or float64."""


def read_tasks(folder: str | Path) -> dict[str, dict[str, Any]]:
    """The index of a data folder.

    Raises:
        DataError: if the folder has none.
    """
    path = Path(folder) / "tabular" / "tasks.json"
    try:
        return json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise DataError(f"expected a data folder with tabular/tasks.json, however: {error}; set FLAME_DATA") from error


def select_tasks(tasks: dict[str, dict[str, Any]], *, role: str = "all", names: Sequence[str] = ()) -> list[str]:
    """Names of the tables with this role, or those that were named.

    Raises:
        DataError: if a name is not in the index.
    """
    if unknown := [n for n in names if n not in tasks]:
        raise DataError(f"no table {unknown[0]!r}; the folder has {did_you_mean(unknown[0], list(tasks))}")
    return [n for n, task in tasks.items() if (n in names if names else role in ("all", task["role"]))]


def load_kit_table(name: str, folder: str | Path, tasks: dict[str, dict[str, Any]] | None = None) -> KitTable:
    """Read one table of the folder; rows without a target are left out.

    Raises:
        DataError: if the index lacks it, or its files cannot be read as the index says.
    """
    tasks = read_tasks(folder) if tasks is None else tasks
    select_tasks(tasks, names=[name])
    try:
        return _load(name, Path(folder), tasks[name])
    except _UNREADABLE as error:
        raise DataError(f"cannot read the table {name!r} from {folder}: {error!r}") from error


def _load(name: str, folder: Path, task: dict[str, Any]) -> KitTable:
    how, target = task["read"], task["target"]
    frames = [_read(folder / file, how) for file in how.get("files", task["files"][:1])]
    if "tag" in how:
        column, values = how["tag"]
        frames = [frame.assign(**{column: value}) for frame, value in zip(frames, values, strict=True)]
    frame = pd.concat(frames, ignore_index=True).drop(columns=how.get("drop", []), errors="ignore")
    frame = frame[frame[target].notna()].reset_index(drop=True)
    if frame.empty:
        raise ValueError("no row with a target")
    y = frame[target].astype(float) if task["task"] == "regression" else _labels(frame[target])
    numeric = set(task["numeric"])
    if absent := sorted(numeric - set(frame)):
        raise ValueError(f"expected the column {absent[0]!r}, however: there are {list(frame)}")
    features = {c: _numbers(frame[c]) if c in numeric else _categories(frame[c]) for c in frame if c != target}
    return KitTable(name, task["task"], task["role"], task["family"], target, pd.DataFrame(features), y.rename(target))


def _read(path: Path, how: dict[str, Any]) -> pd.DataFrame:
    data = path.read_bytes()
    if "member" in how:
        data = zipfile.ZipFile(io.BytesIO(data)).read(how["member"])
    elif path.suffix == ".gz":
        data = gzip.decompress(data)
    if how["format"] == "arff":
        return read_arff(data.decode("latin1"))
    separator = how.get("sep", ",")
    return pd.read_csv(
        io.BytesIO(data),
        sep=separator,
        names=how.get("names"),
        header=None if how.get("names") else 0,
        skiprows=how.get("skiprows", 0),
        na_values=how.get("na", ["?"]),
        encoding=how.get("encoding", "utf8"),
        skipinitialspace=True,
        engine="python" if len(separator) > 1 else "c",
    )


def read_arff(text: str) -> pd.DataFrame:
    """A dense ARFF file as text cells, `?` missing.

    >>> header = "@relation r\\n@attribute 'a b' {x,'y, z'}\\n@attribute n real\\n"
    >>> read_arff(header + "@data\\n'y, z', 2\\n?,3\\n").values.tolist()
    [['y, z', '2'], [nan, '3']]
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("%")]
    start = next((i for i, line in enumerate(lines) if line.lower().startswith("@data")), None)
    if start is None:
        raise ValueError("expected a line @data, however: there is none")
    names = [_one_of(m) for line in lines[:start] if (m := _ATTRIBUTE.match(line))]
    rows = [_split(line) for line in lines[start + 1 :]]
    if wrong := next((row for row in rows if len(row) != len(names)), None):
        raise ValueError(f"expected {len(names)} values in a row, however: {wrong}")
    return pd.DataFrame(rows, columns=names, dtype=object).replace("?", np.nan)


def _split(line: str) -> list[str]:
    if "," not in line:
        return line.split()
    values, place = [], 0
    while place < len(line) and (match := _VALUE.match(line, place)):
        values.append(_one_of(match))
        place = match.end()
    return [*values, ""] if line.endswith(",") else values


def _one_of(match: re.Match[str]) -> str:
    return next((g for g in match.groups() if g is not None), "").strip()


def _labels(column: pd.Series) -> pd.Series:
    """Class names; one that ends in a full stop is that without it, if both occur (Adult's test file)."""
    labels = column.map(_label)
    known = set(labels)
    return labels.map(lambda v: v[:-1] if v.endswith(".") and v[:-1] in known else v)


def _numbers(column: pd.Series) -> pd.Series:
    """Cells as numbers; a text among them means that the index is wrong, and nothing is guessed."""
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    if (lost := column[numbers.isna() & column.notna()]).size:
        raise ValueError(f"expected numbers in the column {column.name!r}, however: {lost.iloc[0]!r}")
    return numbers


def _categories(column: pd.Series) -> pd.Series:
    return column.map(_label, na_action="ignore").astype(object).astype("category")


def _label(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
