"""Which task a request asks for: explicit words first, then verbs, then what is predicted, then measures and names.

>>> read_task("predict house prices from size and location", modality="table").task
'regression'
>>> read_task("detect sarcasm in posts", modality="text").task
'classification'
>>> read_task("translate news and forecast sales", modality=None).conflict
('translation', 'forecasting')
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .lexicon import Named, words_of
from .metrics import TASK_OF_METRIC, find_metrics
from .task_words import (
    ABSTRACT,
    AHEAD,
    ANOMALY,
    ANSWER_JUDGED,
    BOXES,
    CATEGORIES,
    CHOOSE,
    CLASSIFY,
    CLUSTER,
    DETECT,
    EXPLICIT,
    FAMILY_WORDS,
    FORECAST,
    GENERATE,
    KEYPOINTS,
    MARKET,
    NUMBER_ASKED,
    OTHER,
    PREDICT,
    QA,
    QUANTITIES,
    RANK,
    REGRESS,
    SEGMENTATION,
    SUMMARY,
    THRESHOLD,
    TOGETHER,
    TRANSLATE,
)
from .things import Things
from .verbs import FORMS, NOMINALS, VERBS, find_verbs

VISION = frozenset({"detection", "segmentation", "keypoints"})


@dataclass(frozen=True)
class Said:
    """The task as the words say it."""

    task: str | None = None
    conflict: tuple[str, ...] = ()
    """Two tasks that exclude each other, where both are asked for."""
    weak: bool = False
    """Whether only a measure, data set or model family speaks for it."""


def read_task(
    text: str, *, modality: str | None, names: Sequence[Named] = (), things: Things | None = None, advice: bool = False
) -> Said:
    """The task of a lower-case text.

    Args:
        text: lower case, spelling put right.
        modality: the kind of input, as far as known: "detect" means boxes in an image and classes elsewhere.
        names: data sets and models that are named; they speak last.
        things: what the request is about.
        advice: whether a question is asked about models; then a measure that is mentioned names no task.
    """
    plain = FAMILY_WORDS.sub(" ", text)
    things = things or Things()
    conflict = _conflict(plain)
    if conflict:
        return Said(None, conflict)
    task = _explicit(plain, modality, things) or _by_verbs(plain, modality, things)
    if task == "classification" and advice and not things.names and not CLASSIFY.search(plain):
        task = None  # "which" and "whether" ask the adviser
    if task is not None:
        return Said(task)
    weak = None if advice else _by_measures(plain)
    weak = weak or next((n.task for n in names if n.task), None)
    if weak is None and AHEAD.search(plain):
        weak = "forecasting"
    if weak is None and things.are_classes:
        weak = "classification"
    return Said(weak, weak=True)


def _explicit(text: str, modality: str | None, things: Things) -> str | None:
    if OTHER.search(text):
        return "other"
    wordy = modality in (None, "text", "text_pair", "audio")
    for rule, task in ((TRANSLATE, "translation"), (SUMMARY, "summarization"), (QA, "question_answering")):
        judged = rule is QA and (modality == "text_pair" or ANSWER_JUDGED.search(text))
        if wordy and rule.search(text) and not judged:
            return task
    if MARKET.search(text) and modality not in ("image", "video"):
        return "clustering"
    if SEGMENTATION.search(text) and modality in (None, "image", "video"):
        return "segmentation"
    if KEYPOINTS.search(text) and modality in (None, "image", "video"):
        return "keypoints"
    if GENERATE.search(text):
        return "generation"
    if ANOMALY.search(text):
        return "anomaly_detection"
    if FORECAST.search(text) and not ("forecast" not in text and _asks_class(text, things)):
        return "forecasting"
    if CLUSTER.search(text):
        return "clustering"
    if RANK.search(text) and not CLASSIFY.search(text):
        return "ranking"
    if REGRESS.search(text) and not CLASSIFY.search(text):
        return "regression"
    return None


def _by_verbs(text: str, modality: str | None, things: Things) -> str | None:
    sees = modality in (None, "image", "video")
    metrics = {TASK_OF_METRIC.get(m.name) for m in find_metrics(text)}
    if DETECT.search(text) and not (CLASSIFY.search(text) and not BOXES.search(text)):
        if modality is None and any(w.rstrip("s") in ABSTRACT for n in things.names for w in n.split()):
            return "classification"
        whether = things.clause and re.search(r"\bdetect\w* (?:whether|if|which)\b", text)
        if (
            sees
            and not whether
            and (BOXES.search(text) or not _chooses(text) or "detection" in metrics or _first_verb(text) == "detection")
        ):
            return "detection"
        if not sees or whether or modality is None:
            return "classification"
    if sees and modality is not None and "detection" in metrics:
        return "detection"
    if CLASSIFY.search(text):
        return "classification"
    if PREDICT.search(text) or NUMBER_ASKED.search(text):
        return _predicted(text, things, metrics)
    if _chooses(text) or things.are_classes or things.clause:
        return "classification"
    first = _first_verb(text)
    if (
        first == "classification"
        and "classification" not in metrics
        and any({h, h.removesuffix("s")} & QUANTITIES for n in things.taken for h in n.split(" of ")[0].split()[-1:])
    ):
        return "regression"
    return first if first in ("classification", "regression", "anomaly_detection") else None


def _asks_class(text: str, things: Things) -> bool:
    """ "predict whether ... in the next six months" and "predict failures within a week" are no time series."""
    heads = {n.split(" of ")[0].split()[-1].removesuffix("s") for n in things.taken if n}
    return bool(re.search(r"\bpredict\w* (?:if|whether|which|who)\b", text)) or bool(heads & CATEGORIES)


def _chooses(text: str) -> bool:
    return bool(CHOOSE.search(text))


def _first_verb(text: str) -> str | None:
    words = words_of(text)
    for i, _ in find_verbs(words):
        return VERBS[FORMS[words[i].text]]
    return next((NOMINALS[w.text] for w in words if w.text in NOMINALS), None)


def _predicted(text: str, things: Things, metrics: set[str | None]) -> str:
    """Classification or regression, by what is predicted and how it is measured."""
    if "regression" in metrics and "classification" not in metrics:
        return "regression"
    if NUMBER_ASKED.search(text):
        return "regression"
    heads = [n.split(" of ")[0].split()[-1:] for n in things.taken if things.are_classes]
    if any(h and {h[0], h[0].removesuffix("s")} & QUANTITIES for h in heads) and "classification" not in metrics:
        return "regression"
    if "classification" in metrics or things.are_classes or THRESHOLD.search(text):
        return "classification"
    if re.search(r"\b(?:whether|if an? |who (?:will|is)|which)\b", text) and things.clause:
        return "classification"
    for name in things.names:
        head = re.split(r" (?:of|for|in|per) ", name)[0].split()[-1:]
        for word in (*head, *name.split()):
            single = {word, word.removesuffix("s"), word.removesuffix("es")}
            if single & CATEGORIES:
                return "classification"
            if single & QUANTITIES:
                return "regression"
    return "classification" if _chooses(text) else "regression"


def _by_measures(text: str) -> str | None:
    for metric in find_metrics(text):
        task = TASK_OF_METRIC.get(metric.name)
        if task is not None:
            return task
    return None


def _conflict(text: str) -> tuple[str, ...]:
    """Two explicit tasks that no single model does."""
    found = sorted((m.start(), task) for task, rule in EXPLICIT.items() if (m := rule.search(text)))
    tasks = [task for _, task in found]
    for i, first in enumerate(tasks):
        for second in tasks[i + 1 :]:
            if not any({first, second} <= group for group in TOGETHER):
                return first, second
    return ()
