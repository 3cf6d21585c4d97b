"""What the generator for pictures is trained for: a head that is solved on some domains is asked about another one.

The head is solved in closed form inside the loss (Bertinetto et al. 2019) from pictures of other domains than the one
that is scored (Li et al. 2018), so that adapters are learned which make features of unseen domains alike. A head that
knows the scored pictures already would leave nothing to learn.

Shape letters: m = domains, n = pictures of each, k = classes, p = features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset

from flame.errors import DataError
from hypernet.adapters.generator import AdapterGeneratorConfig, Settings
from hypernet.adapters.pictures import PictureGenerator, standard
from hypernet.adapters.solve import FAR, solve_classes
from hypernet.adapters.stream import AdapterTask
from targets import Weights

Encode = Callable[[tuple[Tensor, ...], Weights], Tensor]
"""Inputs of n pictures and the adapters of one model to features (n, p)."""
SETTINGS = Settings.untrained(AdapterGeneratorConfig(prior_scale=8.0))
"""How heads are solved inside the loss: with a prior of 4 adapters left domains that were held out worse off."""


@dataclass(frozen=True)
class EpisodeConfig:
    """How pictures are drawn."""

    rows: int = 126
    """Pictures of an episode, of all its domains."""
    domains: int = 3
    """At most; the first one is scored, the head is solved on the others."""
    own: float = 0.5
    """Share of episodes with one domain alone, half of whose pictures are scored, as where a set has no other one: good
    for domains that are trained on, less so for others."""
    noise: float = 0.3
    """Length of the noise that is added to embeddings of descriptions, which have length one."""


@dataclass(frozen=True)
class Episode:
    """Pictures of some domains that share their classes."""

    descriptions: Tensor
    """(m, d_words)"""
    inputs: Tensor
    """(m, n, ...)"""
    y: Tensor
    """(m, n)"""
    n_classes: int


class EpisodeStream(IterableDataset[Episode]):
    """Episode i depends on the seed and on i alone, so a run resumes by remembering i."""

    def __init__(self, groups: Sequence[Sequence[AdapterTask]], config: EpisodeConfig, *, seed: int = 0) -> None:
        """Groups of domains that share their classes; raises `DataError` if there is none."""
        super().__init__()
        self.places = [(group, i) for group in groups for i in range(len(group))]
        if not self.places:
            raise DataError("expected at least one domain of pictures to train on, however: none")
        self.config = config
        self.seed = seed
        self.step = 0

    def __iter__(self) -> Iterator[Episode]:
        while True:
            episode = self.episode(self.step)
            self.step += 1
            yield episode

    def episode(self, step: int) -> Episode:
        """The episode of a given step; every domain is scored as often as any other."""
        draws = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        group, scored = self.places[int(torch.randint(len(self.places), (), generator=draws))]
        others = [i for i in torch.randperm(len(group), generator=draws).tolist() if i != scored]
        alone = float(torch.rand((), generator=draws)) < self.config.own
        chosen = [group[i] for i in (scored, *others[: 0 if alone else self.config.domains - 1])]
        n = min([self.config.rows // len(chosen), *(len(task.y) for task in chosen)])
        rows = [torch.randperm(len(task.y), generator=draws)[:n] for task in chosen]
        return Episode(
            torch.stack([self._description(task, draws) for task in chosen]),
            torch.stack([task.inputs[0][r] for task, r in zip(chosen, rows, strict=True)]),
            torch.stack([task.y[r] for task, r in zip(chosen, rows, strict=True)]),
            len(group[0].words),
        )

    def _description(self, task: AdapterTask, draws: torch.Generator) -> Tensor:
        words = task.descriptions[int(torch.randint(len(task.descriptions), (), generator=draws))].float()
        noise = torch.randn(words.shape, generator=draws) * self.config.noise * len(words) ** -0.5
        return nn.functional.normalize(words, dim=-1) + noise


def episode_loss(generator: PictureGenerator, episode: Episode, encode: Encode) -> Tensor:
    """Loss of the first domain's pictures by the head of the others, or of half of them if it is alone; 1 = no idea.

    Shape:
        -> scalar
    """
    z = generator.latent(episode.descriptions)
    parts = [
        standard(encode((inputs,), generator.adapters(own[None])))
        for inputs, own in zip(episode.inputs, z, strict=True)
    ]
    features, y = torch.cat(parts), episode.y.flatten()
    n = len(parts[0]) if len(parts) > 1 else len(features) // 2
    hot = nn.functional.one_hot(y[n:], episode.n_classes)[None].float()
    weight, bias = solve_classes(features[None, n:], hot, SETTINGS, n_steps=FAR)
    logits = features[:n] @ weight[0].mT + bias[0]
    return nn.functional.cross_entropy(logits, y[:n]) / math.log(episode.n_classes)
