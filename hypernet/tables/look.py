"""A first, quick solution: what it leaves unexplained guides the next units and the learned scales.

Shape letters: b = tasks or draws, n = rows, d = columns, p = features, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.tables.support import KINDS, Support

SHARES = (1.0, 1.0, 0.3, 0.3, 0.3)
"""Prior variance of all features of a kind together, before anything is learned."""
LOGIT_SCALE, NUMBER_SCALE = 2.0, 0.35
"""Prior standard deviation of a logit and of a standardised number before anything is learned, times those shares."""
LOOK_ROWS = 384
"""Most support rows of the first look."""
LOOK_NOISE = (0.03, 0.3, 3.0)
"""Noise variances of the first look, relative to a standardised target."""


@dataclass(frozen=True)
class Look:
    """What the first solution says; no gradients."""

    skill: Tensor
    """(b, len(LOOK_NOISE)): leave-one-out R² over all classes, at least -1."""
    use: Tensor
    """(b, p): how much of the best solution a feature carries, relative to the mean feature."""
    column_use: Tensor
    """(b, d): the same for columns."""
    residual: Tensor
    """(b, n', k): leave-one-out residuals of every `stride`-th row."""
    stride: int


@torch.no_grad()
def first_look(support: Support) -> Look:
    """Ridge regression on all classes at once in its dual form, at three noise levels, judged by leaving one row out.

    It tells what no column tells alone: whether combinations of columns predict the target.
    """
    stride = -(-support.y.shape[1] // LOOK_ROWS)
    z = support.features[:, ::stride] * anchor_scales(support, NUMBER_SCALE)[:, None]
    y = support.y[:, ::stride]
    y = y - y.mean(1, keepdim=True)
    y = y / y.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
    gram = z @ z.transpose(1, 2) + 1.0  # a wide prior on the bias
    eye = torch.eye(z.shape[1], device=z.device, dtype=z.dtype)
    skills, uses, residuals = [], [], []
    for noise in LOOK_NOISE:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram + noise * eye))
        alpha = inverse @ y
        residuals.append(alpha / inverse.diagonal(dim1=1, dim2=2)[..., None])
        skills.append((1 - residuals[-1].square().mean((1, 2))).clamp(min=-1))
        uses.append((z.transpose(1, 2) @ alpha).square().sum(2))
    best, rows = torch.stack(skills, 1).argmax(1), torch.arange(len(z), device=z.device)
    use = torch.stack(uses, 1)[rows, best]
    per_column = (use[:, None] @ (support.columns / support.columns.sum(2, keepdim=True).clamp(min=1)))[:, 0]
    residual = torch.stack(residuals, 1)[rows, best]
    return Look(torch.stack(skills, 1), _relative(use), _relative(per_column), residual, stride)


def anchor_scales(support: Support, overall: float | None = None) -> Tensor:
    """Prior scales without learning: each kind of feature has a fixed share of the variance: (b, p)."""
    variance = support.variance
    index = support.kind.expand(len(variance), -1)
    total = variance.new_zeros(len(variance), len(KINDS)).scatter_add(1, index, variance)
    share = torch.tensor(SHARES, device=variance.device, dtype=variance.dtype)[support.kind]
    if overall is None:
        overall = NUMBER_SCALE if support.regression else LOGIT_SCALE
    return overall * (share / total.gather(1, index).clamp(min=1e-6)).sqrt()


def _relative(use: Tensor) -> Tensor:
    return use / use.mean(1, keepdim=True).clamp(min=1e-9)
