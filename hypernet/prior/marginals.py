"""What a table shows of its columns: rounding, categories, warps, units, missing cells.

Shape letters: b = tasks, d = columns, n = rows, c = chosen columns of all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.prior.config import PriorConfig
from hypernet.prior.draws import Draws, standardise


@dataclass(frozen=True)
class Coarse:
    """Columns after what loses information; a target reads `values`, the table shows `shown`.

    Shape:
        values (b, d, n), shown (b, d, n), categorical (b, d), whole (b, d)
    """

    values: Tensor
    shown: Tensor
    categorical: Tensor
    whole: Tensor
    """Columns that are whole numbers or codes, and keep them."""


def coarsen(draws: Draws, config: PriorConfig, values: Tensor) -> Coarse:
    """Copies, rounding, piles at one value, categories; everything that a target must not see through."""
    b, d, n = values.shape
    values = _with_copies(draws, config, values)
    shown = values.clone()
    flat, flat_shown = values.view(b * d, n), shown.view(b * d, n)
    share = draws.uniform(b, 1) + draws.chance(0.2, b, 1)
    categorical = draws.chance(config.p_categorical, b, 1) & (draws.uniform(b, d) < share)
    kind = draws.uniform(b, d)
    rounded, piled = ~categorical & (kind < 0.2), ~categorical & (kind > 0.9)
    if len(chosen := categorical.view(-1).nonzero()[:, 0]):
        flat[chosen], flat_shown[chosen] = _categories(draws, config, flat[chosen])
    if len(chosen := rounded.view(-1).nonzero()[:, 0]):
        steps = (flat[chosen] * draws.log_uniform(len(chosen), 1, low=0.5, high=8.0)).round_()
        flat_shown[chosen] = steps + draws.integers(2, len(chosen), 1) * -steps.amin(1, keepdim=True)
        flat[chosen] = standardise(steps)
    if len(chosen := piled.view(-1).nonzero()[:, 0]):
        # Many zeros and a tail, as counts and amounts of money have.
        piles = (flat[chosen] - draws.uniform(len(chosen), 1, low=-1.5, high=1.0)).clamp_(min=0)
        flat[chosen] = flat_shown[chosen] = standardise(piles)
    return Coarse(values, shown, categorical, categorical | rounded)


def _with_copies(draws: Draws, config: PriorConfig, values: Tensor) -> Tensor:
    b, d, n = values.shape
    if d < 2:
        return values
    copied = draws.chance(0.4, b, 1) & draws.chance(config.p_redundant / 0.4, b, d)
    chosen = copied.view(-1).nonzero()[:, 0]
    source = chosen // d * d + (chosen % d + 1 + draws.integers(d - 1, len(chosen))) % d
    flat = values.reshape(b * d, n)
    noise = draws.normal(len(chosen), n) * draws.uniform(len(chosen), 1, high=0.7)
    return flat.index_copy(0, chosen, standardise(flat[source] + noise)).view(b, d, n)


def _categories(draws: Draws, config: PriorConfig, values: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts columns into categories, (c, n) twice: what a target reads of each category, and its code.

    Codes stand in no order. Half of the columns keep the order of their categories for the target.
    """
    c, low, high = len(values), *config.cardinality
    sizes = draws.log_uniform(c, 1, low=low, high=high + 0.999).long()
    # Shares of the categories: from even to one that is nearly everything.
    shares = (draws.normal(c, high) * draws.uniform(c, 1, high=1.2)).exp()
    shares = shares * (torch.arange(high, device=draws.device) < sizes)
    cuts = (shares.cumsum(1) / shares.sum(1, keepdim=True))[:, :-1].contiguous()
    places = torch.searchsorted(cuts, _normal_cdf(values)).minimum(sizes - 1)
    ordered = draws.chance(0.5, c, 1)
    meanings = torch.where(ordered, torch.arange(high, device=draws.device).float(), draws.normal(c, high))
    # Codes beyond a column's size sort last, so that its own are 0..size-1 in random order.
    luck = draws.uniform(c, high) + (torch.arange(high, device=draws.device) >= sizes)
    codes = luck.argsort(1).argsort(1).float()
    return standardise(meanings.gather(1, places)), codes.gather(1, places)


def show(draws: Draws, config: PriorConfig, coarse: Coarse) -> Tensor:
    """Warps, units and missing cells on what the table shows; NaN = missing, (b, d, n)."""
    b, d, n = coarse.shown.shape
    shown = coarse.shown.clone()
    flat = shown.view(b * d, n)
    constant = draws.chance(config.p_constant, b, d) & (d > 1)
    # Some tables come from one source: all their columns have one kind of scale.
    kind = torch.where(draws.chance(0.3, b, 1), draws.uniform(b, 1), draws.uniform(b, d))
    kind = kind.masked_fill(coarse.whole, 0.0)
    for low, high, warp in ((0.4, 0.6, _skew), (0.6, 0.7, _stretch), (0.7, 0.85, _flatten), (0.85, 0.95, _part)):
        chosen = ((kind >= low) & (kind < high)).view(-1).nonzero()[:, 0]
        flat[chosen] = warp(draws, flat[chosen])
    units = draws.log_uniform(b, d, low=0.03, high=100.0) * (1 - 2 * draws.chance(0.2, b, d).float())
    offset = units * draws.uniform(b, d, low=-3, high=5) * draws.chance(0.6, b, d)
    units, offset = units.masked_fill(coarse.whole, 1.0), offset.masked_fill(coarse.whole, 0.0)
    shown.mul_(units[..., None]).add_(offset[..., None])
    flat[constant.view(-1)] = flat[constant.view(-1), :1]
    return _with_gaps(draws, config, shown, coarse.values)


def _skew(draws: Draws, values: Tensor) -> Tensor:
    return (values.clamp(-4, 4) * draws.uniform(len(values), 1, low=0.3, high=1.0)).exp_()


def _stretch(draws: Draws, values: Tensor) -> Tensor:
    return (values.clamp(-4, 4) * draws.uniform(len(values), 1, low=0.5, high=1.2)).sinh_()


def _flatten(draws: Draws, values: Tensor) -> Tensor:
    return _normal_cdf(values)


def _part(draws: Draws, values: Tensor) -> Tensor:
    return values + values.sign() * draws.uniform(len(values), 1, low=0.5, high=3.0)


def _normal_cdf(values: Tensor) -> Tensor:
    return (values * 0.5**0.5).erf_().add_(1).mul_(0.5)


def _with_gaps(draws: Draws, config: PriorConfig, shown: Tensor, values: Tensor) -> Tensor:
    """Cells go missing at random, or more often where the column, or another one, is large."""
    b, d, n = shown.shape
    gapped = draws.chance(config.p_missing, b, 1) & draws.chance(0.5, b, d)
    chosen = gapped.view(-1).nonzero()[:, 0]
    if not len(chosen):
        return shown
    kind = draws.integers(3, len(chosen))
    other = chosen // d * d + draws.integers(d, len(chosen))
    reason = values.view(b * d, n)[torch.where(kind == 1, chosen, other)]
    odds = torch.where((kind > 0)[:, None], 2 * _normal_cdf(2 * reason), 1.0)
    share = draws.uniform(len(chosen), 1, high=config.missing_share)
    flat = shown.view(b * d, n)
    flat[chosen] = flat[chosen].masked_fill(draws.uniform(len(chosen), n) < share * odds, torch.nan)
    return shown
