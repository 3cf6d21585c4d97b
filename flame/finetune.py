"""Fine-tuning of a generated model (FLAME-F of the paper): what is trained, on which rows, and what is told of it.

The training itself stands in `flame.tuning`. Shape letters: n = rows, k = outputs.
"""

from __future__ import annotations

import hashlib
import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from flame.errors import ConfigError, DataError, did_you_mean
from flame.inputs import Encoded

if TYPE_CHECKING:
    from flame.model import GeneratedModel
    from flame.tuning import Tuned

PATIENCE = 10
"""Epochs without a lower loss on held-out rows after which training ends."""
SHARE = 1 / 7
"""Part of the rows that is held out."""


@dataclass(frozen=True)
class TuneConfig:
    """Everything that decides how a fine-tuning goes on after a kill."""

    method: str
    """`full`, `lora` or `head`."""
    epochs: int | None
    """None: until the time is over or nothing gets better."""
    seconds: float | None
    """From reading the rows to the new model; None: no limit."""
    learning_rate: float
    batch_size: int
    patience: int = PATIENCE
    weight_decay: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        epochs = 1 if self.epochs is None else self.epochs
        if epochs < 1 or not 0 < self.learning_rate < math.inf:
            values = f"epochs={self.epochs!r}, learning_rate={self.learning_rate!r}"
            raise ConfigError(f"fine-tuning needs at least 1 epoch and a learning rate above 0, however: {values}")
        if self.patience < 1 or not 0 < (1.0 if self.seconds is None else self.seconds) < math.inf:
            values = f"seconds={self.seconds!r}, patience={self.patience!r}"
            raise ConfigError(f"fine-tuning needs a time above 0 and a patience of at least 1 epoch, however: {values}")


@dataclass(frozen=True)
class Parts:
    """Rows to train on and rows to choose the best epoch by.

    Shape:
        y (n,) int64 classes or (n, 1) float numbers
    """

    x: Encoded
    y: Tensor
    held_out: tuple[Encoded, Tensor]


def finetune_model(
    model: GeneratedModel,
    data: Any,
    *,
    epochs: int | None = None,
    method: str | None = None,
    seconds: float | None = None,
    target: str | None = None,
    learning_rate: float | None = None,
    patience: int = PATIENCE,
    work: str | Path | None = None,
    progress: bool | None = None,
    seed: int = 0,
) -> GeneratedModel:
    """Train the weights of a model further; see `GeneratedModel.finetune`."""
    from flame.tuning import tune

    started = time.perf_counter()
    usual = model.preprocessor.training
    config = TuneConfig(
        method=usual.methods[0] if method is None else method,
        epochs=1 if epochs is None and seconds is None else epochs,
        seconds=seconds,
        learning_rate=usual.learning_rate if learning_rate is None else learning_rate,
        batch_size=usual.batch_size,
        patience=patience,
        seed=seed,
    )
    if config.method not in usual.methods:
        known = did_you_mean(config.method, usual.methods)
        raise ConfigError(f"no method {config.method!r} for {model.metadata.arch}; there are {known}")
    parts = _parts(model, data, target, seed=seed)
    if work is not None:
        from flame.files import claim_work

        work = claim_work(work, {**asdict(config), "model_and_rows": _fingerprint(model, parts)})
    shown = sys.stderr.isatty() if progress is None else progress
    adapters = config.method == "lora" != usual.methods[0]
    tuned = tune(model.module, parts, config, started=started, work=work, progress=shown, adapters=adapters)
    story = {"finetune": _story(config, parts, tuned, time.perf_counter() - started)}
    earlier = {k: v for k, v in model.provenance.items() if k != "evaluation"}  # of other weights
    return replace(model, module=tuned.module, provenance={**earlier, **story})


def _parts(model: GeneratedModel, data: Any, target: str | None, *, seed: int) -> Parts:
    features, labels = model.labelled(data, target)
    x, y = model.preprocessor.encode(features), torch.tensor(labels)
    if model.is_regression:
        y = y.float()[:, None]
    train, held_out = hold_out(y, seed=seed, most=model.preprocessor.training.n_held_out)
    return Parts(x.choose(train), y[train], (x.choose(held_out), y[held_out]))


def _story(config: TuneConfig, parts: Parts, tuned: Tuned, seconds: float) -> dict[str, Any]:
    before, after = (round(v, 6) if math.isfinite(v) else None for v in (tuned.losses[0], min(tuned.losses)))
    story: dict[str, Any] = {
        "method": config.method,
        "epochs": len(tuned.losses) - 1,
        "best_epoch": tuned.best_epoch,
        "n_rows": len(parts.x),
        "n_held_out": tuned.n_checked,
        "held_out_loss": {"before": before, "after": after},
        "stopped": tuned.stopped,
        "seconds": round(seconds, 3),
    }
    if tuned.best_epoch == 0:
        story["note"] = "no epoch was better on the held-out rows; the generated weights are kept"
    return story


def _fingerprint(model: GeneratedModel, parts: Parts) -> str:
    """Of the weights that training starts from, the labels, and the first rows."""
    found = hashlib.sha256()
    rows = parts.x.take(slice(0, min(64, len(parts.x))))
    trained = [p for p in model.module.parameters() if p.requires_grad]
    for value in (*trained, parts.y, parts.held_out[1], *(r for r in rows if r is not None)):
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def hold_out(y: Tensor, *, seed: int = 0, share: float = SHARE, most: int | None = None) -> tuple[Tensor, Tensor]:
    """Row numbers for training and validation, in equal shares of every class where it has enough rows.

    Args:
        most: rows that are held out at most, about.

    Raises:
        DataError: with fewer than 2 rows there is nothing to hold out.
    """
    if len(y) < 2:
        raise DataError(f"fine-tuning needs at least 2 labelled rows, however: {len(y)}")
    share = share if most is None else min(share, most / len(y))
    generator = torch.Generator().manual_seed(seed)
    held = []
    groups = [torch.arange(len(y))] if y.is_floating_point() else [torch.nonzero(y == v).flatten() for v in y.unique()]
    for rows in groups:
        rows = rows[torch.randperm(len(rows), generator=generator)]
        held.append(rows[: round(len(rows) * share)])
    chosen = torch.cat(held)
    if len(chosen) == 0:
        chosen = torch.randperm(len(y), generator=generator)[:1]
    keep = torch.ones(len(y), dtype=torch.bool)
    keep[chosen] = False
    return torch.nonzero(keep).flatten(), chosen


def run_module(module: Callable[..., Tensor], x: Encoded) -> Tensor:
    """Outputs of a module, or of one of its methods, part by part and without gradients.

    Shape:
        -> (n, k)
    """
    outputs: Tensor | None = None
    with torch.inference_mode():
        for part in x.parts():
            out = module(*x.take(part))
            outputs = out.new_zeros(len(x), *out.shape[1:]) if outputs is None else outputs
            outputs[part] = out
    return torch.zeros(0) if outputs is None else outputs
