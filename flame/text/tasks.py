"""The text tasks of a data folder: their rows, and what users would say of them.

`requirements_prompts/texts.json` holds descriptions, words for every label, and the role of each task; a
task of your own has the same under `words` in its `task.json`:

* `train`: the generator learns from its training rows;
* `select`: may guide choices while developing, is never learnt from;
* `held_out`: read for reported figures only. Sources are never split over roles: the four product domains that are held
  out are so in both collections, and no row of any task is learnt from if its text stands in a dev or test split.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame.errors import DataError, did_you_mean

ROLES = ("train", "select", "held_out")
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class TextTask:
    """What is known of a task besides its rows."""

    name: str
    """Its folder's name."""
    role: str
    """One of `ROLES`."""
    kind: str
    """What it is about, such as `sentiment`; tasks of a kind share their part of a training run."""
    descriptions: tuple[str, ...]
    """The task in users' words, several ways."""
    labels: tuple[str, ...]
    """Labels as the files hold them; empty for a regression."""
    words: tuple[tuple[str, ...], ...]
    """Words for every label, the plainest first."""
    metric: str
    """As the data folder names it."""
    licence: str
    """Of the rows."""
    factor: float = 1.0
    """How much more often it is trained on than its number of rows asks for (appendix A; ours for pairs)."""
    splits: tuple[str, str, str] = ("train", "dev", "test")
    """Files of the training, development and test rows."""

    @property
    def regression(self) -> bool:
        """Whether it asks for a number."""
        return not self.labels


@dataclass(frozen=True)
class TextRows:
    """Rows of a task; `pairs` holds the second texts, if there are any."""

    texts: list[str]
    pairs: list[str] | None
    y: Tensor
    """(n,) index of the label, or the number."""

    def take(self, chosen: Sequence[int]) -> TextRows:
        """Some of the rows."""
        pairs = None if self.pairs is None else [self.pairs[i] for i in chosen]
        return TextRows([self.texts[i] for i in chosen], pairs, self.y[torch.as_tensor(chosen, dtype=torch.long)])

    def __len__(self) -> int:
        return len(self.texts)


def text_task_names(role: str | None = None, *, folder: str | Path | None = None) -> list[str]:
    """The tasks of a role, or all of them; with a data folder, those that lie in it.

    >>> "banking77" in text_task_names("held_out"), len(text_task_names())
    (True, 51)
    """
    known = _words()["tasks"]
    if folder is not None:
        present = {place.parent.name: place for place in sorted(Path(folder).glob("text/*/task.json"))}
        own = {name: _facts(place).get("words") for name, place in present.items() if name not in known}
        known = {name: words for name, words in {**known, **own}.items() if name in present and words}
    return [name for name, words in known.items() if role in (None, words.get("role", "train"))]


def read_text_task(folder: str | Path, name: str) -> TextTask:
    """A task's facts, from its `task.json` and from our words for it, or its own.

    Raises:
        DataError: if there are no words for such a task, or the folder does not hold it.
    """
    place = Path(folder) / "text" / name / "task.json"
    known = _words()["tasks"]
    facts = _facts(place) if name in known or place.is_file() else {}
    if name not in known and not facts.get("words"):
        raise DataError(
            f"no words for the text task {name!r}; there are {did_you_mean(name, list(known))} For a task of your own, "
            f"{place} says under 'words': descriptions (a list) and labels (words for each label; null for a number)"
        )
    words = described(known[name]) if name in known else facts["words"]
    try:
        labels = tuple(words["labels"] or ())
        return TextTask(
            name=name,
            role=words.get("role", "train"),
            kind=words.get("kind", name),
            descriptions=tuple(words["descriptions"]),
            labels=labels,
            words=tuple(tuple(words["labels"][label]) for label in labels),
            metric=facts.get("metric", "accuracy"),
            licence=facts.get("licence", "not stated"),
            factor=words.get("factor", 1.0),
            splits=_splits(set(facts["sizes"]), words.get("test", "test")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{place} is not complete: it needs 'sizes' (rows by split) and 'words' with 'descriptions' and 'labels' "
            f"({type(error).__name__}: {error})"
        ) from error


def _facts(place: Path) -> dict[str, Any]:
    try:
        facts = json.loads(place.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read {place}: {error}; give the data folder that holds text/{place.parent.name}"
        ) from error
    return facts if isinstance(facts, dict) else {}


def described(words: dict[str, Any]) -> dict[str, Any]:
    """An entry of the file with what it takes from its group, and with its domain named.

    >>> described({"like": "reviews", "domain": "tea", "role": "train"})["descriptions"][2]
    'Sentiment of tea reviews'
    """
    if "like" not in words:
        return words
    text = json.dumps(_words()["groups"][words["like"]]).replace("{domain}", words["domain"])
    return {**json.loads(text), **words}


def _splits(present: set[str], test: str) -> tuple[str, str, str]:
    """Where no test labels are public, the dev rows are the test, and the dev rows come from the training rows.

    So it is where the test file holds the training rows once more (Blitzer's sets).
    """
    test = test if test in present else "dev"
    return "train", "dev" if "dev" in present and test != "dev" else "train", test


def read_text_rows(folder: str | Path, task: TextTask, split: str, *, limit: int | None = None) -> TextRows:
    """Rows of a split, at most `limit` of them, always the same ones; labels without words are left out.

    Raises:
        DataError: if there is no such split or file.
    """
    if split not in SPLITS:
        raise DataError(f"split must be one of {did_you_mean(split, SPLITS)} However: {split!r}")
    file = task.splits[SPLITS.index(split)]
    rows = list(_lines(Path(folder) / "text" / task.name / f"{file}.jsonl.gz"))
    if task.splits[1] == "train" and file == "train":
        # Every tenth row is a development row.
        rows = [row for i, row in enumerate(rows) if (i % 10 == 0) == (split == "dev")]
    if split == "train":
        told = _told(str(folder))
        rows = [row for row in rows if _plain(row) not in told]
    index = {label: i for i, label in enumerate(task.labels)}
    rows = [row for row in rows if task.regression or str(row["y"]) in index]
    if limit is not None and len(rows) > limit:
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(len(rows)))
        rows = [rows[i] for i in order[:limit].tolist()]
    y = torch.tensor([float(row["y"]) if task.regression else index[str(row["y"])] for row in rows])
    pairs = [row["b"] for row in rows] if rows and "b" in rows[0] else None
    return TextRows([row["a"] for row in rows], pairs, y if task.regression else y.long())


@cache
def _told(folder: str) -> frozenset[int]:
    """Every text of a dev or test split of any task: SST's rows stand in MR's, and reviews in two collections."""
    files = {(name, f) for name in text_task_names(folder=folder) for f in read_text_task(folder, name).splits}
    places = [Path(folder) / "text" / name / f"{file}.jsonl.gz" for name, file in files if file != "train"]
    return frozenset(_plain(row) for place in places if place.is_file() for row in _lines(place))


def _plain(row: dict[str, Any]) -> int:
    text = " ".join((row["a"], row.get("b", ""))).casefold()
    return hash(re.sub(r"[^a-z0-9]+", "", text))


def _lines(place: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(place, "rt", encoding="utf8") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {place}: {error}") from error


@cache
def _words() -> dict[str, Any]:
    text = files("requirements_prompts").joinpath("texts.json").read_text(encoding="utf-8")
    words: dict[str, Any] = json.loads(text)
    return words
