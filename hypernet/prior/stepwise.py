"""Targets that jump: sums of decision trees, and rules.

Shape letters: b = tasks, d = columns, n = rows, o = outputs, t = trees or rules, q = questions of one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypernet.prior.columns import Inputs
from hypernet.prior.draws import Draws
from hypernet.prior.smooth import Score, importance


def tree(draws: Draws, inputs: Inputs, o: int) -> Score:
    """One to sixteen summed trees, either oblivious (one question per level) or ordinary."""
    t, depth = draws.one_of((1, 1, 2, 4, 8, 16)), draws.one_of((1, 2, 2, 3, 3, 4, 5, 6))
    oblivious = bool(draws.one_of((0, 1)))
    questions = depth if oblivious else 2**depth - 1
    features, thresholds = _questions(draws, inputs, t * questions)
    used = torch.zeros_like(inputs.relevant).scatter(1, features, True)
    shape = (len(features), t, questions)
    features, thresholds = features.view(shape), thresholds.view(shape)
    find = _oblivious_leaf if oblivious else _ordinary_leaf
    leaf = find(inputs.values, features, thresholds)
    values = _leaf_values(draws, len(features), t, o, depth)
    score = values.gather(3, leaf[:, :, None].expand(-1, -1, o, -1))
    return score.sum(1), used


def rules(draws: Draws, inputs: Inputs, o: int) -> Score:
    """A weighted sum of conjunctions of one to four threshold questions."""
    t = draws.one_of((2, 4, 8, 12))
    features, thresholds = _questions(draws, inputs, t * 4)
    b, n = len(features), inputs.values.shape[2]
    asked = torch.arange(4, device=draws.device) <= draws.integers(4, b, t, 1)
    used = torch.zeros_like(inputs.relevant).scatter_reduce(1, features, asked.view(b, -1), "amax")
    rows = inputs.values.gather(1, features[..., None].expand(-1, -1, n)).view(b, t, 4, n)
    above = rows > thresholds.view(b, t, 4, 1)
    answers = (above ^ draws.chance(0.5, b, t, 4, 1)) | ~asked[..., None]
    holds = answers.all(2).float()
    # Rare conjunctions count more, as in a score card.
    share = holds.mean(2, keepdim=True)
    holds = (holds - share) / (share * (1 - share) + 0.02).sqrt()
    return torch.bmm(draws.normal(b, o, t), holds), used


def _questions(draws: Draws, inputs: Inputs, q: int) -> tuple[Tensor, Tensor]:
    """Columns by importance, and thresholds that are values of that column; (b, q) twice."""
    b, _, n = inputs.values.shape
    # A tree reads few columns: the largest importances only.
    weights = importance(draws, inputs.relevant)
    few = weights.topk(min(weights.shape[1], draws.one_of((1, 2, 3, 4, 6, 12))), 1).values[:, -1:]
    features = draws.choice(weights * (weights >= few), q)
    rows = draws.integers(n, b, q)
    thresholds = inputs.values.reshape(b, -1).gather(1, features * n + rows)
    # Halfway to the middle: nodes then split their rows more evenly than at random.
    return features, torch.where(draws.chance(0.5, b, q), thresholds, thresholds * 0.5)


def _oblivious_leaf(values: Tensor, features: Tensor, thresholds: Tensor) -> Tensor:
    """The leaf of every row, (b, t, n)."""
    b, t, q = features.shape
    leaf = torch.zeros(b, t, values.shape[2], dtype=torch.long, device=values.device)
    for level in range(q):
        asked = values.gather(1, features[:, :, level, None].expand(-1, -1, values.shape[2]))
        leaf.mul_(2).add_(asked > thresholds[:, :, level, None])
    return leaf


def _ordinary_leaf(values: Tensor, features: Tensor, thresholds: Tensor) -> Tensor:
    """The same where every node asks its own question; node i of a level has children 2i and 2i + 1."""
    b, t, q = features.shape
    leaf = torch.zeros(b, t, values.shape[2], dtype=torch.long, device=values.device)
    first = 0
    while first < q:
        asked = values.gather(1, features.gather(2, leaf + first))
        leaf = leaf * 2 + (asked > thresholds.gather(2, leaf + first))
        first = 2 * first + 1
    return leaf


def _leaf_values(draws: Draws, b: int, t: int, o: int, depth: int) -> Tensor:
    """Every split adds to its leaves, upper or lower splits more by a draw per task; (b, t, o, 2**depth)."""
    decay = draws.uniform(b, 1, 1, 1, low=0.4, high=1.2)
    values = draws.normal(b, t, o, 2) * (draws.normal(b, t, 1, 1) * 0.7).exp()
    for level in range(2, depth + 1):
        values = values.repeat_interleave(2, 3) + draws.normal(b, t, o, 2**level) * decay ** (level - 1)
    return values
