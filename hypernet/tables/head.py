"""The output layer in closed form: the convex problem is solved inside the pass, on all support rows.

Shape letters: b = tasks or draws, n = rows, p = features, k = classes (1: regression).
"""

from __future__ import annotations

import torch
from torch import Tensor

FAR, NEAR = 24, 4
"""Steps towards the solution without and with gradients."""


def solve_logistic(z: Tensor, y: Tensor, *, n_far: int = FAR, n_near: int = NEAR) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression with a standard normal prior on every weight and a free bias.

    Accelerated steps with the fixed bound of the Hessian (Boehning 1992): one factorisation, then products only. The
    last steps carry gradients, a truncated Neumann series of the implicit derivative.

    Args:
        z: features times their prior scale, centred on the support rows.
        y: one-hot labels.

    Shape:
        z (b, n, p), y (b, n, k) -> weights (b, p, k), bias (b, k)
    """
    # Rows stand last: products of a few rows with a large matrix are several times faster than with a few columns.
    zt, yt = z.transpose(1, 2), y.transpose(1, 2)
    with torch.no_grad():
        bound = torch.cholesky_inverse(_factor((zt @ z).mul_(0.5), torch.ones_like(z[:, 0, 0])))
        b = (y.mean(1) + 1e-3).log()
        w = z.new_zeros(len(z), y.shape[2], z.shape[2])

    def step(w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        error = (w @ zt + b[..., None]).softmax(1) - yt
        return w - (error @ z + w) @ bound, b - 2.0 * error.mean(2)

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


def solve_ridge(z: Tensor, y: Tensor, *, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression with a standard normal prior on every weight and noise of this variance, free bias.

    Shape:
        z (b, n, p), y (b, n, k), noise (b,) -> weights (b, p, k), bias (b, k)
    """
    mean, zt = y.mean(1), z.transpose(1, 2)
    return torch.cholesky_solve(zt @ (y - mean[:, None]), _factor(zt @ z, noise)), mean


def _factor(gram: Tensor, ridge: Tensor) -> Tensor:
    """Cholesky factor of `gram + ridge * I`, with as much more as single precision needs."""
    safe = ridge + 2e-7 * gram.diagonal(dim1=1, dim2=2).sum(1).detach()
    for _ in range(6):
        factor, failed = torch.linalg.cholesky_ex(gram + torch.diag_embed(safe[:, None].expand(-1, gram.shape[1])))
        if not failed.any():
            return factor
        safe = torch.where(failed > 0, 10 * safe, safe)
    raise torch.linalg.LinAlgError("the features hold numbers that are not finite")
