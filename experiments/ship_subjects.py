"""The models that are shipped: for tables that scikit-learn carries, and for texts and pictures of the data folder.

Without a data folder (FLAME_DATA), and with `--quick`, texts and pictures are made up, and so easy that their scores
say nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split

from experiments.office import WEIGHTS
from experiments.office_quick import random_base
from experiments.pictures import unpacked
from flame.picture.sets import choose
from flame.text.tasks import read_text_rows, read_text_task

TABLES = {
    "iris": (
        "Tell three iris species apart from the size of their petals and sepals.",
        "Classify flowers in a table into three species: at least 95 % accuracy, under 20 ms, at most 50k parameters, "
        "below 1 MB.",
    ),
    "digits": (
        "Which digit was written, judging by the grey of 64 pixels?",
        "Classify digits in a table of 64 grey values: at least 95 % accuracy, a macro F1 of at least 0.95, "
        "under 20 ms, at most 500k parameters.",
    ),
    "diabetes": (
        "How far has the disease gone after a year? Predict the number from ten measurements.",
        "Predict the disease's progression as a number from a table of ten measurements: R2 of at least 0.4, "
        "under 20 ms, at most 500k parameters.",
    ),
}
"""What is asked for, and the request that the model is checked against."""
NEWS, N_NEWS = "ag_news_7600", (400, 200)
"""A topic task that no training of ours saw; rows to write and tune the model from, and held out."""
NEWS_REQUEST = (
    "Classify news texts by topic: at least 85 % accuracy, under 50 ms, at most 30M parameters, below 100 MB."
)
SKETCHES = "Which thing was sketched?"
SKETCHES_REQUEST = (
    "Classify sketches into seven kinds of things: at least 80 % accuracy, under 100 ms, at most 5M parameters, "
    "below 20 MB, below 700 MFLOPs."
)
N_SKETCHES = 300
OPINIONS = {"good": ("lovely", "excellent", "a pleasure"), "bad": ("awful", "a waste of time", "broken")}
SAID = ("The whole thing was", "I would say it is", "My friends found it", "In a word:")


@dataclass(frozen=True)
class Subject:
    """Rows to make a model from, rows to check it on, and what is asked of it."""

    name: str
    asked: str
    request: str
    train: Any
    """Labelled."""
    held_out: Any
    """Labelled."""
    rows: Any
    """The held-out ones without labels."""
    file: Path
    """The same for a runner: a CSV, or a folder of pictures."""
    target: str | None = None
    base_model: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Of `flame.generate_model`."""
        return {"target": self.target, "base_model": self.base_model}


def subjects(
    tables: Sequence[str], text_base: str, picture_base: str | None, folder: Path, *, quick: bool
) -> Iterator[Subject]:
    """Each with a folder of its own, where its files lie."""
    data = None if quick else os.environ.get("FLAME_DATA")
    ways: list[Callable[[Path], Subject]] = [partial(table_subject, name) for name in tables]
    ways.append(partial(news_subject, text_base, data) if data else partial(opinions_subject, text_base))
    if data:
        ways.append(partial(sketches_subject, picture_base or f"{data}/{WEIGHTS}", data))
    else:
        ways.append(partial(shades_subject, picture_base))
    for i, make in enumerate(ways):
        place = folder / str(i)
        place.mkdir()
        yield make(place)


def table_subject(name: str, folder: Path) -> Subject:
    """A table that scikit-learn carries, 60 % to make a model from."""
    asked, request = TABLES[name]
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    train, test = train_test_split(frame, test_size=0.4, random_state=0)
    rows = test.drop(columns="target")
    rows.to_csv(folder / "rows.csv", index=False)
    return Subject(name, asked, request, train, test, rows, folder / "rows.csv", "target")


def news_subject(base: str, data: str, folder: Path) -> Subject:
    """News by topic."""
    task = read_text_task(data, NEWS)
    parts = []
    for split, n in zip(("train", "test"), N_NEWS, strict=True):
        rows = read_text_rows(data, task, split, limit=n)
        parts.append(pd.DataFrame({"text": rows.texts, "label": [task.labels[i] for i in rows.y.tolist()]}))
    return _text_subject("news", task.descriptions[0], NEWS_REQUEST, parts[0], parts[1], base, folder)


def opinions_subject(base: str, folder: Path) -> Subject:
    """Made-up opinions, of two words to a hundred."""
    labelled = [(f"{said} {word}", label) for label, words in OPINIONS.items() for word in words for said in SAID]
    frame = pd.DataFrame(labelled, columns=["text", "label"])
    held_out = frame[::2].assign(
        text=[" ".join([t, *["and so on"] * (i % 3 * 12)]) for i, t in enumerate(frame.text[::2])]
    )
    request = "Classify opinion texts as good or bad: at least 60 % accuracy, under 2 s, at most 30M parameters."
    return _text_subject("opinions", "Is the opinion good or bad?", request, frame[1::2], held_out, base, folder)


def _text_subject(
    name: str, asked: str, request: str, train: pd.DataFrame, held_out: pd.DataFrame, base: str, folder: Path
) -> Subject:
    rows = held_out[["text"]].reset_index(drop=True)
    rows.to_csv(folder / "rows.csv", index=False)
    return Subject(name, asked, request, train, held_out, rows, folder / "rows.csv", "label", base)


def sketches_subject(base: str, data: str, folder: Path) -> Subject:
    """Sketches of seven things, in the order of their names: 60 % to make a model from."""
    ((_, files),) = unpacked(Path(data), folder, ["sketch"])
    places, part = choose([label for _, label in files], N_SKETCHES)
    train = [files[i] for i in places[part < 2]]
    held_out = _numbered([files[i] for i in places[part == 2]], folder / "pictures")
    rows = [path for path, _ in held_out]
    return Subject("sketches", SKETCHES, SKETCHES_REQUEST, train, held_out, rows, folder / "pictures", base_model=base)


def _numbered(files: Sequence[tuple[str, str]], folder: Path) -> list[tuple[str, str]]:
    """Copies in one folder, whose names keep the order."""
    folder.mkdir()
    kept = [(str(folder / f"{i:04}{Path(path).suffix}"), label) for i, (path, label) in enumerate(files)]
    for (path, _), (copy, _) in zip(files, kept, strict=True):
        shutil.copyfile(path, copy)
    return kept


def shades_subject(base: str | None, folder: Path) -> Subject:
    """Made-up pictures of two kinds, of several sizes, as JPEG and PNG; without a base model, on a random network."""
    from PIL import Image

    rng, made = np.random.default_rng(0), []
    for name in ("train", "pictures"):
        (folder / name).mkdir()
        for i in range(12):
            width, height = ((160, 120), (300, 400), (64, 64))[i % 3]
            noise = rng.normal(60 + 130 * (i % 2), 25, (height, width, 3)).clip(0, 255).astype(np.uint8)
            place = folder / name / f"{i:02}.{'jpg' if i % 4 < 2 else 'png'}"
            Image.fromarray(noise).save(place)
            made.append((str(place), "light" if i % 2 else "dark"))
    request = "Classify pictures as dark or light: at least 60 % accuracy, under 2 s, at most 30M parameters."
    rows = [path for path, _ in made[12:]]
    base = base or random_base(folder)
    asked = "Is it day or night in the picture?"
    return Subject("shades", asked, request, made[:12], made[12:], rows, folder / "pictures", base_model=base)
