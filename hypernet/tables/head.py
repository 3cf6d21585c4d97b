"""The output layer in closed form: the convex problem is solved inside the pass, on all support rows.

Shape letters: b = tasks or draws, n = rows, p = features, k = classes (1: regression).
"""

from __future__ import annotations

import torch
from torch import Tensor

FAR, NEAR = 24, 4
"""Steps towards the solution without and with gradients."""


def solve_logistic(
    z: Tensor, y: Tensor, *, n_far: int = FAR, n_near: int = NEAR, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression with a standard normal prior on every weight and a free bias.

    Accelerated steps with the fixed bound of the Hessian (Boehning 1992): one factorisation, then products only. The
    last steps carry gradients, a truncated Neumann series of the implicit derivative.

    Args:
        z: features times their prior scale, centred on the support rows.
        y: one-hot labels.
        weight: (b, n) weights of the rows; 0 leaves a row out.

    Shape:
        z (b, n, p), y (b, n, k) -> weights (b, p, k), bias (b, k)
    """
    rows = torch.ones_like(z[..., 0]) if weight is None else weight
    # Rows stand last: products of a few rows with a large matrix are several times faster than with a few columns.
    zt, yt = z.transpose(1, 2), y.transpose(1, 2)
    with torch.no_grad():
        bound = torch.cholesky_inverse(_factor(0.5 * _gram(z, rows), torch.ones_like(z[:, 0, 0])))
        total = rows.sum(1)[:, None]
        share = (rows[..., None] * y).sum(1) / total
        b = (share + 1e-3).log()
        w = z.new_zeros(len(z), y.shape[2], z.shape[2])

    def step(w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        error = ((w @ zt + b[..., None]).softmax(1) - yt) * rows[:, None]
        return w - (error @ z + w) @ bound, b - 2.0 * error.sum(2) / total

    state = (w, b, w, b, 1.0)
    with torch.no_grad():
        for _ in range(n_far):
            state = _accelerate(step, *state)
    for _ in range(n_near):
        state = _accelerate(step, *state)
    return state[0].transpose(1, 2), state[1]


def _accelerate(step, w, b, w_old, b_old, t):  # type: ignore[no-untyped-def]
    """One step of Nesterov's method."""
    t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
    push = (t - 1) / t_new
    w_new, b_new = step(w + push * (w - w_old), b + push * (b - b_old))
    return w_new, b_new, w, b, t_new


def solve_ridge(z: Tensor, y: Tensor, *, noise: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Ridge regression with a standard normal prior on every weight and noise of this variance, free bias.

    Shape:
        z (b, n, p), y (b, n, k), noise (b,) -> weights (b, p, k), bias (b, k)
    """
    rows = torch.ones_like(z[..., 0]) if weight is None else weight
    mean = (rows[..., None] * y).sum(1) / rows.sum(1)[:, None]
    factor = _factor(_gram(z, rows), noise)
    target = z.transpose(1, 2) @ (rows[..., None] * (y - mean[:, None]))
    return torch.cholesky_solve(target, factor), mean


def _gram(z: Tensor, rows: Tensor) -> Tensor:
    return z.transpose(1, 2) @ (z * rows[..., None])


def _factor(gram: Tensor, ridge: Tensor) -> Tensor:
    """Cholesky factor of `gram + ridge * I`, with as much more as single precision needs."""
    safe = ridge + 2e-7 * gram.diagonal(dim1=1, dim2=2).sum(1).detach()
    eye = torch.eye(gram.shape[1], device=gram.device, dtype=gram.dtype)
    return torch.linalg.cholesky(gram + safe[:, None, None] * eye)
