"""The LightningModule that pre-trains the generator for any table on an endless stream of synthetic tables."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hypernet.prior import PriorConfig, TableBatch, TablePrior
from hypernet.tables.generator import TableGenerator
from hypernet.tables.inputs import Task, to_task
from hypernet.tables.objective import query_loss

PRETRAINING_PRIOR = PriorConfig(
    rows=(30, 3000),
    columns=(2, 60),
    max_cells=20_000,
    p_regression=0.3,
    noise=1.4,
    irrelevant=(0.0, 0.85),
    p_flipped=0.3,
    label_noise=0.35,
)
"""Small and noisy tables mostly, as users have; two CPU cores digest a dozen a second."""


@dataclass(frozen=True)
class PretrainConfig:
    """One run of pre-training; it ends with whichever of `minutes` and `steps` is over first."""

    minutes: float = 30.0
    steps: int | None = None
    """Batches of tables; the only way to stop that does not depend on the machine."""
    seed: int = 0
    """Another seed reads other tables: runs that continue each other want different ones."""
    n_tasks: int = 4
    """Tables a step, all of one shape."""
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warm: float = 0.03
    """Part of the run in which the learning rate rises; then half a cosine."""
    prior: PriorConfig = field(default_factory=lambda: PRETRAINING_PRIOR)


class TableModule(lightning.LightningModule):
    """Minimises the loss of query rows under the networks that the generator writes."""

    def __init__(self, generator: TableGenerator, config: PretrainConfig, validation: Sequence[Task]) -> None:
        super().__init__()
        self.generator = generator
        self.config = config
        self._validation = list(validation)
        self._elapsed = 0.0
        self._since = 0.0
        self._batches = 0
        self.n_skipped = 0
        """Steps without a finite loss or gradient."""

    @property
    def seconds(self) -> float:
        """Time spent in training, that of earlier starts of this run included."""
        return self._elapsed + (time.perf_counter() - self._since if self._since else 0.0)

    @property
    def n_tables(self) -> int:
        """Synthetic tables that were read."""
        return self._batches * self.config.n_tasks

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        by_steps = self._batches / self.config.steps if self.config.steps else 0.0
        return min(1.0, max(by_steps, self.seconds / 60 / self.config.minutes))

    def train_dataloader(self) -> DataLoader[TableBatch]:
        prior = TablePrior(
            self.config.prior, seed=self.config.seed, n_tasks=self.config.n_tasks, device=self.device.type
        )
        prior.step = self._batches
        return DataLoader(prior, batch_size=None)

    def val_dataloader(self) -> DataLoader[Task]:
        return DataLoader(self._validation, batch_size=None, collate_fn=_same)  # type: ignore[arg-type]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        tensors = {name: v.to(device) for name, v in vars(batch).items() if isinstance(v, Tensor)}
        return replace(batch, **tensors)

    def on_train_start(self) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(self, batch: TableBatch, batch_index: int) -> None:
        p, warm = self.progress, self.config.warm
        rate = p / warm if p < warm else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (p - warm) / (1 - warm)))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.learning_rate * max(rate, 1e-3)

    def training_step(self, batch: TableBatch, batch_index: int) -> Tensor | None:
        # Every draw depends on seed and step alone.
        draws = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self._batches)
        losses = query_loss(self.generator, to_task(batch, draws), draws)
        if not losses.isfinite().all():
            return None
        loss = losses.mean()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    def on_after_backward(self) -> None:
        gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
        if not all(bool(g.isfinite().all()) for g in gradients):
            self.n_skipped += 1
            for g in gradients:
                g.zero_()

    def on_train_batch_end(self, outputs: Any, batch: TableBatch, batch_index: int) -> None:
        self.n_skipped += outputs is None
        self._batches += 1
        self.trainer.should_stop = self.trainer.should_stop or self.progress >= 1

    def validation_step(self, task: Task, batch_index: int) -> None:
        loss = query_loss(self.generator, task, torch.Generator(self.device).manual_seed(batch_index)).mean()
        self.log(f"validation/{kind_of(task)}", loss, on_epoch=True, prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.generator.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = {"seconds": self.seconds, "batches": self._batches, "skipped": self.n_skipped}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        run = checkpoint["run"]
        self._elapsed, self._batches, self.n_skipped = run["seconds"], run["batches"], run["skipped"]


def validation_tasks(prior: PriorConfig, n: int, *, seed: int = 999_983) -> list[Task]:
    """Held-out synthetic tables, one a batch, that no training seed below this one reads."""
    stream = TablePrior(prior, seed=seed, n_tasks=1)
    return [to_task(stream.batch(i), torch.Generator().manual_seed(i)) for i in range(n)]


def kind_of(task: Task) -> str:
    """`classification` or `regression`."""
    return "regression" if task.regression else "classification"


def _same(task: Task) -> Task:
    return task
