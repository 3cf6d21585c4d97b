"""The paper's way for texts: a task that a generator was trained on, found by its description, with its own head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.nn.functional import normalize

from flame.text.generators import TextWriter
from hypernet.adapters import AdapterGenerator
from hypernet.tasks import TaskRecord

CLOSE = 0.75
"""Least cosine between a description and a sentence the task was trained with; wordings of one task have 0.4 to 0.8."""
CLEAR = 0.8
"""Largest distance (1 - cosine) of the task, in parts of that of the next one."""

_SENTENCES: WeakKeyDictionary[AdapterGenerator, list[Tensor]] = WeakKeyDictionary()


@dataclass(frozen=True)
class SeenTask:
    """A trained task that a description is clearly about."""

    record: TaskRecord
    likeness: float
    """Cosine to the nearest of its sentences."""
    labels: tuple[Any, ...]
    """In the order of the head; as the user calls them, if they were named. None for a number."""

    @property
    def pairs(self) -> bool:
        """Whether it reads two texts a row."""
        return bool(self.record.preprocessing["pairs"])


def seen_task(
    writer: TextWriter, description: str | None, *, labels: Sequence[Any] | None = None, pairs: bool | None = None
) -> SeenTask | None:
    """The task whose head can serve a request without labelled texts; None where it is not clear.

    Args:
        labels: names of the classes, where the user gave them: they must be those of the task.
        pairs: whether the rows are pairs of texts; None where there are no rows.
    """
    records = list(writer.generator.tasks.values())
    if not records or not description:
        return None
    own = normalize(writer.embed([description]), dim=-1)
    found = [float((sentences @ own.mT).max()) for sentences in _sentences(writer)]
    best = max(range(len(records)), key=found.__getitem__)
    second = max((found[i] for i in range(len(records)) if i != best), default=-1.0)
    if found[best] < CLOSE or 1 - found[best] > CLEAR * (1 - second):
        return None
    record = records[best]
    names = {str(label).casefold(): label for label in (record.labels if labels is None else labels)}
    if pairs not in (None, bool(record.preprocessing["pairs"])) or set(names) != {n.casefold() for n in record.labels}:
        return None
    return SeenTask(record, min(found[best], 1.0), tuple(names[n.casefold()] for n in record.labels))


def _sentences(writer: TextWriter) -> list[Tensor]:
    """Those of every task, embedded once for a generator, which fits one base model only: (v, d) each."""
    if writer.generator not in _SENTENCES:
        tasks = writer.generator.tasks.values()
        _SENTENCES[writer.generator] = [normalize(writer.embed(list(t.requirements)), dim=-1) for t in tasks]
    return _SENTENCES[writer.generator]
