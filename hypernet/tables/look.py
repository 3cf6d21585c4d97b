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
NUMBER_SCALE = 0.35
"""Prior standard deviation of a standardised number, times the root of those shares."""
LOGITS_PER_NOISE = 2.0
"""So many logits stand for a change of the target by one standard deviation of its noise."""
LOOK_ROWS = (384, 1536)
"""Most support rows of a look at a small and at a large table; between them, a quarter of the rows."""
LOOK_NOISE = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Noise variances a first look compares, relative to a standardised target; each ten times the one before."""


@dataclass(frozen=True)
class Look:
    """What a quick solution says; no gradients."""

    skill: Tensor
    """(b, noise levels): leave-one-out R² over all classes, at least -1."""
    noise: Tensor
    """(b,): the noise variance that leaving rows out favours, between the levels."""
    use: Tensor
    """(b, p): how much of the best solution a feature carries, relative to the mean feature."""
    column_use: Tensor
    """(b, d): the same for columns."""
    residual: Tensor
    """(b, n', k): leave-one-out residuals of every `stride`-th row."""
    stride: int


@torch.no_grad()
def look_at(support: Support, noise: Tensor | None = None) -> Look:
    """Ridge regression on all classes at once in its dual form, judged by leaving one row out.

    It tells what no column tells alone: whether combinations of columns predict the target, and how firmly. The learned
    scales start from the ratio of prior to noise that it favours.

    Args:
        noise: noise variances to compare; `LOOK_NOISE` if not given.

    Shape:
        noise (b, levels)
    """
    n = support.y.shape[1]
    stride = -(-n // min(max(n // 4, LOOK_ROWS[0]), LOOK_ROWS[1]))
    z = support.features[:, ::stride] * anchor_scales(support)[:, None]
    y = support.y[:, ::stride]
    y = y - y.mean(1, keepdim=True)
    y = y / y.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)
    gram = z @ z.transpose(1, 2) + 1.0  # a wide prior on the bias
    if noise is None:
        noise = torch.tensor(LOOK_NOISE, device=z.device, dtype=z.dtype).expand(len(z), -1)
    errors, alphas, residuals = [], [], []
    for level in noise.unbind(1):
        with_noise = gram + torch.diag_embed(level[:, None].expand(-1, z.shape[1]))
        factor, failed = torch.linalg.cholesky_ex(with_noise)
        # Rows that repeat leave nothing to divide by at the smallest noise: such a level is out of the question.
        inverse = torch.cholesky_inverse(torch.where(failed[:, None, None] == 0, factor, torch.eye(z.shape[1]).to(z)))
        alphas.append(inverse @ y)
        residuals.append(alphas[-1] / inverse.diagonal(dim1=1, dim2=2)[..., None])
        errors.append(torch.where(failed == 0, residuals[-1].square().mean((1, 2)), torch.inf))
    error = torch.stack(errors, 1)
    best, rows = error.argmin(1), torch.arange(len(z), device=z.device)
    use = (z.transpose(1, 2) @ torch.stack(alphas, 1)[rows, best]).square().sum(2)
    per_column = (use[:, None] @ (support.columns / support.columns.sum(2, keepdim=True).clamp(min=1)))[:, 0]
    residual = torch.stack(residuals, 1)[rows, best]
    skill = (1 - error).clamp(min=-1)
    return Look(skill, between(noise, error, best), _relative(use), _relative(per_column), residual, stride)


def between(noise: Tensor, error: Tensor, best: Tensor) -> Tensor:
    """The minimum of the parabola through the best level and its neighbours, on logarithmic axes.

    Args:
        noise: levels, each the same multiple of the one before.
        error: of every level.
        best: place of the smallest error.

    Shape:
        noise (b, levels), error (b, levels), best (b,) -> (b,)
    """
    at = noise.gather(1, best[:, None])[:, 0]
    inner = (best > 0) & (best < noise.shape[1] - 1)
    middle = best.clamp(1, max(noise.shape[1] - 2, 1))[:, None]
    if noise.shape[1] < 3:
        return at
    low, mid, high = (error.clamp(1e-9, 1e9).log().gather(1, middle + i)[:, 0] for i in (-1, 0, 1))
    step = ((low - high) / (2 * (low - 2 * mid + high)).clamp(min=1e-6)).clamp(-0.5, 0.5)
    return torch.where(inner, at * (noise[:, 1] / noise[:, 0]) ** step, at)


def anchor_scales(support: Support) -> Tensor:
    """Prior scales without learning: each kind of feature has a share of a standardised target's variance: (b, p)."""
    variance = support.variance
    index = support.kind.expand(len(variance), -1)
    total = variance.new_zeros(len(variance), len(KINDS)).scatter_add(1, index, variance)
    share = torch.tensor(SHARES, device=variance.device, dtype=variance.dtype)[support.kind]
    return NUMBER_SCALE * (share / total.gather(1, index).clamp(min=1e-6)).sqrt()


def _relative(use: Tensor) -> Tensor:
    return use / use.mean(1, keepdim=True).clamp(min=1e-9)
