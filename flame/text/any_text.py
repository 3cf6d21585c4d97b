"""The way for texts and pairs of texts: an adapter on a base model, and a head from labelled texts or from label names.

Shape letters: n = labelled texts, p = width of the encoder, k = outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flame.class_names import are_words, as_words, check_class_names, class_names, same_labels
from flame.columns import shorten
from flame.data import DataBatch
from flame.errors import DataError
from flame.finetune import run_module
from flame.metadata import CLASSIFICATION, Metadata
from flame.requirement import facts_on_base
from flame.route import Generated, Proposal, Route
from flame.support import spread_rows
from flame.task_type import read_type
from flame.text.generators import TextWriter
from flame.text.module import AdaptedText
from flame.text.preprocessing import TextPreprocessor
from flame.text.reading import PAIR_NAMES
from flame.text.task_heads import SeenTask, seen_task
from hypernet.adapters import AdapterGenerator, solve_head
from hypernet.tasks import TaskRecord
from requirements_prompts import TaskFacts
from requirements_prompts.understanding.request import read_modality_of
from targets import Weights

MAX_ROWS = 2000
"""Labelled texts that are read, evenly spread over classes; encoding them is nearly all of the work."""
FEW_ROWS = 8
"""With fewer texts per class, a note says how little that is."""
MODALITIES = ("text", "text_pair")
_HELP = (
    "For texts, give some with labels: generate_model(description, frame, target=...), or name the classes in words, "
    "as in generate_model('Is a product review positive or negative?') or labels=['negative', 'positive']."
)


@dataclass(frozen=True)
class AnyTextWay:
    """Proposes to write an adapter and a head for a base model, from labelled texts or from the names of classes."""

    writer: Callable[[], TextWriter]
    """Gives the generator with its base model; called when a model is written."""
    labels: Sequence[Any] | None = None
    """Names of the classes, where the user gave them."""
    named: bool = False
    """Whether the user named the generator: it may have heads for tasks of its own, which the built-in one has not."""

    def propose(self, description: str | None, batch: DataBatch | None) -> Proposal | list[str]:
        """A proposal for texts; of other data nothing is said.

        Raises:
            DataError: if the labels that were given do not fit the rows, or are no names.
        """
        if batch is not None and batch.modality not in MODALITIES:
            return []
        reading = read_type(description, batch)
        texts = batch is not None or reading.task_type.startswith(("seq", "s2s"))
        if not texts and not (self.labels and any("nothing is said of the inputs" in n for n in reading.notes)):
            return []
        notes = reading.notes if batch is not None else ()
        if batch is not None and batch.labels is not None:
            task_type = "seq_reg" if reading.task_type == "seq_reg" else "seq_cls"
            labels = () if task_type == "seq_reg" else same_labels(self.labels, batch)
            return AnyText(self, description, batch, task_type, labels, notes)
        pairs = None if batch is None else batch.modality == "text_pair"
        seen = seen_task(self.writer(), description, labels=self.labels, pairs=pairs) if self.named else None
        if seen is not None:
            return AnyText(self, description, batch, seen.record.metadata.task, seen.labels, notes, seen)
        labels = check_class_names(self.labels, words=True) if self.labels is not None else class_names(description)
        if not labels:
            return [_lacking(reading.task_type, "the words speak of" if batch is None else "there are")]
        return AnyText(self, description, batch, "seq_cls", labels, notes)

    def help(self) -> str:
        return _HELP


@dataclass(frozen=True)
class AnyText:
    """Texts, or the names of classes, that a model can be written for."""

    way: AnyTextWay
    description: str | None
    batch: DataBatch | None
    task_type: str
    """`seq_cls` or `seq_reg`."""
    labels: tuple[Any, ...]
    """In the order of the outputs; none for a regression."""
    notes: tuple[str, ...] = ()
    seen: SeenTask | None = None
    """The trained task whose head is used, if there are no labelled texts and the description is about one."""

    @property
    def arch(self) -> str:
        return self.way.writer().base.arch

    @property
    def d_input(self) -> None:
        return None

    @property
    def target(self) -> str:
        return (self.batch.target if self.batch is not None else None) or "label"

    @property
    def columns(self) -> tuple[str, ...]:
        """Where the texts stand."""
        if self.batch is not None:
            return tuple(c.name for c in self.batch.columns)
        if self.seen is not None:
            return PAIR_NAMES[0] if self.seen.pairs else ("text",)
        return PAIR_NAMES[0] if read_modality_of(self.description or "") == "text_pair" else ("text",)

    def facts(self, description: str | None) -> TaskFacts:
        n_classes = len(self.labels) if self.task_type in CLASSIFICATION else None
        return facts_on_base(description, self.batch, self.task_type, n_classes=n_classes, notes=self.notes)

    def generate(self, requirement: str, metadata: Metadata) -> Generated:
        """Write adapter and head: one pass of the generator, and of the encoder over the labelled texts."""
        writer, notes = self.way.writer(), list(self.batch.notes if self.batch is not None else ())
        base, preprocessor = writer.base, TextPreprocessor.of(self.columns, writer.base)
        # NOTE[PAPER]: the latent is that of the user's own words, which the generator was trained on; the sentence says
        # the same in the words of the rules.
        with torch.inference_mode():
            z = writer.generator.latent(writer.embed([self.description or requirement]))
            adapter = writer.generator.adapters(z)
            head = self._head(writer, preprocessor, adapter, z, notes)
        module = AdaptedText(base.encoder, base.config, {**adapter, **head})
        route = Route(
            "any_text" if self.seen is None else "task_head",
            writer.checkpoint,
            self.target if self.seen is None else self.seen.record.name,
            self._reason(),
            {name: name for name in self.columns},
            None,
            (*notes, *writer.notes),
        )
        origin = {"base_model": base.base.name, "base_sha256": base.base.sha256, "base_licence": base.base.licence}
        fingerprint = writer.generator.fingerprint
        return Generated(module, preprocessor, self.labels, route, requirement, metadata, fingerprint, origin)

    def _head(
        self, writer: TextWriter, preprocessor: TextPreprocessor, adapter: Weights, z: Tensor, notes: list[str]
    ) -> Weights:
        """The classifier, or the row of a regression, with batch axis."""
        generator, rows = writer.generator, None
        if self.seen is not None:
            return _of_task(generator, self.seen.record, z)
        if self.task_type == "seq_reg":
            rows = generator.number_rows(z)
        elif are_words(self.labels):
            rows = generator.head_rows(writer.embed([as_words(label) for label in self.labels])[None], z)
        if self.batch is None or self.batch.labels is None:
            assert rows is not None
            notes.append(
                f"no labelled texts were given: the head is written from the names {list(self.labels)!r} alone"
            )
            weight, bias = rows
        else:
            support = spread_rows(self.batch, MAX_ROWS, notes)
            features = _features(support, writer, preprocessor, adapter, notes)
            y, scale, shift = _targets(support, self.labels)
            notes += _doubts(y, regression=not self.labels)
            weight, bias = solve_head(generator, features[None], y[None], rows, z, regression=not self.labels)
            weight, bias = weight * scale, bias * scale + shift
        return {"classifier.weight": weight, "classifier.bias": bias}

    def _reason(self) -> str:
        if self.seen is not None:
            return (
                f"the description is like a sentence that the task was trained with (cosine {self.seen.likeness:.2f})"
            )
        if self.batch is None or self.batch.labels is None:
            return f"written from the names of {len(self.labels)} classes: {', '.join(map(shorten, self.labels[:6]))}"
        what = "texts" if len(self.columns) == 1 else "pairs of texts"
        kind = f"{len(self.labels)} classes" if self.labels else "numbers"
        return f"written from {min(len(self.batch), MAX_ROWS):,} labelled {what} and {kind}"


def _of_task(generator: AdapterGenerator, record: TaskRecord, z: Tensor) -> Weights:
    weight, bias = generator.task_rows(record.name, z)
    if not record.labels:
        scale, shift = float(record.preprocessing["std"]), float(record.preprocessing["mean"])
        weight, bias = weight * scale, bias * scale + shift
    return {"classifier.weight": weight, "classifier.bias": bias}


def _lacking(task_type: str, there: str) -> str:
    if task_type == "s2s_gen":
        return "the words ask for a text to be written; models for texts give classes or numbers"
    if task_type == "seq_reg":
        return "a number from texts can only be learnt from labelled ones"
    return f"{there} texts without labels, and the words name no classes one by one"


def _features(
    batch: DataBatch, writer: TextWriter, preprocessor: TextPreprocessor, adapter: Weights, notes: list[str]
) -> Tensor:
    """What the head reads of the labelled texts: (n, p)."""
    width = writer.base.base.hidden_size
    blank = {"classifier.weight": torch.zeros(1, 1, width), "classifier.bias": torch.zeros(1, 1)}
    adapted = AdaptedText(writer.base.encoder, writer.base.config, {**adapter, **blank})
    rows = preprocessor.tokenize(batch.features)
    if rows.n_cut:
        notes.append(preprocessor.too_long(rows))
    return run_module(adapted.features, rows)


def _targets(batch: DataBatch, labels: tuple[Any, ...]) -> tuple[Tensor, float, float]:
    """One-hot labels, or standardised numbers with the scale and shift that lead back: (n, k).

    Raises:
        DataError: if a number is infinite.
    """
    assert batch.labels is not None
    if labels:
        places = {value: i for i, value in enumerate(labels)}
        codes = torch.tensor([places[value] for value in batch.labels])
        return torch.nn.functional.one_hot(codes, len(places)).float(), 1.0, 0.0
    numbers = batch.labels.to_numpy(dtype="float64")
    mean, std = float(numbers.mean()), float(numbers.std()) or 1.0
    if not np.isfinite(numbers).all() or not np.isfinite(std):
        raise DataError(f"the target {batch.target!r} holds numbers that are infinite or too large; correct these rows")
    return torch.from_numpy((numbers - mean) / std).float()[:, None], std, mean


def _doubts(y: Tensor, *, regression: bool) -> list[str]:
    """What makes it likely that the model is poor."""
    fewest = len(y) if regression else int(y.sum(0).min())
    if fewest >= FEW_ROWS:
        return []
    what = "there are" if regression else "a class has"
    return [f"{what} only {fewest} labelled text(s): expect little of this model, and more of more texts"]
