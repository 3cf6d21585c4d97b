"""The offline writer: plain rules turn facts and a user's words into one requirement sentence (paper, section 3.1).

Deterministic, without a network and without a language model. The description and the column names are untrusted: they
are cleaned (`words`), cut, and stand after the elements, which come from the facts alone.

>>> facts = TaskFacts("tabular_cls", n_classes=3, n_features=4, description="Tell irises apart by their petals.")
>>> write_requirement(facts)
'This is a task of 3-class, 4-feature and base-scaled tabular classification to tell irises apart by their petals.'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from .reading import read_n_classes, read_n_features, read_scale
from .sentences import (
    CLASSIFICATION,
    FORMS,
    SCALES,
    TABULAR,
    TYPE_WORDS,
    Elements,
    ParsedRequirement,
    listed,
    parse_requirement,
    start_sentence,
)
from .words import Goal, clean_name, cut, goal_from_description, lower_first, one_line

__all__ = [
    "MAX_WORDS",
    "NAMING_COLUMNS",
    "ParsedRequirement",
    "TaskFacts",
    "parse_requirement",
    "read_n_classes",
    "read_n_features",
    "read_scale",
    "requirement_set",
    "write_requirement",
]

MAX_WORDS = 60
"""A sentence is cut to about this many words, at the user's words only."""
NAMING_COLUMNS = len(FORMS)
"""The variant of the plain form that also names columns, where they are known."""
_GOAL_WORDS, _PATTERN_WORDS = 24, 16
_NAMED_IN_GOAL, _NAMED_IN_TAIL = 4, 3


@dataclass(frozen=True)
class TaskFacts:
    """Everything the writer may know about a task."""

    task_type: str
    """tabular_cls, tabular_reg, seq_cls, seq_reg, img_cls or s2s_gen."""
    n_classes: int | None = None
    """Number of classes; for classification, and only there."""
    n_features: int | None = None
    """Number of input columns; for tables, and only there."""
    scale: str = "base"
    """What the user's resources allow: small, base or large."""
    description: str | None = None
    """The user's own words, untrusted."""
    columns: tuple[str, ...] = ()
    """Names of the input columns, untrusted; the target is not among them."""
    target: str | None = None
    """Name of the column to predict, untrusted; named only where there is no description."""
    pattern: str | None = None
    """What the data look like, as in "numeric measurements without missing values"; about inputs, never labels."""
    scale_asked: bool = False
    """Whether the user's words or limits led to this scale; no sentence says so."""
    notes: tuple[str, ...] = ()
    """How the facts came about, for the user; no sentence holds them, and they hold no cell and no label."""


def write_requirement(facts: TaskFacts, variant: int = 0) -> str:
    """One sentence with the five elements; `variant` picks its form, 0 the plain one.

    Variants go round: each form (eleven) comes with and without columns and data pattern, as far as these are known.

    Raises:
        ValueError: naming every fact that is missing or does not fit the task type.
    """
    _check(facts)
    if variant < 0:
        raise ValueError(f"variant must be 0 or more, however: variant={variant}")
    goal = _goal(facts)
    form = variant % len(FORMS)
    tails = _tails(facts, form)
    ending = tails[(variant // len(FORMS) + form) % len(tails)]  # every form meets every tail; variant 0 has none
    elements = Elements(facts.task_type, facts.n_classes, facts.n_features, facts.scale)
    start = start_sentence(FORMS[form], elements, goal)
    room = MAX_WORDS - len(f"{start}-{ending}".split()) + 1  # "-" stands for the goal
    return f"{start}{cut(goal.text, min(_GOAL_WORDS, room))}{ending}."


def requirement_set(facts: Sequence[TaskFacts] | TaskFacts, n: int) -> list[str]:
    """`n` different sentences for one task: the descriptions in turn, each time in another form.

    Args:
        facts: one `TaskFacts` per description; everything but the words must be the same.
        n: how many sentences, at least 1; the first is the plain form of the first description.

    Raises:
        ValueError: if the facts are of different tasks, or hold too little for `n` different sentences.
    """
    all_facts = [facts] if isinstance(facts, TaskFacts) else list(facts)
    if not all_facts or n < 1:
        raise ValueError(f"expected facts and n of at least 1, however: {len(all_facts)} facts and n={n}")
    tasks = {(f.task_type, f.n_classes, f.n_features, f.scale) for f in all_facts}
    if len(tasks) > 1:
        raise ValueError(f"expected facts of one task, however: {sorted(tasks, key=repr)}; make one set per task")
    sentences: dict[str, None] = {}
    for i in range(len(all_facts) * max(len(FORMS) * len(_tails(f, 0)) for f in all_facts)):
        turn, which = divmod(i, len(all_facts))
        sentences.setdefault(write_requirement(all_facts[which], variant=turn + which))
        if len(sentences) == n:
            return list(sentences)
    raise ValueError(
        f"expected material for n={n} different sentences, however: {len(all_facts)} description(s) make only "
        f"{len(sentences)}; give more descriptions, the column names or a data pattern"
    )


def _check(facts: TaskFacts) -> None:
    faults = [
        f"{name} must be one of {list(choices)}, however: {name}={value!r}"
        for name, value, choices in (("task_type", facts.task_type, TYPE_WORDS), ("scale", facts.scale, SCALES))
        if value not in choices
    ]
    if facts.task_type in TYPE_WORDS:
        faults += _count_faults(facts, "n_classes", 2, facts.task_type in CLASSIFICATION)
        faults += _count_faults(facts, "n_features", 1, facts.task_type in TABULAR)
    if faults:
        raise ValueError("facts: " + "; ".join(faults))


def _count_faults(facts: TaskFacts, name: str, least: int, wanted: bool) -> list[str]:
    value, kind = getattr(facts, name), TYPE_WORDS[facts.task_type]
    if not wanted:
        return [] if value is None else [f"{name} must be None for {kind}, however: {name}={value!r}"]
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return []
    fault = f"{name} must be an integer of at least {least} for {kind}, however: {name}={value!r}"
    return [fault + ("; read_n_classes(description) may find it" if name == "n_classes" and value is None else "")]


def _goal(facts: TaskFacts) -> Goal:
    goal = goal_from_description(facts.description or "")
    if goal is not None:
        return goal
    names, target = _names(facts), _target_name(facts.target or "")
    shown = _some(names, 0, _NAMED_IN_GOAL)
    inputs = listed(*shown, *(["other columns"] if len(names) > len(shown) else []))
    if not inputs and facts.task_type in TABULAR:
        inputs = f"{facts.n_features} unnamed input column" + ("s" if facts.n_features != 1 else "")
    if not target and not names:
        return Goal("none", inputs or "no words from the user")
    verb = "produce" if facts.task_type == "s2s_gen" else "predict"
    unnamed = "the output" if verb == "produce" else "the class" if facts.task_type in CLASSIFICATION else "the value"
    what = f"'{target}'" if target else unnamed
    return Goal("verb", f"{verb} {what} from {inputs}" if inputs else f"{verb} {what}")


def _tails(facts: TaskFacts, form: int) -> list[str]:
    """What a sentence may say after its goal: nothing, some columns, the data pattern, or both."""
    names = _names(facts) if one_line(facts.description or "") else []  # without a description the goal names them
    pattern = cut(one_line(facts.pattern or ""), _PATTERN_WORDS)
    shown = _some(names, len(names) * form // len(FORMS), _NAMED_IN_TAIL)
    verb = "including" if len(names) > _NAMED_IN_TAIL or len(names) != facts.n_features else "being"
    columns = [f", the columns {verb} {listed(*shown)}"] if names else []
    patterns = [f", on data described as {lower_first(pattern)}"] if pattern else []
    return [c + p for p in ["", *patterns] for c in ["", *columns]]


def _names(facts: TaskFacts) -> list[str]:
    return list(dict.fromkeys(name for name in map(clean_name, facts.columns) if name))


def _target_name(target: str) -> str:
    name = clean_name(target)
    return "" if name in ("class", "label", "target", "y", "output", "outcome") else name


def _some(names: list[str], start: int, n: int) -> list[str]:
    """`n` of the names, from `start` on and round, in their own order: other forms show other columns."""
    return [names[i] for i in sorted((start + i) % len(names) for i in range(min(n, len(names))))]
