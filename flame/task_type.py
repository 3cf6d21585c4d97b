"""What kind of task it is: the data say what goes in, the labels what comes out, words what neither of them says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flame.data import DataBatch
from flame.labels import Kind, kind_of_values, settle_kind, words_may_matter
from requirements_prompts import read_n_classes
from requirements_prompts.sentences import TYPE_WORDS
from requirements_prompts.understanding.request import Understanding, read_modality_of, read_request

_TYPES: dict[str, dict[Kind, str]] = {
    "table": {"classes": "tabular_cls", "numbers": "tabular_reg"},
    "text": {"classes": "seq_cls", "numbers": "seq_reg"},
    "text_pair": {"classes": "seq_cls", "numbers": "seq_reg"},
    "image": {"classes": "img_cls", "numbers": "img_cls"},
}
_NEAREST = {"time_series": "table", "audio": "table", "video": "image"}
"""Inputs that can be asked for and not planned, and what is planned in their place."""
_WISHES: dict[str, Kind] = {"classification": "classes", "regression": "numbers", "forecasting": "numbers"}
_WRITING = ("translation", "summarization", "generation", "question_answering")
"""Tasks that ask for text."""
_MAY_CONTRADICT = re.compile(
    r"\b(?:regress|estimat|forecast|predict|how (?:much|many|long|old|far)|scor|valu|pric|cost|amount|number"
    r"|translat|summari|generat|rewrit)",
    re.IGNORECASE,
)
"""Only with such words can a description contradict labels that are classes; other descriptions need not be read."""
_HOW_MUCH = re.compile(
    r"(?:^|[.?!:] |\b(?:tell|say|guess)(?: me)? )how "
    r"(?:alike|similar|much|many|long|old|tall|far|fast|big|large|heavy|warm)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TypeReading:
    """The type of a task, and what the user should know of how it was found."""

    task_type: str
    notes: tuple[str, ...] = ()


def read_type(description: str | None, batch: DataBatch | None) -> TypeReading:
    """The task type of a request; data outrank words, and every difference is noted.

    The description is read (one to two milliseconds) only where the data leave something open or may be contradicted.

    >>> read_type("Which of five flowers does the photo show?", None).task_type
    'img_cls'
    >>> read_type("Sort them into 3 kinds.", None)
    TypeReading(task_type='tabular_cls', notes=('nothing is said of the inputs; a table is assumed',))
    """
    seen = read_request(description) if description and _must_read(description, batch) else None
    modality, notes = _modality(description, seen, batch)
    if seen is not None and modality in ("text", "text_pair") and seen.task in _WRITING and not _speak_against(batch):
        return TypeReading("s2s_gen", tuple(notes))
    kind, more = _kind(description, seen, batch)
    notes += more
    if modality == "image" and kind == "numbers":
        notes.append("a number from a picture cannot be planned; every different label counts as a class")
    task_type = _TYPES[modality][kind]
    if seen is not None and not seen.weak_task:
        notes += _other_task(seen.task, task_type, batch)
    return TypeReading(task_type, tuple(notes))


def _must_read(description: str, batch: DataBatch | None) -> bool:
    if batch is None or batch.labels is None:
        return True
    if batch.modality != "table" and not _speak_against(batch):
        return True
    return words_may_matter(batch.label_values) or bool(_MAY_CONTRADICT.search(description))


def _speak_against(batch: DataBatch | None) -> bool:
    """Whether there are labels that are no texts of their own: numbers, or names that come back."""
    if batch is None or batch.labels is None:
        return False
    return not all(isinstance(v, str) for v in batch.label_values) or 2 * len(batch.label_values) <= len(batch)


def _modality(description: str | None, seen: Understanding | None, batch: DataBatch | None) -> tuple[str, list[str]]:
    said = seen.modality if seen else None
    if batch is not None:
        there = batch.modality
        alike = {said, there} <= {"text", "text_pair"} or (said == "time_series" and there == "table")
        differs = said is not None and said != there and not alike
        return there, [f"the words say {_name(said)}, the data are {_name(there)}; {_name(there)} is used"] * differs
    if said is None and description:
        said = read_modality_of(description)
    if said is None and seen is not None and seen.task in _WRITING:
        return "text", ["nothing is said of the inputs; text is assumed"]
    if said is None:
        return "table", ["nothing is said of the inputs; a table is assumed"]
    if said in _NEAREST:
        return _NEAREST[said], [f"{_name(said)} cannot be planned as such; {_name(_NEAREST[said])} is assumed"]
    return said, []


def _name(modality: str | None) -> str:
    return (modality or "").replace("_", " ")


def _kind(description: str | None, seen: Understanding | None, batch: DataBatch | None) -> tuple[Kind, list[str]]:
    said = _wish(description, seen) if seen is not None else None
    if batch is not None and batch.labels is not None:
        n_classes = read_n_classes(description or "")
        if said is None:
            return kind_of_values(batch.label_values, len(batch)), []
        kind, note = settle_kind(batch.label_values, len(batch), said, n_classes=n_classes)
        return kind, [note] if note else []
    if said == "numbers" and read_n_classes(description or "") is not None:
        return "classes", ["the description asks for a number, however it names classes; classes are used"]
    if said is None and read_n_classes(description or "") is None:
        return "classes", ["nothing says whether classes or numbers are wanted; classes are assumed"]
    return said or "classes", []


def _wish(description: str | None, seen: Understanding) -> Kind | None:
    if seen.task is None and _HOW_MUCH.search(" ".join((description or "").split())):
        return "numbers"
    return None if seen.weak_task else _WISHES.get(seen.task or "")


def _other_task(task: str | None, task_type: str, batch: DataBatch | None) -> list[str]:
    """What to say of a task that is none of ours; labels settle all but the wish for text."""
    if task is None or task in _WISHES:
        return []
    name, used = task.replace("_", " "), TYPE_WORDS[task_type]
    if batch is None or batch.labels is None:
        return [f"{name} is asked for and cannot be planned; {used} is the nearest there is"]
    return [f"the description seems to ask for {name}, however the labels are for {used}"] if task in _WRITING else []
