"""Run an exported model. Needs numpy and onnxruntime, tokenizers for texts, Pillow for pictures; not torch, not flame.

    python runner.py rows.csv --proba --output predictions.csv

Beside `model.onnx` lies `model.json`, the card: what the model reads, how that becomes numbers, what the outputs mean.
The same rows give the same numbers as in the library that wrote the model.

Shape letters: n = rows, k = classes.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from flame.export.rows import Columns, Reader, read_csv

FORMAT, VERSION = "flame-export", 1
CARD_KEY = "flame.card"  # where the model's own metadata hold the hash of its card


def reader_of(card: Mapping[str, Any]) -> Reader:
    """What turns rows into the model's inputs; a package holds the file for its own kind of rows only."""
    kind = card.get("modality", "table")
    if kind == "text":
        from flame.export.text_reader import TextReader

        return TextReader(card)
    if kind == "image":
        from flame.export.picture_reader import PictureReader

        return PictureReader(card)
    from flame.export.table_reader import TableReader

    return TableReader(card)


class Runner:
    """A model and its card.

    Raises:
        ValueError: if the card is missing, was changed, is of another version, or belongs to another model.
    """

    def __init__(self, model: str | Path, *, threads: int = 1) -> None:
        import onnxruntime

        place = Path(model)
        self.card = read_card(card_place(place))
        refuse_changed(place)
        self.reader, self.labels = reader_of(self.card), self.card["labels"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
        if self.session.get_modelmeta().custom_metadata_map.get(CARD_KEY) != self.card["sha256"]:
            raise ValueError(f"{card_place(place)} belongs to another model than {place}; export the model again")

    def outputs(self, table: Columns, first: int = 1) -> np.ndarray:
        """Probabilities (n, k) in the order of `labels`, or numbers (n, 1); float32."""
        n, step = len(table[self.reader.names[0]]), self.reader.at_once
        parts = [np.zeros((0, len(self.labels) or 1), np.float32)]
        for start in range(0, n, step):
            part = {name: table[name][start : start + step] for name in self.reader.names}
            parts.append(self.session.run(["y"], self.reader.inputs(part, first + start))[0])
        return np.concatenate(parts)

    def answers(self, outputs: np.ndarray) -> list[Any]:
        """The most likely label of every row, or the predicted number."""
        return [self.labels[i] for i in outputs.argmax(1).tolist()] if self.labels else outputs[:, 0].tolist()

    def outputs_of_csv(self, lines: Iterable[str]) -> np.ndarray:
        """Outputs for all rows of a CSV."""
        empty = np.zeros((0, len(self.labels) or 1), np.float32)
        parts = (self.outputs(table, first) for first, table in read_csv(lines, self.reader))
        return np.concatenate([empty, *parts])


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


def refuse_changed(model: Path) -> None:
    """Compare a model's file with its parity report, where that lies beside it.

    Raises:
        ValueError: if it is another file than the one that was compared.
    """
    told = model.with_name(f"{model.name}.parity.json")
    if not told.is_file():
        return
    try:
        expected = json.loads(told.read_text("utf8")).get("sha256")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{told} is no readable report: {error}") from error
    if expected and expected != hashlib.sha256(model.read_bytes()).hexdigest():
        raise ValueError(f"{model} was changed: its content has not the hash that {told.name} says; export it again")


def card_hash(card: Mapping[str, Any]) -> str:
    """Of all that a card says but the hash itself."""
    words = json.dumps({k: v for k, v in card.items() if k != "sha256"}, sort_keys=True)
    return hashlib.sha256(words.encode()).hexdigest()


def card_place(model: Path) -> Path:
    """`iris.json` for `iris.onnx` and `iris.int8.onnx`."""
    return model.with_name(model.name.removesuffix(".onnx").removesuffix(".int8") + ".json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Predict the rows of files."""
    parser = argparse.ArgumentParser(description="Predict rows of CSV files, or pictures, with an exported model.")
    parser.add_argument("rows", nargs="+", help="CSV files with the model's columns; files or folders of pictures")
    parser.add_argument("--model", default=Path(__file__).with_name("model.onnx"), help="model.onnx beside this file")
    parser.add_argument("--proba", action="store_true", help="add the probability of every label")
    parser.add_argument("--output", help="file to write instead of the screen")
    options = parser.parse_args(arguments)
    try:
        runner = Runner(options.model)
        lines = list(_lines(runner, options.rows, proba=options.proba))
        screen = nullcontext(sys.stdout)
        with open(options.output, "w", encoding="utf8", newline="") if options.output else screen as out:
            csv.writer(out, lineterminator="\n").writerows(lines)
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _lines(runner: Runner, files: Sequence[str], *, proba: bool) -> Iterator[list[Any]]:
    told = runner.reader.told
    yield [*told, runner.card["target"], *(f"p({v})" for v in runner.labels if proba)]
    for first, table in runner.reader.read_files(files):
        outputs = runner.outputs(table, first)
        more = outputs.tolist() if runner.labels and proba else [[]] * len(outputs)
        beside = list(zip(*(table[name] for name in told), strict=True)) if told else [()] * len(outputs)
        for names, answer, rest in zip(beside, runner.answers(outputs), more, strict=True):
            yield [*names, answer, *rest]


if __name__ == "__main__":
    sys.exit(main())
