"""Rows of a CSV or of JSON as cells by column, and what is said where they are at fault. Needs numpy alone."""

from __future__ import annotations

import csv
import difflib
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

SHOWN = 5  # faults that an error lists
Columns = Mapping[str, Sequence[Any]]  # cells by column: None, bool, int, float or str each; bytes of a picture
Fault = Mapping[str, Any]  # a message, with the row (counted from 1) and the column where they are known


class RowError(ValueError):
    """Rows that the model cannot read, and why."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = [dict(f) for f in faults[:SHOWN]]
        super().__init__("; ".join(map(_said, self.faults)) + ("; ..." if len(faults) > SHOWN else ""))


class Reader(Protocol):
    """From cells to what a model is fed with; one a modality."""

    columns: Sequence[Mapping[str, Any]]  # name and kind of each
    names: list[str]
    at_once: int  # rows that run through the model together
    told: tuple[str, ...]  # columns of files that are repeated beside the answers

    def inputs(self, table: Columns, first: int = 1) -> dict[str, np.ndarray]:
        """By the names of the model's inputs, rows along the first axis; `first`: number of the first row.

        Raises:
            RowError: if a cell cannot be read.
        """

    def read_files(self, paths: Iterable[str | Path]) -> Iterator[tuple[int, Columns]]:
        """Some rows at a time, and the number of the first.

        Raises:
            RowError: if a file cannot be read as rows.
        """


def plain_cell(cell: Any, missing: frozenset[str]) -> Any:
    """A cell as bool, int, float or stripped text; None if it says 'no value' or is no finite number."""
    if isinstance(cell, str):
        cell = cell.strip()
        if not cell.isascii() and any("\ud800" <= c <= "\udfff" for c in cell):
            raise ValueError("a text of whole characters is expected")
        return None if cell in missing else cell
    cell = cell.item() if isinstance(cell, np.generic) else cell
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int | float):
        return cell if abs(cell) <= sys.float_info.max else None
    raise ValueError("a number or a text is expected")


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Cells by column, of rows that are mappings; other columns than `names` are left out.

    Raises:
        RowError: if a row is no mapping, or lacks a column: None says that a value is missing.
    """
    faults: list[Fault] = []
    odd = ((i, r) for i, r in enumerate(rows, 1) if not isinstance(r, Mapping) or any(n not in r for n in names))
    for number, row in islice(odd, SHOWN + 1):
        if not isinstance(row, Mapping):
            faults.append({"row": number, "message": f"an object of columns is expected, however: {shown(row)}"})
        else:
            faults += [{"row": number, **fault} for fault in _lacking(names, row)]
    if faults:
        raise RowError(*faults)
    return {name: [row[name] for row in rows] for name in names}


def read_csv(lines: Iterable[str], reader: Reader, chunk: int = 65_536) -> Iterator[tuple[int, Columns]]:
    """Some rows at a time of a CSV with a header, and the number of the first; separators are ',', ';' and tab.

    Raises:
        RowError: if a column is missing or named twice, or a row has too few or too many cells.
    """
    lines = iter(lines)
    head = list(islice(lines, 1000))
    text = "".join(head).lstrip()
    separator = max(",;\t", key=re.sub(r'"[^"]*"', "", text.partition("\n")[0]).count)
    # Beside semicolons, 2,5 is a number.
    comma = separator == ";" and bool(re.search(r"\d,\d", text)) and not re.search(r"\d\.\d", text)
    file = csv.reader(chain(head, lines), delimiter=separator, skipinitialspace=True)
    rows = filter(None, file)
    try:
        header = [name.strip() for name in next(rows, [])]
        twice = [name for name, count in Counter(header).items() if count > 1]
        faults = [*_lacking(reader.names, header), *({"column": n, "message": "it stands twice"} for n in twice)]
        if faults:
            raise RowError(*faults)
        first = 1
        while part := list(islice(rows, chunk)):
            odd = [(i, len(cells)) for i, cells in enumerate(part, first) if len(cells) != len(header)]
            if odd:
                said = f"{len(header)} cells are expected, however:"
                raise RowError(*({"row": i, "message": f"{said} {n}"} for i, n in odd))
            yield first, {c["name"]: _file_cells(c, part, header, comma) for c in reader.columns}
            first += len(part)
    except csv.Error as error:
        raise RowError({"message": f"line {file.line_num} is no CSV: {error}"}) from error


def _file_cells(column: Mapping[str, Any], rows: list[list[str]], header: list[str], comma: bool) -> list[str]:
    at = header.index(column["name"])
    cells = [row[at] for row in rows]
    if column["kind"] == "boolean":  # files may say 'true'; the category is 'True'
        return [c.strip().title() if c.strip() in ("true", "TRUE", "false", "FALSE") else c for c in cells]
    return [c.replace(",", ".") for c in cells] if comma and column["kind"] == "numeric" else cells


def read_csv_files(paths: Iterable[str | Path], reader: Reader) -> Iterator[tuple[int, Columns]]:
    """The rows of CSV files in UTF-8."""
    for path in paths:
        with open(path, encoding="utf-8-sig", newline="") as file:
            yield from read_csv(file, reader, reader.at_once)


def _lacking(names: Iterable[str], present: Iterable[Any]) -> list[Fault]:
    """Faults of the first columns that are not there, with the nearest name among the first and short ones."""
    known = set(present)
    near = [p for p in islice(present, 200) if len(p) <= 100]
    lacking = [n for n in names if n not in known][: SHOWN + 1]
    found = [(n, difflib.get_close_matches(n, near, n=1)) for n in lacking]
    return [{"column": n, "message": "it is missing" + (f"; is it {m[0]!r}?" if m else "")} for n, m in found]


def shown(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | float | bool) else f"a value of type {type(value).__name__}"


def _said(fault: Fault) -> str:
    where = [f"{key} {fault[key]!r}" for key in ("row", "column") if key in fault]
    return ": ".join(filter(None, [", ".join(where), fault["message"]]))
