"""Columns before anything is seen of them: noisy children of a small random graph of latent causes.

Shape letters: b = tasks, d = columns, n = rows, m = nodes of the latent graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.prior.config import PriorConfig
from hypernet.prior.draws import Draws, standardise

ACTIVATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    torch.tanh,
    torch.relu,
    torch.abs,
    torch.sin,
    lambda x: x,
    lambda x: x * x,
    lambda x: torch.exp(-x * x),
    torch.sign,
)


@dataclass(frozen=True)
class Inputs:
    """What a target may depend on, for b tasks. Rows stand last: one column is then one stretch of memory.

    Shape:
        values (b, d, n), nodes (b, m, n), loadings (b, d, m), relevant (b, d)
    """

    values: Tensor
    """The columns, standardised."""
    nodes: Tensor
    """The latent causes, standardised."""
    loadings: Tensor
    """How much every column carries of every cause, before its own noise: one to three causes, of norm one."""
    relevant: Tensor
    """Columns that the target reads."""

    def __getitem__(self, tasks: slice) -> Inputs:
        return Inputs(self.values[tasks], self.nodes[tasks], self.loadings[tasks], self.relevant[tasks])


def draw_inputs(draws: Draws, config: PriorConfig, b: int, d: int, n: int) -> Inputs:
    """Latent causes and the columns that they make."""
    nodes = _graph(draws, b, min(8, d // 2 + 2), n)
    m = nodes.shape[1]
    # One to three causes per column; a quarter of the tables have independent columns.
    order = draws.uniform(b, d, m).argsort(2)
    loadings = draws.normal(b, d, m) * (order < draws.integers(3, b, d, 1) + 1)
    loadings = loadings / loadings.norm(dim=2, keepdim=True).clamp(min=1e-6)
    strength = draws.uniform(b, 1, 1, low=0.3) + draws.uniform(b, d, 1, low=-0.3, high=0.3)
    strength = strength.clamp(0, 0.98) * ~draws.chance(0.25, b, 1, 1)
    values = torch.baddbmm(draws.normal(b, d, n) * (1 - strength**2).sqrt(), loadings * strength, nodes)
    relevant = draw_relevant(draws, config, b, d)
    return Inputs(standardise(values), nodes, loadings, relevant)


def draw_relevant(draws: Draws, config: PriorConfig, b: int, d: int) -> Tensor:
    """Which columns the target reads, at least one, (b, d)."""
    low, high = config.irrelevant
    luck = draws.uniform(b, d)
    return (luck >= draws.uniform(b, 1, low=low, high=high)) | (luck == luck.amax(1, keepdim=True))


def _graph(draws: Draws, b: int, width: int, n: int) -> Tensor:
    """Roots and two layers of nodes that read up to three nodes above them, (b, 3 width, n)."""
    roots = draws.normal(b, width, n)
    # A third of the tables consist of a few groups of rows.
    grouped = draws.chance(0.33, b, 1, 1) * draws.uniform(b, 1, 1, low=0.5, high=2.0)
    centres = draws.normal(b, width, 4) * grouped
    groups = draws.integers(4, b, 1, n).expand(b, width, n)
    layers = [standardise(roots + centres.gather(2, groups))]
    for _ in range(2):
        above = torch.cat(layers, 1)
        m = above.shape[1]
        weights = draws.normal(b, width, m) * (draws.uniform(b, width, m) < 2.5 / m)
        mixed = torch.baddbmm(draws.normal(b, width, 1) * 0.5, weights, above)
        parts = [ACTIVATIONS[draws.one_of(range(len(ACTIVATIONS)))](part) for part in mixed.unbind(1)]
        layers.append(standardise(torch.stack(parts, 1) + 0.1 * draws.normal(b, width, n)))
    return torch.cat(layers, 1)
