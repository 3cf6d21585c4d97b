"""A classifier and pictures without labels: the head is solved once more, on what it guesses of them.

Self-training (Lee 2013) whose every round is the closed-form solve with the generated rows as its prior; as in
Liang et al. (2020, SHOT), neither training pictures nor labels of the domain are needed.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hypernet.adapters.pictures import FeatureScale, PictureGenerator
from hypernet.adapters.solve import Rows, solve_head

ROUNDS = 2
SURE = 0.8
"""Part of the pictures of a guessed class that is believed: the surest ones. Chosen on training domains, with `ROUNDS`
(`experiments/office_tried.md`)."""


def rows_for_pictures(
    generator: PictureGenerator, features: Tensor, rows: Rows, z: Tensor, *, rounds: int = ROUNDS
) -> tuple[FeatureScale, Rows]:
    """How features of the user's pictures are standardised, and rows that fit these pictures; no label is read.

    Args:
        features: of the written network, (n, p).
        rows: (1, k, p), (1, k), as `generator.head_rows` gives them.
        z: (1, d_latent)
    """
    scale = generator.scale_of(features)
    solved = guessed_rows(
        scale.standard(features), rows, lambda x, y: solve_head(generator, x, y, rows, z), rounds=rounds
    )
    return scale, solved


def guessed_rows(
    standard: Tensor, rows: Rows, solve: Callable[[Tensor, Tensor], Rows], *, rounds: int = ROUNDS
) -> Rows:
    """Rows that were solved on their own surer guesses, round by round.

    Args:
        standard: features as the rows read them, (n, p).
        rows: the first ones, (1, k, p), (1, k).
        solve: features (1, m, p) and one-hot guesses (1, m, k) to rows, with the first ones as the prior.
    """
    solved = rows
    for _ in range(rounds):
        chosen, y = sure_guesses(standard @ solved[0][0].mT + solved[1][0])
        solved = solve(standard[chosen][None], y[None])
    return solved


def sure_guesses(logits: Tensor, sure: float = SURE) -> tuple[Tensor, Tensor]:
    """Places of the surest pictures of every guessed class, and their guesses one-hot.

    Shape:
        (n, k) -> (m,), (m, k)

    >>> places, _ = sure_guesses(torch.tensor([[0.0, 9], [0, 1], [5, 0]]), sure=0.5)
    >>> places.tolist()
    [0, 2]
    """
    confidence, guesses = logits.softmax(1).max(1)
    kept = []
    for place in guesses.unique():
        own = (guesses == place).nonzero()[:, 0]
        order = confidence[own].argsort(descending=True)
        kept.append(own[order[: math.ceil(sure * len(own))]])
    chosen = torch.cat(kept).sort().values
    return chosen, nn.functional.one_hot(guesses[chosen], logits.shape[1]).float()
