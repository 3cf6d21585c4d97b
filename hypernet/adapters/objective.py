"""What the adapter generator is trained for: unseen rows, from words alone and from words and a few labelled rows.

Shape letters: n = rows, k = classes (1: regression), p = features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hypernet.adapters.generator import AdapterGenerator
from hypernet.adapters.solve import Rows, solve_head
from hypernet.adapters.stream import AdapterBatch
from targets import Weights

Encode = Callable[[tuple[Tensor, ...], Weights], Tensor]
"""Inputs of n rows and the adapters of one model to features (n, p)."""


def batch_losses(
    generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses from words alone, and of the query rows once the support rows are known; 1 = knowing nothing.

    The third is how far the classifier rows went from the label words: the logits that the changes make, squared. A few
    hundred rows a task would else be learnt by heart.

    Shape:
        -> three scalars
    """
    zero, few, y, features = _outputs(generator, batch, encode)
    regression = batch.words is None
    length = features.detach().square().sum(1).mean()
    change = 0.5 * length * generator.row_changes(batch.words, generator.latent(batch.description)).square().sum()
    change = change / (1.0 if regression else math.log(y.shape[1]))
    return _loss(zero, y, regression), _loss(few, y[batch.n_support :], regression), change


def head_loss(generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None) -> Tensor:
    """Loss of all rows under the adapter and the head of their own task; 1 = knowing nothing.

    Shape:
        -> scalar
    """
    return _loss(head_outputs(generator, batch, encode), batch.y[0], batch.words is None)


def head_outputs(generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None) -> Tensor:
    """Outputs of all rows by the head of their own task.

    Shape:
        -> (n, k)
    """
    z = generator.latent(batch.description)
    return _apply(generator.task_rows(batch.task, z), _features(generator, batch, encode, z))[0]


def batch_outputs(
    generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs from words alone for all rows, outputs of the query rows after the solve, and the labels.

    Shape:
        -> (n, k), (n - n_support, k), (n, k)
    """
    return _outputs(generator, batch, encode)[:3]


def _outputs(
    generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    z = generator.latent(batch.description)
    features = _features(generator, batch, encode, z)
    rows = generator.number_rows(z) if batch.words is None else generator.head_rows(batch.words, z)
    s = batch.n_support
    known = None if batch.mute else rows
    solved = solve_head(generator, features[:, :s], batch.y[:, :s], known, z, regression=batch.words is None)
    return _apply(rows, features)[0], _apply(solved, features[:, s:])[0], batch.y[0], features[0]


def _features(generator: AdapterGenerator, batch: AdapterBatch, encode: Encode | None, z: Tensor) -> Tensor:
    features = batch.inputs[0] if encode is None else encode(batch.inputs, generator.adapters(z))
    return features[None].float()


def _apply(rows: Rows, features: Tensor) -> Tensor:
    return torch.baddbmm(rows[1][:, None], features, rows[0].mT)


def _loss(outputs: Tensor, y: Tensor, regression: bool) -> Tensor:
    if regression:
        return (outputs - y).square().mean()
    return torch.nn.functional.cross_entropy(outputs, y) / math.log(y.shape[1])
