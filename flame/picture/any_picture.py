"""The way for pictures: a base network, adapted if a generator is given, and a classifier from pictures or names.

Shape letters: n = labelled pictures, p = features of the network, k = classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flame.class_names import are_words, as_words, check_class_names, class_names, same_labels
from flame.columns import shorten
from flame.data import DataBatch
from flame.errors import CheckpointError, MissingExtraError
from flame.finetune import run_module
from flame.metadata import Metadata
from flame.picture.generators import PictureWriter, Told, ToldLabels
from flame.picture.labelled import readable_labelled
from flame.picture.own_classes import FEW_NAMED, ORIGIN, OwnLabels
from flame.picture.preprocessing import PicturePreprocessor
from flame.picture.sources import IMAGE
from flame.picture.unlabelled import readable_unlabelled
from flame.requirement import facts_on_base
from flame.route import Generated, Proposal, Route
from flame.support import spread_rows
from flame.task_type import read_type
from flame.text.base_models import MINILM, minilm_is_installed
from hypernet.adapters.pictures import FeatureScale
from hypernet.adapters.solve import Rows
from requirements_prompts import TaskFacts
from targets.vision_networks import head_name, run_steps, steps

MAX_PICTURES = 2000
"""Labelled pictures that are read, evenly spread over classes; running them through the network is nearly all work."""
FEW_PICTURES = 5
"""With fewer pictures per class, a note says how little that is."""
_HELP = (
    "For pictures, give some with labels: generate_model(description, 'photos/') with a folder for each class, a CSV "
    "of paths and labels, or (pictures, labels); or name things that ImageNet knows, as in labels=['mug', 'laptop']."
)
_UNNAMED = "without a generator for pictures, a classifier is learnt from labelled ones or written from names"


@dataclass(frozen=True)
class AnyPictureWay:
    """Proposes a classifier on a base network, from labelled pictures or from names of classes."""

    writer: Callable[[], PictureWriter]
    """Gives the base model with its generator; called when a model is written, or names of classes are all there is."""
    generates: bool = False
    """Whether there is a generator; without one, names of classes are compared with those of the base model."""
    labels: Sequence[Any] | None = None
    """Names of the classes, where the user gave them."""

    def propose(self, description: str | None, batch: DataBatch | None) -> Proposal | list[str]:
        """A proposal for pictures; of other data nothing is said.

        Raises:
            DataError: if the labels that were given do not fit the pictures, or are no names.
        """
        if batch is not None and batch.modality != "image":
            return []
        reading = read_type(description, batch)
        meant = batch is None and self.generates  # a generator for pictures was named
        if not meant and not reading.task_type.startswith("img"):
            return []
        notes = reading.notes if batch is not None else ()
        if batch is not None and batch.labels is not None:
            return AnyPicture(self, description, batch, same_labels(self.labels, batch), notes)
        there = (
            "the pictures have no labels" if batch is not None else "the words speak of pictures, and none are given"
        )
        labels = check_class_names(self.labels, words=True) if self.labels is not None else class_names(description)
        if not labels:
            none = "the words name no classes one by one"
            return [f"{there}, and {none}" if self.generates else f"{there}: {_UNNAMED}, however {none}"]
        if not self.generates and (reason := self._lacking(labels)):
            return [f"{there}: without a generator for pictures, {reason}"]
        return AnyPicture(self, description, batch, labels, notes)

    def _lacking(self, labels: Sequence[Any]) -> str | None:
        """Why the base network's own classes do not serve for these labels; None if they do."""
        try:
            return self.writer().own.read([as_words(label) for label in labels]).refusal()
        except (CheckpointError, MissingExtraError) as error:
            return f"a classifier is written from {ORIGIN}; {error}"

    def help(self) -> str:
        return _HELP


@dataclass(frozen=True)
class AnyPicture:
    """Pictures, or the names of classes, that a model can be written for."""

    way: AnyPictureWay
    description: str | None
    batch: DataBatch | None
    labels: tuple[Any, ...]
    """In the order of the outputs."""
    notes: tuple[str, ...] = ()

    @property
    def arch(self) -> str:
        return self.way.writer().base.arch

    @property
    def d_input(self) -> None:
        return None

    @property
    def target(self) -> str:
        return (self.batch.target if self.batch is not None else None) or "label"

    def facts(self, description: str | None) -> TaskFacts:
        return facts_on_base(description, self.batch, "img_cls", n_classes=len(self.labels), notes=self.notes)

    def generate(self, requirement: str, metadata: Metadata) -> Generated:
        """Write the classifier, and with a generator the adapters: one pass of the network over labelled pictures."""
        writer, notes = self.way.writer(), list(self.batch.notes if self.batch is not None else ())
        preprocessor = PicturePreprocessor(writer.scale)
        with torch.no_grad():  # in inference mode, the network could not be fine-tuned
            told = writer.read(self.description or requirement)
            network = writer.network(metadata, told)
            head, reason, by_name = self._head(writer, network, preprocessor, told, notes)
        network.load_state_dict({name: value[0].clone() for name, value in head.items()}, strict=False)
        if writer.generator is None:
            notes.append(
                f"no generator for pictures is given: {writer.base.name} stays as it is, and only its classifier is "
                "new; the words of the description do not change it" + ", but for the names of classes" * by_name
            )
        route = Route("any_picture", writer.checkpoint, self.target, reason, {IMAGE: IMAGE}, None, tuple(notes))
        origin = {"base_model": writer.base.name, "base_sha256_of_tensors": writer.base.sha256}
        if by_name:
            origin |= {"written_from": ORIGIN, "names_read_by": MINILM}
        fingerprint = "none" if writer.generator is None else writer.generator.fingerprint
        return Generated(network, preprocessor, self.labels, route, requirement, metadata, fingerprint, origin)

    def _head(
        self,
        writer: PictureWriter,
        network: nn.Module,
        preprocessor: PicturePreprocessor,
        told: Told | None,
        notes: list[str],
    ) -> tuple[dict[str, Tensor], str, bool]:
        """The tensors of the classifier with batch axis, what they were written from, whether also from own classes."""
        name = head_name(network)
        if self.batch is None or self.batch.labels is None:
            scale, solved, read = self._from_names(writer, network, preprocessor, told, notes)
            return scale.classifier(solved, head=name), f"written from {read}", told is None
        support = readable_labelled(spread_rows(self.batch, MAX_PICTURES, notes), notes)
        assert support.labels is not None
        features = _features(network, preprocessor, support)
        places = {value: i for i, value in enumerate(self.labels)}
        codes = torch.tensor([places[value] for value in support.labels])
        y = torch.nn.functional.one_hot(codes, len(places)).float()
        fewest = int(y.sum(0).min())
        if fewest < FEW_PICTURES:
            notes.append(f"a class has only {fewest} labelled picture(s): expect more of more pictures")
        named = self._named(writer, told, fewest, notes)
        scale, solved = writer.solved(features, y, named, told)
        by_name = isinstance(named, OwnLabels)
        reason = f"written from {len(support):,} labelled pictures and {len(self.labels)} classes"
        return scale.classifier(solved, head=name), reason + f", with {ORIGIN}" * by_name, by_name

    def _named(
        self, writer: PictureWriter, told: Told | None, fewest: int, notes: list[str]
    ) -> ToldLabels | OwnLabels | None:
        """What the names of the classes say beside labelled pictures; None if nothing, or if it is not needed."""
        if not are_words(self.labels):
            return None
        if told is not None:
            return writer.label_rows(self._words, told)
        if fewest >= FEW_NAMED or writer.base.own_rows is None:
            return None
        if not minilm_is_installed():  # not worth a download that nobody asked for
            notes.append(
                "of few pictures more is made by the names of the classes: pip install 'flame-hypernet[minilm]'"
            )
            return None
        named = writer.own.read(self._words)
        if named.refusal() is not None:
            return None
        notes.append(f"a class has less than {FEW_NAMED} labelled pictures: {ORIGIN} are read beside them")
        return named

    def _from_names(
        self,
        writer: PictureWriter,
        network: nn.Module,
        preprocessor: PicturePreprocessor,
        told: Told | None,
        notes: list[str],
    ) -> tuple[FeatureScale, Rows, str]:
        """The classifier where no picture has a label: from names of classes, and unlabelled pictures if there are."""
        k = f"{len(self.labels)} classes"
        names = f"the names of {k}: {', '.join(map(shorten, self.labels[:6]))}"
        named: ToldLabels | OwnLabels
        if told is None:
            named, names = writer.own.read(self._words), f"{ORIGIN} and {names}"
            notes += named.notes()
        else:
            named = writer.label_rows(self._words, told)
            if unknown := writer.unknown(self._words):
                shown = ", ".join(map(shorten, unknown[:3]))
                notes.append(f"{len(unknown)} of {k} are like none that the generator was made from, such as {shown}")
        seen = readable_unlabelled(self.batch, notes)
        if seen is None:
            notes.append(f"no labelled pictures were given: the classifier is written from the names of {k} alone")
            return *named.alone(), names
        features = _features(network, preprocessor, seen)
        return *named.fitted(features), f"{len(seen):,} unlabelled pictures and {names}"

    @property
    def _words(self) -> list[str]:
        return [as_words(label) for label in self.labels]


def _features(network: nn.Module, preprocessor: PicturePreprocessor, batch: DataBatch) -> Tensor:
    return run_module(run_steps(steps(network)), preprocessor.encode(batch.features))
