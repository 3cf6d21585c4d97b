"""Who writes picture models: a base model alone, whose classifier is solved, or a trained generator on top of it.

Shape letters: k = labels, n = pictures, p = features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

from torch import Tensor, nn

from flame.errors import CheckpointError
from flame.metadata import Metadata
from flame.picture.base import PictureBase, find_picture_base
from flame.picture.own_classes import OwnClasses, OwnLabels, own_classes
from flame.picture.sets import MARGIN
from hypernet.adapters.checkpoint import load_picture_generator
from hypernet.adapters.generator import AdapterGeneratorConfig, Settings
from hypernet.adapters.guesses import rows_for_pictures
from hypernet.adapters.pictures import FeatureScale, PictureGenerator
from hypernet.adapters.solve import Rows, solve_classes
from targets.conv_lora import freeze_norms
from targets.vision import VisionTarget
from targets.vision_networks import head_name, head_of, new_network
from targets.vision_weights import PictureScale

Embed = Callable[[Sequence[str]], Tensor]
"""Sentences or labels to embeddings (n, d_words)."""
NO_GENERATOR = "no generator"
"""What a route says in the place of a checkpoint's name."""
KNOWN = 0.7
"""Likeness of the words of a label to those of a remembered one below which the user is told; by MiniLM, "coffee mug"
and "mug" have 0.89, "screen" and "monitor" 0.68, "cat" and "dog" 0.66."""
ALONE = Settings.untrained(AdapterGeneratorConfig(prior_scale=16.0))
"""How a classifier is solved of which nothing is known but labelled pictures: of 1 to 32, 16 had the least log-loss on
half of Amazon's, Caltech's, painted and drawn pictures; accuracy hardly depends on it (`experiments.pictures`)."""


@dataclass(frozen=True, eq=False)
class Told:
    """A description as a generator reads it."""

    words: Tensor
    """(1, d_words), its embedding."""
    z: Tensor
    """(1, d_latent)"""


@dataclass(frozen=True, eq=False)
class ToldLabels:
    """Labels with the rows that a generator gave, for features as it standardises them."""

    generator: PictureGenerator
    told: Told
    rows: Rows

    def alone(self) -> tuple[FeatureScale, Rows]:
        """The classifier where there is no picture."""
        return self.generator.scale_for(self.told.words), self.rows

    def fitted(self, features: Tensor) -> tuple[FeatureScale, Rows]:
        """The classifier where pictures have no labels.

        Shape:
            (n, p)
        """
        return rows_for_pictures(self.generator, features, self.rows, self.told.z)


@dataclass(frozen=True, eq=False)
class PictureWriter:
    """A base model, and the generator of adapters for it where there is one."""

    base: PictureBase
    scale: PictureScale
    """How pictures are prepared."""
    generator: PictureGenerator | None = None
    checkpoint: str = NO_GENERATOR
    """Name of the generator's checkpoint."""
    embed: Embed | None = None
    """Reads words for the generator."""

    def read(self, description: str) -> Told | None:
        """A description; None without a generator."""
        if self.generator is None or self.embed is None:
            return None
        words = self.embed([description])
        return Told(words, self.generator.latent(words))

    def network(self, metadata: Metadata, told: Told | None) -> nn.Module:
        """An ordinary network of torchvision's with merged adapters; its classifier is still to come.

        Its normalisations stay in evaluation mode (appendix B); all else can be fine-tuned.
        """
        if self.generator is None or told is None:
            fresh = self.base.weights.put_into(new_network(self.base.arch, metadata.out_dim))
            return freeze_norms(fresh).eval()
        target = _target(self.generator)
        adapted = target.build(metadata, self.base.weights)
        head = {f"{head_name(adapted)}.{name}": p[None] for name, p in head_of(adapted).named_parameters()}
        return target.merge(adapted, {**self.generator.adapters(told.z), **head}).eval()

    @cached_property
    def own(self) -> OwnClasses:
        """The classes of the base model, by name.

        Raises:
            CheckpointError: if it has none of its own, or there is no sentence encoder.
        """
        return own_classes(self.base, word_embedding)

    def label_rows(self, labels: Sequence[str], told: Told) -> ToldLabels:
        """What a generator makes of the words of labels."""
        assert self.generator is not None
        assert self.embed is not None
        rows = self.generator.domain_rows(told.words, self.embed(labels)[None], told.z)
        return ToldLabels(self.generator, told, rows)

    def unknown(self, labels: Sequence[str]) -> list[str]:
        """Those of the labels that are like none of which the generator remembers rows."""
        assert self.generator is not None
        assert self.embed is not None
        likeness = self.generator.likeness(self.embed(labels)).tolist()
        return [label for label, known in zip(labels, likeness, strict=True) if known < KNOWN]

    def solved(
        self, features: Tensor, y: Tensor, named: ToldLabels | OwnLabels | None, told: Told | None
    ) -> tuple[FeatureScale, Rows]:
        """Classifier rows from labelled pictures, and how their features are standardised.

        Args:
            named: what the names of the classes say, if anything.

        Shape:
            features (n, p), y (n, k) one-hot -> (1, k, p), (1, k)
        """
        if self.generator is None or told is None:
            scale = FeatureScale.of(features)
            known = named.on(scale) if isinstance(named, OwnLabels) else None
            return scale, solve_classes(scale.standard(features)[None], y[None], ALONE, known)
        rows = named.rows if isinstance(named, ToldLabels) else None
        return self.generator.labelled_rows(features, y, rows, told.z)


def picture_writer(
    base_model: str | None = None,
    generator: PictureGenerator | str | Path | None = None,
    *,
    built_in: Path | None = None,
) -> PictureWriter:
    """The base model that a request asks for, with its generator if one is named.

    Args:
        base_model: name, file or folder; see `flame.picture.base`.
        generator: loaded, or its folder, as `flame train-images` writes it, or the name of one that is built in.
        built_in: folder of the built-in ones.

    Raises:
        CheckpointError: if the base model is not there, or is not the one that the generator was trained for.
        MissingExtraError: if torchvision is not installed.
    """
    if generator is None:
        base = find_picture_base(base_model)
        return PictureWriter(base, base.weights.scale)
    if not isinstance(generator, PictureGenerator) and built_in is not None:
        inside = built_in / generator
        generator = inside if (inside / "model.safetensors").is_file() else generator
    made = generator if isinstance(generator, PictureGenerator) else _cached(str(generator))
    own = made.provenance.get("name", "own")
    name = str(own if isinstance(generator, PictureGenerator) else Path(generator).name)
    base = find_picture_base(base_model or str(made.base["name"]))
    if base.sha256 != made.base["sha256_of_tensors"]:
        raise CheckpointError(
            f"the generator {name!r} fits the base model {made.base['name']} with tensors of sha256 "
            f"{made.base['sha256_of_tensors']}, however: {base.name} with {base.sha256}; name the base it was trained "
            "for: base_model=..."
        )
    side = int(made.base["side"])
    scale = replace(base.weights.scale, resize=round(side * MARGIN), side=side)
    return PictureWriter(base, scale, made, name, word_embedding())


@lru_cache(maxsize=1)
def word_embedding() -> Embed:
    """The sentence encoder that reads descriptions and labels, as for texts; kept with what it has read.

    Raises:
        CheckpointError: if it is not there; the ways to get it are listed.
    """
    from flame.text.base_models import find_base
    from flame.text.encoding import TextEncoder

    return TextEncoder(find_base("minilm")).embed


@lru_cache(maxsize=2)
def _cached(folder: str) -> PictureGenerator:
    return load_picture_generator(folder)


def _target(generator: PictureGenerator) -> VisionTarget:
    told = generator.base
    return VisionTarget(
        str(told["name"]),
        kind=told["kind"],
        pattern=told["pattern"],
        rank=int(told["rank"]),
        alpha=float(told["alpha"]),
    )
