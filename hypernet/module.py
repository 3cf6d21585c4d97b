"""The LightningModule that trains a parameter generator."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from flame.metadata import Metadata
from hypernet import objectives
from hypernet.config import TrainConfig
from hypernet.generator import ParameterGenerator
from hypernet.tokenizer import SPECIAL_TOKENS
from targets import Weights, batched_forward, get_target


class GeneratorModule(lightning.LightningModule):
    """Trains `generator` on requirement-data pairs and logs loss and accuracy averaged over tasks (equation 4)."""

    out_dims: Tensor
    special_ids: Tensor

    def __init__(self, generator: ParameterGenerator, config: TrainConfig, *, n_rows: Mapping[str, int]) -> None:
        """`n_rows`: training rows of every task; the prior on generated weights is divided by them."""
        super().__init__()
        self.generator = generator
        self.config = config
        self.names = list(generator.tasks)
        records = list(generator.tasks.values())
        self._precision: dict[str, Tensor] = {}
        widest = max(records, key=lambda t: t.metadata.input_width).metadata
        with torch.device("meta"):
            # Only the structure is used: every parameter is replaced by a generated one.
            skeleton = get_target(generator.config.arch).build(widest)
        self._skeleton: list[nn.Module] = [skeleton]
        self.register_buffer("out_dims", torch.tensor([t.metadata.out_dim for t in records]), persistent=False)
        for i, t in enumerate(records):
            for name, precision in self._prior_of(t.metadata).items():
                if i == 0:
                    self._precision[name] = torch.zeros(len(records))
                self._precision[name][i] = precision / n_rows[t.name]
        self._tokens = [generator.tokenize(t.requirements) for t in records]
        # A pretrained vocabulary has them in other places than the built-in one.
        special = [generator.tokenizer.token_to_id(t) for t in SPECIAL_TOKENS]
        self.register_buffer("special_ids", torch.tensor([i for i in special if i is not None]), persistent=False)
        self._unknown_id = int(generator.tokenizer.token_to_id("[UNK]"))
        self._totals = torch.zeros(len(records), 3)
        # Only training needs them: directions of the tasks in latent space.
        self.prototypes = nn.Parameter(torch.randn(len(records), generator.config.d_latent))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Losses of the pairs of a batch, without any target step.

        Shape:
            -> (p,)
        """
        return self._losses(batch)(self._weights(batch, dropout=0.0)[0])

    def training_step(self, batch: dict[str, Tensor], batch_index: int) -> Tensor:
        # Dropout and token dropout depend on seed and step alone: a resumed run draws the same masks.
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.config.seed * 1_000_003 + self.global_step)
            weights, contrast = self._weights(batch, dropout=self.config.token_dropout)
            if self.config.objective == "direct":
                loss, shown = objectives.direct(weights, self._losses(batch))
            else:
                loss, shown = objectives.delta(weights, self._losses(batch), self._target_optimizer)
        loss = loss + self.config.contrast * contrast
        self.log("train/contrast", contrast.detach(), on_step=False, on_epoch=True, batch_size=1)
        self.log("train/loss", shown, prog_bar=True, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def on_validation_epoch_start(self) -> None:
        self._totals = torch.zeros(len(self.names), 3, device=self.device)  # loss, accuracy, pairs

    def validation_step(self, batch: dict[str, Tensor], batch_index: int) -> None:
        weights, _ = self._weights(batch, dropout=0.0)
        logits = self._logits(weights, batch)
        losses = objectives.pair_losses(logits, batch["y"], self.out_dims[batch["task"]])
        for i, task in enumerate(batch["task"].tolist()):
            k = int(self.out_dims[task])
            counted = batch["y"][i] != -100
            hits = (logits[i, :, :k].argmax(-1) == batch["y"][i])[counted].float().mean()
            self._totals[task] += torch.stack([losses[i].float(), hits, torch.ones_like(hits)])

    def on_validation_epoch_end(self) -> None:
        # Each process scored some of the pairs; all of them must choose the same best epoch.
        totals = self.all_gather(self._totals)
        assert isinstance(totals, Tensor)
        loss, accuracy, pairs = totals.view(-1, len(self.names), 3).sum(0).unbind(-1)
        loss, accuracy = loss / pairs, accuracy / pairs
        for i, task in enumerate(self.names):
            self.log_dict({f"{task}/loss": loss[i], f"{task}/accuracy": accuracy[i]}, batch_size=1)
        means = {"validation/loss": loss.mean(), "validation/accuracy": accuracy.mean()}
        self.log_dict(means, prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        parameters = [p for p in self.parameters() if p.requires_grad]
        fused = "mixed" not in self.config.precision  # Lightning clips no gradient of a fused optimiser under autocast
        optimizer = torch.optim.AdamW(
            parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay, fused=fused
        )
        if self.config.schedule == "constant":
            return optimizer
        total = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, total))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _tasks(self, batch: dict[str, Tensor]) -> list[str]:
        return [self.names[i] for i in batch["task"].tolist()]

    def _weights(self, batch: dict[str, Tensor], *, dropout: float) -> tuple[Weights, Tensor]:
        """Generated weights of every pair, and the contrast loss; a sentence that pairs share is encoded once."""
        pairs = list(zip(batch["task"].tolist(), batch["requirement"].tolist(), strict=True))
        distinct = sorted(set(pairs))
        ids, mask = (
            nn.utils.rnn.pad_sequence([self._tokens[t][part][r] for t, r in distinct], batch_first=True).to(self.device)
            for part in (0, 1)
        )
        width = int(mask.sum(1).max())
        ids, mask = ids[:, :width], mask[:, :width]
        if dropout:
            # Some sentences lose little and some nearly all, so that every clue in them gets used.
            rates = 2 * dropout * torch.rand(len(ids), 1, device=ids.device)
            hidden = (torch.rand(ids.shape, device=ids.device) < rates) & ~torch.isin(ids, self.special_ids)
            ids = ids.masked_fill(hidden, self._unknown_id)
        z = self.generator.encoder(ids, mask)
        owners = torch.tensor([task for task, _ in distinct], device=self.device)
        index = {pair: i for i, pair in enumerate(distinct)}
        weights = self.generator.decode(z[[index[pair] for pair in pairs]], self._tasks(batch))
        return weights, objectives.contrast(z, self.prototypes, owners)

    def _logits(self, weights: Weights, batch: dict[str, Tensor]) -> Tensor:
        return batched_forward(self._skeleton[0], weights, batch["x"])

    def _losses(self, batch: dict[str, Tensor]) -> objectives.LossOfWeights:
        out_dims = self.out_dims[batch["task"]]
        precision = {name: value.to(self.device)[batch["task"]] for name, value in self._precision.items()}

        def losses(weights: Weights) -> Tensor:
            fit = objectives.pair_losses(self._logits(weights, batch), batch["y"], out_dims)
            if not self.config.weight_prior:
                return fit
            return fit + self.config.weight_prior * objectives.prior_penalty(weights, precision)

        return losses

    def _prior_of(self, metadata: Metadata) -> dict[str, float]:
        """1 / variance of a well-scaled start for every generated matrix; biases are free."""
        target = get_target(self.generator.config.arch)
        specs = (*target.static_specs(), *target.dynamic_specs(metadata))
        return {s.name: 1 / s.init_std**2 for s in specs if not s.zero_init}

    def _target_optimizer(self, leaves: list[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            leaves, lr=self.config.target_learning_rate, weight_decay=self.config.target_weight_decay
        )


class SiblingCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it: a kill leaves the old file or the new one.

    Lightning's own writer goes through the folder for temporary files; where that is another file system, its
    rename is a copy that a kill can cut in half.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        partial = Path(f"{path}.part")
        try:
            torch.save(checkpoint, partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def warm_cosine(step: int, total: int, warm: float = 0.05) -> float:
    """Factor of the learning rate: linear warm-up over the first `warm`, then half a cosine to zero.

    >>> [round(warm_cosine(s, 100), 2) for s in (0, 4, 5, 52, 99)]
    [0.2, 1.0, 1.0, 0.51, 0.0]
    """
    warmup = max(1, int(total * warm))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, total - warmup))))
