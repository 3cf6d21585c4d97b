"""The tasks of the requirement ablation: descriptions and truth by hand, rows out of the data folder."""

from __future__ import annotations

import gzip
import json
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.requirement_scores import Truth
from flame.data import DataBatch, read_data
from flame.errors import DataError
from flame.table.tables import TABLES, load_table, split_table

WORDS = Path(__file__).parent / "requirements_data"
MODALITIES = ("tables", "texts", "images")
MOST_TEXTS = 5000
"""Rows of a text task that are read."""
_ARCHIVES = {"office": "office_caltech10_256.tar", "pacs": "pacs_128.tar", "digits": "digits_4domains.npz"}


class AbsentError(LookupError):
    """The data folder does not hold this task; the message says which file is missing."""


@dataclass(frozen=True)
class Task:
    """One task: what a user says of it, what is true of it, and its training rows."""

    name: str
    modality: str
    """tables, texts or images."""
    description: str
    tells: frozenset[str]
    """The facts that the description itself contains."""
    rows_hide: frozenset[str]
    """Facts that nobody could see in the rows, such as the field of life of columns named x0, x1, ..."""
    truth: Truth
    inputs: Any
    """A frame of rows, or a list or array of pictures."""
    labels: np.ndarray
    target: str | None = None

    def batch(self, n: int | None = None, seed: int = 0) -> DataBatch:
        """All training rows as the library reads them, or `n` of them, drawn by the seed."""
        places = np.arange(len(self.labels))
        if n is not None and n < len(places):
            places = np.random.default_rng([seed, zlib.crc32(self.name.encode())]).permutation(places)[:n]
        if self.target is not None:
            return read_data(self.inputs.iloc[places], target=self.target)
        inputs = self.inputs[places] if isinstance(self.inputs, np.ndarray) else [self.inputs[i] for i in places]
        return read_data((inputs, self.labels[places].tolist()))


def load_tasks(folder: Path, work: Path, names: Sequence[str] | None = None) -> tuple[list[Task], list[str]]:
    """The tasks that have a description and stand in the data folder, and why others are left out.

    Args:
        folder: the data folder.
        work: a folder to unpack pictures in.
        names: these only; all if not given.
    """
    tasks, absent = [], []
    for modality in MODALITIES:
        for name, entry in words_of(modality).items():
            if names is not None and name not in names:
                continue
            try:
                inputs, labels, target = _READERS[modality](folder, work, name, entry.get("kit", name))
            except (AbsentError, DataError, OSError) as error:
                absent.append(f"{name}: {error}")
                continue
            truth = Truth(entry["type"], entry.get("n_classes"), entry.get("n_features"), tuple(entry["words"]))
            facts = frozenset(entry["tells"]), frozenset(entry.get("rows_hide", ()))
            tasks.append(Task(name, modality, entry["description"], *facts, truth, inputs, labels, target))
    return tasks, absent


def words_of(modality: str) -> dict[str, dict[str, Any]]:
    """Description, facts it tells, and truth of every task of a modality."""
    entries: dict[str, dict[str, Any]] = json.loads((WORDS / f"{modality}.json").read_text("utf8"))
    return entries


_Rows = tuple[Any, np.ndarray, str | None]


def _table(folder: Path, _work: Path, name: str, kit: str) -> _Rows:
    if name in TABLES:
        info = TABLES[name]
        frame, target = split_table(load_table(name, folder=folder), info.target).train, info.target
    else:
        task = _index(folder).get(kit)
        if task is None:
            raise AbsentError(f"no entry {kit!r} in {folder / 'tabular' / 'tasks.json'}")
        read, target = task["read"], task["target"]
        path = _existing(folder / task["files"][0])
        frame = pd.read_csv(path, sep=read.get("sep", ","), names=read.get("names"), na_values=read.get("na", ["?"]))
    return frame, frame[target].to_numpy(), target


def _index(folder: Path) -> dict[str, Any]:
    tasks: dict[str, Any] = json.loads(_existing(folder / "tabular" / "tasks.json").read_text("utf8"))
    return tasks


def _text(folder: Path, _work: Path, name: str, kit: str) -> _Rows:
    with gzip.open(_existing(folder / "text" / kit / "train.jsonl.gz"), "rt", encoding="utf8") as lines:
        rows = [json.loads(line) for line in lines]
    if len(rows) > MOST_TEXTS:  # some are sorted by label
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:MOST_TEXTS]]
    # Names that tell nothing of the task; a user's own columns may tell more.
    columns = {"sentence1": "a", "sentence2": "b"} if "b" in rows[0] else {"text": "a"}
    frame = pd.DataFrame({column: [row[key] for row in rows] for column, key in columns.items()})
    numbers = words_of("texts")[name]["type"] == "seq_reg"
    labels = [float(row["y"]) if numbers else row["y"] for row in rows]
    return frame.assign(label=labels), np.array(labels, dtype=object), "label"


def _images(folder: Path, work: Path, name: str, kit: str) -> _Rows:
    family = name.split("_")[0]
    path = _existing(folder / "vision" / _ARCHIVES[family])
    if family == "digits":
        arrays = _arrays(path)
        return arrays[f"{kit}_x_train"], arrays[f"{kit}_y_train"], None
    unpacked = work / family
    if not unpacked.is_dir():
        with tarfile.open(path) as archive:
            archive.extractall(unpacked, filter="data")
    paths = sorted(p for p in (unpacked / kit).glob("*/*") if p.is_file())
    if not paths:
        raise AbsentError(f"no pictures of {kit!r} in {path}")
    return [str(p) for p in paths], np.array([p.parent.name for p in paths], dtype=object), None


@cache
def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise AbsentError(f"{path} does not exist")
    return path


_READERS: dict[str, Callable[[Path, Path, str, str], _Rows]] = {"tables": _table, "texts": _text, "images": _images}
