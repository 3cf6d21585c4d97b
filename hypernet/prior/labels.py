"""From scores to a target: classes by argmax or by quantile cuts, or a number; then noise.

Shape letters: b = tasks, n = rows, o = outputs, k = most classes of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hypernet.prior.config import PriorConfig
from hypernet.prior.draws import Draws, best_of, standardise


def draw_targets(
    draws: Draws, config: PriorConfig, score: Tensor, n_classes: Tensor, owned: Tensor, n_support: int
) -> Tensor:
    """The target column of every task, noise included, (b, n).

    Args:
        score: (b, o, n) as the families give it.
        n_classes: (b,), 0 = regression.
        owned: (b,) tasks whose argmax is the class already (clusters): their shares stay as they are.
    """
    b, o, n = score.shape
    score = standardise(score)
    level = config.noise * draws.uniform(b, 1, 1) ** 3
    # The gap between the best two of many classes is small: the same noise would drown it.
    level = level * (2 / n_classes.clamp(min=2))[:, None, None]
    score = score + draws.normal(b, o, n) * level * ~owned[:, None, None]
    numbers = _numbers(draws, config, score[:, 0], n_support)
    if o == 1:
        return numbers
    shares = class_shares(draws, config, n_classes.clamp(min=2), o)
    best = best_of(score + _offsets(score[..., :256], shares, owned)[..., None])
    ordinal = draws.chance(config.p_ordinal, b) & ~owned
    codes = torch.where(ordinal[:, None], _cut(score[:, 0] + 0.02 * draws.normal(b, n), shares), best)
    codes = _flip(draws, config, codes, n_classes.clamp(min=2))
    # Which class is which says nothing: own codes in random order, those of other tasks' classes behind.
    luck = draws.uniform(b, o) + (torch.arange(o, device=draws.device) >= n_classes[:, None])
    codes = luck.argsort(1).argsort(1).gather(1, codes)
    return torch.where(n_classes[:, None] > 0, codes.float(), numbers)


def class_shares(draws: Draws, config: PriorConfig, n_classes: Tensor, k: int) -> Tensor:
    """How often each class is meant to occur, zero beyond a task's own classes, (b, k)."""
    b = len(n_classes)
    own = torch.arange(k, device=draws.device) < n_classes[:, None]
    spread = draws.uniform(b, 1, high=config.imbalance)
    shares = (draws.normal(b, k) * spread).masked_fill(~own, -torch.inf).softmax(1)
    least = min(0.45, config.min_class_share) * 2 / n_classes[:, None]
    return (least + (1 - least * n_classes[:, None]) * shares) * own


def _offsets(score: Tensor, shares: Tensor, owned: Tensor, sharpness: float = 4.0) -> Tensor:
    """What to add to the scores so that the argmax gives about these shares, (b, k)."""
    goal = shares.clamp(min=1e-6).log()
    offsets = torch.zeros_like(goal).masked_fill(shares == 0, -torch.inf)
    for _ in range(4):
        now = ((score + offsets[..., None]) * sharpness).softmax(1).mean(2)
        change = (goal - now.clamp(min=1e-6).log()) / sharpness
        offsets = offsets + change * (shares > 0) * ~owned[:, None]
    return offsets


def _cut(score: Tensor, shares: Tensor) -> Tensor:
    """Classes by quantiles of a number, (b, n)."""
    n = score.shape[1]
    places = (shares.cumsum(1)[:, :-1] * n).round().long().clamp(max=n - 1)
    cuts = score.sort(1).values.gather(1, places)
    last = (shares > 0).sum(1, keepdim=True) - 1
    cuts = cuts.masked_fill(torch.arange(cuts.shape[1], device=cuts.device) >= last, torch.inf)
    return torch.searchsorted(cuts, score, right=True)


def _flip(draws: Draws, config: PriorConfig, codes: Tensor, n_classes: Tensor) -> Tensor:
    b, n = codes.shape
    share = draws.uniform(b, 1, high=config.label_noise) * draws.chance(config.p_flipped, b, 1)
    # Another row's label: noise keeps the shares of the classes.
    others = codes.gather(1, draws.integers(n, b, n))
    return torch.where(draws.uniform(b, n) < share, others, codes)


def _numbers(draws: Draws, config: PriorConfig, score: Tensor, n_support: int) -> Tensor:
    """A numeric target: sometimes skewed, sometimes rounded, with outliers; standardised on the support rows."""
    b, n = score.shape
    score = standardise(score)
    kind = draws.uniform(b, 1)
    skewed = (score.clamp(-4, 4) * draws.uniform(b, 1, low=0.3, high=1.0)).exp()
    steps = draws.log_uniform(b, 1, low=1.0, high=10.0)
    score = torch.where(kind < 0.25, skewed, torch.where(kind > 0.85, (score * steps).round(), score))
    share = draws.uniform(b, 1, high=0.1 * config.label_noise) * draws.chance(config.p_flipped, b, 1)
    outliers = (draws.uniform(b, n) < share) * draws.normal(b, n) * 3
    score = score + outliers * score.std(1, keepdim=True)
    support = score[:, :n_support]
    scale = support.std(1, correction=0, keepdim=True).clamp(min=1e-6)
    return ((score - support.mean(1, keepdim=True)) / scale).clamp(-10, 10)
