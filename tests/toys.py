"""Toy tasks and a toy configuration, also for the scripts that tests start and kill."""

from __future__ import annotations

from typing import Any

import torch

from flame.metadata import Metadata
from hypernet.config import ExperimentConfig, TrainConfig
from hypernet.encoder import EncoderConfig
from hypernet.generator import GeneratorConfig
from hypernet.tasks import TaskData, TaskRecord

ENCODER = EncoderConfig(d_model=16, n_layers=1, n_heads=2)
GENERATOR = GeneratorConfig(arch="mlp_small", d_latent=8, encoder=ENCODER)
SENTENCES = {
    "small": (
        "Tell hot from cold by four readings.",
        "Two classes of weather, four columns.",
        "Is it hot or is it cold?",
    ),
    "wide": (
        "Which of three engines runs, seen from six sensors?",
        "Name the engine that runs.",
        "Three engines, six dials.",
    ),
}


def toy_task(name: str, d_in: int, n_classes: int, *, n_rows: int = 200, upweight: int = 1, seed: int = 0) -> TaskData:
    """The class is the largest of the first columns, so a linear model is enough."""
    x = torch.randn(n_rows, d_in, generator=torch.Generator().manual_seed(seed))
    y = x[:, :n_classes].argmax(1)
    labels = tuple(f"class {i}" for i in range(n_classes))
    metadata = Metadata(task="tabular_cls", out_dim=n_classes, in_dim=d_in, arch="mlp_small")
    record = TaskRecord(name, metadata, labels, SENTENCES[name], preprocessing={}, title=f"The {name} toy", target="y")
    n_train = n_rows * 4 // 5
    return TaskData(record, x[:n_train], y[:n_train], x[n_train:], y[n_train:], upweight=upweight)


def toy_tasks() -> list[TaskData]:
    return [toy_task("small", 4, 2, seed=1), toy_task("wide", 6, 3, seed=2, n_rows=230, upweight=2)]


def toy_config(*, generator: GeneratorConfig = GENERATOR, **train: Any) -> ExperimentConfig:
    values = {
        "epochs": 6,
        "batch_size": 32,
        "pairs_per_step": 4,
        "learning_rate": 1e-2,
        "n_requirements": 3,
        "contrast": 0.1,
        **train,
    }
    return ExperimentConfig("toy", tables=("small", "wide"), generator=generator, train=TrainConfig(**values))
