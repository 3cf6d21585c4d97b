"""What the generator reads of a task: features of its support rows, and statistics that no order changes.

Shape letters: b = tasks or draws, n = rows, d = columns, a = first-layer outputs, p = features, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

KINDS = ("input", "step", "sparse", "dense", "conjunction")
"""Kinds of features, in their order."""


@dataclass(frozen=True)
class Support:
    """Features and labels of the support rows."""

    features: Tensor
    """(b, n, p), centred and scaled to about unit variance."""
    kind: Tensor
    """(p,) long, places in `KINDS`."""
    columns: Tensor
    """(b, p, d) float, 1 where a feature reads a column."""
    column: Tensor
    """(a,) long, the column of each of the first a features: inputs and steps."""
    y: Tensor
    """(b, n, k) one-hot labels, or one standardised number."""
    regression: bool
    mentioned: Tensor
    """(b, d) float: 1 where the requirement's words name the column."""

    @cached_property
    def variance(self) -> Tensor:
        """(b, p)"""
        return moments(self.features)[1][:, 0]

    @property
    def first(self) -> Tensor:
        """(b, n, a) inputs and steps."""
        return self.features[..., : len(self.column)]


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance over rows, faster than `var` along a strided axis: (b, n, p) -> (b, 1, p) twice."""
    mean = x.mean(1, keepdim=True)
    return mean, (x - mean).square_().mean(1, keepdim=True)


def correlation(x: Tensor, y: Tensor) -> Tensor:
    """Correlation of every feature with every class: (b, n, p), (b, n, k) -> (b, p, k)."""
    y = y - y.mean(1, keepdim=True)
    x = x - x.mean(1, keepdim=True)
    scale = x.square().sum(1).sqrt()[..., None] * y.square().sum(1).sqrt()[:, None]
    return (y.transpose(1, 2) @ x).transpose(1, 2) / scale.clamp(min=1e-6)


def column_gains(first: Tensor, column: Tensor, y: Tensor, d: int) -> Tensor:
    """Largest squared correlation of a column's first-layer outputs with a class: -> (b, d)."""
    best = correlation(first, y).square().amax(2)
    return best.new_zeros(len(best), d).scatter_reduce(1, column.expand(len(best), -1), best, "amax")
