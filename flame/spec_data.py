"""What rows know better than words: the modality, the target, and whether it is a class or a quantity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flame.data import DataBatch, read_data
from flame.labels import settle_kind
from flame.taskspec import TaskSpec

_ANSWERED_BY_LABELS = frozenset({"no_task", "no_target", "two_tasks", "not_a_request"})
"""Problems of a request that labelled rows settle."""


def with_data(
    spec: TaskSpec, data: Any, target: str | None, *, questions_of: Callable[[frozenset[str]], tuple[str, ...]]
) -> TaskSpec:
    """The specification with the facts of the data; every correction is noted.

    Args:
        spec: what the words say.
        data: anything `flame.data.read_data` accepts, or a batch it returned.
        target: the column to predict; else one that the words name, or that is called like a target.
        questions_of: the questions that stay open once these problems are answered.

    Raises:
        DataError: if the data cannot be read.
    """
    batch = _read(spec, data, target)
    notes, said = [*spec.notes, *batch.notes], spec.inputs.modality
    if said not in (None, batch.modality):
        notes.append(f"the words say {said}, the data are {batch.modality}; {batch.modality} is used")
    task, objects, questions = spec.task, spec.inputs.objects, spec.questions
    if batch.labels is not None:
        fact = task_of(batch, task)
        if task not in (None, fact):
            notes.append(f"the words say {task}, the target {batch.target!r} is for {fact}; {fact} is used")
        task = fact  # type: ignore[assignment]
        objects = tuple(map(str, batch.label_values)) if fact == "classification" else objects or (str(batch.target),)
        questions = questions_of(_ANSWERED_BY_LABELS)
    known = {"task": task, "target": objects or spec.inputs.datasets, "modality": batch.modality}
    settled = spec.intent == "unclear" and not questions
    return TaskSpec.model_validate(
        {
            **spec.model_dump(),
            "intent": "build" if settled else spec.intent,
            "task": task,
            "inputs": {
                **spec.inputs.model_dump(),
                "modality": batch.modality,
                "kind": spec.inputs.kind if batch.modality == "image" else None,
                "objects": objects,
            },
            "missing": [name for name, value in known.items() if not value],
            "questions": questions,
            "confidence": spec.confidence if questions else max(spec.confidence, 0.9),
            "notes": notes,
        }
    )


def task_of(batch: DataBatch, said: str | None) -> str:
    """Classification or regression, by the labels; words decide only where the labels allow both."""
    wish = {"classification": "classes", "regression": "numbers"}.get(said or "")
    kind, _ = settle_kind(batch.label_values, len(batch), wish)  # type: ignore[arg-type]
    return "classification" if kind == "classes" else "regression"


def _read(spec: TaskSpec, data: Any, target: str | None) -> DataBatch:
    if isinstance(data, DataBatch):
        return data
    batch = read_data(data, target=target)
    if batch.labels is not None:
        return batch
    wanted = {word for o in spec.inputs.objects for word in (o, o.replace(" ", "_"), o.removesuffix("s"))}
    named = [c.name for c in batch.columns if c.name.casefold() in wanted]
    return read_data(data, target=named[0]) if len(named) == 1 and len(batch.columns) > 1 else batch
