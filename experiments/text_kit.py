"""What the experiments on texts share: a generator beside its base model, and predictions from words or from rows.

Shape letters: n = rows, p = features, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flame.errors import CheckpointError
from flame.text.base import MAX_TOKENS
from flame.text.base_models import find_base
from flame.text.encoding import TextEncoder
from flame.text.tasks import TextRows, TextTask
from hypernet.adapters import AdapterGenerator, load_adapter_generator, solve_head
from targets import Weights


@dataclass
class TextKit:
    """A trained generator, the same one untrained, and the encoder they write for."""

    encoder: TextEncoder
    generator: AdapterGenerator
    untrained: AdapterGenerator
    _features: dict[tuple[str, str, int], Tensor] = field(default_factory=dict)

    def latent(self, description: str) -> Tensor:
        """The latent of a description: (1, d_latent)."""
        return self.generator.latent(self.encoder.embed([description]))

    def labels(self, task: TextTask) -> Tensor:
        """The plainest words of every label, embedded: (1, k, p)."""
        return self.encoder.embed([words[0] for words in task.words])[None]

    def features(
        self, rows: TextRows, weights: Weights | None = None, *, keep: tuple[str, str] | None = None
    ) -> Tensor:
        """Features of rows, (n, p); with `keep`, a task and what reads it, they are computed once under that name."""
        key = (*keep, len(rows)) if keep else None
        if key is not None and key in self._features:
            return self._features[key]
        found = self.encoder.encode(rows.texts, rows.pairs, weights=weights)
        if key is not None:
            self._features[key] = found
        return found


def load_kit(folder: str | Path, *, base: str = "minilm", max_tokens: int = MAX_TOKENS, bf16: bool = False) -> TextKit:
    """A generator's folder with its base model; `max_tokens`: where texts are cut, as in the product if not given.

    Raises:
        CheckpointError: if the generator fits another base model.
    """
    generator = load_adapter_generator(folder)
    rank, alpha = generator.base["rank"], generator.base["alpha"]
    found = find_base(base)
    encoder = TextEncoder(found, rank=rank, alpha=alpha, max_tokens=max_tokens, bf16=bf16)
    if found.sha256 != generator.base["sha256"]:
        raise CheckpointError(f"{folder} holds a generator for {generator.base['name']!r}, however: {base!r}")
    untrained = AdapterGenerator(generator.specs, generator.d_words, generator.d_feature, generator.config).eval()
    return TextKit(encoder, generator, untrained)


@torch.inference_mode()
def from_words(generator: AdapterGenerator, z: Tensor, labels: Tensor, features: Tensor) -> Tensor:
    """Logits from label words alone: (n, p) -> (n, k)."""
    weight, bias = generator.head_rows(labels, z)
    return features @ weight[0].mT + bias[0]


@torch.inference_mode()
def from_rows(
    generator: AdapterGenerator,
    z: Tensor,
    labels: Tensor | None,
    support: Tensor,
    y: Tensor,
    features: Tensor,
    *,
    regression: bool = False,
) -> Tensor:
    """Logits, or numbers, after the closed-form solve on labelled rows; `labels` None: from the rows alone.

    Shape:
        support (m, p), y (m,) classes or numbers, features (n, p) -> (n, k)
    """
    rows = None
    if labels is not None:
        rows = generator.head_rows(labels, z)
    k = 0 if regression else int(labels.shape[1] if labels is not None else y.max() + 1)
    target = y[:, None].float() if regression else torch.nn.functional.one_hot(y, k).float()
    weight, bias = solve_head(generator, support[None], target[None], rows, z, regression=regression)
    return features @ weight[0].mT + bias[0]
