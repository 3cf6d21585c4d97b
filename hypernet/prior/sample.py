"""Synthetic tables in batches: shape, columns, target, what is shown, and which tables are kept.

Shape letters: b = tasks, n = rows, d = columns, k = classes.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from flame.errors import ConfigError
from hypernet.prior.columns import Inputs, draw_inputs
from hypernet.prior.config import FAMILIES, PriorConfig
from hypernet.prior.draws import Draws
from hypernet.prior.families import FUNCTIONS, clusters, graph
from hypernet.prior.filter import learnable_skill, least_skill
from hypernet.prior.labels import draw_targets
from hypernet.prior.marginals import Coarse, coarsen, show
from hypernet.prior.smooth import with_trend

ROUNDS = 30
"""How often a batch is topped up before the prior is called unlearnable."""


@dataclass(frozen=True)
class TableBatch:
    """b tasks of one shape."""

    x: Tensor
    """(b, n, d) float32; NaN = missing; categorical columns hold codes 0..c-1."""
    y: Tensor
    """(b, n) float32: class codes 0..k-1, every one of them in the support rows; or standardised numbers."""
    categorical: Tensor
    """(b, d) bool."""
    n_classes: Tensor
    """(b,) long; 0 = regression."""
    n_support: int
    """The first n_support rows are support, the rest query."""
    relevant: Tensor
    """(b, d) bool: columns that the target really depends on."""
    family: tuple[str, ...]
    """How the target of each task came about."""


@dataclass(frozen=True)
class Shape:
    """What the tasks of a batch have in common."""

    n: int
    d: int
    n_support: int
    n_classes: int
    """0 = regression."""


def sample_tables(
    config: PriorConfig, generator: torch.Generator, *, n_tasks: int, device: str | torch.device = "cpu"
) -> TableBatch:
    """Draw a batch of tables; the generator alone decides which, bit for bit on a CPU.

    >>> batch = sample_tables(PriorConfig(rows=(40, 40), columns=(3, 3)), torch.Generator().manual_seed(0), n_tasks=4)
    >>> batch.x.shape, batch.y.shape
    (torch.Size([4, 40, 3]), torch.Size([4, 40]))

    Raises:
        ConfigError: if the generator lives on another device, or the configuration gives hardly a table that can be
            learnt.
    """
    if n_tasks < 1:
        raise ConfigError(f"n_tasks must be a positive integer, however: {n_tasks!r}")
    if torch.device(device).type != generator.device.type:
        raise ConfigError(
            f"tables on {str(device)!r} need a generator there, however: one on {str(generator.device)!r}; "
            f"make it with torch.Generator({str(device)!r})"
        )
    draws = Draws(generator)
    shape = draw_shape(draws, config)
    kept: list[TableBatch] = []
    missing = n_tasks
    for _ in range(ROUNDS):
        tables, keep = _candidates(draws, config, shape, missing + missing // (16 if config.margin is None else 3) + 1)
        kept.append(take(tables, keep[:missing]))
        missing -= len(kept[-1].family)
        if not missing:
            return _join(kept)
    raise ConfigError(
        f"expected {n_tasks} tables that can be learnt, however: {n_tasks - missing} after {ROUNDS} draws of "
        f"{shape}; lower margin, noise or label_noise"
    )


def draw_shape(draws: Draws, config: PriorConfig) -> Shape:
    """Rows, columns, support rows and classes of a batch; log-uniform, within `max_cells`."""
    luck = draws.uniform(6).tolist()
    n = _log_uniform(luck[0], config.rows[0], min(config.rows[1], config.max_cells // config.columns[0]))
    d = _log_uniform(luck[1], config.columns[0], max(config.columns[0], min(config.columns[1], config.max_cells // n)))
    low, high = config.support_share
    n_support = min(n - 1, max(8, round(n * (low + (high - low) * luck[2]))))
    most = max(config.classes[0], min(config.classes[1], n_support // 4))
    n_classes = _log_uniform(luck[4], config.classes[0], config.classes[0] if luck[5] < config.p_binary else most)
    n_classes = 0 if luck[3] < config.p_regression else n_classes
    return Shape(n, d, n_support, n_classes)


def take(tables: TableBatch, which: Tensor) -> TableBatch:
    """Some of the tasks of a batch, in the order given."""
    values = {f.name: getattr(tables, f.name) for f in fields(tables)}
    chosen = {name: value[which] for name, value in values.items() if isinstance(value, Tensor)}
    return TableBatch(**{**values, **chosen, "family": tuple(tables.family[i] for i in which.tolist())})


def _join(parts: list[TableBatch]) -> TableBatch:
    first = parts[0]
    joined = {
        f.name: torch.cat([getattr(part, f.name) for part in parts])
        for f in fields(first)
        if isinstance(getattr(first, f.name), Tensor)
    }
    return TableBatch(n_support=first.n_support, family=sum((part.family for part in parts), ()), **joined)


def _log_uniform(luck: float, low: int, high: int) -> int:
    return min(high, int(math.exp(math.log(low) + luck * (math.log(high + 1) - math.log(low)))))


def _candidates(draws: Draws, config: PriorConfig, shape: Shape, b: int) -> tuple[TableBatch, Tensor]:
    """Tables, and the indices of those to keep in random order."""
    family = _draw_families(draws, config, b)
    n_classes = _draw_classes(draws, config, shape, b)
    o = max(1, int(n_classes.max()))
    inputs = draw_inputs(draws, config, b, shape.d, shape.n)
    values, relevant = inputs.values, inputs.relevant.clone()
    score = torch.zeros(b, o, shape.n, device=draws.device)
    slices = _slices(family)
    for name, make in (("graph", graph), ("clusters", clusters)):
        if name in slices:
            part = slices[name]
            values[part], score[part], relevant[part] = make(draws, inputs[part], o)
    coarse = coarsen(draws, config, values)
    inputs = Inputs(coarse.values, inputs.nodes, inputs.loadings, relevant)
    for name, function in FUNCTIONS.items():
        if name in slices:
            part = slices[name]
            raw, relevant[part] = function(draws, inputs[part], o)
            score[part] = with_trend(draws, coarse.values[part], relevant[part], raw)
    owned = torch.tensor([name == "clusters" for name in family], device=draws.device)
    y = draw_targets(draws, config, score, n_classes, owned, shape.n_support)
    complete = _front_every_class(coarse, y, n_classes, shape.n_support)
    x = show(draws, config, coarse).mT.contiguous()
    tables = TableBatch(x, y, coarse.categorical, n_classes, shape.n_support, relevant, family)
    if config.margin is not None:
        support = slice(0, shape.n_support)
        skill = learnable_skill(draws, coarse.values[..., support], relevant, y[:, support], n_classes)
        complete = complete & (skill > least_skill(config.margin, shape.n_support))
    order = draws.permutations(1, b)[0]
    return tables, order[complete[order]]


def _draw_families(draws: Draws, config: PriorConfig, b: int) -> tuple[str, ...]:
    """The family of each candidate; equal ones stand together, so that each is one batched call."""
    weights = torch.tensor([[float(config.families.get(name, 0)) for name in FAMILIES]], device=draws.device)
    counts = Counter(draws.choice(weights, b)[0].tolist())
    return tuple(name for i, name in enumerate(FAMILIES) for _ in range(counts[i]))


def _slices(family: tuple[str, ...]) -> dict[str, slice]:
    counts = Counter(family)
    starts = {name: family.index(name) for name in counts}
    return {name: slice(starts[name], starts[name] + counts[name]) for name in counts}


def _draw_classes(draws: Draws, config: PriorConfig, shape: Shape, b: int) -> Tensor:
    if not config.mixed:
        return torch.full((b,), shape.n_classes, device=draws.device)
    most = max(config.classes[0], min(config.classes[1], shape.n_support // 4))
    counts = draws.log_uniform(b, low=config.classes[0], high=most + 0.999).long()
    counts = counts.masked_fill(draws.chance(config.p_binary, b), config.classes[0])
    return counts.masked_fill(draws.chance(config.p_regression, b), 0)


def _front_every_class(coarse: Coarse, y: Tensor, n_classes: Tensor, n_support: int) -> Tensor:
    """Moves a row of every class that only query rows have to the front; tells which tables hold every class, (b,)."""
    classes = torch.arange(max(1, int(n_classes.max())), device=y.device)
    holds = y[:, None] == classes[:, None]
    own = classes < n_classes[:, None]
    late = own & holds.any(2) & ~holds[..., :n_support].any(2)
    chosen = late.any(1).nonzero()[:, 0]
    if len(chosen):
        first = holds[chosen].int().argmax(2)
        rank = torch.arange(y.shape[1], device=y.device).repeat(len(chosen), 1)
        order = rank.scatter(1, first, torch.where(late[chosen], -1, first)).argsort(dim=1, stable=True)
        y[chosen] = y[chosen].gather(1, order)
        for columns in (coarse.values, coarse.shown):
            columns[chosen] = columns[chosen].gather(2, order[:, None].expand_as(columns[chosen]))
    return (holds[..., :n_support].any(2) | late | ~own).all(1)
