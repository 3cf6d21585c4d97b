"""Targets that vary smoothly with the columns: networks, random features, sums of curves, planes.

Shape letters: b = tasks, d = columns, n = rows, o = outputs (one per class, or one).
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypernet.prior.columns import Inputs
from hypernet.prior.draws import Draws, best_of, standardise

Score = tuple[Tensor, Tensor]
"""Scores (b, o, n) and the columns they depend on (b, d)."""


def importance(draws: Draws, relevant: Tensor) -> Tensor:
    """Positive weights of the columns, a few of them large, zero where irrelevant; squares sum to one, (b, d)."""
    b, d = relevant.shape
    weights = (draws.normal(b, d) * draws.uniform(b, 1, low=0.3, high=2.0)).exp() * relevant
    return weights / weights.norm(dim=1, keepdim=True)


def mlp(draws: Draws, inputs: Inputs, o: int) -> Score:
    """A random network of one or two hidden layers, with one kind of activation per batch."""
    b, d, _ = inputs.values.shape
    width = draws.one_of((4, 8, 16))
    activation = (torch.tanh, torch.relu, torch.sin, torch.abs)[draws.one_of(range(4))]
    scale = draws.uniform(b, 1, 1, low=0.7, high=3.0)
    weights = draws.normal(b, width, d) * importance(draws, inputs.relevant)[:, None] * scale
    hidden = activation(torch.baddbmm(draws.normal(b, width, 1), weights, inputs.values))
    if draws.one_of((0, 1)):
        weights = draws.normal(b, width, width) * (2.0 / width**0.5)
        hidden = activation(torch.baddbmm(draws.normal(b, width, 1), weights, hidden))
    return torch.bmm(draws.normal(b, o, width), hidden), inputs.relevant


def smooth(draws: Draws, inputs: Inputs, o: int) -> Score:
    """A draw of a Gaussian process with one length-scale per column, by random Fourier features."""
    b, d, _ = inputs.values.shape
    frequencies = draws.normal(b, 48, d) * importance(draws, inputs.relevant)[:, None]
    # Dividing by a gamma-like draw gives heavier tails than the squared exponential's: rougher functions too.
    frequencies = frequencies * draws.log_uniform(b, 1, 1, low=0.5, high=2.5) / draws.uniform(b, 48, 1, low=0.4)
    waves = torch.baddbmm(draws.uniform(b, 48, 1, high=6.2832), frequencies, inputs.values).cos_()
    return torch.bmm(draws.normal(b, o, 48), waves), inputs.relevant


def additive(draws: Draws, inputs: Inputs, o: int) -> Score:
    """A sum of one curve per column: a wave, a kink or a step; every output weighs the curves anew."""
    b, d, _ = inputs.values.shape
    kind = draws.uniform(b, d, 1)
    moved = inputs.values - draws.normal(b, d, 1)
    curves = torch.where(kind < 0.3, (moved * draws.uniform(b, d, 1, low=0.5, high=3.0)).sin_(), moved.relu())
    curves = torch.where(kind > 0.7, moved.sign(), curves) + inputs.values * draws.normal(b, d, 1) * 0.5
    weights = draws.normal(b, o, d) * importance(draws, inputs.relevant)[:, None]
    return torch.bmm(weights, standardise(curves)), inputs.relevant


def linear(draws: Draws, inputs: Inputs, o: int) -> Score:
    """A plane per output, and in most tables a few products of two columns."""
    b, d, _ = inputs.values.shape
    weights = importance(draws, inputs.relevant)
    plane = torch.bmm(draws.normal(b, o, d) * weights[:, None], inputs.values)
    pairs = draws.choice(weights, 8)
    rows = inputs.values.gather(1, pairs[..., None].expand(-1, -1, inputs.values.shape[2]))
    strength = draws.uniform(b, 1, 1, high=1.2) * draws.chance(0.6, b, 1, 1)
    return torch.baddbmm(plane, draws.normal(b, o, 4) * strength * 0.5, rows[:, :4] * rows[:, 4:]), inputs.relevant


def prototype(draws: Draws, inputs: Inputs, o: int) -> Score:
    """The value of the nearest of a few rows, under distances that weigh the columns."""
    b, d, n = inputs.values.shape
    count = draws.one_of((4, 8, 16)) + o
    scaled = inputs.values * importance(draws, inputs.relevant)[..., None]
    points = scaled.gather(2, draws.integers(n, b, 1, count).expand(b, d, count))
    closeness = torch.baddbmm(-0.5 * points.square().sum(1)[..., None], points.mT, scaled)
    nearest = best_of(closeness)[:, None].expand(b, o, n)
    return draws.normal(b, o, count).gather(2, nearest), inputs.relevant


def with_trend(draws: Draws, values: Tensor, relevant: Tensor, score: Tensor) -> Tensor:
    """Adds a plane to most of the tables: many real columns also push one way, (b, o, n)."""
    b, o, _ = score.shape
    strength = draws.log_uniform(b, 1, 1, low=0.3, high=4.0) * draws.chance(0.6, b, 1, 1)
    weights = draws.normal(b, o, values.shape[1]) * importance(draws, relevant)[:, None]
    return torch.baddbmm(standardise(score), weights * strength, values)
