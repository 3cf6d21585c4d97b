"""An endless, resumable stream of training batches: one task, one of its descriptions, some of its rows.

Shape letters: n = rows, k = classes (1: regression), v = wordings, t = tokens, p = features, d_words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from flame.errors import DataError


@dataclass(frozen=True)
class AdapterTask:
    """One training task, embedded: its words, its labels, and either features or inputs of its rows."""

    name: str
    share: float
    """Part of the batches, before the shares of all tasks are divided by their sum."""
    descriptions: Tensor
    """(v, d_words)"""
    words: tuple[Tensor, ...]
    """(v, d_words) for each label; empty: a regression."""
    y: Tensor
    """(n,) index of the label, or a standardised number."""
    lengths: Tensor
    """(n,) rows of like length are read together."""
    inputs: tuple[Tensor, ...]
    """What the encoder reads, (n, t) each with the mask second; or features (n, p) alone."""


@dataclass(frozen=True)
class AdapterBatch:
    """Rows of one task, the labelled examples of a few-shot solve first."""

    description: Tensor
    """(1, d_words)"""
    words: Tensor | None
    """(1, k, d_words); None: a regression."""
    y: Tensor
    """(1, n, k) one-hot, or (1, n, 1) numbers."""
    n_support: int
    inputs: tuple[Tensor, ...]
    """(n, ...) each, as in `AdapterTask`."""
    mute: bool = False
    """Whether the labelled examples speak without the label words."""
    task: str = ""
    """Name of the task that the rows are of."""


@dataclass(frozen=True)
class StreamConfig:
    """How batches are drawn."""

    rows: int = 32
    """Rows of a batch."""
    support: tuple[int, int] = (4, 16)
    """Least and most labelled examples; the other rows are scored."""
    most_labels: int = 24
    """Of more labels, some are drawn: each draw is another task."""
    noise: float = 0.3
    """Length of the noise that is added to embeddings of length one."""
    mute: float = 0.0
    """Part of the batches whose labels say nothing to the few-shot solve, as 0 and 1 do in many a file."""
    balanced: bool = True
    """Draw the rows of all classes alike, since how frequent they are elsewhere is not known; else as they come."""


class AdapterStream(IterableDataset[AdapterBatch]):
    """Batch i depends on the seed and on i alone, so a run resumes by remembering i."""

    def __init__(self, tasks: Sequence[AdapterTask], config: StreamConfig, *, seed: int = 0) -> None:
        """Raises `DataError` if there are no tasks."""
        super().__init__()
        if not tasks:
            raise DataError("expected at least one task to train on, however: none; does the data folder hold any?")
        self.tasks = list(tasks)
        self.config = config
        self.seed = seed
        self.step = 0
        self._shares = torch.tensor([task.share for task in tasks])

    def __iter__(self) -> Iterator[AdapterBatch]:
        while True:
            batch = self.batch(self.step)
            self.step += 1
            yield batch

    def batch(self, step: int) -> AdapterBatch:
        """The batch of a given step."""
        draws = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        task = self.tasks[int(torch.multinomial(self._shares, 1, generator=draws))]
        return draw_batch(task, self.config, draws)


def draw_batch(task: AdapterTask, config: StreamConfig, draws: torch.Generator) -> AdapterBatch:
    """Rows of one task that are of like length."""
    labels = _draw_labels(task, config, draws) if config.balanced else list(range(len(task.words)))
    groups = [(task.y == i).nonzero()[:, 0] for i in labels] if config.balanced else []
    groups = groups or [torch.arange(len(task.y))]
    middle = task.lengths[torch.cat(groups)[_integer(sum(map(len, groups)), draws)]]
    rows = torch.cat([_near(task, group, middle, -(-config.rows // len(groups)), draws) for group in groups])
    rows = rows[torch.randperm(len(rows), generator=draws)[: config.rows]]
    least, most = config.support
    n_support = min(least + _integer(most - least + 1, draws), len(rows) - 1)
    inputs = cut([values[rows] for values in task.inputs])
    description = _noisy(_any(task.descriptions, draws), config, draws)[None]
    if not labels:
        return AdapterBatch(description, None, task.y[rows][None, :, None], n_support, inputs, task=task.name)
    words = torch.stack([_noisy(_any(task.words[i], draws), config, draws) for i in labels])
    y = (task.y[rows][:, None] == torch.tensor(labels)).float()
    mute = bool(torch.rand((), generator=draws) < config.mute)
    return AdapterBatch(description, words[None], y[None], n_support, inputs, mute, task.name)


def cut(inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Token inputs up to the longest row; the mask stands second, and features stay as they are."""
    if len(inputs) < 2:
        return tuple(inputs)
    t = int(inputs[1].sum(1).max())
    return tuple(values[:, :t] for values in inputs)


def _draw_labels(task: AdapterTask, config: StreamConfig, draws: torch.Generator) -> list[int]:
    present = [i for i in range(len(task.words)) if bool((task.y == i).any())]
    if len(present) <= 6:
        return present
    # Few and many labels come alike.
    most = min(len(present), config.most_labels)
    k = round(float(torch.empty(()).uniform_(2**0.5, most**0.5, generator=draws)) ** 2)
    order = torch.randperm(len(present), generator=draws)[: max(2, k)]
    return [present[i] for i in order.tolist()]


def _near(task: AdapterTask, group: Tensor, middle: Tensor, n: int, draws: torch.Generator) -> Tensor:
    """Rows out of those whose length is nearest to `middle`; all of them where there are few."""
    near = (task.lengths[group] - middle).abs().argsort()[: 8 * n]
    return group[near[torch.randperm(len(near), generator=draws)[:n]]]


def _any(wordings: Tensor, draws: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(wordings[_integer(len(wordings), draws)], dim=-1)


def _noisy(words: Tensor, config: StreamConfig, draws: torch.Generator) -> Tensor:
    return words + config.noise * len(words) ** -0.5 * torch.randn(words.shape, generator=draws)


def _integer(end: int, draws: torch.Generator) -> int:
    return int(torch.randint(end, (), generator=draws))
