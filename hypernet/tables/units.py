"""The second layer: ReLU units over a few columns or all of them, and conjunctions of thresholds.

Shape letters: b = tasks or draws, n = rows, d = columns of the table, m = inputs, a = first-layer outputs,
u = ReLU units, c = conjunctions, t = thresholds of one conjunction.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.tables.support import moments

SPREAD = 1.5
"""Biases of ReLU units are uniform within this many standard deviations of their pre-activation."""
SCALE_ROWS = 512
"""Most rows that the scale of a unit is read from, evenly spaced."""
MAX_SPARSE = 3
"""Most columns of a sparse unit."""
THRESHOLDS = 4
"""Most thresholds of a conjunction."""
STEEPNESS = 200.0
"""Slope of a threshold, per standard deviation: steep enough for a step, finite for export."""


@dataclass(frozen=True)
class Units:
    """ReLU units `relu(a @ weight + bias)` on the first layer's outputs."""

    weight: Tensor
    """(b, a, u)"""
    bias: Tensor
    """(b, u)"""
    columns: Tensor
    """(b, u, d) float: 1 where a unit reads a column."""
    n_sparse: int
    """The first so many units read few columns, the others all."""

    def keep(self, places: Tensor) -> Units:
        """These units of each task only, as sparse ones.

        Shape:
            places (b, u')
        """
        weight = self.weight.gather(2, places[:, None].expand(-1, self.weight.shape[1], -1))
        columns = self.columns.gather(1, places[..., None].expand(-1, -1, self.columns.shape[2]))
        return Units(weight, self.bias.gather(1, places), columns, places.shape[1])

    def beside(self, dense: Units) -> Units:
        """These sparse units and other, dense ones."""
        weight = torch.cat([self.weight, dense.weight], 2)
        columns = torch.cat([self.columns, dense.columns], 1)
        return Units(weight, torch.cat([self.bias, dense.bias], 1), columns, self.n_sparse)

    def __call__(self, a: Tensor) -> Tensor:
        """Shape: (b, n, a) -> (b, n, u)."""
        return torch.baddbmm(self.bias[:, None], a, self.weight).relu_()


@dataclass(frozen=True)
class Conjunctions:
    """Units that are 1 where all of their thresholds hold: `relu(sum of steps - (t - 1))`."""

    source: Tensor
    """(b, c, t) long: the input each threshold reads."""
    slope: Tensor
    """(b, c, t); 0 for a threshold that is not used."""
    offset: Tensor
    """(b, c, t)"""
    columns: Tensor
    """(b, c, d) float: 1 where a conjunction reads a column."""

    def keep(self, places: Tensor) -> Conjunctions:
        """These conjunctions of each task only.

        Shape:
            places (b, c')
        """
        tensors = (self.source, self.slope, self.offset, self.columns)
        return Conjunctions(*(t.gather(1, places[..., None].expand(-1, -1, t.shape[2])) for t in tensors))

    def __call__(self, x: Tensor) -> Tensor:
        """Shape: (b, n, m) -> (b, n, c)."""
        total = x.new_zeros(*x.shape[:2], self.source.shape[1])
        for t in range(THRESHOLDS):
            index = self.source[:, None, :, t].expand(-1, x.shape[1], -1)
            read = x.gather(2, index)
            total += read.mul_(self.slope[:, None, :, t]).add_(self.offset[:, None, :, t]).clamp_(0.0, 1.0)
        return total.sub_(THRESHOLDS - 1).relu_()


def draw_units(
    a: Tensor, column: Tensor, appeal: Tensor, n_sparse: int, n_dense: int, generator: torch.Generator
) -> Units:
    """Random directions, standardised on the support rows (random features, Rahimi and Recht 2008).

    Args:
        a: first-layer outputs of the support rows.
        column: (a,) long, the table's column of every output.
        appeal: how likely a sparse unit reads a column, unnormalised.

    Shape:
        a (b, n, a), appeal (b, d)
    """
    b, d = len(a), appeal.shape[1]
    few = 1 + torch.randint(MAX_SPARSE, (b, n_sparse, 1), generator=generator, device=a.device)
    chosen = _choose(appeal, n_sparse, generator)
    reads = torch.zeros(b, n_sparse, d, device=a.device)
    order = torch.arange(chosen.shape[2], device=a.device)
    reads = reads.scatter(2, chosen, (order < few).to(a.dtype))
    columns = torch.cat([reads, torch.ones(b, n_dense, d, device=a.device)], dim=1)
    directions = torch.randn(b, a.shape[2], n_sparse + n_dense, generator=generator, device=a.device)
    weight = directions * columns[:, :, column].transpose(1, 2)
    mean, variance = moments(a[:, :: -(-a.shape[1] // SCALE_ROWS)] @ weight)
    std = variance.sqrt().clamp(min=1e-6)
    weight = weight / std
    shift = SPREAD * (2 * torch.rand(b, n_sparse + n_dense, generator=generator, device=a.device) - 1)
    return Units(weight, shift - mean[:, 0] / std[:, 0], columns, n_sparse)


def draw_conjunctions(
    x: Tensor, column: Tensor, usable: Tensor, n_units: int, generator: torch.Generator
) -> Conjunctions:
    """Two to four thresholds at values of support rows, each on a random input.

    Args:
        x: inputs of the support rows.
        column: (m,) long, the table's column of every input.
        usable: inputs that vary.

    Shape:
        x (b, n, m), usable (b, m)
    """
    b, n, _ = x.shape
    d = int(column.max()) + 1 if len(column) else 1
    chosen = _choose(usable, n_units, generator, most=THRESHOLDS)
    width = chosen.shape[2]
    if width < THRESHOLDS:
        chosen = torch.cat([chosen, chosen[..., :1].expand(-1, -1, THRESHOLDS - width)], dim=2)
    used = 2 + torch.randint(THRESHOLDS - 1, (b, n_units, 1), generator=generator, device=x.device)
    used = torch.arange(THRESHOLDS, device=x.device) < used.clamp(max=width)
    rows = torch.randint(n, chosen.shape, generator=generator, device=x.device)
    task = torch.arange(b, device=x.device)[:, None, None]
    value = x[task, rows, chosen]
    sign = 2.0 * torch.randint(2, chosen.shape, generator=generator, device=x.device) - 1.0
    # The step is 1/2 at a point just beyond the row's value, so that the row itself is inside.
    slope = sign * STEEPNESS * used
    offset = torch.where(used, 1.0 - slope * value, 1.0)
    columns = torch.zeros(b, n_units, d, device=x.device)
    columns = columns.scatter_reduce(2, column[chosen], used.to(x.dtype), "amax")
    return Conjunctions(chosen, slope, offset, columns)


def _choose(weights: Tensor, n_units: int, generator: torch.Generator, most: int = MAX_SPARSE) -> Tensor:
    """Different places drawn with these weights (Gumbel's trick): (b, k) -> (b, n_units, min(most, k))."""
    noise = torch.rand(len(weights), n_units, weights.shape[1], generator=generator, device=weights.device)
    keys = weights.clamp(min=1e-9).log()[:, None] - (-noise.clamp(1e-9, 1 - 1e-7).log()).log()
    return keys.topk(min(most, weights.shape[1]), dim=2).indices
