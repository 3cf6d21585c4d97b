"""The paper's way of generating: a task seen in pre-training, with its columns, its labels and its own head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from flame.columns import unnamed
from flame.data import DataBatch
from flame.errors import RouteError
from flame.labels import kind_of_values
from flame.metadata import Metadata
from flame.requirement import gather_facts
from flame.route import Generated, Proposal, Route
from flame.table.checks import check_agreement, doubts, labels_by_agreement, rows_to_check
from flame.table.matching import column_similarity, description_scores, match_columns, match_labels, words_of
from flame.table.preprocessing import TablePreprocessor
from hypernet.generator import ParameterGenerator
from hypernet.tasks import TaskRecord
from requirements_prompts import TaskFacts
from targets import get_target

ENOUGH_WORDS = 0.35
"""Share of a description's weighted content words that a task must know to be chosen by words alone."""
CLEAR_LEAD = 1.25
"""How many times better than the second task the first must be, by words alone."""
COMMON_LABELS = frozenset({"yes", "no", "true", "false", "positive", "negative", "high", "low", "good", "bad", "other"})
"""Labels of so many tables that they do not tell which column is the target."""


class TaskHeadWay:
    """Proposes the head of a trained task; see the module's first line."""

    def __init__(self, generator: ParameterGenerator, checkpoint: str) -> None:
        self.generator = generator
        self.checkpoint = checkpoint
        self._texts = {
            r.name: [*r.requirements, *r.labels, r.title, r.target, *column_names(r)] for r in generator.tasks.values()
        }

    def propose(self, description: str | None, batch: DataBatch | None) -> Proposal | list[str]:
        scores = description_scores(description or "", self._texts)
        if batch is None:
            return self._by_words(scores)
        if batch.modality != "table":
            kind = {"text": "texts", "text_pair": "pairs of texts", "image": "pictures"}[batch.modality]
            return [f"the data are {kind}, however the checkpoint {self.checkpoint!r} writes models for tables only"]
        records, n_values = list(self.generator.tasks.values()), len(batch.label_values)
        # A head's own classes may be coded by any few numbers.
        if n_values > max((len(r.labels) for r in records), default=0) and _are_numbers(batch):
            seen = f"{n_values} different ones in {len(batch)} rows"
            return [f"the target {batch.target!r} holds numbers ({seen}), this checkpoint's heads are for classes"]
        found = [self._fit(r, batch, scores[r.name]) for r in records]
        proposals = [p for p in found if isinstance(p, TaskHead)]
        if proposals:
            return max(proposals, key=lambda p: p.score)
        misfits = {r.name: why for r, why in zip(records, found, strict=True) if isinstance(why, Misfit)}
        closest = max(misfits, key=lambda name: misfits[name].share, default="")
        if closest and misfits[closest].share > 0:
            return [f"closest is {closest!r}: {misfits[closest].why}"]
        if unnamed([c.name for c in batch.columns]):
            return [
                "the columns have no names, and a task is found by them; give a DataFrame with named columns, as in "
                "pandas.DataFrame(X, columns=[...])"
            ]
        return ["no task has a column of these names"]

    def help(self) -> str:
        return (
            f"The checkpoint {self.checkpoint!r} has heads for {', '.join(self.generator.tasks)}; give rows with the "
            "columns of one of them (`flame info` lists them), or train a generator of your own with `flame train`."
        )

    def _by_words(self, scores: dict[str, float]) -> Proposal | list[str]:
        first, second, *_ = [*sorted(scores, key=lambda n: -scores[n]), "", ""]
        if scores.get(first, 0.0) < ENOUGH_WORDS:
            return ["the description names nothing that a trained task is about"]
        if second and scores[first] < CLEAR_LEAD * scores[second]:
            return [f"the description fits {first!r} and {second!r} about equally; say more, or give rows"]
        record = self.generator.tasks[first]
        return TaskHead(
            generator=self.generator,
            checkpoint=self.checkpoint,
            record=record,
            columns={c: c for c in column_names(record)},
            labels=dict(zip(record.labels, record.labels, strict=True)),
            batch=None,
            reason=f"{scores[first]:.0%} of the description's content words are about it",
            score=scores[first],
            notes=("no rows were given: columns and labels are those of the training task",),
        )

    def _fit(self, record: TaskRecord, batch: DataBatch, words: float) -> TaskHead | Misfit:
        """A candidate, or the first thing that is missing, for a person to read."""
        names, given = column_names(record), [c.name for c in batch.columns]
        mapping = match_columns(names, given)
        lacking = [n for n in names if n not in mapping]
        if lacking:
            shown = ", ".join(map(repr, lacking[:4])) + (", ..." if len(lacking) > 4 else "")
            why = f"{len(mapping)} of its {len(names)} columns are in the data, {shown} missing"
            return Misfit(why, len(mapping) / len(names))
        used = set(mapping.values())
        if batch.labels is None:
            batch = _adopt_target(record, batch, [g for g in given if g not in used])
        notes, extra = list(batch.notes), [c.name for c in batch.columns if c.name not in used]
        if extra:
            notes.append(f"columns the task does not know are not used: {', '.join(map(repr, extra))}")
        batch = batch.select([mapping[n] for n in names])
        faults = doubts(TablePreprocessor.from_json(record.preprocessing), batch)
        if len(batch.label_values) > len(record.labels):
            known = f"its head {len(record.labels)}: {list(record.labels)}"
            faults.append(f"the data have {len(batch.label_values)} classes, {known}")
        if faults:
            return Misfit("; ".join(faults), 1.0)
        labels = match_labels(record.labels, batch.label_values if batch.labels is not None else record.labels)
        named = " and so do the labels" if labels is not None and batch.labels is not None else ""
        likeness = float(np.mean([column_similarity(n, mapping[n]) for n in names]))
        return TaskHead(
            generator=self.generator,
            checkpoint=self.checkpoint,
            record=record,
            columns=mapping,
            labels=labels,
            batch=batch,
            reason=f"all {len(names)} columns match by name{named}",
            # Of two tasks whose columns are all there, the one that uses more of the data's columns is meant.
            score=likeness + words + len(names) / len(given),
            notes=tuple(notes),
        )


@dataclass(frozen=True)
class Misfit:
    """Why a head cannot serve the request."""

    why: str
    """The first thing that is missing, for a person to read."""
    share: float
    """Part of the task's columns that the data have; the largest is told."""


@dataclass(frozen=True)
class TaskHead:
    """A task head that can serve the request: found by columns, labels and words."""

    generator: ParameterGenerator
    checkpoint: str
    record: TaskRecord
    columns: dict[str, str]
    """Trained column -> the user's column."""
    labels: dict[str, Any] | None
    """Trained label -> the user's label, matched by name; None: to be settled by agreement on labelled rows."""
    batch: DataBatch | None
    """The user's rows, with the head's columns in its order."""
    reason: str
    score: float
    notes: tuple[str, ...]

    @property
    def arch(self) -> str:
        return self.record.metadata.arch

    @property
    def d_input(self) -> int:
        return self.record.metadata.input_width

    @property
    def target(self) -> str:
        return (self.batch.target if self.batch is not None else None) or self.record.target

    def facts(self, description: str | None) -> TaskFacts:
        # In the words of training: other spellings, further columns and rows of few classes change nothing.
        return replace(
            gather_facts(description, self.batch, task_type=self.record.metadata.task),
            n_classes=self.record.metadata.out_dim,
            n_features=len(self.columns),
            columns=tuple(self.columns),
            target=self.record.target,
        )

    def generate(self, requirement: str, metadata: Metadata) -> Generated:
        """Write the model; if the labelled rows speak against it, once more from a sentence of the task's own.

        Raises:
            RouteError: if the rows speak against that model too.
        """
        try:
            return self._generate(requirement, metadata, self.notes)
        except RouteError:
            own = self.record.requirements[0]
            note = f"the labelled rows speak against the model of the sentence {requirement!r}; the task's own is used"
            try:
                return self._generate(own, metadata, (*self.notes, note))
            except RouteError as error:
                raise error from None

    def _generate(self, requirement: str, metadata: Metadata, notes: tuple[str, ...]) -> Generated:
        target = get_target(self.arch)
        weights = self.generator.generate(requirement, self.record.name)
        module = target.merge(target.build(self.record.metadata), weights).eval()
        preprocessor = TablePreprocessor.from_json(self.record.preprocessing).renamed(self.columns)
        labels, agreement, reason = dict(self.labels or {}), None, self.reason
        if self.batch is not None and self.batch.labels is not None:
            given = self.batch.labels.to_numpy(dtype=object)
            rows = rows_to_check(given)
            given, predicted = given[rows], _predict(module, preprocessor, self.batch.features.iloc[rows])
            if self.labels is None:
                labels = labels_by_agreement(predicted, given, self.record, self.batch.label_values)
                reason += "; labels are matched by agreement on the labelled rows"
            agreement = check_agreement(predicted, given, labels, self.record)
            reason += f"; it gives the right label on {agreement:.0%} of the {len(given)} labelled rows"
            absent = [label for label in self.record.labels if label not in labels]
            if absent:
                notes = (*notes, f"the rows have no label {', '.join(map(repr, absent))}; the model may still give it")
        route = Route("task_head", self.checkpoint, self.record.name, reason, self.columns, agreement, notes)
        return Generated(
            module,
            preprocessor,
            tuple(labels.get(k, k) for k in self.record.labels),
            route,
            requirement,
            metadata,
            self.generator.fingerprint,
        )


def column_names(record: TaskRecord) -> list[str]:
    """The columns a task was trained with."""
    return [str(c["name"]) for c in record.preprocessing.get("columns", [])]


def _are_numbers(batch: DataBatch) -> bool:
    return kind_of_values(batch.label_values, len(batch)) == "numbers"


def _predict(module: nn.Module, preprocessor: TablePreprocessor, features: pd.DataFrame) -> np.ndarray:
    rows: Tensor = torch.from_numpy(preprocessor.transform(features))
    with torch.inference_mode():
        return module(rows).argmax(-1).numpy()


def _adopt_target(record: TaskRecord, batch: DataBatch, extra: list[str]) -> DataBatch:
    """Take an unmatched column as the labels if its name is the task's target or its values are the task's labels."""
    telling = any(len(w) > 2 and not w.isdigit() and w not in COMMON_LABELS for k in record.labels for w in words_of(k))
    for name in extra:
        values = list(batch.features[name].dropna().unique())
        by_name = column_similarity(name, record.target) == 1.0
        by_values = telling and len(values) <= len(record.labels) and match_labels(record.labels, values)
        if len(values) >= 2 and (by_name or by_values):
            return batch.label_by(name)
    return batch
