"""From description and data to the facts of a task, its requirement sentence and its checked metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flame.data import DataBatch
from flame.errors import MetadataError
from flame.metadata import Metadata
from requirements_prompts import (
    NAMING_COLUMNS,
    ParsedRequirement,
    TaskFacts,
    parse_requirement,
    read_n_classes,
    read_scale,
    write_requirement,
)


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


def gather_facts(description: str | None, batch: DataBatch | None) -> TaskFacts:
    """What description and data say of the task. The data outrank the words; what neither says stays None."""
    words = description or ""
    n_classes = read_n_classes(words)
    if batch is not None and batch.labels is not None:
        n_classes = len(batch.label_values)
    return TaskFacts(
        task_type="tabular_cls",
        n_classes=n_classes,
        n_features=len(batch.columns) if batch is not None else None,
        scale=read_scale(words) or "base",
        description=description,
        columns=tuple(c.name for c in batch.columns) if batch is not None else (),
        target=batch.target if batch is not None else None,
        pattern=table_pattern(batch) if batch is not None else None,
    )


def table_pattern(batch: DataBatch) -> str:
    """The look of a table in a few words, about its inputs and never its labels.

    "numeric columns", "categorical columns with missing values", "6 numeric and 8 categorical columns", ...
    """
    n_numeric = sum(c.kind == "numeric" for c in batch.columns)
    n_other = len(batch.columns) - n_numeric
    if n_other == 0:
        words = "numeric columns"
    elif n_numeric == 0:
        words = "categorical columns"
    else:
        words = f"{n_numeric} numeric and {n_other} categorical columns"
    return words + (" with missing values" if batch.n_missing else "")


def decide_metadata(requirement: str, facts: TaskFacts, *, arch: str, d_input: int) -> tuple[Metadata, list[str]]:
    """Metadata from the sentence, corrected by the facts; every correction is reported.

    Raises:
        MetadataError: if neither sentence nor facts give the number of classes or columns.
    """
    corrections: list[str] = []
    try:
        said: ParsedRequirement | None = parse_requirement(requirement)
    except ValueError as error:
        said = None
        corrections.append(f"the requirement sentence is incomplete ({error}); the facts are used")
    if said is not None and said.task_type != facts.task_type:
        corrections.append(f"the sentence says {said.task_type!r}, however it is {facts.task_type!r}")
    values: dict[str, int] = {}
    for key, word, fact, told in (
        ("out_dim", "classes", facts.n_classes, said.n_classes if said else None),
        ("in_dim", "features", facts.n_features, said.n_features if said else None),
    ):
        if fact is not None and told is not None and told != fact:
            corrections.append(f"the sentence says {told} {word}, however there are {fact}; {fact} is used")
        value = fact if fact is not None else told
        if value is None:
            raise MetadataError(f"metadata: {key} is unknown; neither the description nor the data say how many {word}")
        values[key] = value
    scale = arch.removeprefix("mlp_")
    wanted = said.scale if said else facts.scale
    if scale in ("small", "base", "large") and wanted != scale:
        corrections.append(f"scale {wanted!r} was asked for; the checkpoint writes {arch!r} only")
    metadata = Metadata(
        task="tabular_cls",
        out_dim=values["out_dim"],
        in_dim=values["in_dim"],
        scale=scale if scale in ("small", "base", "large") else "base",  # type: ignore[arg-type]
        arch=arch,  # type: ignore[arg-type]
        d_input=d_input,
    )
    return metadata, corrections
