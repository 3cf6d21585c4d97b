"""Table 1 of the paper: the nine GLUE tasks by one generator, beside adapters and encoders trained for each task.

    python -m experiments.glue --data DATA                         # 800 training rows a task, five epochs
    python -m experiments.glue --data DATA --work DIR              # keeps every record and the generator; resumable
    python -m experiments.glue --data DATA --work DIR --methods LoRA FLAME
    python -m experiments.glue --data DATA --quick                 # three tasks, few rows

Every method learns from the same training rows of a task, each read as often (`--epochs`), and none from others; all
are scored on the same test rows. FLAME's generator is trained once on all tasks, from nothing, with a head for every
task; then it writes adapter and head from the task's description and reads no row. Test rows are the published test
rows where their labels are public, else the published dev rows (CoLA, QQP, RTE, WNLI); MNLI is the matched half. Times
run from the description, or from the training rows, to a model.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
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
from experiments.text_zero_shot import nearest_description
from flame.text.base import TRAINING_TOKENS
from flame.text.tasks import TextRows, TextTask, read_text_rows, read_text_task, text_task_names
from flame.text.training import AdapterTrainConfig, StreamConfig, train_texts
from targets import Weights

TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
QUICK = ("sst2", "stsb", "rte")
PAPER_EPOCHS = 20
TRAINED = ("FLAME-F, one epoch", "one LoRA for all tasks", "LoRA", "Finetune")
BATCH = 16
Split = tuple[TextRows, TextRows]
Outputs = tuple[Tensor, float]
"""Outputs for the test rows, seconds to the model."""


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
    loading: float = 0.0
    """Seconds to load the generator, which its tasks share."""
    shared: Trained | None = None
    """One LoRA for all tasks, once it is trained."""

    def methods(self) -> dict[str, Callable[[str], Outputs]]:
        """By the names that the table shows."""
        return {
            "majority class, mean": self.frequent,
            "base model, head solved on the rows": self.solved,
            "FLAME": lambda name: self.written(name, self.tasks[name].descriptions[0]),
            "FLAME, another wording": lambda name: self.written(name, self.tasks[name].descriptions[1]),
            "FLAME, shuffled descriptions": lambda name: self.written(name, self.wrong(name)),
            "FLAME, nearest other task's adapter": self.borrowed,
            "FLAME-F, one epoch": self.tuned,
            "one LoRA for all tasks": self.together,
            "LoRA": partial(self.alone, "LoRA"),
            "Finetune": partial(self.alone, "finetune"),
        }

    def frequent(self, name: str) -> Outputs:
        """What the training rows say most often."""
        rows, test = self.splits[name]
        if self.tasks[name].regression:
            return rows.y.mean().expand(len(test), 1), 0.0
        share = torch.nn.functional.one_hot(rows.y, len(self.tasks[name].labels)).float().mean(0)
        return share.expand(len(test), -1), 0.0

    def solved(self, name: str) -> Outputs:
        """The closed-form head on features of the base model as it is."""
        task, (rows, test), kit = self.tasks[name], self.splits[name], self.kit
        started = time.perf_counter()
        support = kit.features(rows)
        seconds = time.perf_counter() - started
        labels = None if task.regression else kit.labels(task)
        z = kit.untrained.latent(kit.encoder.embed([task.descriptions[0]]))
        features = kit.features(test, keep=(name, "base"))
        return from_rows(kit.untrained, z, labels, support, rows.y, features, regression=task.regression), seconds

    def written(self, name: str, description: str) -> Outputs:
        """Adapter and head of a task from a description."""
        started = time.perf_counter()
        weights = self.write(name, description)
        seconds = time.perf_counter() - started
        return self.outputs(weights, self.splits[name][1]), seconds + self.loading / len(self.tasks)

    def write(self, name: str, description: str, adapter: str | None = None) -> Weights:
        """One pass; `adapter`: the description that the adapter is written from, if it is another one."""
        z = self.kit.latent(description)
        weight, bias = self.kit.generator.task_rows(name, z)
        made = self.kit.generator.adapters(z if adapter is None else self.kit.latent(adapter))
        return {**made, "classifier.weight": weight, "classifier.bias": bias}

    def outputs(self, weights: Weights, test: TextRows) -> Tensor:
        """Logits, or standardised numbers."""
        adapter = {n: value for n, value in weights.items() if not n.startswith("classifier.")}
        return self.kit.features(test, adapter) @ weights["classifier.weight"][0].mT + weights["classifier.bias"][0]

    def wrong(self, name: str) -> str:
        """The description of a task half a table away."""
        names = list(self.tasks)
        return self.tasks[names[(names.index(name) + len(names) // 2) % len(names)]].descriptions[0]

    def borrowed(self, name: str) -> Outputs:
        """The adapter of the other task whose description is most like this one, and the task's own head."""
        own = self.tasks[name].descriptions[0]
        near = nearest_description(self.kit, own, [t for n, t in self.tasks.items() if n != name])
        return self.outputs(self.write(name, own, adapter=near), self.splits[name][1]), 0.0

    def tuned(self, name: str) -> Outputs:
        """The written model, trained further."""
        task, (rows, test) = self.tasks[name], self.splits[name]
        start = self.write(name, task.descriptions[0])
        made = train(self.kit.encoder, [(task, rows)], way="LoRA", epochs=1.0, batch=BATCH, start=start)
        return made.predict(task, test), made.seconds + self.loading / len(self.tasks)

    def alone(self, way: str, name: str) -> Outputs:
        """Trained for this task."""
        task, (rows, test) = self.tasks[name], self.splits[name]
        made = train(self.kit.encoder, [(task, rows)], way=way, epochs=self.epochs, batch=BATCH)
        return made.predict(task, test), made.seconds

    def together(self, name: str) -> Outputs:
        """Trained for all tasks at once; the time is shared out."""
        if self.shared is None:
            of_all = [(task, self.splits[n][0]) for n, task in self.tasks.items()]
            self.shared = train(self.kit.encoder, of_all, way="LoRA", epochs=self.epochs, batch=BATCH)
        return self.shared.predict(self.tasks[name], self.splits[name][1]), self.shared.seconds / len(self.tasks)


def read(options: argparse.Namespace) -> tuple[dict[str, TextTask], dict[str, Split]]:
    """Tasks and their rows."""
    wanted = [f"glue_{n}" for n in (QUICK if options.quick else TASKS)]
    names = [n for n in wanted if n in text_task_names(folder=options.data)]
    tasks = {n: read_text_task(options.data, n) for n in names}
    limits = {"train": options.rows, "test": options.test_rows}
    splits = {}
    for n, task in tasks.items():
        rows, test = (read_text_rows(options.data, task, split, limit=limit) for split, limit in limits.items())
        splits[n] = (rows, test)
    return tasks, splits


def trained_kit(options: argparse.Namespace, work: Path, splits: dict[str, Split]) -> TextKit:
    """The generator with a head for every task; trained here if `work` has none."""
    place, n_rows = work / "generator", sum(len(rows) for rows, _ in splits.values())
    steps = max(1, round(options.epochs * n_rows / BATCH))
    stream = StreamConfig(rows=BATCH)
    config = AdapterTrainConfig(240.0, steps, learning_rate=options.learning_rate, tasks_a_step=1, stream=stream)
    if not (place / "config.json").is_file():
        train_texts(
            place, config, data=options.data, base=options.base, only=list(splits), heads=True, rows=options.rows,
            rank=options.rank, decoder=options.decoder, progress=sys.stderr.isatty(),
            command="python -m experiments.glue",
        )  # fmt: skip
    return load_kit(place, base=options.base, max_tokens=TRAINING_TOKENS, bf16=True)


def run(options: argparse.Namespace, work: Path) -> tuple[list[dict[str, Any]], dict[str, Split]]:
    """One record for each method and task; those that `work` holds are not measured again."""
    tasks, splits = read(options)
    kit = trained_kit(options, work, splits)
    started = time.perf_counter()
    loading = load_kit(work / "generator", base=options.base, max_tokens=TRAINING_TOKENS, bf16=True)
    loading.encoder.embed(["a warm start"])
    bench = Bench(kit, tasks, splits, options.epochs, time.perf_counter() - started)
    kept = work / "records.jsonl"
    lines = kept.read_text("utf8").splitlines() if kept.is_file() else []
    known = {(r["method"], r["task"]): r for r in map(json.loads, lines)}
    order = [(m, n) for m in bench.methods() for n in tasks]
    for method, n in order:
        if (method, n) in known or (options.methods and method not in options.methods):
            continue
        with torch.set_grad_enabled(method in TRAINED):
            outputs, seconds = bench.methods()[method](n)
        values = {k: round(v, 4) for k, v in scores(tasks[n], outputs.detach(), splits[n][1].y).items()}
        known[method, n] = {"method": method, "task": n, "scores": values, "seconds": round(seconds, 4)}
        with kept.open("a", encoding="utf8") as file:
            file.write(json.dumps(known[method, n]) + "\n")
        print(known[method, n], file=sys.stderr, flush=True)
    return [known[key] for key in order if key in known], splits


def report(
    records: Sequence[dict[str, Any]], splits: dict[str, Split], options: argparse.Namespace, minutes: float
) -> str:
    """One row a method; a task with two measures shows both."""
    names = list(dict.fromkeys(r["task"] for r in records))
    columns = [*(n.removeprefix("glue_") for n in names), "mean", "seconds", f"seconds at {PAPER_EPOCHS} epochs"]
    grouped = {m: [r for r in records if r["method"] == m] for m in dict.fromkeys(r["method"] for r in records)}
    grouped = {m: rows for m, rows in grouped.items() if len(rows) == len(names)}
    spent = {m: sum(r["seconds"] for r in rows) for m, rows in grouped.items()}
    full = {m: s * PAPER_EPOCHS / options.epochs if m in TRAINED[1:] else s for m, s in spent.items()}
    lines = [
        "| " + " | ".join(["", *columns, "relative efficiency"]) + " |",
        "|---" * (len(columns) + 2) + "|",
    ]
    for method, rows in grouped.items():
        values = [[100 * v for v in r["scores"].values()] for r in rows]
        cells = [" / ".join(f"{v:.1f}" for v in cell) for cell in values]
        mean = float(np.mean([np.mean(cell) for cell in values]))
        relative = f"{full['Finetune'] / full[method]:.1f}" if full[method] and "Finetune" in full else "-"
        times = [f"{spent[method]:.2f}", f"{full[method]:.1f}", relative]
        lines.append("| " + " | ".join([method, *cells, f"{mean:.1f}", *times]) + " |")
    sizes = ", ".join(f"{n.removeprefix('glue_')} {len(a)}/{len(b)}" for n, (a, b) in splits.items())
    how = (
        f"GLUE's measures in % (CoLA: Matthews; MRPC, QQP: F1 / accuracy; STS-B: Pearson / Spearman; else accuracy). "
        f"Training/test rows: {sizes}, texts cut at {TRAINING_TOKENS} tokens, {options.epochs:g} epochs of batches of "
        f"{BATCH} for every method that is trained, one seed. FLAME's generator (`{options.decoder}`): the same "
        f"epochs over all tasks together, {minutes:.0f} minutes once. `seconds` for all tasks, loading the generator "
        f"included, on one core of {processor()}; scaled to the paper's {PAPER_EPOCHS} epochs for what is trained; "
        f"relative efficiency: Finetune's at {PAPER_EPOCHS} epochs over a method's."
    )
    return "\n\n".join([how, "\n".join(lines)]) + "\n"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds text/<task>")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--decoder", choices=["shared", "per_tensor"], default="per_tensor")
    parser.add_argument("--learning-rate", type=float, default=4e-4, help="of the generator; see text_tried.md")
    parser.add_argument("--rows", type=int, default=800, help="training rows of a task")
    parser.add_argument("--test-rows", type=int, default=500)
    parser.add_argument("--epochs", type=float, default=5.0, help="of every method that is trained")
    parser.add_argument("--methods", nargs="*", help="these methods alone")
    parser.add_argument("--work", type=Path, help="folder of the generator and the records; temporary if not given")
    parser.add_argument("--quick", action="store_true", help="three tasks, 40 rows, half an epoch")
    parser.add_argument("--output", type=Path, help="stem of the .md and .json to write")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.test_rows, options.epochs = min(40, options.rows), min(40, options.test_rows), 0.5
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results if asked to."""
    options = arguments(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        records, splits = run(options, work)
        story = json.loads((work / "generator" / "config.json").read_text("utf8"))["provenance"]["runs"][-1]
    text = report(records, splits, options, story["minutes"])
    print(text)
    if options.output is not None:
        write_results(options.output, text, {"rows": options.rows, "epochs": options.epochs, "records": records})


if __name__ == "__main__":
    main()
