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
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.report import processor
from experiments.text_kit import TextKit, from_rows, from_words, load_kit
from flame.text_tasks import TextRows, TextTask, read_text_rows, read_text_task, text_task_names

CHECKPOINT = Path(__file__).parents[1] / "flame" / "checkpoints" / "texts-minilm"
QUICK = {"fdumtl_books", "banking77", "ag_news_7600", "superglue_cb"}
Scores = dict[str, float]


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


def measure(
    kit: TextKit, task: TextTask, options: argparse.Namespace, seed: int, wrong: str, nearest: str
) -> Iterator[tuple[str, str, float]]:
    """(setting, method, accuracy) of one task and seed; `wrong` is the description of a task of another family."""
    test = read_text_rows(options.data, task, "test", limit=options.rows)
    train = read_text_rows(options.data, task, "train")
    support = draws(train, options.shots, seed)
    labels, y, k = kit.labels(task), test.y, len(task.labels)
    few = f"{options.shots} labelled texts"
    base = kit.features(test, keep=(task.name, "test"))
    base_support = kit.features(support)
    right = kit.latent(task.descriptions[seed % len(task.descriptions)])
    frequent = torch.nn.functional.one_hot(train.y, k).float().mean(0)
    yield "words", "majority class", accuracy(frequent.expand(len(y), -1), y)
    yield "words", "label-name similarity, base model", accuracy(from_words(kit.untrained, right, labels, base), y)
    yield "words", "FLAME, classifier rows alone", accuracy(from_words(kit.generator, right, labels, base), y)
    yield few, "logistic regression, base model", accuracy(logistic_regression(base_support, support.y, base, k), y)
    for name, generator, rows in (
        ("closed-form head, base model, no label names", kit.untrained, None),
        ("closed-form head, base model, label names", kit.untrained, labels),
        ("FLAME, classifier rows alone", kit.generator, labels),
    ):
        yield few, name, accuracy(_pad(from_rows(generator, right, rows, base_support, support.y, base), k), y)
    for name, z in (
        ("FLAME", right),
        ("FLAME, shuffled descriptions", kit.latent(wrong)),
        ("FLAME, nearest seen task's adapter", kit.latent(nearest)),
    ):
        with torch.inference_mode():
            weights = kit.generator.adapters(z)
        features = kit.features(test, weights)
        yield "words", name, accuracy(from_words(kit.generator, z, labels, features), y)
        adapted = kit.features(support, weights)
        yield few, name, accuracy(from_rows(kit.generator, z, labels, adapted, support.y, features), y)


def _pad(logits: Tensor, k: int) -> Tensor:
    return torch.nn.functional.pad(logits, (0, k - logits.shape[1]), value=-1e9)


def run(kit: TextKit, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One record for each task, seed, setting and method."""
    names = text_task_names(options.role, folder=options.data)
    names = [n for n in names if (not options.quick or n in QUICK) and (not options.names or n in options.names)]
    tasks = [task for task in (read_text_task(options.data, n) for n in names) if not task.regression]
    seen = [read_text_task(options.data, n) for n in text_task_names("train", folder=options.data)]
    records = []
    for task in tasks:
        for seed in range(options.seeds):
            others = [t for t in tasks if t.kind != task.kind] or tasks
            other = others[seed % len(others)]
            own = task.descriptions[seed % len(task.descriptions)]
            wrong = other.descriptions[seed % len(other.descriptions)]
            nearest = nearest_description(kit, own, seen) if seen else own
            for setting, method, value in measure(kit, task, options, seed, wrong, nearest):
                records.append(
                    {"task": task.name, "kind": task.kind, "seed": seed, "setting": setting, "method": method}
                    | {"accuracy": round(value, 4)}
                )
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
    titles = {"words": "From a description and label names"}
    parts = [f"## {titles.get(s, f'With {s} a task')}\n\n{table(records, s)}" for s in settings]
    how = (
        f"Accuracy in %, up to {options.rows} test rows a task, {options.seeds} seeds (wording and labelled texts); "
        f"± is the standard deviation over seeds. {seconds:.0f} s on one core of {processor()}."
    )
    return "\n\n".join(["# Unseen text tasks", how, *parts]) + "\n"


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
        options.output.with_suffix(".md").write_text(text, "utf8")
        options.output.with_suffix(".json").write_text(
            json.dumps({**story, "records": records}, indent=0) + "\n", "utf8"
        )


if __name__ == "__main__":
    main()
