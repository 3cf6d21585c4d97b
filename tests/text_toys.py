"""A data folder of tiny made-up text tasks under the names of real ones, and a generator trained on it for a moment."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from text_fixtures import tiny_base

from flame.text.training import AdapterTrainConfig, StreamConfig, train_texts

PAIRED = {"glue_rte", "glue_qqp", "glue_stsb", "superglue_cb", "glue_mnli"}
LABELS: dict[str, list[str] | None] = {
    "mr": ["0", "1"],
    "glue_sst2": ["0", "1"],
    "glue_rte": ["entailment", "not_entailment"],
    "glue_stsb": None,
    "cr": ["0", "1"],
    "ag_news_7600": ["World", "Sports", "Business", "Sci/Tech"],
    "superglue_cb": ["entailment", "neutral", "contradiction"],
}
SIGNS = ("bad film sad", "good book fine", "one phone two", "very lovely")
FILLERS = ("the film was not", "a book is", "the phone is in", "it was very")
SHORT = AdapterTrainConfig(minutes=5, steps=4, stream=StreamConfig(rows=8, support=(2, 4)))


def row(name: str, split: str, i: int) -> dict[str, Any]:
    """Its first words tell the label; a number in the middle makes every text another one."""
    labels = LABELS[name]
    kind = i % (len(labels) if labels else 4)
    text = f"{SIGNS[kind]} {split} {name} {i} {FILLERS[i % 3]}"
    made: dict[str, Any] = {"a": text, "y": labels[kind] if labels else float(kind)}
    return made | ({"b": f"{FILLERS[kind]} {i}"} if name in PAIRED else {})


def write_task(folder: Path, name: str, sizes: dict[str, int], change: Callable[..., Any] = lambda rows: rows) -> None:
    """`change` may alter the rows of the training split."""
    place = folder / "text" / name
    place.mkdir(parents=True)
    facts = {"labels": LABELS[name], "metric": "accuracy", "licence": "CC0 (made up)", "sizes": sizes}
    (place / "task.json").write_text(json.dumps(facts), "utf8")
    for split, n in sizes.items():
        rows = [row(name, split, i) for i in range(n)]
        with gzip.open(place / f"{split}.jsonl.gz", "wt", encoding="utf8") as file:
            file.writelines(json.dumps(r) + "\n" for r in (change(rows) if split == "train" else rows))


@pytest.fixture(scope="session", name="toy_data")
def toy_data_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four tasks to train on, one to choose by, two that are held out."""
    folder = tmp_path_factory.mktemp("data")
    for name in LABELS:
        sizes = {"train": 60, "dev": 24} | ({"test": 24} if name != "superglue_cb" and name != "glue_rte" else {})
        write_task(folder, name, sizes)
    return folder


@pytest.fixture(scope="session", name="toy_base")
def toy_base_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny BERT that averages over tokens."""
    return str(tiny_base(tmp_path_factory.mktemp("base"), "bert-mean"))


@pytest.fixture(scope="session", name="toy_generator")
def toy_generator_fixture(toy_data: Path, toy_base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a generator after four updates."""
    place = tmp_path_factory.mktemp("trained") / "g"
    train_texts(place, SHORT, data=toy_data, base=toy_base, rank=2, bf16=False, progress=False)
    return place
