"""From description and data to the facts of a task, its requirement sentence and its checked metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from flame.data import DataBatch
from flame.errors import MetadataError
from flame.metadata import ANY_SCALE, ARCHES, CLASSIFICATION, TABULAR, Metadata, parse_metadata
from flame.patterns import data_pattern
from flame.resources import choose_scale
from flame.task_type import read_type
from flame.taskspec import TaskSpec
from requirements_prompts import (
    NAMING_COLUMNS,
    ParsedRequirement,
    TaskFacts,
    parse_requirement,
    read_n_classes,
    read_n_features,
    write_requirement,
)
from requirements_prompts.understanding.request import count_named_classes


class RequirementWriter(Protocol):
    """Writes the requirement sentence; a language model can stand behind it."""

    @property
    def name(self) -> str:
        """Who wrote the last sentence."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What the user should know of the last sentence."""
        ...

    def write(self, facts: TaskFacts, batch: DataBatch | None) -> str:
        """One sentence with the five elements of appendix C."""
        ...


class OfflineWriter:
    """The default: plain rules, the same sentence every time, no network."""

    name = "offline"
    notes: Sequence[str] = ()

    def write(self, facts: TaskFacts, batch: DataBatch | None) -> str:
        # Words and columns are two clues to the same task: the encoder errs less when it reads both.
        return write_requirement(facts, variant=NAMING_COLUMNS)


def gather_facts(description: str | None, batch: DataBatch | None, *, task_type: str | None = None) -> TaskFacts:
    """What description and data say of the task. The data outrank the words; what neither says stays None.

    Args:
        description: the user's words.
        batch: the rows.
        task_type: known already, as that of a trained head; nothing is read to find it.
    """
    words, notes, headed = description or "", list[str](), task_type is not None
    if task_type is None:
        reading = read_type(description, batch)
        task_type, notes = reading.task_type, list(reading.notes)
    n_classes = read_n_classes(words) if task_type in CLASSIFICATION else None
    labelled = batch is not None and batch.labels is not None
    if n_classes is None and not labelled and task_type in CLASSIFICATION and words:
        n_classes = count_named_classes(words)
    if batch is not None and labelled and task_type in CLASSIFICATION:
        told, n_classes = n_classes, len(batch.label_values)
        if told not in (None, n_classes):
            notes.append(f"the description says {told} classes, however there are {n_classes}; {n_classes} is used")
    n_features = None
    if task_type in TABULAR:
        n_features = len(batch.columns) if batch is not None else read_n_features(words)
    width = (
        sum(c.n_unique if c.kind == "categorical" else 1 for c in batch.columns) if batch is not None else n_features
    )
    choice = choose_scale(description, task_type, out_dim=n_classes or 1, d_input=width)
    named = batch is not None and (task_type in TABULAR or (batch.modality != "image" and not words))
    return TaskFacts(
        task_type=task_type,
        n_classes=n_classes,
        n_features=n_features,
        scale=choice.scale,
        description=description,
        columns=tuple(c.name for c in batch.columns) if batch is not None and named else (),
        target=batch.target if batch is not None else None,
        pattern=data_pattern(batch) if batch is not None else None,
        scale_asked=choice.asked,
        notes=(*notes, *(choice.reasons if choice.asked or not headed else ())),
    )


def facts_on_base(
    description: str | None,
    batch: DataBatch | None,
    task_type: str,
    *,
    n_classes: int | None,
    notes: Sequence[str] = (),
) -> TaskFacts:
    """The facts of a model that adapts a base model of the user's choice."""
    facts = gather_facts(description, batch, task_type=task_type)
    return replace(facts, n_classes=n_classes, notes=(*notes, *facts.notes))


def notes_on(facts: TaskFacts, arch: str) -> tuple[str, ...]:
    """The notes of facts, where a base model of that architecture is taken: what is said of others does not hold."""
    if facts.task_type in TABULAR:
        return facts.notes
    others = set(ARCHES[facts.task_type].values())
    return tuple(n for n in facts.notes if arch in n or not any(name in n for name in others))


def with_resources(facts: TaskFacts, spec: TaskSpec, *, d_input: int | None = None) -> TaskFacts:
    """The facts of a trained head with the scale that the limits and the device of a specification ask for."""
    choice = choose_scale(
        facts.description, facts.task_type, out_dim=facts.n_classes or 1, d_input=d_input or facts.n_features, spec=spec
    )
    return replace(facts, scale=choice.scale, scale_asked=choice.asked, notes=choice.reasons if choice.asked else ())


def read_elements(requirement: str, facts: TaskFacts) -> tuple[dict[str, Any], list[str]]:
    """The elements of a sentence (task, n_classes, n_features, scale), put right by the facts, and corrections.

    A sentence of another task type gives nothing; a scale that nobody asked for is the sentence's own.

    Raises:
        MetadataError: if the facts are of no known task type.
    """
    if facts.task_type not in ARCHES:
        raise MetadataError(f"task_type must be one of {list(ARCHES)}, however: {facts.task_type!r}")
    corrections: list[str] = []
    try:
        said: ParsedRequirement | None = parse_requirement(requirement)
    except ValueError as error:
        said = None
        corrections.append(f"the requirement sentence is incomplete ({error}); the facts are used")
    if said is not None and said.task_type != facts.task_type:
        corrections.append(f"the sentence says {said.task_type!r}, however it is {facts.task_type!r}")
        said = None
    elements: dict[str, Any] = {"task": facts.task_type}
    for key, word in (("n_classes", "classes"), ("n_features", "features")):
        fact, told = getattr(facts, key), getattr(said, key, None)
        if fact is not None and told is not None and told != fact:
            corrections.append(f"the sentence says {told} {word}, however there are {fact}; {fact} is used")
        elements[key] = fact if fact is not None else told
    elements["scale"] = facts.scale if said is None or facts.scale_asked else said.scale
    if said is not None and said.scale != elements["scale"]:
        corrections.append(f"the sentence says scale {said.scale!r}, however {facts.scale!r} was asked for")
    return elements, corrections


def decide_metadata(
    requirement: str, facts: TaskFacts, *, arch: str | None = None, d_input: int | None = None
) -> tuple[Metadata, list[str]]:
    """Metadata from the sentence, corrected by the facts; every correction is reported.

    Args:
        requirement: the sentence.
        facts: what is known for certain.
        arch: the architecture that will be written; the one of type and scale if not given.
        d_input: inputs of that model after preprocessing.

    Raises:
        MetadataError: if neither sentence nor facts give the number of classes or columns.
    """
    elements, corrections = read_elements(requirement, facts)
    for key, (count, word) in _COUNTS.items():
        if elements[count] is None and facts.task_type in (CLASSIFICATION if key == "out_dim" else TABULAR):
            raise MetadataError(unknown(key, word))
    arches, scale = ARCHES[facts.task_type], elements["scale"]
    if arch is not None and arches[scale] != arch and arch not in ANY_SCALE:
        if facts.scale_asked:
            corrections.append(f"scale {scale!r} was asked for; the checkpoint writes {arch!r} only")
        scale = next((s for s, name in arches.items() if name == arch), "base")
    metadata = parse_metadata(
        {
            "task": facts.task_type,
            "out_dim": elements["n_classes"] or 1,
            "in_dim": elements["n_features"],
            "scale": scale,
            "arch": arch or arches[scale],
            "d_input": d_input,
        }
    )
    return metadata, corrections


_COUNTS = {"out_dim": ("n_classes", "classes"), "in_dim": ("n_features", "features")}


def unknown(key: str, word: str) -> str:
    """The message for a dimension that nobody has named."""
    return (
        f"metadata: {key} is unknown; neither the description nor the data say how many {word}; say it, as in "
        f"'3 {word}', or give rows"
    )
