"""The families of targets, and the two that make columns and target together: latent graphs and clusters.

Shape letters: b = tasks, d = columns, n = rows, m = nodes of the latent graph, o = outputs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hypernet.prior.columns import Inputs
from hypernet.prior.draws import Draws, standardise
from hypernet.prior.smooth import Score, additive, linear, mlp, prototype, smooth
from hypernet.prior.stepwise import rules, tree

FUNCTIONS: dict[str, Callable[[Draws, Inputs, int], Score]] = {
    "mlp": mlp,
    "tree": tree,
    "rules": rules,
    "smooth": smooth,
    "additive": additive,
    "linear": linear,
    "prototype": prototype,
}
"""Targets that are a function of the columns."""


def graph(draws: Draws, inputs: Inputs, o: int) -> tuple[Tensor, Tensor, Tensor]:
    """The target is a noisy child of a few latent nodes, and so are the columns: no column is its cause.

    Returns:
        columns (b, d, n), scores (b, o, n), the columns that carry one of the target's own causes (b, d).
    """
    b, d, n = inputs.values.shape
    m = inputs.nodes.shape[1]
    # Causes are taken from those of relevant columns, so that something of them can be seen.
    chosen = draws.choice(inputs.relevant.float(), 3)
    causes = inputs.loadings.abs().argmax(2).gather(1, chosen)
    used = torch.zeros(b, m, device=draws.device).scatter(1, causes, 1.0)
    parents = inputs.nodes.gather(1, causes[..., None].expand(-1, -1, n))
    hidden = torch.baddbmm(draws.normal(b, 8, 1), draws.normal(b, 8, 3), parents)
    hidden = torch.cat([hidden[:, :4].tanh(), hidden[:, 4:6].sin(), hidden[:, 6:].relu()], 1)
    score = torch.bmm(draws.normal(b, o, 8), hidden) + torch.bmm(draws.normal(b, o, 3), parents)
    strength = draws.uniform(b, 1, 1, low=0.7, high=0.95) + draws.uniform(b, d, 1, low=-0.2, high=0.2)
    strength = strength.clamp(max=0.99)
    noise = draws.normal(b, d, n) * (1 - strength**2).sqrt()
    columns = torch.baddbmm(noise, inputs.loadings * strength, inputs.nodes)
    return standardise(columns), score, (inputs.loadings.abs() @ used[..., None])[..., 0] > 0


def clusters(draws: Draws, inputs: Inputs, o: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every class owns a few blobs of rows; a number is its blob's value plus a slope.

    Returns:
        columns (b, d, n), scores (b, o, n), the columns in which blobs differ (b, d).
    """
    b, d, n = inputs.values.shape
    count = max(o, 2) * draws.one_of((1, 1, 2, 3, 4))
    shares = (draws.normal(b, count) * draws.uniform(b, 1)).exp()
    blob = draws.choice(shares, n)[:, None]
    width = inputs.relevant.sum(1)[:, None, None].float()
    apart = draws.uniform(b, 1, 1, low=1.5, high=5.0) / width**0.35
    centres = draws.normal(b, d, count) * apart * inputs.relevant[..., None]
    spread = (draws.normal(b, d, count) * 0.4).exp()
    columns = centres.gather(2, blob.expand(b, d, n)) + inputs.values * spread.gather(2, blob.expand(b, d, n))
    if o == 1:
        slope = inputs.values.mul(inputs.relevant[..., None]).mean(1, keepdim=True)
        score = draws.normal(b, 1, count).gather(2, blob) + 0.3 * slope
    else:
        owner = torch.arange(count, device=draws.device) % o
        score = (owner[blob] == torch.arange(o, device=draws.device)[:, None]).float()
    return standardise(columns), score, inputs.relevant
