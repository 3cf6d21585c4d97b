"""Ordinary training of a small module: FLAME-F of the paper, and its Finetune baseline.

Shape letters: n = rows, d_in = inputs.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from flame.errors import DataError


@dataclass(frozen=True)
class Fitted:
    """A trained copy and how it came about."""

    module: nn.Module
    best_epoch: int
    """0: the module as it came was best."""
    seconds: float
    losses: tuple[float, ...]
    """Validation loss before training and after each epoch."""


def fit_module(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    validation: tuple[Tensor, Tensor] | None = None,
    epochs: int = 20,
    learning_rate: float = 2e-2,
    weight_decay: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> Fitted:
    """Train a copy of `module` with Adam (table 7) and keep the epoch with the lowest validation loss.

    Without validation rows the last epoch is kept. Parameters with `requires_grad=False` stay as they are.

    Shape:
        x (n, d_in), y (n,) int64 classes
    """
    started = time.perf_counter()
    trained = copy.deepcopy(module).train()
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    generator = torch.Generator().manual_seed(seed)
    losses = [_loss(trained, validation)]
    best, state = 0, copy.deepcopy(trained.state_dict())
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(x), generator=generator)
        for x_part, y_part in zip(x[order].split(batch_size), y[order].split(batch_size), strict=True):
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(trained(x_part), y_part).backward()
            optimizer.step()
        losses.append(_loss(trained, validation))
        if validation is None or losses[-1] < losses[best]:
            best, state = epoch, copy.deepcopy(trained.state_dict())
    trained.load_state_dict(state)
    return Fitted(trained.eval(), best, time.perf_counter() - started, tuple(losses))


def hold_out(y: Tensor, *, seed: int = 0, share: float = 1 / 7) -> tuple[Tensor, Tensor]:
    """Row numbers for training and validation, in equal shares of every class where it has enough rows.

    Raises:
        DataError: with fewer than 2 rows there is nothing to hold out.
    """
    if len(y) < 2:
        raise DataError(f"fine-tuning needs at least 2 labelled rows, however: {len(y)}")
    generator = torch.Generator().manual_seed(seed)
    held = []
    for value in y.unique():
        rows = torch.nonzero(y == value).flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        held.append(rows[: round(len(rows) * share)])
    chosen = torch.cat(held)
    if len(chosen) == 0:
        chosen = torch.randperm(len(y), generator=generator)[:1]
    keep = torch.ones(len(y), dtype=torch.bool)
    keep[chosen] = False
    return torch.nonzero(keep).flatten(), chosen


def _loss(module: nn.Module, rows: tuple[Tensor, Tensor] | None) -> float:
    if rows is None:
        return float("inf")
    module.eval()
    with torch.inference_mode():
        value = float(cross_entropy(module(rows[0]), rows[1]))
    module.train()
    return value
