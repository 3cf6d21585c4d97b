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
from hypernet.adapters.pictures import PictureGenerator, PictureGeneratorConfig, standard
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
    remembers: bool = False,
) -> PictureGenerator:
    """An untrained generator, which writes the base model; its heads are solved on features of training pictures.

    Args:
        remembers: keep the descriptions of domains with heads of their own, so that a domain that was seen is found
            again; see `hypernet.adapters.domains`.
    """
    tasks = [t for g in groups for t in g.tasks] if remembers else []
    generator = make(
        encoder.specs,
        groups[0].words.shape[1],
        encoder.d_feature,
        PictureGeneratorConfig(d_latent=D_LATENT),
        n_labels=sum(len(g.words) for g in groups),
        n_sentences=sum(len(t.descriptions) for t in tasks),
        n_domains=len(tasks),
    ).eval()
    remember(generator, encoder, groups)
    return generator


@torch.no_grad()
def remember(generator: PictureGenerator, encoder: PictureEncoder, groups: Sequence[Group]) -> None:
    """Solve heads on the features that the generator's adapters make of all training pictures, and keep them."""
    known = bool(len(generator.domains.means))
    features = {g.name: [_adapted_features(generator, encoder, t) for t in g.tasks] for g in groups}
    generator.standardise([f for parts in features.values() for f in parts])
    generator.domains.forget()
    first = place = 0
    for g in groups:
        y = torch.cat([t.y for t in g.tasks])
        rows = generator.solve_rows(torch.cat([standard(f) for f in features[g.name]]), y, len(g.words))
        generator.remember(first, g.words, rows)
        for task, own in zip(g.tasks if known else (), features[g.name], strict=known):
            generator.remember_domain(place, first, task.descriptions, own, task.y, len(g.words))
            place += 1
        first += len(g.words)


def _adapted_features(generator: PictureGenerator, encoder: PictureEncoder, task: AdapterTask) -> Tensor:
    """Of a domain's training pictures, under the adapters of its first description: (n, p)."""
    return encoder.features(task.inputs[0], generator.adapters(generator.latent(task.descriptions[:1])))


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
    """All tensors of the model that a description gives, and unlabelled pictures if there are any.

    Args:
        description: (d_words,)
        words: (k, d_words), embeddings of the classes.
        unlabelled: (n, c, h, w), the user's pictures behind the early layers, if there are any.
        rounds: how often the head is solved on its own guesses of these pictures.

    Shape:
        -> (1, *shape) per tensor
    """
    told = description[None]
    z = generator.latent(told)
    made, rows, scale = generator.adapters(z), generator.domain_rows(told, words[None], z), generator.scale_for(told)
    if unlabelled is not None:
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
