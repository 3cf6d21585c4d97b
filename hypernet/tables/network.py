"""A drawn network without its output layer: what its features are, on any rows.

Shape letters: b = tasks or draws, n = rows, d = columns, m = inputs, p = features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.tables.encoding import Steps, fit_steps
from hypernet.tables.look import Look, look_at
from hypernet.tables.support import KINDS, Support, column_gains, moments
from hypernet.tables.units import Conjunctions, Units, draw_conjunctions, draw_units


@dataclass(frozen=True)
class Hidden:
    """The layers before the output layer, with the centre and scale of every feature."""

    steps: Steps
    units: Units
    conjunctions: Conjunctions
    mean: Tensor
    """(b, 1, p)"""
    std: Tensor
    """(b, 1, p)"""
    kind: Tensor
    """(p,) long, as in `support.KINDS`."""
    columns: Tensor
    """(b, p, d) float"""

    @staticmethod
    def join(parts: Sequence[Hidden]) -> Hidden:
        """Draws for the same rows and inputs as one batch."""
        steps, units = [p.steps for p in parts], [p.units for p in parts]
        return Hidden(
            Steps(steps[0].source, torch.cat([s.slope for s in steps]), torch.cat([s.offset for s in steps])),
            Units(
                torch.cat([u.weight for u in units]),
                torch.cat([u.bias for u in units]),
                torch.cat([u.columns for u in units]),
                units[0].n_sparse,
            ),
            Conjunctions(
                *(
                    torch.cat([getattr(p.conjunctions, name) for p in parts])
                    for name in ("source", "slope", "offset", "columns")
                )
            ),
            torch.cat([p.mean for p in parts]),
            torch.cat([p.std for p in parts]),
            parts[0].kind,
            torch.cat([p.columns for p in parts]),
        )

    def raw(self, x: Tensor) -> Tensor:
        """Features as the network computes them: (b, n, m) -> (b, n, p)."""
        steps = self.steps(x)
        first = torch.cat([x, steps], 2)
        return torch.cat([first, self.units(first), self.conjunctions(x)], 2)

    def __call__(self, x: Tensor) -> Tensor:
        """Features centred and scaled: (b, n, m) -> (b, n, p)."""
        return self.raw(x).sub_(self.mean).div_(self.std)


@dataclass(frozen=True)
class Width:
    """How many units of each kind a draw has."""

    n_sparse: int = 192
    n_dense: int = 192
    n_conjunctions: int = 128
    pool: int = 4
    """So many sparse units and conjunctions are drawn for each that is kept."""


def draw_hidden(
    x: Tensor,
    y: Tensor,
    column: Tensor,
    numeric: Tensor,
    width: Width,
    generator: torch.Generator,
    *,
    regression: bool,
) -> tuple[Hidden, Tensor, Look]:
    """Hidden layers for support rows, their features, and how well a first network did.

    The first layer is quantile steps. A first network of random units is drawn and solved; of a pool of further sparse
    units and conjunctions, those are kept that correlate best with its leave-one-out residuals.

    Args:
        column: (m,) long, the table's column of every input.
        numeric: (m,) bool, inputs that get steps; the others are one-hot inputs and flags.

    Shape:
        x (b, n, m), y (b, n, k) -> features (b, n, p)
    """
    d = int(column.max()) + 1
    steps = fit_steps(x, numeric)
    first = torch.cat([x, steps(x)], 2)
    whose = torch.cat([column, column[steps.source]])
    each = (moments(x)[1][:, 0] > 1e-12).to(x.dtype)
    varies = each.new_zeros(len(each), d).scatter_reduce(1, column.expand(len(each), -1), each, "amax")
    appeal = (column_gains(first, whose, y, d) + 0.02).sqrt() * varies
    units = draw_units(first, whose, appeal, width.n_sparse, width.n_dense, generator)
    conjunctions = draw_conjunctions(x, column, each, width.n_conjunctions, generator)
    scout, features = _assemble(x, first, steps, whose, units, conjunctions, d)
    look = look_at(support_of(scout, features, y, column, regression=regression))
    appeal = (look.column_use + 0.05).sqrt() * varies
    more = draw_units(first, whose, appeal, width.pool * width.n_sparse, 0, generator)
    units = more.keep(_best(more(first[:, :: look.stride]), look.residual, width.n_sparse)).beside(
        units.keep(torch.arange(width.n_sparse, width.n_sparse + width.n_dense, device=x.device).expand(len(x), -1))
    )
    pool = draw_conjunctions(x, column, each * appeal[:, column], width.pool * width.n_conjunctions, generator)
    conjunctions = pool.keep(_best(pool(x[:, :: look.stride]), look.residual, width.n_conjunctions))
    return *_assemble(x, first, steps, whose, units, conjunctions, d), look


def support_of(
    hidden: Hidden,
    features: Tensor,
    y: Tensor,
    column: Tensor,
    *,
    regression: bool,
    mentioned: Tensor | None = None,
) -> Support:
    """What the learned part reads: features of the support rows and their labels."""
    named = features.new_zeros(len(features), hidden.columns.shape[2]) if mentioned is None else mentioned
    whose = torch.cat([column, column[hidden.steps.source]])
    return Support(features, hidden.kind, hidden.columns, whose, y, regression, named)


def _assemble(
    x: Tensor, first: Tensor, steps: Steps, whose: Tensor, units: Units, conjunctions: Conjunctions, d: int
) -> tuple[Hidden, Tensor]:
    """Layers together, with centre and scale of their outputs on the support rows, and these outputs."""
    sizes = (
        x.shape[2],
        len(steps.source),
        units.n_sparse,
        units.bias.shape[1] - units.n_sparse,
        len(conjunctions.source[0]),
    )
    kind = torch.repeat_interleave(torch.arange(len(KINDS)), torch.tensor(sizes)).to(x.device)
    alone = torch.nn.functional.one_hot(whose, d).to(x.dtype)[None].expand(len(x), -1, -1)
    columns = torch.cat([alone, units.columns, conjunctions.columns], 1)
    features = torch.cat([first, units(first), conjunctions(x)], 2)
    mean, variance = moments(features)
    std = variance.sqrt() + 0.05
    # In place: fresh memory costs more than the arithmetic.
    return Hidden(steps, units, conjunctions, mean, std, kind, columns), features.sub_(mean).div_(std)


def _best(features: Tensor, residual: Tensor, n_kept: int) -> Tensor:
    """Places of the features that explain most of the residual: (b, n, p), (b, n, k) -> (b, n_kept)."""
    mean, variance = moments(features)
    told = residual.transpose(1, 2) @ ((features - mean) / (variance.sqrt() + 0.05))
    return told.square().sum(1).topk(n_kept, 1).indices
