"""Requirement-data pairs: the Cartesian product of a requirement set and a task's batches (appendix E).

Shape letters: p = pairs of a step, n = rows of a pair, d_in = widest input of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hypernet.config import TrainConfig
from hypernet.tasks import TaskData

IGNORE = -100
"""Label of a padded row: it counts in no loss and no score."""


@dataclass(frozen=True)
class Pair:
    """One requirement and one batch of rows of the same task."""

    task: int
    requirement: int
    rows: Tensor


class PairDataset(Dataset[Pair]):
    """All pairs of one epoch, in an order that seed and epoch alone decide, so that a resumed run repeats it."""

    def __init__(self, tasks: Sequence[TaskData], *, batch_size: int, seed: int, epoch: int) -> None:
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        pairs = []
        for index, task in enumerate(tasks):
            for _ in range(task.upweight):
                order = torch.randperm(len(task.x_train), generator=generator)
                for rows in order.split(batch_size):
                    which = int(torch.randint(len(task.record.requirements), (), generator=generator))
                    pairs.append(Pair(index, which, rows))
        self.pairs = [pairs[i] for i in torch.randperm(len(pairs), generator=generator).tolist()]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        return self.pairs[index]


class PairCollator:
    """Joins pairs into tensors, zero-padded over rows and columns.

    Shape:
        -> task (p,), requirement (p,), x (p, n, d_in), y (p, n) with padded rows = -100
    """

    def __init__(self, tasks: Sequence[TaskData], *, part: str = "train") -> None:
        self.x = [getattr(t, f"x_{part}") for t in tasks]
        self.y = [getattr(t, f"y_{part}") for t in tasks]

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, Tensor]:
        n = max(len(p.rows) for p in pairs)
        x = torch.zeros(len(pairs), n, max(self.x[p.task].shape[1] for p in pairs))
        y = torch.full((len(pairs), n), IGNORE, dtype=torch.long)
        for i, pair in enumerate(pairs):
            rows = self.x[pair.task][pair.rows]
            x[i, : rows.shape[0], : rows.shape[1]] = rows
            y[i, : rows.shape[0]] = self.y[pair.task][pair.rows]
        return {
            "task": torch.tensor([p.task for p in pairs]),
            "requirement": torch.tensor([p.requirement for p in pairs]),
            "x": x,
            "y": y,
        }


class PairDataModule(lightning.LightningDataModule):
    """Pairs for training, every task with every requirement for validation."""

    def __init__(self, tasks: Sequence[TaskData], config: TrainConfig) -> None:
        super().__init__()
        self.tasks = list(tasks)
        self.config = config

    def train_dataloader(self) -> DataLoader[Any]:
        # Called anew for every epoch (reload_dataloaders_every_n_epochs=1), so resuming needs no sampler state.
        epoch = self.trainer.current_epoch if self.trainer else 0
        dataset = PairDataset(self.tasks, batch_size=self.config.batch_size, seed=self.config.seed, epoch=epoch)
        return DataLoader(dataset, batch_size=self.config.pairs_per_step, collate_fn=PairCollator(self.tasks))

    def val_dataloader(self) -> DataLoader[Any]:
        pairs = [
            Pair(index, which, torch.arange(min(len(task.x_validation), self.config.validation_rows)))
            for index, task in enumerate(self.tasks)
            for which in range(len(task.record.requirements))
        ]
        # One task at a time: rows are many here, and padding tables of 100 columns and 7,000 rows costs memory.
        return DataLoader(pairs, batch_size=1, collate_fn=PairCollator(self.tasks, part="validation"))  # type: ignore[arg-type]
