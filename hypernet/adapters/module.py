"""The LightningModule that trains the adapter generator on tasks with words."""

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

from hypernet.adapters.generator import AdapterGenerator
from hypernet.adapters.objective import Encode, batch_losses
from hypernet.adapters.stream import AdapterBatch, AdapterStream, AdapterTask, StreamConfig

SCALES_FASTER = 3.0
"""Factor of the learning rate of the adapters' scales."""


@dataclass(frozen=True)
class AdapterTrainConfig:
    """One run of training; it ends with whichever of `minutes` and `steps` is over first."""

    minutes: float = 30.0
    steps: int | None = None
    """Updates; the only way to stop that does not depend on the machine."""
    seed: int = 0
    """Another seed draws other batches: runs that continue each other want different ones."""
    frozen: bool = False
    """Train classifier rows and solve settings on features of the base model, which are computed once."""
    tasks_a_step: int = 2
    """Tasks whose gradients are averaged in an update."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    few: float = 1.0
    """Weight of the loss after the solve; that from words alone has weight 1."""
    shrink: float = 1e-3
    """Weight of what classifier rows change in the logits of label-name similarity, squared."""
    warm: float = 0.05
    """Part of the run in which the learning rate rises; then half a cosine."""
    stream: StreamConfig = field(default_factory=StreamConfig)


class AdapterModule(lightning.LightningModule):
    """Minimises the loss of rows under the adapters and classifiers that the generator writes (equation 4)."""

    def __init__(
        self,
        generator: AdapterGenerator,
        config: AdapterTrainConfig,
        tasks: Sequence[AdapterTask],
        encode: Encode | None = None,
    ) -> None:
        """`encode` runs the frozen base model; None: the tasks hold features."""
        super().__init__()
        self.generator = generator
        self.config = config
        self._tasks = list(tasks)
        self._encode = encode
        self._elapsed = 0.0
        self._since = 0.0
        self._batches = 0
        self.n_skipped = 0
        """Batches without a finite loss or gradient."""

    @property
    def seconds(self) -> float:
        """Time spent in training, that of earlier starts of this run included."""
        return self._elapsed + (time.perf_counter() - self._since if self._since else 0.0)

    @property
    def n_steps(self) -> int:
        """Updates so far."""
        return self._batches // self.config.tasks_a_step

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        by_steps = self.n_steps / self.config.steps if self.config.steps else 0.0
        return min(1.0, max(by_steps, self.seconds / 60 / self.config.minutes))

    def train_dataloader(self) -> DataLoader[AdapterBatch]:
        stream = AdapterStream(self._tasks, self.config.stream, seed=self.config.seed)
        stream.step = self._batches
        return DataLoader(stream, batch_size=None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        tensors = {name: v.to(device) for name, v in vars(batch).items() if isinstance(v, Tensor)}
        return replace(batch, inputs=tuple(v.to(device) for v in batch.inputs), **tensors)

    def on_train_start(self) -> None:
        self._since = time.perf_counter()

    def on_train_batch_start(self, batch: AdapterBatch, batch_index: int) -> None:
        p, warm = self.progress, self.config.warm
        rate = p / warm if p < warm else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (p - warm) / (1 - warm)))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.config.learning_rate * group["faster"] * max(rate, 1e-3)

    def training_step(self, batch: AdapterBatch, batch_index: int) -> Tensor | None:
        zero, few, change = batch_losses(self.generator, batch, self._encode)
        loss = zero + self.config.few * few + self.config.shrink * change
        if not loss.isfinite():
            return None
        self.log("train/words", zero.detach(), prog_bar=True, batch_size=1)
        self.log("train/rows", few.detach(), prog_bar=True, batch_size=1)
        return loss

    def on_after_backward(self) -> None:
        gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
        if not all(bool(g.isfinite().all()) for g in gradients):
            self.n_skipped += 1
            for g in gradients:
                g.zero_()

    def on_train_batch_end(self, outputs: Any, batch: AdapterBatch, batch_index: int) -> None:
        self.n_skipped += outputs is None
        self._batches += 1
        self.trainer.should_stop = self.trainer.should_stop or self.progress >= 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        # One number scales a whole B factor and starts at zero: at the rate of the others it would be late.
        scales = [self.generator.static_heads.scale]
        others = [p for p in self.generator.parameters() if p is not scales[0]]
        groups = [{"params": others, "faster": 1.0}, {"params": scales, "faster": SCALES_FASTER, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["run"] = {"seconds": self.seconds, "batches": self._batches, "skipped": self.n_skipped}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        run = checkpoint["run"]
        self._elapsed, self._batches, self.n_skipped = run["seconds"], run["batches"], run["skipped"]
