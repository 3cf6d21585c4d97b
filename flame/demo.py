"""`flame demo`: tables that scikit-learn carries, with and without a trained head, beside ordinary training."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import flame
from flame.data import read_data
from flame.table.baseline import fit_module
from flame.table.preprocessing import TablePreprocessor
from flame.table.tables import TABLES, load_table, split_table
from flame.table.training import encode_rows
from targets import get_target

DEMO_TABLES = {
    "iris": "Tell three iris species apart from the size of their petals and sepals.",
    "wine": "Which of three cultivars was a wine made from? Decide from its chemistry.",
    "breast_cancer": "Is a breast tumour benign or malignant, judging by its cell nuclei?",
}
EPOCHS = 20
UNSEEN_TABLES = {
    "digits": "Which digit was written, from 64 grey values?",
    "diabetes": "How far will diabetes progress within a year?",
}
"""Tables that no checkpoint has seen: the generator for any table reads their rows."""


def run(*, as_json: bool = False) -> list[dict[str, Any]]:
    """Generate, compare and print; the labelled training rows are the data batch, test rows are seen only in scores.

    Returns:
        one record per table.
    """
    results = [_one_table(name, description) for name, description in DEMO_TABLES.items()]
    unseen = [_unseen_table(name, description) for name, description in UNSEEN_TABLES.items()]
    if as_json:
        print(json.dumps([*results, *unseen], indent=2))
        return [*results, *unseen]
    for r in results:
        print(f"\n{r['title']}")
        for key in ("description", "requirement", "metadata", "route"):
            print(f"  {key:<12} {r[key]}")
    print()
    _print_scores(results)
    _print_unseen(unseen)
    _predict_a_csv()
    return [*results, *unseen]


def _one_table(name: str, description: str) -> dict[str, Any]:
    info = TABLES[name]
    split = split_table(load_table(name, source="sklearn"), info.target)
    started = time.perf_counter()
    model = flame.generate_model(description, split.train, target=info.target)
    cold = time.perf_counter() - started
    # The first call of all loads torch's encoder and the checkpoint; the median of five more is the warm figure.
    warm = sorted(_timed(lambda: flame.generate_model(description, split.train, target=info.target)) for _ in range(5))[
        2
    ]
    accuracy = model.evaluate(split.test)["accuracy"]
    trained, seconds = _ordinary(name, model.metadata)
    return {
        "table": name,
        "title": info.title,
        "description": description,
        "requirement": model.requirement,
        "metadata": model.metadata.model_dump(exclude_none=True),
        "route": str(model.route),
        "seconds_cold": round(cold, 4),
        "seconds_warm": round(warm, 4),
        "accuracy": accuracy,
        "trained_seconds": round(seconds, 3),
        "trained_accuracy": trained,
        "majority_accuracy": model.evaluate(split.test)["majority_accuracy"],
        "test_rows": len(split.test),
    }


def _unseen_table(name: str, description: str) -> dict[str, Any]:
    """A table without a head: one pass over 70 % of its rows, scored on the others, beside a random forest."""
    from sklearn import datasets
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.model_selection import train_test_split

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    classes = frame["target"] if name == "digits" else None
    train, test = train_test_split(frame, test_size=0.3, random_state=0, stratify=classes)
    flame.generate_model(description, train.head(50), target="target")  # loads the checkpoint
    started = time.perf_counter()
    model = flame.generate_model(description, train, target="target")
    seconds = time.perf_counter() - started
    scores = model.evaluate(test)
    forest = (RandomForestRegressor if model.is_regression else RandomForestClassifier)(
        n_estimators=200, random_state=0
    )
    started = time.perf_counter()
    forest.fit(train.drop(columns="target"), train["target"])
    forest_seconds = time.perf_counter() - started
    return {
        "table": name,
        "description": description,
        "requirement": model.requirement,
        "route": str(model.route),
        "rows": len(train),
        "score": "R²" if model.is_regression else "accuracy",
        "flame": scores["r2" if model.is_regression else "accuracy"],
        "seconds": round(seconds, 4),
        "forest": float(forest.score(test.drop(columns="target"), test["target"])),
        "forest_seconds": round(forest_seconds, 4),
        "baseline": scores.get("majority_accuracy", 0.0),
    }


def _print_unseen(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Tables that no checkpoint has seen")
    for heading in ("table", "training rows", "score", "FLAME", "seconds", "random forest", "seconds", "baseline"):
        table.add_column(heading, justify="left" if heading in ("table", "score") else "right")
    for r in results:
        shown = [f"{r[k]:.3f}" for k in ("flame", "seconds", "forest", "forest_seconds", "baseline")]
        table.add_row(r["table"], str(r["rows"]), r["score"], *shown)
    Console(width=100).print(table)


def _ordinary(name: str, metadata: flame.Metadata) -> tuple[float, float]:
    """Accuracy and seconds of the same MLP, trained for 20 epochs from raw rows."""
    info = TABLES[name]
    split = split_table(load_table(name, source="sklearn"), info.target)
    started = time.perf_counter()
    train, validation = (read_data(f, target=info.target) for f in (split.train, split.validation))
    preprocessor = TablePreprocessor.fit(train)
    labels = [str(v) for v in train.label_values]
    x, y = encode_rows(preprocessor, train, labels)
    metadata = metadata.model_copy(update={"d_input": preprocessor.width})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = get_target(metadata.arch).build(metadata)
    fitted = fit_module(module, x, y, validation=encode_rows(preprocessor, validation, labels), epochs=EPOCHS)
    seconds = time.perf_counter() - started
    x_test, y_test = encode_rows(preprocessor, read_data(split.test, target=info.target), labels)
    with torch.inference_mode():
        return float((fitted(x_test).argmax(-1) == y_test).float().mean()), seconds


def _timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _print_scores(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Accuracy on held-out rows, and seconds until there is a model")
    for heading in (
        "table",
        "rows",
        "FLAME",
        "seconds",
        "(first call)",
        f"trained {EPOCHS} epochs",
        "seconds",
        "majority",
    ):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for r in results:
        table.add_row(
            r["title"],
            str(r["test_rows"]),
            f"{r['accuracy']:.3f}",
            f"{r['seconds_warm']:.3f}",
            f"{r['seconds_cold']:.3f}",
            f"{r['trained_accuracy']:.3f}",
            f"{r['trained_seconds']:.3f}",
            f"{r['majority_accuracy']:.3f}",
        )
    Console(width=100).print(table)


def _predict_a_csv() -> None:
    """Save the iris model, write unlabelled flowers to a CSV, and let the command line predict them."""
    info = TABLES["iris"]
    split = split_table(load_table("iris", source="sklearn"), info.target)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        flame.generate_model(DEMO_TABLES["iris"], split.train, target=info.target).save(place / "iris")
        split.test.drop(columns=[info.target]).head(5).to_csv(place / "new.csv", index=False)
        print("\n$ flame predict iris/ new.csv")
        command = [sys.executable, "-m", "flame", "predict", str(place / "iris"), str(place / "new.csv")]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="")
