"""Table 5 of the paper: natural language inference, trained on some sets and read on sets that were never seen.

    python -m experiments.nli --data DATA                     # 200 updates a method, three seeds
    python -m experiments.nli --data DATA --quick             # few rows, one seed
    python -m experiments.nli --data DATA --work generators/  # keep the trained generators, or go on with them

Trained on: SNLI, its relatives with two answers (RTE, QNLI, WNLI), and ANLI R1 to R3 where the data folder holds them
as `text/anli_r1` to `text/anli_r3`. Zero-shot: CB, and MNLI matched and mismatched, from description and label names.
The generator is trained on these sets only, with a head for each, in as many batches of as many rows as one LoRA with a
head for each set, which is the paper's Zero-Shot: on an unseen set both answer with the head of a set that has the same
three answers. A seed covers training, the wording of the descriptions, and which foreign description a control reads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.report import Row, markdown, processor, write_results
from experiments.text_baselines import BATCH, Trained, train
from experiments.text_kit import TextKit, from_rows, from_words, load_kit
from experiments.text_zero_shot import SHARED, accuracy, nearest_description
from flame.text.base import TRAINING_TOKENS
from flame.text.tasks import TextRows, TextTask, read_text_rows, read_text_task, text_task_names
from flame.text.training import AdapterTrainConfig, StreamConfig, train_texts

SEEN = ("snli", "glue_rte", "glue_qnli", "glue_wnli", "anli_r1", "anli_r2", "anli_r3")
UNSEEN = ("superglue_cb", "glue_mnli", "glue_mnli mismatched")
FEW = 500
"""Training rows of a set that a closed-form head is solved on."""


@dataclass(frozen=True)
class Sets:
    """The sets at hand."""

    tasks: dict[str, TextTask]
    train: dict[str, TextRows]
    """Of the sets that are trained on."""
    test: dict[str, TextRows]

    def head(self, name: str) -> str:
        """The trained set whose classifier answers for this one: its own, or the first with the same answers."""
        if name in self.train:
            return name
        return next(n for n in self.train if self.tasks[n].labels == self.tasks[name].labels)


def read(options: argparse.Namespace) -> Sets:
    """Tasks and rows; MNLI counts twice, by its two test files."""
    names = [n for n in (*SEEN, *UNSEEN[:2]) if n in text_task_names(folder=options.data)]
    tasks = {n: read_text_task(options.data, n) for n in names}
    mnli = tasks["glue_mnli"]
    if (options.data / "text" / "glue_mnli" / "test_mismatched.jsonl.gz").is_file():
        tasks[UNSEEN[2]] = replace(mnli, splits=(*mnli.splits[:2], "test_mismatched"))
    test = {n: read_text_rows(options.data, task, "test", limit=options.test_rows) for n, task in tasks.items()}
    seen = [n for n in names if n in SEEN]
    return Sets(tasks, {n: read_text_rows(options.data, tasks[n], "train", limit=options.rows) for n in seen}, test)


@dataclass(frozen=True)
class Bench:
    """One seed: a generator and an adapter that were trained on the same sets."""

    kit: TextKit
    sets: Sets
    lora: Trained
    seed: int

    def measure(self) -> Iterator[tuple[str, str, float]]:
        """(method, set, accuracy) of every method on every set."""
        told = torch.cat([self.kit.latent(d) for n in self.sets.train for d in self.sets.tasks[n].descriptions])
        for name in self.sets.tasks:
            for method, outputs in self._outputs(name, told.mean(0, keepdim=True)):
                yield method, name, accuracy(outputs, self.sets.test[name].y)

    def _outputs(self, name: str, shared: Tensor) -> Iterator[tuple[str, Tensor]]:
        sets, kit = self.sets, self.kit
        task, test, head = sets.tasks[name], sets.test[name], sets.head(name)
        features = kit.features(test, keep=(name, "base"))
        frequent = torch.nn.functional.one_hot(sets.train[head].y, len(task.labels)).float().mean(0)
        yield "Majority class", frequent.expand(len(test), -1)
        own, labels = kit.latent(self._description(name)), kit.labels(task)
        yield "Label-name similarity, base model", from_words(kit.untrained, own, labels, features)
        rows = sets.train[head].take(range(min(FEW, len(sets.train[head]))))
        solved = from_rows(kit.untrained, own, None, kit.features(rows, keep=(head, "rows")), rows.y, features)
        yield f"Closed-form head on {FEW} rows, base model", solved
        yield "One LoRA for all sets", self.lora.predict(sets.tasks[head], test)
        for method, z in {"FLAME": own, **self._controls(name), SHARED: shared}.items():
            weight, bias = kit.generator.task_rows(head, z)
            yield method, kit.features(test, kit.generator.adapters(z)) @ weight[0].mT + bias[0]

    def _description(self, name: str) -> str:
        told = self.sets.tasks[name].descriptions
        return told[self.seed % len(told)]

    def _controls(self, name: str) -> dict[str, Tensor]:
        """Latents of another set's sentence, and of the most similar sentence that was trained on."""
        others = [n for n in self.sets.tasks if self.sets.tasks[n].descriptions != self.sets.tasks[name].descriptions]
        wrong = others[(list(self.sets.tasks).index(name) + self.seed) % len(others)]
        seen = [self.sets.tasks[n] for n in self.sets.train if n != name]
        near = nearest_description(self.kit, self._description(name), seen)
        return {
            "FLAME, shuffled descriptions": self.kit.latent(self._description(wrong)),
            "FLAME, nearest other set's adapter": self.kit.latent(near),
        }


def trained(sets: Sets, options: argparse.Namespace, work: Path, seed: int) -> Bench:
    """A generator and a LoRA, each after the same number of batches."""
    config = AdapterTrainConfig(
        minutes=options.minutes,
        steps=options.updates,
        seed=seed,
        stream=StreamConfig(rows=options.batch, support=(4, options.batch // 2)),
    )
    place = work / f"nli-{seed}"
    if not (place / "config.json").is_file():
        train_texts(
            place, config, data=options.data, base=options.base, rank=options.rank, only=list(sets.train), heads=True,
            rows=options.rows, decoder=options.decoder, progress=sys.stderr.isatty(),
            command="python -m experiments.nli",
        )  # fmt: skip
    kit = load_kit(place, base=options.base, max_tokens=TRAINING_TOKENS, bf16=True)
    pairs = [(sets.tasks[n], rows) for n, rows in sets.train.items()]
    n_rows = sum(len(rows) for _, rows in pairs)
    epochs = options.updates * config.tasks_a_step * options.batch / n_rows
    with torch.inference_mode(False):
        return Bench(kit, sets, train(kit.encoder, pairs, way="LoRA", epochs=epochs, seed=seed), seed)


def run(options: argparse.Namespace, work: Path) -> tuple[Sets, list[dict[str, Any]]]:
    """One record for each seed, method and set."""
    sets, records = read(options), []
    for seed in range(options.seeds):
        bench = trained(sets, options, work, seed)
        print(f"seed {seed}: trained", file=sys.stderr, flush=True)
        with torch.inference_mode():
            for method, name, value in bench.measure():
                records.append({"method": method, "set": name, "seed": seed, "accuracy": round(value, 4)})
    return sets, records


def table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Accuracy on some of the sets, with the spread of their average over seeds."""
    methods = list(dict.fromkeys(r["method"] for r in records))
    seeds = sorted({r["seed"] for r in records})
    found = {(r["method"], r["set"], r["seed"]): r["accuracy"] for r in records}
    runs = [[Row(m, None, [found[m, n, seed] for n in names], None) for m in methods] for seed in seeds]
    return markdown(runs, [n.removeprefix("superglue_").removeprefix("glue_").replace("_", " ") for n in names])


def report(sets: Sets, records: Sequence[dict[str, Any]], options: argparse.Namespace, seconds: float) -> str:
    """Both tables, and how they were made."""
    unseen = [n for n in sets.tasks if n not in sets.train]
    sizes = ", ".join(f"{n} {len(rows):,}" for n, rows in sets.train.items())
    tests = ", ".join(f"{n} {len(rows):,}" for n, rows in sets.test.items())
    how = (
        f"Accuracy in %; {options.updates} updates of two batches of {options.batch} rows, {options.seeds} seed(s), ± "
        f"is the standard deviation over seeds. Training rows at hand: {sizes}; test rows: {tests}. {seconds:.0f} s on "
        f"one core of {processor()}."
    )
    parts = [how, "Never seen, from description and label names:", table(records, unseen)]
    return "\n\n".join([*parts, "Seen:", table(records, list(sets.train))]) + "\n"


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds text/<task>")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--decoder", choices=["shared", "per_tensor"], default="per_tensor")
    parser.add_argument("--rows", type=int, default=4000, help="training rows of a set")
    parser.add_argument("--test-rows", type=int, default=500, help="test rows of a set")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--batch", type=int, default=BATCH, help="rows of a batch; two batches an update")
    parser.add_argument("--minutes", type=float, default=60.0, help="most minutes of one generator's training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="40 rows, six updates, one seed")
    parser.add_argument("--work", type=Path, help="folder of the trained generators; a temporary one if not given")
    parser.add_argument("--output", type=Path, help="stem of the .md and .json to write")
    options = parser.parse_args(argv)
    if options.quick:
        options.rows, options.test_rows, options.updates, options.seeds = 40, 40, 6, 1
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the results if asked to."""
    options = arguments(argv)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        sets, records = run(options, options.work or Path(temporary))
    text = report(sets, records, options, time.perf_counter() - started)
    print(text)
    if options.output is not None:
        write_results(options.output, text, {"updates": options.updates, "rows": options.rows, "records": records})


if __name__ == "__main__":
    main()
