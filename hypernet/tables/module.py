"""The LightningModule that pre-trains the generator for any table on an endless stream of synthetic tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from hypernet.prior import PriorConfig, TableBatch, TablePrior
from hypernet.tables.generator import TableGenerator
from hypernet.tables.inputs import Task, to_task
from hypernet.tables.objective import query_loss
from hypernet.timed import TimedModule

PRETRAINING_PRIOR = PriorConfig(
    rows=(30, 6000),
    columns=(2, 60),
    max_cells=40_000,
    p_regression=0.3,
    noise=1.4,
    irrelevant=(0.0, 0.6),
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
    temper: float = 0.25
    """What was learned is multiplied by this in the end: synthetic tables teach stronger opinions than real ones bear;
    chosen on the real tables of role `select`."""
    warm: float = 0.03
    """Part of the run in which the learning rate rises; then half a cosine."""
    prior: PriorConfig = field(default_factory=lambda: PRETRAINING_PRIOR)


class TableModule(TimedModule):
    """Minimises the loss of query rows under the networks that the generator writes."""

    generator: TableGenerator
    config: PretrainConfig

    def __init__(self, generator: TableGenerator, config: PretrainConfig, validation: Sequence[Task]) -> None:
        super().__init__(generator, config)
        self._validation = list(validation)

    @property
    def n_tables(self) -> int:
        """Synthetic tables that were read."""
        return self.n_batches * self.config.n_tasks

    def train_dataloader(self) -> DataLoader[TableBatch]:
        prior = TablePrior(
            self.config.prior, seed=self.config.seed, n_tasks=self.config.n_tasks, device=self.device.type
        )
        prior.step = self.n_batches
        return DataLoader(prior, batch_size=None)

    def val_dataloader(self) -> DataLoader[Task]:
        return DataLoader(self._validation, batch_size=None, collate_fn=_same)  # type: ignore[arg-type]

    def training_step(self, batch: TableBatch, batch_index: int) -> Tensor | None:
        # Every draw depends on seed and step alone.
        draws = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.n_batches)
        losses = query_loss(self.generator, to_task(batch, draws), draws)
        if not losses.isfinite().all():
            return None
        loss = losses.mean()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    def validation_step(self, task: Task, batch_index: int) -> None:
        loss = query_loss(self.generator, task, torch.Generator(self.device).manual_seed(batch_index)).mean()
        self.log(f"validation/{kind_of(task)}", loss, on_epoch=True, prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            self.generator.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )


def validation_tasks(prior: PriorConfig, n: int, *, seed: int = 999_983) -> list[Task]:
    """Held-out synthetic tables, one a batch, that no training seed below this one reads."""
    stream = TablePrior(prior, seed=seed, n_tasks=1)
    return [to_task(stream.batch(i), torch.Generator().manual_seed(i)) for i in range(n)]


def kind_of(task: Task) -> str:
    """`classification` or `regression`."""
    return "regression" if task.regression else "classification"


def _same(task: Task) -> Task:
    return task
