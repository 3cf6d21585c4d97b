"""A request in the user's words, read with plain rules: what is asked, of what, within which limits, on which machine.

Deterministic, offline, standard library only, about two milliseconds. The words are untrusted: nothing in them is run
or obeyed, and what cannot be read is left out rather than guessed. `flame.understand` makes a `TaskSpec` of it.

>>> seen = read_request("Detect helmets in photos with YOLOv8n, mAP above 0.6, at least 25 fps on a Jetson.")
>>> seen.intent, seen.task, seen.objects, seen.modality, seen.family, seen.device
('build', 'detection', ('helmets',), 'image', 'YOLOv8n', 'edge')
>>> read_request("Please book a table for two.").problems
('not_a_request',)
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..words import MAX_CHARS
from .context import (
    read_datasets,
    read_device,
    read_domain,
    read_engine,
    read_families,
    read_kind,
    read_modality,
    technical_places,
)
from .intent import asks_advice, read_knowledge, talks_of_learning, weight_of_words
from .lexicon import Named, Word, phrases, word_set, words_of
from .limits import Limit, read_limits
from .metrics import UNBOUNDED
from .said import Said, read_task
from .spelling import correct
from .things import Things, find_things
from .verbs import FORMS, find_verbs

MODALITY_OF_TASK = {
    **dict.fromkeys(("detection", "segmentation", "keypoints"), "image"),
    **dict.fromkeys(("translation", "summarization", "question_answering"), "text"),
    "forecasting": "time_series",
    "clustering": "table",
}


_VAGUE_VERBS = word_set(
    "find locate spot tell decide determine guess assign answer rank recommend generate outline verify say see know "
    "check read search name count track group sort score rate grade split separate measure box"
)
"""Task verbs that small talk uses as well."""
_VAGUE_TASKS = ("classification", "regression", "generation")
_MODEL_LIMITS = ("metric", "parameters", "flops", "throughput", "model_size")
_PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u00d7\u2212\u2010\u2011", "''\"\"x---")
"""Quotes, crosses and dashes that are written in many ways."""


@dataclass(frozen=True)
class Understanding:
    """What the rules read; None and () where the words do not say."""

    intent: str
    """build, consult or unclear."""
    task: str | None = None
    domain: str | None = None
    modality: str | None = None
    kind: str | None = None
    """Of an image: rgb, ct, infrared, ..."""
    objects: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    family: str | None = None
    device: str | None = None
    engine: str | None = None
    knowledge: str | None = None
    """novice, practitioner or expert."""
    problems: tuple[str, ...] = ()
    """not_a_request, no_task, no_target, two_tasks, two_devices, impossible:NAME, empty_range:NAME."""
    two_tasks: tuple[str, ...] = ()
    weak_task: bool = False
    """Whether the task is only guessed from a measure, a data set or a model family."""
    truncated: bool = False
    """Whether the text was longer than what is read."""


def read_request(text: str) -> Understanding:
    """Read a request; any text gives an answer, "unclear" with a problem in the worst case."""
    original = normalise(text)
    lower = lower_same_length(original)
    words = words_of(lower)
    families, datasets = read_families(original), read_datasets(original)
    families = [f for f in families if not any(d.start < f.end and f.start < d.end for d in datasets)]
    names = [*families, *datasets]
    limits = read_limits(original)
    modality = read_modality(lower, words, names)
    kind = read_kind(words)
    modality = modality or ("image" if kind else None)
    consult = asks_advice(lower)
    things = _without_names(find_things(lower, questions=not consult, served=not consult), names)
    said = read_task(lower, modality=modality, names=names, things=things, advice=consult)
    if said.task == "regression" and things.are_classes:
        modality = modality or "table"  # what looks like a list of classes are inputs: "rents: size, rooms, district"
    served = said.task is not None and not consult
    things = _without_names(find_things(lower, task=said.task, questions=not consult, served=served), names)
    modality = modality or MODALITY_OF_TASK.get(said.task or "")
    device, two_devices = read_device(lower, words)
    seen = Understanding(
        intent="build",
        task=said.task,
        domain=read_domain(words, technical_places(lower, words)),
        modality=modality,
        kind=kind if modality in ("image", "video") else None,
        objects=things.names,
        datasets=tuple(dict.fromkeys(d.text for d in datasets)),
        limits=tuple(limits),
        family=families[0].text if families else None,
        device=device,
        engine=read_engine(words),
        knowledge=read_knowledge(lower),
        two_tasks=said.conflict,
        weak_task=said.weak,
        truncated=len(text.strip()) > MAX_CHARS,
    )
    evidence = weight_of_words(lower) + _evidence(words, seen, said, things)
    if consult and (evidence >= 2 or talks_of_learning(lower)):
        return replace(seen, intent="consult")
    if evidence < 2:
        return Understanding("unclear", problems=("not_a_request",), truncated=seen.truncated)
    problems = (*_missing(seen, things), *(("two_devices",) if two_devices else ()), *_impossible(limits))
    return replace(seen, intent="unclear" if problems else "build", problems=problems)


def read_device_of(text: str) -> str | None:
    """The device that a short answer names."""
    lower = lower_same_length(normalise(text))
    return read_device(lower, words_of(lower))[0]


def read_task_of(text: str) -> str | None:
    """The task that a short answer names."""
    return read_task(lower_same_length(normalise(text)), modality=None).task


def read_modality_of(text: str) -> str | None:
    """The kind of input that words name, be they a request or not."""
    lower = lower_same_length(normalise(text))
    return read_modality(lower, words_of(lower), [])


def count_named_classes(text: str) -> int | None:
    """The number of classes that a request names one by one, as alternatives; None where it names none so.

    "Classify reviews and comments" names inputs: only "or", "from" and "between" make alternatives.

    >>> count_named_classes("Is it a cat, a dog or a horse?"), count_named_classes("Classify cats and dogs by age.")
    (3, None)
    """
    seen = read_request(text)
    if seen.task != "classification" or len(seen.objects) < 2:
        return None
    lower, names = lower_same_length(normalise(text)), [re.escape(name) for name in seen.objects]
    ends = [rf"or {{}}{names[-1]}(?! (?:by|into|as|according)\b)", rf"(?:from|versus|vs) {{}}{names[-1]}"]
    if "between" in lower:
        ends.append(rf"and {{}}{names[-1]}")
    # Nothing but a comma and an article between them: where a name was not understood, the list is not counted.
    start = r",? {}".join(names[:-1]) + ",? "
    found = [m for end in ends if (m := re.search((start + end).replace("{}", r"(?:\w+ )?"), lower))]
    whole = any(not re.search(r", (?:an? |the )?$", lower[: m.start()]) for m in found)
    return len(seen.objects) if whole else None


def normalise(text: str) -> str:
    """One form for all writings: NFKC, plain quotes and dashes, no control characters, typing errors put right."""
    text = unicodedata.normalize("NFKC", text.strip()[:MAX_CHARS])[:MAX_CHARS]  # one sign may become eighteen
    text = "".join(c if c == "\n" or unicodedata.category(c)[0] != "C" else " " for c in text)
    text = text.translate(_PLAIN)
    return correct(re.sub(r"[^\S\n]+", " ", text))


def lower_same_length(text: str) -> str:
    """Lower case, letter for letter, so that places stay the same."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _without_names(things: Things, names: Sequence[Named]) -> Things:
    """Things that are no data set or model: "train on COCO" detects nothing called coco."""
    words = {w for entries in phrases("dataset_words").values() for w in entries}  # "iris" is a flower as well
    taken = {n.text.lower() for n in names} - words
    kept = tuple(t for t in things.names if t not in taken and not t.endswith((" dataset", " data set")))
    return replace(things, names=kept)


def _evidence(words: Sequence[Word], seen: Understanding, said: Said, things: Things) -> int:
    """How much of what was read speaks for a request about a model; with single words, below two it is small talk."""
    score = 2 * bool(seen.family or seen.datasets or seen.engine)
    score += 2 * any(x.kind in _MODEL_LIMITS or (x.kind == "latency" and x.si_value < 1) for x in seen.limits)
    score += bool(seen.limits) + bool(seen.modality) + bool(seen.device) + bool(said.conflict) + things.are_classes
    if said.task is not None and not said.weak:
        verbs = {FORMS[words[i].text] for i, _ in find_verbs(words)}
        clear = bool(verbs - _VAGUE_VERBS) or said.task not in _VAGUE_TASKS
        score += 2 if clear else int(bool(verbs or things.clause or things.names))
    return score


def _missing(seen: Understanding, things: Things) -> tuple[str, ...]:
    if seen.two_tasks:
        return ("two_tasks",)
    if seen.task is None:
        return ("no_task",)
    if seen.task != "other" and not (
        things.names or things.clause or seen.datasets or (things.refers and seen.modality)
    ):
        return ("no_target",)
    return ()


def _impossible(limits: Sequence[Limit]) -> tuple[str, ...]:
    problems = []
    for limit in limits:
        name = limit.name or limit.kind
        fraction = limit.kind == "metric" and limit.name not in UNBOUNDED and limit.name != "mape"
        if limit.si_value < 0 or (limit.si_value == 0 and limit.kind != "metric") or (fraction and limit.si_value > 1):
            problems.append(f"impossible:{name}")
    for i, first in enumerate(limits):
        for second in limits[i + 1 :]:
            if (first.kind, first.name) == (second.kind, second.name):
                low, high = (first, second) if first.operator[0] == ">" else (second, first)
                if low.operator[0] == ">" and high.operator[0] == "<" and low.si_value > high.si_value:
                    problems.append(f"empty_range:{first.name or first.kind}")
    return tuple(dict.fromkeys(problems))
