"""What runs of a stated number of minutes have in common: the clock, the learning rate, resuming, odd gradients."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, Protocol

import lightning
import torch
from torch import Tensor, nn


class TimedRun(Protocol):
    """A run ends with whichever of `minutes` and `steps` is over first."""

    @property
    def minutes(self) -> float: ...
    @property
    def steps(self) -> int | None:
        """The only way to stop that does not depend on the machine."""
        ...

    @property
    def learning_rate(self) -> float: ...
    @property
    def warm(self) -> float:
        """Part of the run in which the learning rate rises; then half a cosine."""
        ...


class TimedModule(lightning.LightningModule):
    """Trains `generator` on an endless stream until the run is over; a checkpoint knows how much of it is.

    A subclass gives `train_dataloader` (from batch `self.n_batches` on), `training_step` (None: the loss is not finite)
    and `configure_optimizers`, whose groups may hold a factor `faster` of the learning rate.
    """

    def __init__(self, generator: nn.Module, config: TimedRun, *, batches_per_step: int = 1) -> None:
        super().__init__()
        self.generator = generator
        self.config = config
        self.batches_per_step = batches_per_step
        self.n_batches = 0
        """Batches that were read, those of earlier starts of this run included."""
        self.n_skipped = 0
        """Batches without a finite loss or gradient."""
        self._elapsed = 0.0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """Time spent in training, that of earlier starts included."""
        return self._elapsed + (time.perf_counter() - self._since if self._since else 0.0)

    @property
    def n_steps(self) -> int:
        """Updates so far."""
        return self.n_batches // self.batches_per_step

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        by_steps = self.n_steps / self.config.steps if self.config.steps else 0.0
        return min(1.0, max(by_steps, self.seconds / 60 / self.config.minutes))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return replace(batch, **{name: _moved(value, device) for name, value in vars(batch).items()})

    def on_train_start(self) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        factor = self.config.learning_rate * timed_rate(self.progress, self.config.warm)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = factor * group.get("faster", 1.0)

    def on_after_backward(self) -> None:
        gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
        if not all(bool(g.isfinite().all()) for g in gradients):
            self.n_skipped += 1
            for g in gradients:
                g.zero_()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self.n_skipped += outputs is None
        self.n_batches += 1
        self.trainer.should_stop = self.trainer.should_stop or self.progress >= 1

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = {"seconds": self.seconds, "batches": self.n_batches, "skipped": self.n_skipped}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        run = checkpoint["run"]
        self._elapsed, self.n_batches, self.n_skipped = run["seconds"], run["batches"], run["skipped"]


def timed_rate(progress: float, warm: float) -> float:
    """Factor of the learning rate: up to 1 in the first `warm`, then half a cosine down to 0.02.

    >>> [round(timed_rate(p, 0.1), 2) for p in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.0, 0.5, 1.0, 0.51, 0.02]
    """
    if progress < warm:
        return max(progress / warm, 1e-3)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved(v, device) for v in value)
    return value.to(device) if isinstance(value, Tensor) else value
