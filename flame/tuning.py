"""The one training path of generated models, for tables, texts and pictures, on Lightning's trainer.

Shape letters: n = rows, k = outputs.
"""

from __future__ import annotations

import copy
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.utils.data import DataLoader, Dataset

from flame.finetune import Parts, TuneConfig, run_module
from flame.inputs import Encoded
from flame.timed_runs import quiet_lightning
from flame.trainable import Trainable

Batch = tuple[tuple[Tensor | None, ...], Tensor]
SPARE_S = 0.05
"""Seconds kept back of a budget for ending the run."""
CHECK_SHARE = 0.1
"""Part of a budget that one look at the held-out rows may take; it is repeated after every epoch."""
LEAST_CHECKED = 50
PROBE = 16
"""Rows by which the speed of the network is measured."""


@dataclass(frozen=True)
class Tuned:
    """A trained copy and how it came about."""

    module: nn.Module
    best_epoch: int
    """0: the module as it came was best."""
    losses: tuple[float, ...]
    """On held-out rows: before training and after each epoch, the last of which may have been cut short."""
    stopped: str
    """Why it ended: `epochs`, `time` or `patience`."""
    n_checked: int
    """Held-out rows that the losses are of; fewer than there are where time is short."""


def tune(
    module: nn.Module,
    parts: Parts,
    config: TuneConfig,
    *,
    started: float,
    adapters: bool = False,
    work: Path | None = None,
    progress: bool = False,
) -> Tuned:
    """Train a copy of `module` with Adam and keep the epoch with the lowest loss on held-out rows, or the start.

    Args:
        started: when the time of the budget began, on `time.perf_counter`.
        adapters: train new adapters, where the network has none of its own.
        work: folder of the resume file; a run that was killed goes on from its last finished epoch.
    """
    scale = (float(parts.y.std(unbiased=False)) or 1.0) if parts.y.is_floating_point() else 1.0
    net = Trainable(module, config.method, adapters=adapters, scale=scale, seed=config.seed)
    run = TuningModule(net, parts, config, scale=scale, started=started)
    last = None if work is None else work / "last.ckpt"
    resume = last if last is not None and last.is_file() else None
    if resume is not None:
        run.on_load_checkpoint(torch.load(resume, weights_only=True, map_location="cpu"))
    elif config.seconds is not None:
        run.check_on(_affordable(net, parts.held_out[0], config.seconds))
    if run.stopped == "" and not run.out_of_time():
        try:
            _fit(run, work, resume, progress=progress)
        finally:
            net.cpu()  # a shared base model goes back to where the others expect it
    return _result(run, module)


def _fit(run: TuningModule, work: Path | None, resume: Path | None, *, progress: bool) -> None:
    from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

    from hypernet.module import SiblingCheckpointIO

    quiet_lightning()
    # Counted before the resume file is written, so that a resumed run has the same patience left.
    patience = EarlyStopping("validation/loss", patience=run.config.patience, check_on_train_epoch_end=False)
    callbacks: list[Any] = [patience]
    if work is not None:
        options: dict[str, Any] = {"save_on_train_epoch_end": False, "enable_version_counter": False}
        callbacks.append(ModelCheckpoint(work, "last", **options))
    trainer = lightning.Trainer(
        accelerator="auto",
        devices=1,
        max_epochs=-1 if run.config.epochs is None else run.config.epochs,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=-1,  # the loss of the network as it came
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=work is not None,
        plugins=[SiblingCheckpointIO()],
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # no workers and short epochs: Lightning's advice does not fit small models
        trainer.fit(run, ckpt_path=resume, weights_only=True)
        run.stopped = "time" if run.is_late else ("patience" if patience.stopped_epoch else "epochs")
        if work is not None:
            trainer.save_checkpoint(work / "last.ckpt")


def _result(run: TuningModule, module: nn.Module) -> Tuned:
    if run.best_epoch == 0:  # bit for bit as it came
        made = copy.deepcopy(module).eval()
    else:
        run.net.load_state_dict(run.best, strict=False)
        made = run.net.ordinary()
    return Tuned(made, run.best_epoch, tuple(run.losses) or (float("nan"),), run.stopped or "time", run.n_checked)


def _affordable(net: Trainable, held_out: Encoded, seconds: float) -> int:
    """Held-out rows that the network reads in its share of the time."""
    probe, taken = held_out.choose(torch.arange(min(PROBE, len(held_out)))), 0.0
    for _ in range(2):  # the first run is slower than all others
        started = time.perf_counter()
        run_module(net.eval(), probe)
        taken = time.perf_counter() - started
    return max(LEAST_CHECKED, int(CHECK_SHARE * seconds / taken * len(probe)))


class TuningModule(lightning.LightningModule):
    """Trains a network on encoded rows and remembers its best state.

    The order of rows depends on seed and epoch alone, so that a resumed run ends with the weights of an unbroken one.
    """

    def __init__(self, net: Trainable, parts: Parts, config: TuneConfig, *, scale: float, started: float) -> None:
        super().__init__()
        self.net = net
        self.config = config
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.stopped = ""
        """Why the run is over; empty while it is not."""
        self.strict_loading = False  # a frozen base model is in no checkpoint
        self._x, self._y = parts.x, parts.y / scale if parts.y.is_floating_point() else parts.y
        x, y = parts.held_out
        self._all_held_out = x, y / scale if y.is_floating_point() else y
        self.check_on(len(x))
        self._started = started
        self._earlier = 0.0
        self._sums: list[Tensor] = []
        self._validating_since = 0.0
        self._validation_s = 0.0
        self._step_s = 0.0
        self._stepping_since = 0.0
        self.is_late = False

    @property
    def n_checked(self) -> int:
        """Held-out rows that the loss is of."""
        return len(self._held_out)

    def check_on(self, n: int) -> None:
        """Compute the loss on so many of the held-out rows, drawn once."""
        x, y = self._all_held_out
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(self.config.seed))[:n]
        self._held_out, self._held_out_y = x.choose(order), y[order]

    @property
    def best_epoch(self) -> int:
        """The epoch of the lowest loss; 0 where none is lower than before training."""
        finite = [loss if loss == loss else float("inf") for loss in self.losses]
        return finite.index(min(finite)) if finite else 0

    @property
    def seconds(self) -> float:
        """Since the call, and in earlier starts of this run."""
        return self._earlier + time.perf_counter() - self._started

    def out_of_time(self) -> bool:
        """Whether the budget leaves no more than a look at the held-out rows."""
        limit = self.config.seconds
        return limit is not None and self.seconds + self._step_s + self._validation_s + SPARE_S >= limit

    def train_dataloader(self) -> DataLoader[Batch]:
        generator = torch.Generator().manual_seed(1_000_003 * self.config.seed + self.current_epoch)
        order = torch.randperm(len(self._x), generator=generator)
        return _loader(self._x, self._y, list(order.split(self.config.batch_size)))

    def val_dataloader(self) -> DataLoader[Batch]:
        rows = torch.arange(len(self._held_out))
        return _loader(self._held_out, self._held_out_y, [rows[part] for part in self._held_out.parts()])

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        return self._loss(batch, "mean")

    def on_train_batch_start(self, batch: Any, batch_index: int) -> None:
        self._stepping_since = time.perf_counter()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_index: int) -> None:
        self._step_s = time.perf_counter() - self._stepping_since
        if self.out_of_time():
            self.is_late = self.trainer.should_stop = True

    def on_validation_epoch_start(self) -> None:
        self._sums, self._validating_since = [], time.perf_counter()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._sums.append(self._loss(batch, "sum"))

    def on_validation_epoch_end(self) -> None:
        loss = float(torch.stack(self._sums).sum()) / self._held_out_y.numel()
        self.losses.append(loss)
        if self.best_epoch == len(self.losses) - 1 > 0:
            self.best = {name: value.cpu() for name, value in self.net.snapshot().items()}
        self._validation_s = max(self._validation_s, time.perf_counter() - self._validating_since)
        if not self.trainer.sanity_checking:
            self.log("validation/loss", loss, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        return torch.optim.Adam(
            parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay, fused=True
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = {f"net.{name}" for name in self.net.snapshot()}
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in trained}
        told = {"seconds": self.seconds, "losses": self.losses, "stopped": self.stopped, "best": self.best}
        checkpoint["run"] = {**told, "validation_s": self._validation_s, "n_checked": self.n_checked}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        run = checkpoint["run"]
        self._earlier, self._validation_s = run["seconds"], run["validation_s"]
        self.losses, self.stopped, self.best = list(run["losses"]), run["stopped"], run["best"]
        self.check_on(run["n_checked"])

    def _loss(self, batch: Batch, reduction: str) -> Tensor:
        inputs, y = batch
        loss = mse_loss if y.is_floating_point() else cross_entropy
        return loss(self.net(*inputs), y, reduction=reduction)


class _Batches(Dataset[Batch]):
    """Groups of rows, as the network takes them."""

    def __init__(self, x: Encoded, y: Tensor, groups: list[Tensor]) -> None:
        self._x, self._y, self._groups = x, y, groups

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> Batch:
        rows = self._groups[index]
        return self._x.take(rows), self._y[rows]


def _loader(x: Encoded, y: Tensor, groups: list[Tensor]) -> DataLoader[Batch]:
    return DataLoader(_Batches(x, y, groups), batch_size=None)
