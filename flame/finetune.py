"""Ordinary training of a small module: FLAME-F of the paper, and its Finetune baseline.

Shape letters: n = rows, d_in = inputs, k = outputs.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from flame.errors import DataError
from flame.inputs import Encoded, TensorRows


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
    x: Tensor | Encoded,
    y: Tensor,
    *,
    validation: tuple[Tensor | Encoded, Tensor] | None = None,
    epochs: int = 20,
    learning_rate: float = 2e-2,
    weight_decay: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> Fitted:
    """Train a copy of `module` with Adam (table 7) and keep the epoch with the lowest validation loss.

    Without validation rows the last epoch is kept. Parameters with `requires_grad=False` stay as they are. Numbers are
    trained on in their standard deviations, whatever their unit: the last linear layer is scaled before and after.

    Shape:
        x (n, d_in), or rows of another kind; y (n,) int64 classes or (n, 1) float numbers
    """
    started = time.perf_counter()
    trained = copy.deepcopy(module).train()
    scale = float(y.std(unbiased=False)) or 1.0 if y.is_floating_point() else 1.0
    _rescale(trained, 1 / scale)
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    generator = torch.Generator().manual_seed(seed)
    loss_of: Callable[[Tensor, Tensor], Tensor] = mse_loss if y.is_floating_point() else cross_entropy
    targets = y / scale if y.is_floating_point() else y
    inputs, held_out = _encoded(x), None
    if validation is not None:
        held_out = (_encoded(validation[0]), validation[1] / scale if y.is_floating_point() else validation[1])
    losses = [_loss(trained, held_out, loss_of)]
    best, state = 0, _snapshot(trained)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(len(inputs), generator=generator)
        for part in order.split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss_of(trained(*inputs.take(part)), targets[part]).backward()
            optimizer.step()
        losses.append(_loss(trained, held_out, loss_of))
        if validation is None or losses[-1] < losses[best]:
            best, state = epoch, _snapshot(trained)
    trained.load_state_dict(state, strict=False)
    _rescale(trained, scale)
    if best == 0:  # bit for bit as it came
        trained = copy.deepcopy(module)
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


def _rescale(module: nn.Module, factor: float) -> None:
    """Multiplies the outputs of a network that ends with a linear layer."""
    if factor == 1.0:
        return
    last = [m for m in module.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.mul_(factor)


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


def _encoded(x: Tensor | Encoded) -> Encoded:
    return TensorRows(x) if isinstance(x, Tensor) else x


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of all that training may change: not of frozen parameters, which may be a whole base model."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: value.clone() for name, value in module.state_dict().items() if name not in frozen}


def _loss(module: nn.Module, rows: tuple[Encoded, Tensor] | None, loss_of: Callable[[Tensor, Tensor], Tensor]) -> float:
    if rows is None:
        return float("inf")
    module.eval()
    value = float(loss_of(run_module(module, rows[0]), rows[1]))
    module.train()
    return value
