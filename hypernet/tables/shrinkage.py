"""What is learned: how strongly each unit of a written network may speak, read from the support rows.

The network sees statistics that do not depend on the order of columns, classes or rows, so neither does what it says.

Shape letters: b = tasks or draws, n = rows, d = columns, a = first-layer outputs, p = features, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hypernet.tables.look import LOGITS_PER_NOISE, LOOK_NOISE, Look, anchor_scales, look_at
from hypernet.tables.support import KINDS, Support, column_gains, correlation

REACH = 1.5
"""Largest learned change of the log scale of a kind of features, of the noise and of the temperature."""
FEATURE_REACH = 0.7
"""The same for one feature against the others of its kind: more fits synthetic tables better and real ones worse."""
N_FACTS = 9 + len(LOOK_NOISE) + 2
D_TOKEN = 16


@dataclass(frozen=True)
class Scales:
    """Prior scales of a task's features, noise of a regression, temperature of a classification."""

    prior: Tensor
    """(b, p)"""
    noise: Tensor
    """(b,)"""
    temperature: Tensor
    """(b,)"""


class Shrinkage(nn.Module):
    """Support rows, and a first look at a network whose units were not chosen by them, to prior scales.

    Its last layers start at zero: untrained, it changes nothing of what the first look favours.
    """

    def __init__(self, d_hidden: int = 64) -> None:
        super().__init__()
        self.per_class = nn.Sequential(nn.Linear(4, 32), nn.GELU(), nn.Linear(32, 32))
        self.per_output = nn.Sequential(nn.GELU(), nn.Linear(32, 32), nn.GELU())
        self.per_column = nn.Sequential(nn.Linear(32 + 4, 32), nn.GELU(), nn.Linear(32, D_TOKEN))
        d_feature = len(KINDS) + 6 + 3 + D_TOKEN + N_FACTS
        self.per_feature = nn.Sequential(
            nn.Linear(d_feature, d_hidden), nn.GELU(), nn.Linear(d_hidden, d_hidden), nn.GELU()
        )
        self.scale = nn.Linear(d_hidden, 1)
        self.whole = nn.Sequential(nn.Linear(d_hidden + N_FACTS, d_hidden), nn.GELU())
        self.settings = nn.Linear(d_hidden, len(KINDS) + 3)
        for last in (self.scale, self.settings):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, support: Support, scout: Look) -> Scales:
        d = support.columns.shape[2]
        gains = column_gains(support.first, support.column, support.y, d)
        look = look_at(support, scout.noise[:, None])
        known = [scout.skill, scout.noise.log()[:, None] / 4, look.skill]
        facts = torch.cat([self._facts(support, gains), *known], 1)
        seen = self._feature_facts(support, gains, look, self._tokens(support, gains, look))
        hidden = self.per_feature(torch.cat([seen, facts[:, None].expand(-1, seen.shape[1], -1)], -1))
        settings = self.settings(self.whole(torch.cat([hidden.mean(1), facts], -1)))
        of_kind = _within(REACH, settings[:, : len(KINDS)] + settings[:, -3:-2])
        change = _within(FEATURE_REACH, self.scale(hidden)[..., 0]) + of_kind[:, support.kind]
        prior = anchor_scales(support) * change.exp()
        if not support.regression:
            prior = prior * (LOGITS_PER_NOISE / scout.noise.sqrt())[:, None]
        limited = _within(REACH, settings[:, -2:])
        return Scales(prior, scout.noise * limited[:, 0].exp(), limited[:, 1].exp())

    @torch.no_grad()
    def temper(self, factor: float) -> None:
        """Multiply all that is said, before its limits, by a factor."""
        for last in (self.scale, self.settings):
            last.weight.mul_(factor)
            last.bias.mul_(factor)

    def _tokens(self, support: Support, gains: Tensor, look: Look) -> Tensor:
        """One token for each column: (b, d, D_TOKEN)."""
        n = support.first.shape[1]
        r = correlation(support.first, support.y)
        share = support.y.mean(1)[:, None].expand_as(r)
        spread = support.variance[:, : len(support.column), None].sqrt().expand_as(r)
        told = torch.stack([torch.tanh(r * n**0.5 / 4), r, share, spread], -1)
        outputs = self.per_output(self.per_class(told).mean(2))
        b, d = gains.shape
        count = torch.bincount(support.column, minlength=d).clamp(min=1)[None, :, None]
        pooled = outputs.new_zeros(b, d, outputs.shape[2]).index_add(1, support.column, outputs) / count
        known = torch.stack([gains, (gains * n).log1p() / 5, support.mentioned, _log(look.column_use)], -1)
        return self.per_column(torch.cat([pooled, known], -1))

    def _feature_facts(self, support: Support, gains: Tensor, look: Look, tokens: Tensor) -> Tensor:
        r2 = correlation(support.features, support.y).square()
        n = support.features.shape[1]
        used = support.columns
        size = used.sum(2, keepdim=True).clamp(min=1)
        fourth = support.features.square().square_().mean(1)
        kurtosis = (fourth / support.variance.square().clamp(min=1e-6)).clamp(1, 99)
        kind = nn.functional.one_hot(support.kind, len(KINDS)).to(r2)[None].expand(len(r2), -1, -1)
        own = torch.stack(
            [
                r2.amax(2),
                (r2.amax(2) * n).log1p() / 5,
                r2.mean(2).sqrt(),
                kurtosis.log(),
                size[..., 0].log(),
                _log(look.use),
            ],
            -1,
        )
        of_columns = [(used * gains[:, None]).sum(2) / size[..., 0], (used * gains[:, None]).amax(2)]
        column_gain = torch.stack([*of_columns, (used * _log(look.column_use)[:, None]).sum(2) / size[..., 0]], -1)
        return torch.cat([kind, own, column_gain, used @ tokens / size], -1)

    def _facts(self, support: Support, gains: Tensor) -> Tensor:
        b, n, k = support.y.shape
        d = gains.shape[1]
        majority = support.y.mean(1).amax(1) * (not support.regression)
        constant = torch.tensor([n, d, k, n / max(d, 1)], device=gains.device, dtype=gains.dtype).log() / 3
        measured = [
            gains.mean(1),
            gains.amax(1),
            (gains * n).log1p().mean(1) / 5,
            majority,
            torch.full_like(majority, float(support.regression)),
        ]
        return torch.cat([constant.expand(b, -1), torch.stack(measured, -1)], -1)


def _within(reach: float, change: Tensor) -> Tensor:
    return reach * torch.tanh(change / reach)


def _log(use: Tensor) -> Tensor:
    return (use + 1e-3).log() / 3
