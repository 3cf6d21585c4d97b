"""Which tables can be learnt: a closed-form fit's leave-one-out error on the support rows.

Only support rows are looked at. A choice by query rows would keep tables whose query rows happened to be easy, and a
model pre-trained on them would be too sure of itself on small tables; a choice by the support rows cannot do that.

Shape letters: b = tasks, d = columns, n = support rows, p = units, o = outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from hypernet.prior.draws import Draws, standardise

MOST_ROWS = 384
MOST_UNITS = 96


def learnable_skill(draws: Draws, values: Tensor, relevant: Tensor, y: Tensor, n_classes: Tensor) -> Tensor:
    """1 - leave-one-out error of ridge over random units / that of a constant; zero or less = nothing to learn.

    Shape:
        values (b, d, n), relevant (b, d), y (b, n), n_classes (b,) -> (b,)
    """
    values, y = values[..., :MOST_ROWS], y[:, :MOST_ROWS]
    units = _units(draws, values, relevant, min(MOST_UNITS, max(8, y.shape[1] // 3)))
    targets = _targets(y, n_classes)
    n, p = y.shape[1], units.shape[1]
    gram = units @ units.mT / n
    gram = gram + torch.eye(p, device=gram.device) * (0.1 + p / n)
    solved = torch.cholesky_inverse(torch.linalg.cholesky(gram)) @ units / n
    leverage = ((units * solved).sum(1) + 1 / n).clamp(max=0.99)
    residuals = (targets - (targets @ units.mT) @ solved) / (1 - leverage)[:, None]
    constant = targets.square().sum((1, 2)) * (n / (n - 1)) ** 2
    return 1 - residuals.square().sum((1, 2)) / constant.clamp(min=1e-6)


def least_skill(margin: float, n: int) -> float:
    """The margin plus what chance alone gives with few rows."""
    return margin + 0.3 / n**0.5


def _units(draws: Draws, values: Tensor, relevant: Tensor, p: int) -> Tensor:
    """Planes, kinks and conjunctions over relevant columns, standardised, (b, p, n)."""
    b, d, n = values.shape
    dense, sparse = p // 4, p - p // 4
    weights = draws.normal(b, dense, d) * relevant[:, None]
    planes = weights @ values
    features = draws.choice(relevant.float(), sparse * 2)
    rows = values.gather(1, features[..., None].expand(-1, -1, n)).view(b, 2, sparse, n)
    cuts = rows.gather(3, draws.integers(n, b, 2, sparse, 1))
    above = (rows > cuts).float()
    kinks = (rows[:, 0] * draws.normal(b, sparse, 1) + rows[:, 1] * draws.normal(b, sparse, 1)).relu()
    third = sparse // 3
    parts = [planes, kinks[:, :third], above[:, 0, third : 2 * third], above[:, :, 2 * third :].prod(1)]
    return standardise(torch.cat(parts, 1))


def _targets(y: Tensor, n_classes: Tensor) -> Tensor:
    """Centred one-hot classes, or the number in the first output, (b, o, n)."""
    o = max(1, int(n_classes.max()))
    classes = one_hot(y.clamp(0, o - 1).long(), o).mT.float()
    number = torch.zeros_like(classes)
    number[:, 0] = y
    targets = torch.where((n_classes > 0)[:, None, None], classes, number)
    return targets - targets.mean(2, keepdim=True)
