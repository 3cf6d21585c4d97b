"""The loss of the query rows, through the closed-form head."""

from __future__ import annotations

import torch
from torch import Tensor

from hypernet.tables.generator import TableGenerator, Written
from hypernet.tables.inputs import Task
from hypernet.tables.network import Width

TRAINING_WIDTH = Width(n_sparse=96, n_dense=96, n_conjunctions=64)


def write_for(model: TableGenerator, task: Task, generator: torch.Generator, *, width: Width | None = None) -> Written:
    """The networks that the support rows of a task get."""
    s = task.n_support
    return model(
        task.x[:, :s],
        task.y[:, :s],
        column=task.column,
        numeric=task.numeric,
        regression=task.regression,
        width=width or Width(),
        generator=generator,
        mentioned=task.mentioned,
    )


def query_loss(
    model: TableGenerator, task: Task, generator: torch.Generator, *, width: Width = TRAINING_WIDTH
) -> Tensor:
    """Cross-entropy, or half the squared error of a standardised number, on rows the generator has not read.

    Shape:
        -> (b,)
    """
    s, written = task.n_support, write_for(model, task, generator, width=width)
    output, y = written(task.x[:, s:]), task.y[:, s:]
    if task.regression:
        # Beyond three standard deviations the error counts linearly: a few outliers must not rule.
        return torch.nn.functional.huber_loss(output, y, reduction="none", delta=3.0).mean((1, 2))
    return -(output.log_softmax(-1) * y).sum(-1).mean(1)
