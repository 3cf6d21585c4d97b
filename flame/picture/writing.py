"""An untrained generator for pictures from training domains, and what a generator writes for a described domain.

Shape letters: n = pictures, k = classes, c, h, w = what the first adapted layer reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flame.picture.features import PictureEncoder
from hypernet.adapters.guesses import ROUNDS, rows_for_pictures
from hypernet.adapters.pictures import PictureGenerator, PictureGeneratorConfig
from hypernet.adapters.stream import AdapterTask
from targets import Weights

D_LATENT = 128
"""Table 7."""


@dataclass(frozen=True)
class Group:
    """Domains that share their classes, embedded."""

    name: str
    words: Tensor
    """(k, d_words)"""
    tasks: tuple[AdapterTask, ...]
    """Training pictures of each domain."""
    checks: tuple[AdapterTask, ...]
    """Validation pictures of each domain."""


def new_generator(
    encoder: PictureEncoder,
    groups: Sequence[Group],
    make: type[PictureGenerator] = PictureGenerator,
    *,
    by_domain: bool = False,
    remembers: bool = False,
) -> PictureGenerator:
    """An untrained generator: its heads are solved on the base model's features of all training pictures of a set.

    Args:
        by_domain: see `hypernet.adapters.pictures.PictureGeneratorConfig`.
        remembers: keep the descriptions of domains with heads of their own, so that a domain that was seen is found
            again; see `hypernet.adapters.domains`.
    """
    config = PictureGeneratorConfig(d_latent=D_LATENT, by_domain=by_domain)
    n_labels = sum(len(g.words) for g in groups)
    d_words = groups[0].words.shape[1]
    tasks = [t for g in groups for t in g.tasks] if remembers else []
    sizes = {"n_sentences": sum(len(t.descriptions) for t in tasks), "n_domains": len(tasks)}
    generator = make(encoder.specs, d_words, encoder.d_feature, config, n_labels=n_labels, **sizes)
    features = {g.name: [encoder.features(t.inputs[0]) for t in g.tasks] for g in groups}
    generator.standardise(torch.cat([f for parts in features.values() for f in parts]))
    first = place = 0
    for g in groups:
        y = torch.cat([t.y for t in g.tasks])
        standard = torch.cat([generator.standard(f) for f in features[g.name]])
        generator.remember(first, g.words, generator.solve_rows(standard, y, len(g.words)))
        for task, own in zip(g.tasks if remembers else (), features[g.name], strict=remembers):
            generator.remember_domain(place, first, task.descriptions, own, task.y, len(g.words))
            place += 1
        first += len(g.words)
    return generator.eval()


@torch.no_grad()
def write_model(
    generator: PictureGenerator,
    encoder: PictureEncoder,
    description: Tensor,
    words: Tensor,
    unlabelled: Tensor | None = None,
    *,
    rounds: int = ROUNDS,
) -> Weights:
    """All tensors of the model that a description gives, and unlabelled pictures if the generator reads them.

    Args:
        description: (d_words,)
        words: (k, d_words), embeddings of the classes.
        unlabelled: (n, c, h, w), the user's pictures behind the early layers.
        rounds: how often the head is solved on its own guesses of these pictures.

    Shape:
        -> (1, *shape) per tensor
    """
    told = description[None]
    z = generator.latent(told)
    made, rows, scale = generator.adapters(z), generator.domain_rows(told, words[None], z), generator.scale_for(told)
    if unlabelled is not None and generator.config.by_domain:
        features = encoder.features(unlabelled, made)
        scale, rows = rows_for_pictures(generator, features, rows, z, rounds=rounds)
    return {**made, **scale.classifier(rows, head=encoder.head)}


def domain_logits(encoder: PictureEncoder, inputs: Tensor, model: Weights) -> Tensor:
    """Logits of pictures by a written model.

    Shape:
        inputs (n, c, h, w) -> (n, k)
    """
    adapters = dict(model)
    weight, bias = adapters.pop(f"{encoder.head}.weight")[0], adapters.pop(f"{encoder.head}.bias")[0]
    return encoder.features(inputs, adapters) @ weight.mT + bias
