"""Train a generator from a configuration file: tables and words in, a checkpoint folder out."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flame.data import DataBatch, read_data
from flame.errors import ConfigError, DataError, did_you_mean
from flame.files import atomic_folder, check_place, claim_work
from flame.metadata import Metadata
from flame.patterns import data_pattern
from flame.table.preprocessing import TablePreprocessor
from flame.table.tables import TABLES, TableInfo, load_table, split_table
from flame.timed_runs import quiet_lightning
from hypernet.config import ExperimentConfig, read_config
from hypernet.encoder import pretrained_tokenizer
from hypernet.generator import GeneratorConfig, ParameterGenerator, build_generator
from hypernet.tasks import TaskData, TaskRecord
from hypernet.tokenizer import train_tokenizer
from requirements_prompts import TaskFacts, requirement_set, table_descriptions
from targets import get_target

MARKER = "tasks.json"
"""A folder with this file is a checkpoint of ours and may be replaced; other programs write a config.json too."""


def train(
    config: str | Path | ExperimentConfig,
    output: str | Path,
    *,
    data: str | Path | None = None,
    work: str | Path | None = None,
    progress: bool = True,
    command: str = "flame.table.training.train(...)",
) -> ParameterGenerator:
    """Train the generator of a configuration and write its checkpoint folder.

    Killed at any moment and called again with the same arguments, it goes on from the last finished epoch and ends
    with the weights of an unbroken run.

    Args:
        output: folder of the checkpoint; replaced only when training is done.
        data: folder with the tables' files, if they are not in the cache (see `flame.table.tables.load_table`).
        work: folder for logs and resume files; `<output>.work` if not given.

    Raises:
        ConfigError: if the configuration is not valid.
        DataError: if a table is not there.
        CheckpointError: if `output` is taken by something else.
    """
    config = config if isinstance(config, ExperimentConfig) else read_config(config)
    output = check_place(output, marker=MARKER)
    work = Path(work) if work is not None else output.with_name(output.name + ".work")
    unknown = [name for name in (*config.tables, *config.upweight) if name not in TABLES]
    if unknown:
        raise ConfigError(f"tables: no table {unknown[0]!r}; known are {did_you_mean(unknown[0], TABLES)}")
    tasks = [prepare_task(name, config, data=data) for name in config.tables]
    generator = fit_generator(tasks, config, work=work, progress=progress)
    for name, record in generator.tasks.items():
        scores = {**record.scores, "test_accuracy": round(_test_accuracy(generator, record, config, data), 4)}
        generator.tasks[name] = replace(record, scores=scores)
    generator.provenance = {
        "name": config.name,
        "command": command,
        **generator.provenance,
        "hardware": f"{torch.get_num_threads()} threads, {platform.machine()}, torch {torch.__version__}",
        "training": asdict(config.train),
        "data": {t.record.name: {"licence": TABLES[t.record.name].licence, "n_train": len(t.x_train)} for t in tasks},
    }
    with atomic_folder(output, marker=MARKER) as folder:
        generator.save_pretrained(folder)
    return generator


def prepare_task(name: str, config: ExperimentConfig, *, data: str | Path | None = None) -> TaskData:
    """Load, split and encode one table; scales and categories come from its training rows alone."""
    info = TABLES[name]
    split = split_table(load_table(name, folder=data, paper_labels=config.paper_labels), info.target)
    train, validation = (read_data(f, target=info.target) for f in (split.train, split.validation))
    labels = tuple(str(v) for v in train.label_values)
    preprocessor = TablePreprocessor.fit(train)
    metadata = Metadata(
        task="tabular_cls",
        out_dim=len(labels),
        in_dim=len(train.columns),
        arch=config.generator.arch,  # type: ignore[arg-type]
        d_input=preprocessor.width,
    )
    record = TaskRecord(
        name=name,
        metadata=metadata,
        labels=labels,
        requirements=tuple(requirements_of(info, train, config.train.n_requirements, n_classes=len(labels))),
        preprocessing=preprocessor.to_json(),
        title=info.title,
        target=info.target,
    )
    x_train, y_train = encode_rows(preprocessor, train, labels)
    x_validation, y_validation = encode_rows(preprocessor, validation, labels)
    upweight = config.upweight.get(name, info.upweight)
    return TaskData(record, x_train, y_train, x_validation, y_validation, upweight=upweight)


def requirements_of(
    info: TableInfo, train: DataBatch, n: int, *, n_classes: int, descriptions: Sequence[str | None] | None = None
) -> list[str]:
    """The requirement set of a table: n different sentences of the offline writer (appendix E).

    One of the descriptions is none at all: users hand over rows without a word, and that sentence must be known too.
    """
    facts = [
        TaskFacts(
            task_type="tabular_cls",
            n_classes=n_classes,
            n_features=len(train.columns),
            description=description,
            columns=info.columns,
            target=info.target,
            pattern=data_pattern(train),
        )
        for description in (descriptions or [*table_descriptions(info.name), None])
    ]
    return requirement_set(facts, n)


def encode_rows(preprocessor: TablePreprocessor, batch: DataBatch, labels: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Inputs and class indices of labelled rows.

    Shape:
        -> x (n, d_input) float32, y (n,) int64

    Raises:
        DataError: if a row has none of `labels`.
    """
    given = [str(v) for v in batch.labels] if batch.labels is not None else []
    index = {label: i for i, label in enumerate(labels)}
    unknown = sorted(set(given) - set(index))
    if unknown:
        raise DataError(f"{batch.target!r} holds {unknown[:5]!r}; the labels of the training rows are {list(labels)!r}")
    y = np.array([index[v] for v in given], dtype=np.int64)
    return torch.from_numpy(preprocessor.transform(batch.features)), torch.from_numpy(y)


def untrained_generator(records: Sequence[TaskRecord], config: GeneratorConfig) -> ParameterGenerator:
    """A fresh generator with heads for `records`; its vocabulary is learnt from their requirement sentences."""
    if config.encoder.pretrained:
        tokenizer = pretrained_tokenizer(config.encoder.pretrained)
    else:
        words = [text for r in records for text in (*r.requirements, *r.labels, r.title)]
        tokenizer = train_tokenizer(words, config.encoder.vocab_size)
    generator = build_generator(config, tokenizer=tokenizer, tasks=records)
    generator.encoder.spread(*generator.tokenize([text for r in records for text in r.requirements]))
    return generator


def fit_generator(
    tasks: Sequence[TaskData], config: ExperimentConfig, *, work: Path, progress: bool = False
) -> ParameterGenerator:
    """Train on prepared tasks; returns the generator of the epoch with the best average validation loss.

    `work` holds the logs, the newest epoch (`last.ckpt`) and the best one (`best.ckpt`); an unfinished run in it is
    taken up again.
    """
    import lightning
    from lightning.pytorch.callbacks import ModelCheckpoint, Timer
    from lightning.pytorch.loggers import CSVLogger

    from hypernet.module import GeneratorModule, SiblingCheckpointIO
    from hypernet.pairs import PairDataModule

    if not tasks:
        raise ConfigError("a generator needs at least one task to train on; name some under 'tables:'")
    claim_work(work, asdict(config))
    quiet_lightning()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        generator = untrained_generator([t.record for t in tasks], config.generator)
        module = GeneratorModule(generator, config.train, n_rows={t.record.name: len(t.x_train) for t in tasks})
    options: dict[str, Any] = {"dirpath": work, "save_on_train_epoch_end": False, "enable_version_counter": False}
    timer = Timer()
    callbacks: list[Any] = [
        ModelCheckpoint(**options, filename="best", monitor="validation/loss"),
        ModelCheckpoint(**options, filename="last"),
        timer,
    ]
    data = PairDataModule(tasks, config.train)
    trainer = lightning.Trainer(
        accelerator="auto",
        max_epochs=config.train.epochs,
        precision=config.train.precision,  # type: ignore[arg-type]
        gradient_clip_val=config.train.gradient_clip,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        callbacks=callbacks,
        # A folder per start: Lightning deletes the log it finds, and with it the curve before a kill.
        logger=CSVLogger(work, name="", version=f"log-{len(list(work.glob('log-*'))) + 1}"),
        plugins=[SiblingCheckpointIO()],
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    last, best = work / "last.ckpt", work / "best.ckpt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few workers, short epochs: Lightning's advice does not fit tables
        trainer.fit(module, datamodule=data, ckpt_path=last if last.is_file() else None, weights_only=True)
        module.load_state_dict(torch.load(best, weights_only=True, map_location="cpu")["state_dict"])
        scores = trainer.validate(module, datamodule=data, verbose=False)[0]
    generator.tasks = {
        t.record.name: replace(t.record, scores={"validation_accuracy": round(scores[f"{t.record.name}/accuracy"], 4)})
        for t in tasks
    }
    generator.provenance["training_seconds"] = round(timer.time_elapsed("train") + timer.time_elapsed("validate"), 1)
    return generator.cpu().eval()


def _test_accuracy(
    generator: ParameterGenerator, record: TaskRecord, config: ExperimentConfig, data: str | Path | None
) -> float:
    """Accuracy on the test part, from the task's first sentence; looked at once, when training is over."""
    split = split_table(load_table(record.name, folder=data, paper_labels=config.paper_labels), record.target)
    rows = read_data(split.test, target=record.target)
    x, y = encode_rows(TablePreprocessor.from_json(record.preprocessing), rows, record.labels)
    target = get_target(record.metadata.arch)
    weights = generator.generate(record.requirements[0], record.name)
    model = target.merge(target.build(record.metadata), weights).eval()
    with torch.inference_mode():
        return float((model(x).argmax(-1) == y).float().mean())
