"""Pre-train the generator for any table: synthetic tables in, a checkpoint folder out, a stated number of minutes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flame.files import atomic_folder, check_place, claim_work
from flame.timed_runs import fit_for_minutes, run_story
from hypernet.tables import TableGenerator
from hypernet.tables.checkpoint import load_table_generator, save_table_generator
from hypernet.tables.inputs import Task
from hypernet.tables.module import PretrainConfig, TableModule, validation_tasks
from hypernet.tables.objective import write_for

MARKER = "model.safetensors"
N_VALIDATION = 96
"""Synthetic tables that are held out."""
CHECK_EVERY = 400
"""Steps between looks at the held-out tables."""
LEAST_PROBABILITY = 1e-3
"""Probabilities are cut here before a logarithm, for every method alike: a forest says zero."""


def pretrain(
    output: str | Path,
    config: PretrainConfig | None = None,
    *,
    start: str | Path | None = None,
    work: str | Path | None = None,
    n_validation: int | None = None,
    precision: str = "32-true",
    progress: bool = True,
    command: str = "flame.table.pretraining.pretrain(...)",
) -> TableGenerator:
    """Train the generator on synthetic tables and write its folder; real tables are never read.

    Killed and called again with the same arguments, it goes on from the last minute. The new weights are written only
    if they have a smaller loss on held-out synthetic tables than those it started from.

    Args:
        output: folder of the checkpoint.
        start: folder of a checkpoint to continue from; None = from nothing.
        work: folder for the log and the resume file; `<output>.work` if not given.
        precision: `32-true`, or `bf16-mixed`: the learned layers in bfloat16, every solve in float32.

    Raises:
        ConfigError: if the work folder holds another run.
        CheckpointError: if `output` is taken or `start` is no such checkpoint.
    """
    config = config or PretrainConfig()
    output = check_place(output, marker=MARKER)
    work = Path(work) if work is not None else output.with_name(output.name + ".work")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = load_table_generator(start) if start is not None else TableGenerator()
    claim_work(work, {"config": asdict(config), "start": generator.fingerprint, "precision": precision})
    validation = validation_tasks(config.prior, n_validation or N_VALIDATION)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    earlier = scores_of(generator, validation)
    module = TableModule(generator.train(), config, validation)
    checks: dict[str, Any] = {"num_sanity_val_steps": 0, "val_check_interval": CHECK_EVERY}
    checks["check_val_every_n_epoch"] = None
    fit_for_minutes(module, work, progress=progress, precision=precision, **checks)
    generator.cpu().eval().shrinkage.temper(config.temper)
    later, kept = scores_of(generator, validation), False
    if config.minutes and _loss(later) > _loss(earlier):
        generator.load_state_dict(before)
        later, kept = earlier, True
    runs = [
        *generator.provenance.get("runs", []),
        {**run_story(module, command, kept=kept), "tables": module.n_tables, "seed": config.seed},
    ]
    provenance = {"runs": runs, "validation": {**reference_scores(validation), "this checkpoint": later}}
    with atomic_folder(output, marker=MARKER) as folder:
        save_table_generator(generator, folder, provenance=provenance)
    return load_table_generator(output)


def scores_of(generator: TableGenerator, tasks: Sequence[Task]) -> dict[str, float]:
    """Means over held-out synthetic tables, at full width; see `_mean`."""

    def predict(task: Task, seed: int) -> np.ndarray:
        s, written = task.n_support, write_for(generator, task, torch.Generator().manual_seed(seed))
        output = written(task.x[:, s:])[0]
        return (output if task.regression else output.softmax(-1)).numpy()

    with torch.inference_mode():
        return _mean(tasks, predict)


def reference_scores(tasks: Sequence[Task]) -> dict[str, dict[str, float]]:
    """The same means for methods fitted to each table, and for the generator without training."""
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, Ridge

    methods: dict[str, Callable[[bool], Any]] = {
        "linear": lambda reg: Ridge() if reg else LogisticRegression(max_iter=500),
        "random forest": lambda reg: (RandomForestRegressor if reg else RandomForestClassifier)(random_state=0),
        "gradient boosting": lambda reg: (
            HistGradientBoostingRegressor if reg else HistGradientBoostingClassifier
        )(random_state=0),
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scores = {"untrained": scores_of(TableGenerator().eval(), tasks)}
    for name, make in methods.items():
        scores[name] = _mean(tasks, partial(_fitted, make))
    return scores


def _fitted(make: Callable[[bool], Any], task: Task, seed: int) -> np.ndarray:
    model, s = make(task.regression), task.n_support
    x, y = task.x[0].numpy(), task.y[0].numpy()
    if task.regression:
        return model.fit(x[:s], y[:s, 0]).predict(x[s:])[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a line that has not converged is still a line to compare with
        return model.fit(x[:s], y[:s].argmax(1)).predict_proba(x[s:])


def _mean(tasks: Sequence[Task], predict: Callable[[Task, int], np.ndarray]) -> dict[str, float]:
    """Accuracy and log-loss over classification tables, R² over regression tables; every table counts the same."""
    found: dict[str, list[float]] = {"accuracy": [], "log_loss": [], "r2": []}
    for i, task in enumerate(tasks):
        output, y = predict(task, i), task.y[0, task.n_support :].numpy()
        if task.regression:
            found["r2"].append(1 - float(((output - y) ** 2).sum() / max(((y - y.mean()) ** 2).sum(), 1e-6)))
        else:
            found["accuracy"].append(float((output.argmax(1) == y.argmax(1)).mean()))
            told = np.clip((output * y).sum(1), LEAST_PROBABILITY, 1)
            found["log_loss"].append(float(-np.log(told).mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items() if values}


def _loss(scores: dict[str, float]) -> float:
    """Log-loss, and unexplained variance on about its scale."""
    return scores.get("log_loss", 0.0) + 1 - scores.get("r2", 1.0)
