"""The nine GLUE tasks: adapters written from descriptions, beside adapters and encoders trained for each task.

    python -m experiments.glue --data DATA                     # 500 training rows a task, two epochs
    python -m experiments.glue --data DATA --quick             # three tasks, few rows
    python -m experiments.glue --data DATA --methods FLAME     # one method alone

Every method sees the same training rows of a task and the same test rows. FLAME writes the adapter from the
description and solves the head on the training rows, in one pass; its generator has seen rows of eight of the nine
tasks before, and none of MNLI's. Test rows are the published test rows where their labels are public, else the
published dev rows (CoLA, QQP, RTE, WNLI); MNLI is the matched half. Times run from the description, or from the
training rows, to a model.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.report import processor, write_results
from experiments.text_baselines import Trained, train
from experiments.text_kit import TextKit, from_rows, load_kit
from experiments.text_zero_shot import CHECKPOINT
from flame.text.tasks import TextRows, TextTask, read_text_rows, read_text_task, text_task_names

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
QUICK = ("sst2", "stsb", "rte")
PAPER_EPOCHS = 20
TRAINED = ("one LoRA for all tasks", "LoRA", "Finetune")
Split = tuple[TextRows, TextRows]
Outputs = tuple[Tensor, float, int]
"""Outputs for the test rows, seconds to the model, training rows read."""


def scores(task: TextTask, outputs: Tensor, y: Tensor) -> dict[str, float]:
    """GLUE's own measures of a task."""
    from scipy.stats import pearsonr, spearmanr
    from sklearn.metrics import f1_score, matthews_corrcoef

    if task.regression:
        numbers = outputs[:, 0].numpy()
        if np.ptp(numbers) < 1e-6:  # a constant correlates with nothing
            return {"pearson": 0.0, "spearman": 0.0}
        return {"pearson": float(pearsonr(numbers, y)[0]), "spearman": float(spearmanr(numbers, y)[0])}
    told = outputs.argmax(1)
    accuracy = {"accuracy": float((told == y).float().mean())}
    if task.metric == "mcc":
        return {"mcc": float(matthews_corrcoef(y, told))}
    return ({"f1": float(f1_score(y, told))} | accuracy) if task.metric == "f1" else accuracy


@dataclass
class Bench:
    """The methods, each from the name of a task to its outputs."""

    kit: TextKit
    tasks: dict[str, TextTask]
    splits: dict[str, Split]
    epochs: float
    shared: Trained | None = None
    """One LoRA for all tasks, once it is trained."""

    def methods(self) -> dict[str, Callable[[str], Outputs]]:
        """By the names that the table shows."""
        return {
            "majority class, mean": self.frequent,
            "base model, closed-form head": lambda name: self.written(name, None),
            "FLAME": lambda name: self.written(name, self.tasks[name].descriptions[0]),
            "FLAME, shuffled descriptions": lambda name: self.written(name, self.wrong(name)),
            "one LoRA for all tasks": self.together,
            "LoRA": partial(self.alone, "LoRA"),
            "Finetune": partial(self.alone, "finetune"),
        }

    def frequent(self, name: str) -> Outputs:
        """What the training rows say most often."""
        rows, test = self.splits[name]
        if self.tasks[name].regression:
            return rows.y.mean().expand(len(test), 1), 0.0, 0
        share = torch.nn.functional.one_hot(rows.y, len(self.tasks[name].labels)).float().mean(0)
        return share.expand(len(test), -1), 0.0, 0

    def wrong(self, name: str) -> str:
        """The description of a task half a table away."""
        names = list(self.tasks)
        return self.tasks[names[(names.index(name) + len(names) // 2) % len(names)]].descriptions[0]

    def written(self, name: str, description: str | None) -> Outputs:
        """One pass; without a description the base model stays as it is."""
        task, (rows, test), kit = self.tasks[name], self.splits[name], self.kit
        started = time.perf_counter()
        z = kit.latent(description or task.descriptions[0])
        weights = None if description is None else kit.generator.adapters(z)
        generator = kit.untrained if description is None else kit.generator
        support = kit.features(rows, weights)
        labels = None if task.regression else kit.labels(task)
        # Features of the test rows are no part of writing the model.
        middle = time.perf_counter()
        features = kit.features(test, weights)
        rest = time.perf_counter() - middle
        outputs = from_rows(generator, z, labels, support, rows.y, features, regression=task.regression)
        return outputs, time.perf_counter() - started - rest, len(rows)

    def alone(self, way: str, name: str) -> Outputs:
        """Trained for this task."""
        made = train(self.kit.encoder, [(self.tasks[name], self.splits[name][0])], way=way, epochs=self.epochs)
        return made.predict(self.tasks[name], self.splits[name][1]), made.seconds, made.n_seen

    def together(self, name: str) -> Outputs:
        """Trained for all tasks at once; the time is shared out."""
        if self.shared is None:
            of_all = [(task, self.splits[n][0]) for n, task in self.tasks.items()]
            self.shared = train(self.kit.encoder, of_all, way="LoRA", epochs=self.epochs)
        made, n = self.shared, len(self.tasks)
        return made.predict(self.tasks[name], self.splits[name][1]), made.seconds / n, made.n_seen // n


def read(options: argparse.Namespace) -> tuple[dict[str, TextTask], dict[str, Split], dict[str, int]]:
    """Tasks, their rows, and how many training rows there would be."""
    wanted = [f"glue_{n}" for n in (QUICK if options.quick else TASKS)]
    names = [n for n in wanted if n in text_task_names(folder=options.data)]
    tasks = {n: read_text_task(options.data, n) for n in names}
    full = {n: len(read_text_rows(options.data, task, "train")) for n, task in tasks.items()}
    limits = {"train": options.rows, "test": options.test_rows}
    splits = {}
    for n, task in tasks.items():
        rows, test = (read_text_rows(options.data, task, split, limit=limit) for split, limit in limits.items())
        splits[n] = (rows, test)
    return tasks, splits, full


def run(kit: TextKit, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each method and task."""
    tasks, splits, full = read(options)
    kit.encoder.encode(["a warm start"])
    records = []
    for method, make in Bench(kit, tasks, splits, options.epochs).methods().items():
        for n, task in tasks.items() if not options.methods or method in options.methods else ():
            with torch.set_grad_enabled(method in TRAINED):
                outputs, seconds, n_seen = make(n)
            per_row = seconds / n_seen if n_seen else 0.0
            epochs = PAPER_EPOCHS if method in TRAINED else 1
            values = {k: round(v, 4) for k, v in scores(task, outputs, splits[n][1].y).items()}
            records.append(
                {"method": method, "task": n.removeprefix("glue_"), "scores": values, "seconds": round(seconds, 3)}
                | {"seconds_all_rows": round(per_row * full[n] * epochs, 1)}
            )
            print(records[-1], file=sys.stderr, flush=True)
    return records


def report(records: Sequence[dict[str, Any]], options: argparse.Namespace) -> str:
    """One row a method; a task with two measures shows both."""
    names = list(dict.fromkeys(r["task"] for r in records))
    columns = [*names, "mean", "seconds", "seconds, all rows", "relative"]
    lines = ["| " + " | ".join(["", *columns]) + " |", "|---" * (len(columns) + 1) + "|"]
    grouped = {m: [r for r in records if r["method"] == m] for m in dict.fromkeys(r["method"] for r in records)}
    totals = {m: sum(r["seconds_all_rows"] for r in rows) for m, rows in grouped.items()}
    for method, rows in grouped.items():
        values = [[100 * v for v in r["scores"].values()] for r in rows]
        cells = [" / ".join(f"{v:.1f}" for v in cell) for cell in values]
        mean = float(np.mean([np.mean(cell) for cell in values]))
        times = [f"{sum(r['seconds'] for r in rows):.1f}", f"{totals[method]:.0f}"]
        relative = f"{max(totals.values()) / totals[method]:.1f}" if totals[method] else "-"
        lines.append("| " + " | ".join([method, *cells, f"{mean:.1f}", *times, relative]) + " |")
    how = (
        f"GLUE's measures in % (CoLA: Matthews; MRPC, QQP: F1 / accuracy; STS-B: Pearson / Spearman; else accuracy) on "
        f"up to {options.test_rows} test rows a task, after {options.rows} training rows a task and {options.epochs:g} "
        f"epochs where a method has any; one seed. `seconds` is measured on one core of {processor()}; `seconds, all "
        f"rows` is scaled to all training rows of the data folder and, for trained methods, to the paper's "
        f"{PAPER_EPOCHS} epochs; `relative` compares these with the slowest."
    )
    return "\n\n".join([how, "\n".join(lines)]) + "\n"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds text/<task>")
    parser.add_argument("--generator", type=Path, default=CHECKPOINT)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--rows", type=int, default=500, help="training rows of a task")
    parser.add_argument("--test-rows", type=int, default=300)
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--methods", nargs="*", help="these methods alone")
    parser.add_argument("--quick", action="store_true", help="three tasks, 40 rows, half an epoch")
    parser.add_argument("--output", type=Path, help="stem of the .md and .json to write")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.test_rows, options.epochs = min(40, options.rows), min(40, options.test_rows), 0.5
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results if asked to."""
    options = arguments(argv)
    kit = load_kit(options.generator, base=options.base, bf16=True)
    records = run(kit, options)
    text = report(records, options)
    print(text)
    if options.output is not None:
        story = {"generator": kit.generator.fingerprint, "rows": options.rows, "epochs": options.epochs}
        write_results(options.output, text, {**story, "records": records})


if __name__ == "__main__":
    main()
