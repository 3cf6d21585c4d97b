"""Text tasks of families that were never trained: from a description and label names, and with sixteen labelled texts.

    python -m experiments.text_zero_shot --data DATA                      # reported tasks
    python -m experiments.text_zero_shot --data DATA --role select        # the tasks that may guide choices
    python -m experiments.text_zero_shot --data DATA --quick              # one task a family, few rows

Families: sentiment of eight sets of reviews whose product domains are held out in both collections, intents of an
online bank (banking77; the assistant that is trained on has no banking intents), news topics (AG News), inference (MNLI
matched, CB). Descriptions of held-out tasks are worded in ways that no training task is. A seed is another wording of
the description and another draw of labelled texts; test rows are the same for all methods.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.report import processor, write_results
from experiments.text_kit import TextKit, from_rows, from_words, load_kit
from flame.text.tasks import TextRows, TextTask, read_text_rows, read_text_task, text_task_names

CHECKPOINT = Path(__file__).parents[1] / "flame" / "checkpoints" / "texts-minilm"
QUICK = {"fdumtl_books", "banking77", "ag_news_7600", "superglue_cb"}
WORDS = "words"
SHARED = "FLAME, one adapter for all tasks"


def draws(rows: TextRows, shots: int, seed: int) -> TextRows:
    """Labelled examples as they come: rare classes may have none."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return rows.take(order[:shots].tolist())


def accuracy(logits: Tensor, y: Tensor) -> float:
    """Share of right answers."""
    return float((logits.argmax(1) == y).float().mean())


def logistic_regression(support: Tensor, y: Tensor, features: Tensor, k: int) -> Tensor:
    """scikit-learn's, untuned; one class alone is what it always says."""
    from sklearn.linear_model import LogisticRegression

    if len(y.unique()) == 1:
        return torch.nn.functional.one_hot(y[:1], k).float().expand(len(features), -1)
    model = LogisticRegression(max_iter=1000).fit(support.numpy(), y.numpy())
    logits = torch.full((len(features), k), -1e9)
    logits[:, model.classes_] = torch.from_numpy(model.predict_log_proba(features.numpy())).float()
    return logits


def nearest_description(kit: TextKit, description: str, seen: Sequence[TextTask]) -> str:
    """The description of a trained task that is most like this one."""
    known = [d for task in seen for d in task.descriptions]
    likeness = torch.nn.functional.cosine_similarity(kit.encoder.embed([description]), kit.encoder.embed(known))
    return known[int(likeness.argmax())]


@dataclass(frozen=True)
class Case:
    """One task with one draw of labelled texts and one wording of its description."""

    kit: TextKit
    task: TextTask
    test: TextRows
    train: TextRows
    support: TextRows
    right: Tensor
    """Latent of the task's own description."""
    others: dict[str, Tensor]
    """Latents of the controls, by their names."""

    def measure(self) -> Iterator[tuple[str, str, float]]:
        """(setting, method, accuracy) of every method."""
        yield from self._from_words()
        yield from self._from_rows()
        yield from self._adapted()

    @property
    def _few(self) -> str:
        return f"{len(self.support)} labelled texts"

    def _base(self) -> tuple[Tensor, Tensor]:
        """Features of the base model: test rows and labelled texts."""
        return self.kit.features(self.test, keep=(self.task.name, "base")), self.kit.features(self.support)

    def _from_words(self) -> Iterator[tuple[str, str, float]]:
        kit, y, labels = self.kit, self.test.y, self.kit.labels(self.task)
        features = kit.features(self.test, keep=(self.task.name, "base"))
        frequent = torch.nn.functional.one_hot(self.train.y, len(self.task.labels)).float().mean(0)
        yield WORDS, "majority class", accuracy(frequent.expand(len(y), -1), y)
        similar = from_words(kit.untrained, self.right, labels, features)
        yield WORDS, "label-name similarity, base model", accuracy(similar, y)
        yield WORDS, "FLAME without its adapter", accuracy(from_words(kit.generator, self.right, labels, features), y)

    def _from_rows(self) -> Iterator[tuple[str, str, float]]:
        kit, y, k = self.kit, self.test.y, len(self.task.labels)
        features, support = self._base()
        linear = logistic_regression(support, self.support.y, features, k)
        yield self._few, "logistic regression, base model", accuracy(linear, y)
        for name, generator, labels in (
            ("closed-form head, base model, no label names", kit.untrained, None),
            ("closed-form head, base model, label names", kit.untrained, kit.labels(self.task)),
            ("FLAME without its adapter", kit.generator, kit.labels(self.task)),
        ):
            solved = from_rows(generator, self.right, labels, support, self.support.y, features)
            yield self._few, name, accuracy(_pad(solved, k), y)

    def _adapted(self) -> Iterator[tuple[str, str, float]]:
        kit, y, labels = self.kit, self.test.y, self.kit.labels(self.task)
        for name, z in {"FLAME": self.right, **self.others}.items():
            weights = kit.generator.adapters(z)
            # Only the shared adapter is the same for every seed.
            features = kit.features(self.test, weights, keep=(self.task.name, SHARED) if name == SHARED else None)
            yield WORDS, name, accuracy(from_words(kit.generator, z, labels, features), y)
            solved = from_rows(kit.generator, z, labels, kit.features(self.support, weights), self.support.y, features)
            yield self._few, name, accuracy(solved, y)


def _pad(logits: Tensor, k: int) -> Tensor:
    return torch.nn.functional.pad(logits, (0, k - logits.shape[1]), value=-1e9)


def cases(kit: TextKit, options: argparse.Namespace) -> Iterator[tuple[int, Case]]:
    """Every task with every seed."""
    names = text_task_names(options.role, folder=options.data)
    names = [n for n in names if (not options.quick or n in QUICK) and (not options.names or n in options.names)]
    tasks = [task for task in (read_text_task(options.data, n) for n in names) if not task.regression]
    seen = [read_text_task(options.data, n) for n in text_task_names("train", folder=options.data)]
    told = [kit.latent(d) for task in seen for d in task.descriptions]
    shared = torch.stack(told).mean(0)
    for task in tasks:
        test = read_text_rows(options.data, task, "test", limit=options.rows)
        train = read_text_rows(options.data, task, "train")
        foreign = [t for t in tasks if t.kind != task.kind] or tasks
        for seed in range(options.seeds):
            own, wrong = (t.descriptions[seed % len(t.descriptions)] for t in (task, foreign[seed % len(foreign)]))
            others = {
                "FLAME, shuffled descriptions": kit.latent(wrong),
                "FLAME, nearest seen task's adapter": kit.latent(nearest_description(kit, own, seen)),
                SHARED: shared,
            }
            yield seed, Case(kit, task, test, train, draws(train, options.shots, seed), kit.latent(own), others)


@torch.inference_mode()
def run(kit: TextKit, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each task, seed, setting and method."""
    records = []
    for seed, case in cases(kit, options):
        about = {"task": case.task.name, "kind": case.task.kind, "seed": seed}
        print(f"{case.task.name}, seed {seed}", file=sys.stderr, flush=True)
        for setting, method, value in case.measure():
            records.append({**about, "setting": setting, "method": method, "accuracy": round(value, 4)})
    return records


def table(records: Sequence[dict[str, Any]], setting: str) -> str:
    """Mean accuracy by family, and over families with its spread over seeds."""
    chosen = [r for r in records if r["setting"] == setting]
    kinds = list(dict.fromkeys(r["kind"] for r in chosen))
    by: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for r in chosen:
        by[r["method"]][r["kind"]][r["seed"]].append(100 * r["accuracy"])
    lines = ["| " + " | ".join(["", *kinds, "mean of families"]) + " |", "|---" * (len(kinds) + 2) + "|"]
    for method, found in by.items():
        cells = {kind: [float(np.mean(v)) for v in seeds.values()] for kind, seeds in found.items()}
        total = np.array([cells[kind] for kind in kinds]).mean(0)
        shown = [f"{np.mean(cells[kind]):.1f}" for kind in kinds]
        lines.append("| " + " | ".join([method, *shown, f"{total.mean():.1f} ± {total.std():.1f}"]) + " |")
    return "\n".join(lines)


def report(records: Sequence[dict[str, Any]], options: argparse.Namespace, seconds: float) -> str:
    """The tables with a line on how they were made."""
    settings = list(dict.fromkeys(r["setting"] for r in records))
    titles = {WORDS: "From a description and label names"}
    parts = [f"{titles.get(s, f'With {s} a task')}:\n\n{table(records, s)}" for s in settings]
    how = (
        f"Accuracy in %, up to {options.rows} test rows a task, {options.seeds} seeds (wording and labelled texts); "
        f"± is the standard deviation over seeds. {seconds:.0f} s on one core of {processor()}."
    )
    return "\n\n".join([how, *parts]) + "\n"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds text/<task>")
    parser.add_argument("--generator", type=Path, default=CHECKPOINT)
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--role", default="held_out", choices=("held_out", "select"))
    parser.add_argument("--names", nargs="*", help="these tasks alone")
    parser.add_argument("--rows", type=int, default=300, help="test rows of a task")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one task a family, 40 rows, one seed")
    parser.add_argument("--output", type=Path, help="stem of the .md and .json to write")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.seeds = min(options.rows, 40), 1
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results if asked to."""
    options = arguments(argv)
    started = time.perf_counter()
    kit = load_kit(options.generator, base=options.base)
    records = run(kit, options)
    text = report(records, options, time.perf_counter() - started)
    print(text)
    if options.output is not None:
        story = {"generator": kit.generator.fingerprint, "rows": options.rows, "shots": options.shots}
        write_results(options.output, text, {**story, "records": records})


if __name__ == "__main__":
    main()
