"""The first layer: every numeric input becomes piecewise-linear steps between its quantiles.

Shape letters: b = tasks or draws, n = rows, d = columns of the table, m = inputs, e = steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 12
"""Steps a numeric input is cut into; fewer on wide tables."""
MAX_STEPS = 1536
"""Steps of all inputs together."""


@dataclass(frozen=True)
class Steps:
    """Steps `clamp(x[..., source] * slope + offset, 0, 1)`: a fixed layer of two ReLUs each."""

    source: Tensor
    """(e,) long: which input a step reads."""
    slope: Tensor
    """(b, e)"""
    offset: Tensor
    """(b, e)"""

    def __call__(self, x: Tensor) -> Tensor:
        """Shape: (b, n, m) -> (b, n, e)."""
        return (x[..., self.source] * self.slope[:, None] + self.offset[:, None]).clamp(0.0, 1.0)


def fit_steps(x: Tensor, numeric: Tensor, *, max_rows: int = 4096) -> Steps:
    """Steps between the quantiles of the support rows (piecewise-linear encoding, Gorishniy et al. 2022).

    Repeated quantiles make a step of zero width, which is left flat: it carries nothing.

    Args:
        x: support rows.
        numeric: (m,) bool, the inputs that are encoded.
        max_rows: quantiles are read from so many rows, evenly spaced.

    Shape:
        x (b, n, m)
    """
    places = numeric.nonzero().flatten()
    if not len(places):
        return Steps(places, x.new_zeros(len(x), 0), x.new_zeros(len(x), 0))
    n_steps = max(2, min(STEPS, MAX_STEPS // max(len(places), 1)))
    rows = x[:, :: max(1, -(-x.shape[1] // max_rows))][..., places]
    levels = torch.linspace(0, 1, n_steps + 1, device=x.device, dtype=x.dtype)
    edges = torch.quantile(rows, levels, dim=1).movedim(0, -1)  # (b, len(places), n_steps + 1)
    low, width = edges[..., :-1], edges.diff(dim=-1)
    slope = torch.where(width > 1e-6, 1.0 / width.clamp(min=1e-6), 0.0)
    return Steps(places.repeat_interleave(n_steps), slope.flatten(1), (-low * slope).flatten(1))
