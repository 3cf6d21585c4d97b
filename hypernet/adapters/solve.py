"""The classifier in closed form: labelled rows correct the rows that the label words gave.

Shape letters: b = tasks, n = labelled rows, p = features, m = features after the solve's own rotation, k = outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flame.errors import DataError
from hypernet.adapters.generator import AdapterGenerator, Settings
from hypernet.tables.head import solve_ridge

FAR, NEAR = 40, 4
"""Steps towards the solution without and with gradients."""

Rows = tuple[Tensor, Tensor]
"""weight (b, k, p), bias (b, k)"""


def solve_head(
    generator: AdapterGenerator,
    features: Tensor,
    y: Tensor,
    label_rows: Rows | None,
    z: Tensor,
    *,
    regression: bool = False,
) -> Rows:
    """The most probable classifier given labelled rows, with `label_rows` as the prior's mean.

    One row is enough and thousands are fine; a class without any row keeps the row of its label words.

    Args:
        features: of the labelled rows, adapted by the same latent.
        y: one-hot labels, or numbers in the unit they are wanted in.
        label_rows: what `generator.head_rows` (or `number_rows`) gave; None: nothing is known before the rows.

    Shape:
        features (b, n, p), y (b, n, k), z (b, d_latent) -> weight (b, k, p), bias (b, k)

    Raises:
        DataError: if there are no rows, or not as many labels as rows.
    """
    if features.dim() != 3 or y.dim() != 3 or features.shape[:2] != y.shape[:2] or not features.shape[1]:
        raise DataError(
            "expected labelled rows: features (b, n, p) and y (b, n, k) with n of 1 or more, however: "
            f"{tuple(features.shape)} and {tuple(y.shape)}"
        )
    features, y = features.float(), y.float()
    settings = generator.settings(z, *y.shape[1:])
    weight, bias = _prior_rows(label_rows, features, y)
    if regression:
        return _solve_numbers(features, y, weight, bias, settings)
    return _solve_classes(features, y, weight, bias, settings)


def solve_classes(
    features: Tensor, y: Tensor, settings: Settings, label_rows: Rows | None = None, *, n_steps: int = 300
) -> Rows:
    """The same for classes without a generator, whose settings are given.

    Args:
        label_rows: what is known before the rows, if anything is.
        n_steps: towards the solution; a weak prior wants many.

    Shape:
        features (b, n, p), y (b, n, k) one-hot -> weight (b, k, p), bias (b, k)
    """
    return _solve_classes(features, y, *_prior_rows(label_rows, features, y), settings, n_far=n_steps)


def _prior_rows(rows: Rows | None, features: Tensor, y: Tensor) -> Rows:
    if rows is not None:
        return rows[0].float(), rows[1].float()
    return features.new_zeros(len(y), y.shape[2], features.shape[2]), features.new_zeros(len(y), y.shape[2])


def _solve_classes(
    features: Tensor, y: Tensor, weight: Tensor, bias: Tensor, settings: Settings, *, n_far: int = FAR
) -> Rows:
    weight, bias = weight * settings.trust[:, None, None], bias * settings.trust[:, None]
    offset = torch.baddbmm(bias[:, :, None], weight, features.mT)
    centred, mean, scale = _scaled(features, settings)
    # The bias is one more feature: classes without rows would else be driven away without end.
    ones = settings.bias[:, None, None].expand(*centred.shape[:2], 1)
    change = solve_logistic_from(torch.cat([centred, ones], -1), y, offset, n_far=n_far)
    more = change[..., :-1] * scale
    less = (more @ mean.mT)[..., 0]
    weight, bias = weight + more, bias + change[..., -1] * settings.bias[:, None] - less
    return weight * settings.temperature[:, None, None], bias * settings.temperature[:, None]


def _solve_numbers(features: Tensor, y: Tensor, weight: Tensor, bias: Tensor, settings: Settings) -> Rows:
    middle = y.mean(1, keepdim=True)
    spread = (y - middle).square().mean(1, keepdim=True).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    rest = (y - middle) / spread - torch.baddbmm(bias[:, None], features, weight.mT)
    centred, mean, scale = _scaled(features, settings)
    change, shift = solve_ridge(centred, rest, noise=settings.noise)
    more = change.mT * scale
    weight, bias = weight + more, bias + shift - (more @ mean.mT)[..., 0]
    return weight * spread.mT, bias * spread[:, 0] + middle[:, 0]


def _scaled(features: Tensor, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Centred features times their prior scale, their mean, and the scale: (b, n, p), (b, 1, p), (b, 1, 1)."""
    mean = features.mean(1, keepdim=True)
    length = features.square().sum(-1).mean(1).sqrt().clamp(min=1e-6)
    scale = (settings.prior / length)[:, None, None]
    return (features - mean) * scale, mean, scale


def solve_logistic_from(z: Tensor, y: Tensor, offset: Tensor, *, n_far: int = FAR, n_near: int = NEAR) -> Tensor:
    """Multinomial logistic regression on top of given logits, with a standard normal prior on every weight.

    Accelerated steps with the fixed bound of the Hessian (Boehning 1992), as in `hypernet.tables.head`, but nothing is
    free of the prior, and few rows are solved in the space they span.

    Args:
        z: features times their prior scale.
        y: one-hot labels.
        offset: logits before the correction.

    Shape:
        z (b, n, m), y (b, n, k), offset (b, k, n) -> (b, k, m)
    """
    spanned, back = _span(z)
    st, yt = spanned.mT, y.mT
    with torch.no_grad():
        eye = torch.eye(spanned.shape[2], device=z.device)
        bound = torch.cholesky_inverse(torch.linalg.cholesky(0.5 * st @ spanned + eye))

    def step(w: Tensor) -> Tensor:
        error = (w @ st + offset).softmax(1) - yt
        return w - (error @ spanned + w) @ bound

    w = old = z.new_zeros(len(z), y.shape[2], spanned.shape[2])
    t = 1.0
    for i in range(n_far + n_near):
        with torch.set_grad_enabled(torch.is_grad_enabled() and i >= n_far):
            t_new = (1 + (1 + 4 * t * t) ** 0.5) / 2
            w, old, t = step(w + (t - 1) / t_new * (w - old)), w, t_new
    return w if back is None else w @ back


def _span(z: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows in coordinates of the space they span, where that is smaller, and the way back.

    Shape:
        z (b, n, m) -> (b, n, min(n, m)), (b, n, m) or None
    """
    n, m = z.shape[1:]
    if n >= m:
        return z, None
    gram = z @ z.mT
    safe = 1e-5 * gram.diagonal(dim1=1, dim2=2).mean(1) + 1e-8
    eye = torch.eye(n, device=z.device)
    factor = torch.linalg.cholesky(gram + safe.detach()[:, None, None] * eye)
    return factor, torch.linalg.solve_triangular(factor, z, upper=False)
