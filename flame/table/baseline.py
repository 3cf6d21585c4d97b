"""Ordinary training of a table's network: the Finetune baseline of the paper, timed in comparisons with FLAME.

A bare loop, apart from `flame.tuning`: a trainer's overhead a step would make the baseline look slower than it is.

Shape letters: n = rows, d_in = inputs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def fit_module(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    validation: tuple[Tensor, Tensor],
    epochs: int = 20,
    learning_rate: float = 2e-2,
    weight_decay: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> nn.Module:
    """Train a copy of `module` with Adam (table 7) and keep the epoch with the lowest validation loss, or the start.

    Shape:
        x (n, d_in), y (n,) int64 classes
    """
    trained = copy.deepcopy(module).train()
    parameters = [p for p in trained.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)
    generator = torch.Generator().manual_seed(seed)
    lowest, state = _loss(trained, *validation), copy.deepcopy(trained.state_dict())
    for _ in range(epochs):
        for part in torch.randperm(len(x), generator=generator).split(batch_size):
            optimizer.zero_grad(set_to_none=True)
            cross_entropy(trained(x[part]), y[part]).backward()
            optimizer.step()
        loss = _loss(trained, *validation)
        if loss < lowest:
            lowest, state = loss, copy.deepcopy(trained.state_dict())
    trained.load_state_dict(state)
    return trained.eval()


def _loss(module: nn.Module, x: Tensor, y: Tensor) -> float:
    module.eval()
    with torch.inference_mode():
        value = float(cross_entropy(module(x), y))
    module.train()
    return value
