"""Classifiers from the names of classes alone: the base network's own classes have names, too, and rows.

Shape letters: k = labels, n = pictures, p = features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flame.columns import shorten
from flame.errors import CheckpointError
from flame.picture.base import BASES, PictureBase
from hypernet.adapters.generator import Settings
from hypernet.adapters.guesses import guessed_rows
from hypernet.adapters.named_rows import NamedRows
from hypernet.adapters.pictures import FeatureScale
from hypernet.adapters.solve import Rows, solve_classes
from targets.vision_networks import imagenet_names

if TYPE_CHECKING:
    from flame.picture.generators import Embed

ORIGIN = "the base network's own classes by name"
"""What a route and the provenance say that such a model was written from."""
LIKE = 0.6
"""Cosine of a label to the nearest of ImageNet's names from which it counts as known. By MiniLM "mug" has 0.89 to
"coffee mug", "horse" 0.67 to "horse cart"; below are all digits (at most 0.54), moods, X-ray findings and faults of
wares, four of six leaf diseases, and of the things in `experiments.picture_names` calculators, headphones, giraffes and
persons. It errs both ways: "red" has 0.70 to "red fox"."""
FEW_NAMED = 10
"""Labelled pictures of a class below which names are read beside them: more tell all that names do, and more."""
FITTED = Settings.untrained()
"""How a head is solved on its own guesses, as where a generator writes its first rows."""


@dataclass(frozen=True, eq=False)
class OwnClasses:
    """The classes of a pretrained network, as words tell them."""

    names: tuple[str, ...]
    rows: NamedRows
    embed: Embed

    def read(self, labels: Sequence[str]) -> OwnLabels:
        """Rows of labels by their words, and the known names that they are most like."""
        words = self.embed(labels)
        likeness, places = self.rows.nearest(words)
        nearest = tuple(self.names[i] for i in places.tolist())
        return OwnLabels(tuple(labels), self.rows.write(words), tuple(likeness.tolist()), nearest)


@dataclass(frozen=True, eq=False)
class OwnLabels:
    """Labels with the rows that their words gave, for features of the base network as they are."""

    labels: tuple[str, ...]
    rows: Tensor
    """(k, p)"""
    likeness: tuple[float, ...]
    """Cosine of each label to the name that is most like it."""
    nearest: tuple[str, ...]
    """Those names."""

    @property
    def unlike(self) -> tuple[str, ...]:
        """Labels that are like none of the known names."""
        return tuple(label for label, own in zip(self.labels, self.likeness, strict=True) if own < LIKE)

    def refusal(self) -> str | None:
        """Why no model should be written from these names; None if it may: more than half of them are known."""
        if 2 * len(self.unlike) < len(self.labels):
            return None
        return (
            f"{len(self.unlike)} of {len(self.labels)} classes are like none of the things that the base network knows "
            f"by name, and from names alone it could but guess: {self._shown(self.unlike)}"
        )

    def notes(self) -> list[str]:
        """What the user should compare, and what is to be doubted."""
        found = [f"classes are read by the likeness of their names to ImageNet's: {self._shown(self.labels)}"]
        if self.unlike:
            found.append(
                f"{len(self.unlike)} of {len(self.labels)} classes are like none that the base network knows by name, "
                f"such as {shorten(self.unlike[0])}: expect little of them, and more of labelled pictures"
            )
        return found

    def alone(self) -> tuple[FeatureScale, Rows]:
        """The classifier where there is no picture: rows read features as they are."""
        same = FeatureScale(torch.zeros(self.rows.shape[1]), torch.ones(self.rows.shape[1]))
        return same, self.on(same)

    def fitted(self, features: Tensor) -> tuple[FeatureScale, Rows]:
        """The classifier where pictures have no labels; see `hypernet.adapters.guesses`.

        Shape:
            (n, p), with n of 2 or more
        """
        scale = FeatureScale.of(features)
        rows = self.on(scale)
        return scale, guessed_rows(scale.standard(features), rows, lambda x, y: solve_classes(x, y, FITTED, rows))

    def on(self, scale: FeatureScale) -> Rows:
        """The rows for standardised features: (1, k, p) and (1, k)."""
        return (self.rows / scale.factor)[None], torch.zeros(1, len(self.rows))

    def _shown(self, labels: Sequence[str]) -> str:
        places = [self.labels.index(label) for label in labels[:6]]
        pairs = (
            f"{shorten(self.labels[i])} is most like {shorten(self.nearest[i])} ({self.likeness[i]:.2f})"
            for i in places
        )
        return ", ".join(pairs)


def own_classes(base: PictureBase, encoder: Callable[[], Embed]) -> OwnClasses:
    """What a base model knows by name.

    Args:
        encoder: gives the sentence encoder; called once the base model is found to serve.

    Raises:
        CheckpointError: if it came without a classifier of ImageNet's 1,000 classes; says what to do.
    """
    if base.own_rows is None:
        found = base.weights.classifier
        there = "none" if found is None else f"one of {len(found):,} classes"
        raise CheckpointError(
            "a classifier of ImageNet's 1,000 classes is expected in the base model if others are written from their "
            f"names, however {base.name} has {there}; name another base, such as {BASES[0]}, or give labelled pictures"
        )
    names, embed = imagenet_names(base.arch), encoder()
    return OwnClasses(names, NamedRows.of(embed(names), base.own_rows), embed)
