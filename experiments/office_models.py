"""What is trained on all domains of a set but one: FLAME, one adapter for all, and the paper's Zero-Shot.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from flame.picture.features import PictureEncoder
from flame.picture.fitting import PictureTrainConfig, fit
from flame.picture.sets import ImageSet
from flame.picture.training import Embed, read_group
from flame.picture.writing import Group, new_generator
from hypernet.adapters.episodes import EpisodeConfig
from hypernet.adapters.pictures import FeatureScale, PictureGenerator
from hypernet.timed import timed_rate
from targets import Weights


@dataclass(frozen=True)
class Setting:
    """How the models of one run are trained."""

    kind: str = "lora"
    seed: int = 0
    steps: int = 80
    rate: float = 1e-3

    @property
    def name(self) -> str:
        """As it stands in results."""
        return f"{self.kind}, seed {self.seed}"

    @property
    def config(self) -> PictureTrainConfig:
        """As `flame train-images` would have it."""
        across = EpisodeConfig(own=0.0)  # models are asked about domains that were not trained on
        return PictureTrainConfig(600.0, self.steps, self.seed, self.rate, stream=across)


@dataclass(frozen=True)
class Kit:
    """What every run shares."""

    embed: Embed
    written: dict[str, list[str]]
    """Sentences by hand of `set/domain`, and those of domains that do not exist: `nowhere`."""
    cache: Path | None
    work: Path
    """Trained models are kept here."""


class SharedGenerator(PictureGenerator):
    """A control: one adapter for every description."""

    def latent(self, description: Tensor) -> Tensor:
        return description.new_zeros(len(description), self.config.d_latent)

    def adapters(self, z: Tensor) -> Weights:
        return {s.name: v.expand(len(z), *s.shape) for s, v in zip(self.specs, self.common, strict=True)}


MODELS = ("flame", "shared", "pooled")
"""What is trained on the other domains: FLAME; one adapter for all in the same way; the paper's Zero-Shot."""


def held_out_models(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit, names: Sequence[str] = MODELS
) -> tuple[Group, dict[str, PictureGenerator]]:
    """The other domains of a set, and what is trained on them; read from the work folder where it is there."""
    others = [d for d in found.domains if d != held]
    group = read_group(found, encoder, kit.embed, domains=others, written=kit.written, cache=kit.cache)
    return group, {name: _trained(name, f"{found.name}-{held}", group, encoder, setting, kit) for name in names}


def _trained(
    name: str, case: str, group: Group, encoder: PictureEncoder, setting: Setting, kit: Kit
) -> PictureGenerator:
    """Train, or read what an earlier start of this experiment trained."""
    generator = untrained(encoder, group, setting, PictureGenerator if name == "flame" else SharedGenerator)
    place = kit.work / f"{case}-{name}-{setting.kind}-seed{setting.seed}-{setting.steps}.pt"
    if place.is_file():
        generator.load_state_dict(torch.load(place, weights_only=True))
        return generator.eval()
    if name == "pooled":
        train_pooled(generator, group, encoder, setting)
    else:
        with tempfile.TemporaryDirectory() as folder:
            fit(generator, setting.config, [group], encoder, Path(folder))
    kit.work.mkdir(parents=True, exist_ok=True)
    torch.save(generator.state_dict(), place)
    return generator.eval()


def train_pooled(generator: PictureGenerator, group: Group, encoder: PictureEncoder, setting: Setting) -> None:
    """One adapter and one classifier by cross-entropy on the pictures of all domains (the paper's Zero-Shot).

    The classifier starts from the head that is solved on frozen features; updates, and pictures in each, are as many as
    FLAME's.
    """
    x, y = torch.cat([t.inputs[0] for t in group.tasks]), torch.cat([t.y for t in group.tasks])
    frozen = encoder.features(x)
    scale = FeatureScale.of(frozen)
    rows = generator.solve_rows(scale.standard(frozen), y, len(group.words)).requires_grad_()
    optimiser = torch.optim.Adam([*generator.common, rows], lr=setting.rate)
    draws, config = torch.Generator().manual_seed(setting.seed), setting.config

    def adapters() -> Weights:
        return generator.adapters(generator.latent(group.words[:1]))

    for step in range(setting.steps):
        for options in optimiser.param_groups:
            options["lr"] = setting.rate * timed_rate(step / setting.steps, config.warm)
        chosen = torch.randperm(len(y), generator=draws)[: config.stream.rows]
        features = scale.standard(encoder.encode((x[chosen],), adapters()))
        optimiser.zero_grad()
        nn.functional.cross_entropy(features @ rows[:, :-1].mT + rows[:, -1], y[chosen]).backward()
        optimiser.step()
    with torch.no_grad():
        adapted = encoder.features(x, adapters())
        generator.standardise([adapted])
        generator.remember(0, group.words, _on_scale(rows, scale, generator.feature_scale))


def _on_scale(rows: Tensor, old: FeatureScale, new: FeatureScale) -> Tensor:
    """Rows with their biases, (k, p + 1), that give the same logits on features that are standardised otherwise."""
    weight = rows[:, :-1] * old.factor
    bias = rows[:, -1] + weight @ (new.mean - old.mean)
    return torch.cat([weight / new.factor, bias[:, None]], -1)


def untrained(
    encoder: PictureEncoder, group: Group, setting: Setting, make: type[PictureGenerator] = PictureGenerator
) -> PictureGenerator:
    """Adapters that change nothing, and heads that are solved on frozen features of the training domains."""
    torch.manual_seed(setting.seed)
    return new_generator(encoder, [group], make)
