"""Run an exported table model. Needs numpy and onnxruntime; neither torch nor pandas nor flame.

    python runner.py rows.csv --proba --output predictions.csv

Beside `model.onnx` lies `model.json`, the card: which columns the model reads, how their cells become numbers, what the
outputs mean. The same cells give the same numbers as in the library that wrote the model.

Shape letters: n = rows, d_input = columns after encoding, k = classes.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import hashlib
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

FORMAT, VERSION = "flame-export", 1
CARD_KEY = "flame.card"  # where the model's own metadata hold the hash of its card
SHOWN = 5  # faults that an error lists
Columns = Mapping[str, Sequence[Any]]  # cells by column: None, bool, int, float or str each
Fault = Mapping[str, Any]  # a message, with the row (counted from 1) and the column where they are known


class RowError(ValueError):
    """Rows that the model cannot read, and why."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = [dict(f) for f in faults[:SHOWN]]
        super().__init__("; ".join(map(_said, self.faults)) + ("; ..." if len(faults) > SHOWN else ""))


class Reader:
    """From cells to the matrix that the model reads, as the card says."""

    def __init__(self, card: Mapping[str, Any]) -> None:
        self.columns, self.clip, self.missing = card["columns"], card["clip"], frozenset(card["missing"])
        self.names = [c["name"] for c in self.columns]
        self.numbers: dict[str, int] = {}
        self.categories: dict[str, dict[str, int]] = {}
        self.flags: dict[str, int] = {}
        self.width = 0
        for c in self.columns:  # where its inputs stand: the number or the categories, then the flag 'missing'
            if c["kind"] == "numeric":
                self.numbers[c["name"]] = self.width
            else:
                self.categories[c["name"]] = {text: i for i, text in enumerate(c["categories"], self.width)}
            self.width += 1 if c["kind"] == "numeric" else len(c["categories"])
            self.flags |= {c["name"]: self.width} if c["has_missing"] else {}
            self.width += bool(c["has_missing"])
        scales = [(c["mean"], c["std"]) for c in self.columns if c["kind"] == "numeric"]
        self.mean, self.std = np.array(scales, dtype="float64").reshape(-1, 2).T[:, :, None]

    def matrix(self, table: Columns, first: int = 1) -> np.ndarray:
        """Standardised numbers, one input per category, flags of missing cells; `first`: number of the first row.

        Shape:
            -> (n, d_input) float32

        Raises:
            RowError: if a cell is neither number nor text, or no number in a column of numbers.
        """
        faults: list[Fault] = []
        values = {name: self._values(name, table[name], first, faults) for name in self.names}
        if faults:
            raise RowError(*faults)
        block = np.zeros((len(values[self.names[0]]), self.width), dtype=np.float32)
        if self.numbers:
            numbers = np.array([values[name] for name in self.numbers], dtype="float64")  # None becomes NaN
            with np.errstate(over="ignore"):  # what overflows is clipped
                scaled = np.clip((numbers - self.mean) / self.std, -self.clip, self.clip)
            block[:, list(self.numbers.values())] = np.where(np.isnan(numbers), 0.0, scaled).T
        for name, places in self.categories.items():
            for i, text in enumerate(values[name]):
                if text in places:  # unseen ones stay zeros
                    block[i, places[text]] = 1.0
        for name, at in self.flags.items():
            block[:, at] = [v is None or v != v for v in values[name]]
        return block

    def _values(self, name: str, cells: Sequence[Any], first: int, faults: list[Fault]) -> list[Any]:
        """Cells as numbers or texts, None where missing or at fault."""
        convert, values = _number if name in self.numbers else _text, []
        for row, cell in enumerate(cells, first):
            try:
                value = _plain(cell, self.missing)
                values.append(None if value is None else convert(value))
            except ValueError as error:
                values.append(None)
                if len(faults) <= SHOWN:
                    faults.append({"row": row, "column": name, "message": f"{error}, however: {_shown(cell)}"})
        return values


class Runner:
    """A model and its card.

    Raises:
        ValueError: if the card is missing, was changed, is of another version, or belongs to another model.
    """

    def __init__(self, model: str | Path, *, threads: int = 1) -> None:
        import onnxruntime

        place = Path(model)
        self.card = read_card(card_place(place))
        self.reader, self.labels = Reader(self.card), self.card["labels"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
        if self.session.get_modelmeta().custom_metadata_map.get(CARD_KEY) != self.card["sha256"]:
            raise ValueError(f"{card_place(place)} belongs to another model than {place}; export the model again")

    def outputs(self, table: Columns, first: int = 1) -> np.ndarray:
        """Probabilities (n, k) in the order of `labels`, or numbers (n, 1); float32."""
        result: np.ndarray = self.session.run(["y"], {"x": self.reader.matrix(table, first)})[0]
        return result

    def answers(self, outputs: np.ndarray) -> list[Any]:
        """The most likely label of every row, or the predicted number."""
        return [self.labels[i] for i in outputs.argmax(1).tolist()] if self.labels else outputs[:, 0].tolist()

    def outputs_of_csv(self, lines: Iterable[str]) -> np.ndarray:
        """Outputs for all rows of a CSV."""
        empty = np.zeros((0, len(self.labels) or 1), np.float32)
        return np.concatenate([empty, *(self.outputs(table, first) for first, table in read_csv(lines, self.reader))])


def _plain(cell: Any, missing: frozenset[str]) -> Any:
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


def _number(value: Any) -> float:
    try:
        number = float("no" if isinstance(value, str) and "_" in value else value)  # '1_000' is no number in a table
    except ValueError:
        raise ValueError("a number is expected") from None
    return number if math.isfinite(number) else math.nan


def _text(value: Any) -> str:
    """A category: 3, 3.0, '3' and '3.0' are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value))


def columns_of(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Cells by column, of rows that are mappings; other columns than `names` are left out.

    Raises:
        RowError: if a row is no mapping, or lacks a column: None says that a value is missing.
    """
    faults: list[Fault] = []
    odd = ((i, r) for i, r in enumerate(rows, 1) if not isinstance(r, Mapping) or any(n not in r for n in names))
    for number, row in islice(odd, SHOWN + 1):
        if not isinstance(row, Mapping):
            faults.append({"row": number, "message": f"an object of columns is expected, however: {_shown(row)}"})
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


def read_card(place: Path) -> dict[str, Any]:
    """The card of a model.

    Raises:
        ValueError: if it is missing, was changed, or is of another version.
    """
    try:
        card = json.loads(place.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{place} is no readable card: {error}") from error
    if not isinstance(card, dict) or (card.get("format"), card.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{place} is no card of version {VERSION}")
    if card.get("sha256") != card_hash(card):
        raise ValueError(f"{place} was changed: its content has not the hash that it says; export the model again")
    return card


def card_hash(card: Mapping[str, Any]) -> str:
    """Of all that a card says but the hash itself."""
    words = json.dumps({k: v for k, v in card.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()


def card_place(model: Path) -> Path:
    """`iris.json` for `iris.onnx` and `iris.int8.onnx`."""
    return model.with_name(model.name.removesuffix(".onnx").removesuffix(".int8") + ".json")


def _lacking(names: Iterable[str], present: Iterable[Any]) -> list[Fault]:
    """Faults of the first columns that are not there, with the nearest name among the first and short ones."""
    known = set(present)
    near = [p for p in islice(present, 200) if len(p) <= 100]
    lacking = [n for n in names if n not in known][: SHOWN + 1]
    found = [(n, difflib.get_close_matches(n, near, n=1)) for n in lacking]
    return [{"column": n, "message": "it is missing" + (f"; is it {m[0]!r}?" if m else "")} for n, m in found]


def _shown(value: Any) -> str:
    return repr(value)[:60] if isinstance(value, str | float | bool) else f"a value of type {type(value).__name__}"


def _said(fault: Fault) -> str:
    where = [f"{key} {fault[key]!r}" for key in ("row", "column") if key in fault]
    return ": ".join(filter(None, [", ".join(where), fault["message"]]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict the rows of a CSV file."""
    parser = argparse.ArgumentParser(description="Predict the rows of a CSV file with an exported model.")
    parser.add_argument("rows", help="CSV file with the model's columns")
    parser.add_argument("--model", default=Path(__file__).with_name("model.onnx"), help="model.onnx beside this file")
    parser.add_argument("--proba", action="store_true", help="add the probability of every label")
    parser.add_argument("--output", help="file to write instead of the screen")
    options = parser.parse_args(arguments)
    try:
        runner = Runner(options.model)
        with open(options.rows, encoding="utf-8-sig", newline="") as file:
            outputs = runner.outputs_of_csv(file)
        more = outputs.tolist() if runner.labels and options.proba else [[]] * len(outputs)
        screen = nullcontext(sys.stdout)
        with open(options.output, "w", encoding="utf8", newline="") if options.output else screen as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow([runner.card["target"], *(f"p({v})" for v in runner.labels if options.proba)])
            table.writerows([answer, *rest] for answer, rest in zip(runner.answers(outputs), more, strict=True))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
