"""The generator for pictures: it starts from a head that is solved in closed form, and reads standardised features.

Words and features of pictures live in different spaces, so a label's words say nothing of its row at first. Rows of
labels that were seen are therefore remembered; a label is given the rows of those whose words are like its own.

Shape letters: b = tasks, k = classes, m = remembered labels, n = pictures, p = features, d_words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flame.errors import WeightsError
from hypernet.adapters.generator import AdapterGenerator, AdapterGeneratorConfig
from hypernet.adapters.solve import Rows, solve_head
from hypernet.adapters.stream import AdapterBatch
from targets import Weights, WeightSpec

RIDGE = 0.01
"""Added to the likeness of labels to themselves; more blends the rows of like labels."""
Encode = Callable[[tuple[Tensor, ...], Weights], Tensor]
"""Inputs of n pictures and the adapters of one model to features (n, p)."""


@dataclass(frozen=True)
class FeatureScale:
    """What is taken off features, and by what the rest is multiplied, before classifier rows read them."""

    mean: Tensor
    """(p,)"""
    factor: Tensor
    """(p,)"""

    @classmethod
    def of(cls, features: Tensor) -> FeatureScale:
        """From the mean and the spread of features; what hardly varies is not blown up.

        Standardised features have a length of about one: a step of Adam changes every number of a row, and with a
        length of `sqrt(p)` that would throw solved rows over.

        Shape:
            (n, p)
        """
        spread = features.std(0)
        least = 0.1 * spread.mean() + 1e-6
        return cls(features.mean(0), features.shape[1] ** -0.5 / (spread + least))

    def standard(self, features: Tensor) -> Tensor:
        """Features as classifier rows read them.

        Shape:
            (..., p) -> (..., p)
        """
        return (features.float() - self.mean) * self.factor

    def classifier(self, rows: Rows, *, head: str) -> Weights:
        """Rows on standardised features as the linear layer of an ordinary network.

        Raises:
            WeightsError: if the rows are of another width.
        """
        weight, bias = rows
        if weight.shape[-1] != len(self.mean):
            raise WeightsError(f"expected rows of {len(self.mean)} features, however: {weight.shape[-1]}")
        weight = weight * self.factor
        return {f"{head}.weight": weight, f"{head}.bias": bias - weight @ self.mean}


class PictureGenerator(AdapterGenerator):
    """Adapters and classifier rows for pictures of a domain that is described in words.

    Untrained it writes the base model with the remembered rows.
    """

    mean: Tensor
    scale: Tensor
    label_words: Tensor

    def __init__(
        self,
        specs: Sequence[WeightSpec],
        d_words: int,
        d_feature: int,
        config: AdapterGeneratorConfig | None = None,
        *,
        n_labels: int,
    ) -> None:
        """`n_labels`: how many labels are remembered."""
        super().__init__(specs, d_words, d_feature, config)
        self.register_buffer("mean", torch.zeros(d_feature))
        self.register_buffer("scale", torch.ones(d_feature))
        self.register_buffer("label_words", torch.zeros(n_labels, d_words))
        self.label_rows = nn.Parameter(torch.zeros(n_labels, d_feature + 1))

    @torch.no_grad()
    def standardise(self, features: Tensor) -> None:
        """Keep the mean and the spread of the base model's features.

        Shape:
            (n, p)
        """
        found = FeatureScale.of(features)
        self.mean.copy_(found.mean)
        self.scale.copy_(found.factor)

    @property
    def feature_scale(self) -> FeatureScale:
        """How features are standardised."""
        return FeatureScale(self.mean, self.scale)

    def standard(self, features: Tensor) -> Tensor:
        """Features as classifier rows read them.

        Shape:
            (..., p) -> (..., p)
        """
        return self.feature_scale.standard(features)

    @torch.no_grad()
    def solve_rows(self, features: Tensor, y: Tensor, n_classes: int) -> Tensor:
        """Rows of all classes, and their biases, solved on features of the base model.

        Shape:
            features (n, p), y (n,) -> (k, p + 1)
        """
        hot = nn.functional.one_hot(y, n_classes)[None].float()
        z = torch.zeros(1, self.config.d_latent, device=features.device)
        weight, bias = solve_head(self, self.standard(features)[None], hot, None, z)
        return torch.cat([weight[0], bias[0][:, None]], -1)

    @torch.no_grad()
    def remember(self, first: int, words: Tensor, rows: Tensor) -> None:
        """Keep the rows of labels from place `first` on.

        Shape:
            words (k, d_words), rows (k, p + 1)
        """
        self.label_words[first : first + len(words)] = nn.functional.normalize(words, dim=-1)
        self.label_rows[first : first + len(words)] = rows

    def head_rows(self, labels: Tensor, z: Tensor) -> Rows:
        """Rows on standardised features: remembered ones, and what the latent and the words change.

        Shape:
            labels (b, k, d_words), z (b, d_latent) -> weight (b, k, p), bias (b, k)

        Raises:
            WeightsError: if the label embeddings are of another width.
        """
        weight, bias = super().head_rows(labels, z)
        kept = self.recall(labels)
        return weight + kept[..., :-1], bias + kept[..., -1]

    def write(self, description: Tensor, labels: Tensor, *, head: str) -> Weights:
        """All tensors of the described models; `head` is the name of the network's last linear layer.

        Shape:
            description (b, d_words), labels (b, k, d_words) -> (b, *shape) per tensor

        Raises:
            WeightsError: if embeddings are of another width.
        """
        z = self.latent(description)
        return {**self.adapters(z), **self.classifier(self.head_rows(labels, z), head=head)}

    def classifier(self, rows: Rows, *, head: str) -> Weights:
        """Rows on standardised features as the linear layer of an ordinary network.

        Raises:
            WeightsError: if the rows are not of this generator's width.
        """
        return self.feature_scale.classifier(rows, head=head)

    def recall(self, labels: Tensor) -> Tensor:
        """Rows of the remembered labels, blended by how like their words are.

        Shape:
            labels (b, k, d_words) -> (b, k, p + 1)
        """
        own = nn.functional.normalize(labels.float(), dim=-1)
        known = self.label_words
        likeness = known @ known.mT + RIDGE * torch.eye(len(known), device=known.device)
        return torch.linalg.solve(likeness, known @ own.mT).mT @ self.label_rows


def picture_outputs(generator: PictureGenerator, batch: AdapterBatch, encode: Encode) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of all pictures from words alone, of the query pictures after the solve, and one-hot labels.

    Shape:
        -> (n, k), (n - n_support, k), (n, k)
    """
    assert batch.words is not None
    z = generator.latent(batch.description)
    features = generator.standard(encode(batch.inputs, generator.adapters(z)))[None]
    rows = generator.head_rows(batch.words, z)
    s = batch.n_support
    solved = solve_head(generator, features[:, :s], batch.y[:, :s], rows, z)
    return _apply(rows, features), _apply(solved, features[:, s:]), batch.y[0]


def picture_losses(generator: PictureGenerator, batch: AdapterBatch, encode: Encode) -> tuple[Tensor, Tensor]:
    """Losses from words alone, and of the query pictures once the support ones are known; 1 = knowing nothing.

    Shape:
        -> two scalars
    """
    zero, few, y = picture_outputs(generator, batch, encode)
    unit = math.log(y.shape[1])
    loss = nn.functional.cross_entropy
    return loss(zero, y) / unit, loss(few, y[batch.n_support :]) / unit


def _apply(rows: Rows, features: Tensor) -> Tensor:
    return torch.baddbmm(rows[1][:, None], features, rows[0].mT)[0]
