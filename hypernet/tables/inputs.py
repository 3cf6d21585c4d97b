"""Synthetic tables as the inputs a written network reads: the same encoding that `flame` gives a user's rows.

Shape letters: b = tasks, n = rows, d = columns, m = inputs, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hypernet.prior import TableBatch

CLIP = 5.0
"""Standardised numbers are cut here, as in the preprocessing of users' tables."""
P_TOLD = 0.5
"""Share of tasks whose requirement names columns; dropped for the others, so that words stay optional."""
P_NAMED, P_NAMED_IN_VAIN = 0.5, 0.05
"""Share of the relevant and of the other columns that such a requirement names."""


@dataclass(frozen=True)
class Task:
    """Tasks of one shape, ready for the generator."""

    x: Tensor
    """(b, n, m)"""
    y: Tensor
    """(b, n, k) one-hot, or one number standardised on the support rows."""
    column: Tensor
    """(m,) long"""
    numeric: Tensor
    """(m,) bool"""
    mentioned: Tensor
    """(b, d) float"""
    n_support: int
    regression: bool


def to_task(batch: TableBatch, generator: torch.Generator) -> Task:
    """Standardise, encode categories one-hot, flag missing cells; scales come from the support rows alone."""
    s, d = batch.n_support, batch.x.shape[2]
    missing, kind = batch.x.isnan(), batch.categorical[:, None]
    numbers = torch.where(missing | kind, 0.0, batch.x)
    there = (~missing & ~kind).to(numbers)
    count = there[:, :s].sum(1, keepdim=True).clamp(min=1)
    mean = (numbers[:, :s] * there[:, :s]).sum(1, keepdim=True) / count
    std = (((numbers - mean) * there)[:, :s].square().sum(1, keepdim=True) / count).sqrt()
    numbers = ((numbers - mean) / torch.where(std > 1e-9, std, 1.0)).clamp(-CLIP, CLIP) * there
    codes = torch.where(kind & ~missing, batch.x, -1.0)
    n_codes = int(codes.max()) + 1
    hot = (codes[..., None] == torch.arange(n_codes, device=codes.device)).to(numbers).flatten(2)
    x = torch.cat([numbers, missing.to(numbers), hot], 2)
    places = torch.arange(d, device=x.device)
    column = torch.cat([places, places, places.repeat_interleave(n_codes)])
    numeric = torch.arange(len(column), device=x.device) < d
    # Inputs that vary in no task are left out; of the others, some are constant in some tasks.
    used = (x[:, :s].amax(1) > x[:, :s].amin(1)).any(0)
    used[0] |= ~used.any()
    numeric = numeric & ~batch.categorical.all(0)[column]
    y, regression = _targets(batch)
    told = torch.rand(len(x), 1, generator=generator, device=x.device) < P_TOLD
    share = torch.where(batch.relevant, P_NAMED, P_NAMED_IN_VAIN)
    named = told & (torch.rand(share.shape, generator=generator, device=x.device) < share)
    column = column[used]
    return Task(x[..., used], y, column, numeric[used], named.to(x)[:, : int(column.max()) + 1], s, regression)


def _targets(batch: TableBatch) -> tuple[Tensor, bool]:
    k = int(batch.n_classes[0])
    if k:
        return torch.nn.functional.one_hot(batch.y.long(), k).to(batch.y), False
    mean = batch.y[:, : batch.n_support].mean(1, keepdim=True)
    std = batch.y[:, : batch.n_support].std(1, keepdim=True).clamp(min=1e-6)
    return ((batch.y - mean) / std)[..., None], True
