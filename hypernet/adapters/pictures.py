"""The generator for pictures: classifier rows are solved in closed form, and remembered by the words of their labels.

Words and features of pictures live in different spaces, so a label's words alone say nothing of its row. Rows of
labels that were seen are therefore remembered; a label is given the rows of those whose words are like its own.
Features are standardised domain by domain.

Shape letters: b = tasks, k = classes, m = remembered labels, n = pictures, p = features, d_words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flame.errors import WeightsError
from hypernet.adapters.domains import SeenDomains
from hypernet.adapters.generator import AdapterGenerator, AdapterGeneratorConfig
from hypernet.adapters.solve import Rows, solve_head
from targets import Weights, WeightSpec

RIDGE = 0.01
"""Added to the likeness of labels to themselves; more blends the rows of like labels."""
DOUBT = 10
"""Pictures as many of which the generator's own scale counts, beside the user's, where features are standardised."""


@dataclass(frozen=True)
class PictureGeneratorConfig(AdapterGeneratorConfig):
    """As for texts; what all domains share is learned as tensors of its own."""

    common: bool = True


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


def standard(features: Tensor) -> Tensor:
    """Features of one domain's pictures as classifier rows read them.

    Shape:
        (n, p), with n of 2 or more -> (n, p)
    """
    return FeatureScale.of(features.float()).standard(features)


class PictureGenerator(AdapterGenerator):
    """Adapters and classifier rows for pictures of a domain that is described in words.

    Untrained it writes the base model with the remembered rows.
    """

    config: PictureGeneratorConfig
    mean: Tensor
    scale: Tensor
    label_words: Tensor
    label_rows: Tensor

    def __init__(
        self,
        specs: Sequence[WeightSpec],
        d_words: int,
        d_feature: int,
        config: PictureGeneratorConfig | None = None,
        *,
        n_labels: int,
        n_sentences: int = 0,
        n_domains: int = 0,
    ) -> None:
        """How many labels, and descriptions of how many domains, are remembered."""
        super().__init__(specs, d_words, d_feature, config or PictureGeneratorConfig())
        del self.label_head, self.number_head  # rows come from memory
        self.register_buffer("mean", torch.zeros(d_feature))
        self.register_buffer("scale", torch.ones(d_feature))
        self.register_buffer("label_words", torch.zeros(n_labels, d_words))
        self.register_buffer("label_rows", torch.zeros(n_labels, d_feature + 1))
        self.domains = SeenDomains(n_sentences, n_domains, n_labels, d_words, d_feature)

    @torch.no_grad()
    def standardise(self, domains: Sequence[Tensor]) -> None:
        """Keep how features are standardised where nothing is known of a domain: as in the mean of these.

        Shape:
            (n, p) each, with n of 2 or more
        """
        scales = [FeatureScale.of(features.float()) for features in domains]
        self.mean.copy_(torch.stack([s.mean for s in scales]).mean(0))
        self.scale.copy_(torch.stack([s.factor for s in scales]).mean(0))

    @property
    def feature_scale(self) -> FeatureScale:
        """How features are standardised where nothing is known of the user's pictures."""
        return FeatureScale(self.mean, self.scale)

    def scale_of(self, features: Tensor) -> FeatureScale:
        """How features of the user's pictures are standardised: by themselves, the more the more there are.

        Shape:
            (n, p)
        """
        n, known = len(features), self.feature_scale
        if n < 2:
            return known
        own, share = FeatureScale.of(features.float()), n / (n + DOUBT)
        return FeatureScale(
            share * own.mean + (1 - share) * known.mean, share * own.factor + (1 - share) * known.factor
        )

    @torch.no_grad()
    def solve_rows(self, features: Tensor, y: Tensor, n_classes: int, prior: Tensor | None = None) -> Tensor:
        """Rows of all classes, and their biases, solved on standardised features.

        Shape:
            features (n, p), y (n,), prior (k, p + 1) -> (k, p + 1)
        """
        hot = nn.functional.one_hot(y, n_classes)[None].float()
        z = torch.zeros(1, self.config.d_latent, device=features.device)
        known = None if prior is None else (prior[None, :, :-1], prior[None, :, -1])
        weight, bias = solve_head(self, features[None], hot, known, z)
        return torch.cat([weight[0], bias[0][:, None]], -1)

    def labelled_rows(self, features: Tensor, y: Tensor, known: Rows | None, z: Tensor) -> tuple[FeatureScale, Rows]:
        """How features of the user's labelled pictures are standardised, and rows solved on them.

        Args:
            known: rows before these pictures, if there are any: (1, k, p), (1, k).

        Shape:
            features (n, p), y (n, k) one-hot, z (1, d_latent) -> (1, k, p), (1, k)
        """
        scale = self.scale_of(features)
        return scale, solve_head(self, scale.standard(features)[None], y[None], known, z)

    @torch.no_grad()
    def remember(self, first: int, words: Tensor, rows: Tensor) -> None:
        """Keep the rows of labels from place `first` on.

        Shape:
            words (k, d_words), rows (k, p + 1)
        """
        self.label_words[first : first + len(words)] = nn.functional.normalize(words, dim=-1)
        self.label_rows[first : first + len(words)] = rows

    @torch.no_grad()
    def remember_domain(self, place: int, first: int, sentences: Tensor, features: Tensor, y: Tensor, k: int) -> None:
        """Keep the sentences of a domain, the scale of its features, and what its own head adds to remembered rows.

        Args:
            place: of the domain.
            first: place of the first of its `k` labels, whose rows are remembered already.

        Shape:
            sentences (v, d_words), features (n, p), y (n,)
        """
        seen, scale = self.domains, FeatureScale.of(features.float())
        free = int((seen.sentences.abs().sum(1) > 0).sum())
        seen.sentences[free : free + len(sentences)] = nn.functional.normalize(sentences, dim=-1)
        seen.domain_of[free : free + len(sentences)] = place
        seen.means[place], seen.factors[place] = scale.mean, scale.factor
        shared = self.label_rows[first : first + k]
        own = self.solve_rows(scale.standard(features), y, k, shared)
        seen.rows[place, first : first + k] = own - shared

    def scale_for(self, description: Tensor) -> FeatureScale:
        """How features are standardised where only a description is known.

        Shape:
            (1, d_words)
        """
        shares = self.domains.shares(description)[0]
        rest = 1 - shares.sum()
        return FeatureScale(
            shares @ self.domains.means + rest * self.mean, shares @ self.domains.factors + rest * self.scale
        )

    def domain_rows(self, description: Tensor, labels: Tensor, z: Tensor) -> Rows:
        """Rows of labels in a described domain: as `head_rows`, and what is known of the domain if it was seen.

        Shape:
            description (b, d_words), labels (b, k, d_words), z (b, d_latent) -> weight (b, k, p), bias (b, k)
        """
        weight, bias = self.head_rows(labels, z)
        more = self.blend(labels) @ self.domains.changes(description)
        return weight + more[..., :-1], bias + more[..., -1]

    def head_rows(self, labels: Tensor, z: Tensor) -> Rows:
        """Rows on standardised features, as they are remembered.

        Shape:
            labels (b, k, d_words), z (b, d_latent) -> weight (b, k, p), bias (b, k)

        Raises:
            WeightsError: if the label embeddings are of another width.
        """
        self._check(labels, "label words (b, k, d_words)", 3)
        kept = self.recall(labels)
        return kept[..., :-1], kept[..., -1]

    def recall(self, labels: Tensor) -> Tensor:
        """Rows of the remembered labels, blended by how like their words are.

        Shape:
            labels (b, k, d_words) -> (b, k, p + 1)
        """
        return self.blend(labels) @ self.label_rows

    def likeness(self, labels: Tensor) -> Tensor:
        """How like the words of labels are to the most alike remembered ones; 1: the same.

        Shape:
            labels (k, d_words) -> (k,)
        """
        return (nn.functional.normalize(labels.float(), dim=-1) @ self.label_words.mT).amax(-1)

    def blend(self, labels: Tensor) -> Tensor:
        """Parts of the remembered labels that make up the given ones.

        Shape:
            labels (b, k, d_words) -> (b, k, m)
        """
        own = nn.functional.normalize(labels.float(), dim=-1)
        known = self.label_words
        likeness = known @ known.mT + RIDGE * torch.eye(len(known), device=known.device)
        return torch.linalg.solve(likeness, known @ own.mT).mT
