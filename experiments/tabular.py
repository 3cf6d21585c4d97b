"""Table 2 of the paper, measured again: LoRA, Finetune, FLAME and FLAME-F on ten UCI tables, beside honest controls.

    python -m experiments.tabular                 # three seeds; needs the tables: `flame data fetch all`, or --data DIR
    python -m experiments.tabular --table9        # table 9: 1, 2, 5, 10, 20, 40 requirements per task
    python -m experiments.tabular --quick         # three tables of scikit-learn, one seed, under two minutes

Every row is measured in one process on the same split, with one thread. Seconds are end to end for all tables: from
raw rows and an empty memory (FLAME loads its checkpoint) to test accuracies. A seed sets the initialisation of every
method and the generator's whole pre-training; the split is fixed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from experiments.report import Row, markdown, processor
from flame.data import DataBatch, read_data
from flame.metadata import Metadata
from flame.requirement import OfflineWriter, gather_facts
from flame.table.baseline import fit_module
from flame.table.preprocessing import TablePreprocessor
from flame.table.tables import TABLES, load_table, split_table
from flame.table.training import encode_rows, fit_generator, prepare_task, untrained_generator
from hypernet.config import ExperimentConfig, read_config
from hypernet.generator import ParameterGenerator
from requirements_prompts import held_out_descriptions
from targets import get_target

HERE = Path(__file__).parent
QUICK = ("iris", "wine", "breast_cancer")
EPOCHS = 20
"""Epochs of LoRA and Finetune (appendix A)."""


class Table:
    """One table's raw parts, as a user would have them."""

    def __init__(self, name: str, config: ExperimentConfig, data: str | None) -> None:
        info = TABLES[name]
        split = split_table(load_table(name, folder=data, paper_labels=config.paper_labels), info.target)
        self.name, self.target = name, info.target
        self.frames = (split.train, split.validation, split.test)
        self.task = prepare_task(name, config, data=data)
        self.labels = self.task.record.labels
        self.metadata: Metadata = self.task.record.metadata
        train = read_data(split.train, target=info.target)
        # What `generate_model` writes from descriptions that no training sentence was made of.
        facts = [gather_facts(description, train) for description in held_out_descriptions(name)]
        self.new_wordings = [OfflineWriter().write(replace(f, n_classes=len(self.labels)), train) for f in facts]
        nothing_said = replace(gather_facts(None, train), n_classes=len(self.labels))
        self.without_description = OfflineWriter().write(nothing_said, train)
        self.x_test, self.y_test = encode_rows(self.preprocessor, self.read(2), self.labels)

    @property
    def preprocessor(self) -> TablePreprocessor:
        return TablePreprocessor.from_json(self.task.record.preprocessing)

    def read(self, part: int) -> DataBatch:
        return read_data(self.frames[part], target=self.target)

    def accuracy(self, module: nn.Module) -> float:
        """Test accuracy on rows that are encoded already."""
        with torch.inference_mode():
            return float((module(self.x_test).argmax(-1) == self.y_test).float().mean())

    def score(self, module: nn.Module, preprocessor: TablePreprocessor) -> float:
        """Test accuracy from raw rows: what a user waits for once the model is there."""
        with torch.inference_mode():
            guess = module(torch.from_numpy(preprocessor.transform(self.frames[2]))).argmax(-1)
        return float((guess == self.y_test).float().mean())


def trained(table: Table, start: Callable[[], nn.Module], *, epochs: int, learning_rate: float, seed: int) -> float:
    """Ordinary training from raw rows: read, fit the preprocessing, encode, train; the accuracy on raw test rows."""
    train, validation = table.read(0), table.read(1)
    preprocessor = TablePreprocessor.fit(train)
    x, y = encode_rows(preprocessor, train, table.labels)
    held_out = encode_rows(preprocessor, validation, table.labels)
    torch.manual_seed(seed)
    fitted = fit_module(start(), x, y, validation=held_out, epochs=epochs, learning_rate=learning_rate, seed=seed)
    return table.score(fitted, preprocessor)


def with_lora(metadata: Metadata) -> nn.Module:
    """A frozen, randomly initialised MLP with PEFT's adapters on every layer (appendix A: r 4, alpha 8, dropout .1)."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.1, target_modules=r"input|inner\.\d+|output")
    model = inject_adapter_in_model(config, get_target(metadata.arch).build(metadata))
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name)
    return model


def generated(generator: ParameterGenerator, table: Table, requirement: str) -> nn.Module:
    """One forward pass: the model of a table from one sentence."""
    target = get_target(table.metadata.arch)
    return target.merge(target.build(table.metadata), generator.generate(requirement, table.name)).eval()


def run_seed(tables: Sequence[Table], config: ExperimentConfig, seed: int, work: Path) -> tuple[list[Row], float]:
    """All methods with one seed; returns their rows and the seconds of pre-training."""
    import peft  # noqa: F401  (imported before the clock runs, as everything else is)
    import sklearn.linear_model  # noqa: F401

    config = replace(config, train=replace(config.train, seed=seed))
    started = time.perf_counter()
    generator = fit_generator([t.task for t in tables], config, work=work / f"seed-{seed}-{len(tables)}")
    pretraining = time.perf_counter() - started
    folder = work / f"checkpoint-{seed}"
    generator.save_pretrained(folder)
    torch.manual_seed(seed)
    untrained = untrained_generator([t.task.record for t in tables], config.generator)
    first = [t.task.record.requirements[0] for t in tables]

    def build(metadata: Metadata) -> nn.Module:
        return get_target(metadata.arch).build(metadata)

    def ordinary(learning_rate: float, start: Callable[[Metadata], nn.Module], epochs: int = EPOCHS) -> list[float]:
        return [
            trained(t, lambda t=t: start(t.metadata), epochs=epochs, learning_rate=learning_rate, seed=seed)  # type: ignore[misc]
            for t in tables
        ]

    def one_pass() -> list[float]:
        fresh = ParameterGenerator.from_pretrained(str(folder))
        return [t.score(generated(fresh, t, s), t.preprocessor) for t, s in zip(tables, first, strict=True)]

    def one_epoch_more() -> list[float]:
        fresh = ParameterGenerator.from_pretrained(str(folder))
        return [
            trained(t, lambda t=t, s=s: generated(fresh, t, s), epochs=1, learning_rate=2e-3, seed=seed)  # type: ignore[misc]
            for t, s in zip(tables, first, strict=True)
        ]

    def by_sentences(model: ParameterGenerator, sentences: Callable[[int], Sequence[str]]) -> list[float]:
        return [
            float(np.mean([t.accuracy(generated(model, t, s)) for s in sentences(i)])) for i, t in enumerate(tables)
        ]

    others = {i: [first[j] for j in range(len(tables)) if j != i] for i in range(len(tables))}
    rows = [
        _timed("Majority class", 0, lambda: [_majority(t) for t in tables], timed=False),
        _timed("Logistic regression", None, lambda: [_logistic(t) for t in tables]),
        _timed("LoRA", EPOCHS, lambda: ordinary(2e-2, with_lora)),
        _timed("Finetune", EPOCHS, lambda: ordinary(2e-2, build)),
        _timed("Finetune, rate 2e-3", EPOCHS, lambda: ordinary(2e-3, build)),
        _timed("FLAME", 0, one_pass),
        _timed("FLAME-F", 1, one_epoch_more),
        _timed(
            "FLAME, any stored sentence",
            0,
            lambda: by_sentences(generator, lambda i: tables[i].task.record.requirements),
            timed=False,
        ),
        _timed(
            "FLAME, unseen wording", 0, lambda: by_sentences(generator, lambda i: tables[i].new_wordings), timed=False
        ),
        _timed(
            "FLAME, no description",
            0,
            lambda: by_sentences(generator, lambda i: [tables[i].without_description]),
            timed=False,
        ),
        _timed("control: another task's sentence", 0, lambda: by_sentences(generator, others.__getitem__), timed=False),
        _timed(
            "control: untrained generator", 0, lambda: by_sentences(untrained, lambda i: first[i : i + 1]), timed=False
        ),
    ]
    return rows, pretraining


def table9(
    tables_of: Callable[[ExperimentConfig], list[Table]], config: ExperimentConfig, seeds: Sequence[int], work: Path
) -> list[list[Row]]:
    """Vary the number of requirements per task; scored with stored sentences and with wordings never seen."""
    results = []
    for seed in seeds:
        rows = []
        for n in (1, 2, 5, 10, 20, 40):
            settings = replace(config, train=replace(config.train, seed=seed, n_requirements=n))
            tables = tables_of(settings)
            generator = fit_generator([t.task for t in tables], settings, work=work / f"table9-{n}-{seed}")
            for label, sentences in (
                (f"{n}, stored", lambda t: t.task.record.requirements),
                (f"{n}, unseen wording", lambda t: t.new_wordings),
            ):
                accuracies = [
                    float(np.mean([t.accuracy(generated(generator, t, s)) for s in sentences(t)])) for t in tables
                ]
                rows.append(Row(label, None, accuracies, None))
            print(f"seed {seed}, {n} requirement(s) done", flush=True)
        results.append(rows)
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print Markdown, and keep the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=str(HERE / "configs" / "tabular.yaml"))
    parser.add_argument("--data", help="folder with the tables' files; the cache of `flame data fetch` if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="three tables, one seed, few epochs")
    parser.add_argument("--table9", action="store_true", help="vary the number of requirements instead")
    parser.add_argument("--work", type=Path, help="folder for pre-training runs; kept and resumed if given")
    parser.add_argument("--output", type=Path, help="write <output>.json and <output>.md")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = read_config(options.config)
    if options.quick:
        config = replace(config, tables=QUICK, train=replace(config.train, epochs=12, pairs_per_step=8))
        options.seeds = options.seeds[:1]
    load: Callable[[ExperimentConfig], list[Table]] = lambda c: [Table(n, c, options.data) for n in c.tables]  # noqa: E731
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        pretraining: list[float] = []
        if options.table9:
            runs = table9(load, config, options.seeds, work)
        else:
            tables, runs = load(config), []
            for seed in options.seeds:
                rows, seconds = run_seed(tables, config, seed, work)
                runs.append(rows)
                pretraining.append(seconds)
                print(f"seed {seed} done; pre-training took {seconds:.0f} s", flush=True)
    titles = [TABLES[n].title for n in config.tables]
    text = markdown(runs, titles)
    hardware = f"one thread of {processor()}, torch {torch.__version__}, {len(options.seeds)} seed(s)"
    print(f"\n{text}\n\n{hardware}")
    if pretraining:
        print(f"pre-training of the generator, once for all tables: {np.mean(pretraining):.0f} s")
    if options.output:
        story: dict[str, Any] = {
            "hardware": hardware,
            "pretraining_seconds": [round(s, 1) for s in pretraining],
            "tables": list(config.tables),
            "seeds": options.seeds,
            "runs": [[row.to_json() for row in rows] for rows in runs],
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
        options.output.with_suffix(".md").write_text(f"{text}\n\n{hardware}\n", "utf8")


def _timed(name: str, epochs: int | None, run: Callable[[], list[float]], *, timed: bool = True) -> Row:
    started = time.perf_counter()
    accuracies = run()
    return Row(name, epochs, accuracies, time.perf_counter() - started if timed else None)


def _majority(table: Table) -> float:
    return float((table.y_test == table.task.y_train.mode().values).float().mean())


def _logistic(table: Table) -> float:
    from sklearn.linear_model import LogisticRegression

    train, test = table.read(0), table.read(2)
    preprocessor = TablePreprocessor.fit(train)
    x, y = (t.numpy() for t in encode_rows(preprocessor, train, table.labels))
    model = LogisticRegression(max_iter=1000).fit(x, y)
    x_test, y_test = (t.numpy() for t in encode_rows(preprocessor, test, table.labels))
    return float(model.score(x_test, y_test))


if __name__ == "__main__":
    main()
