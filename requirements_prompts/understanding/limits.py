"""What a number is for: the limits a user sets on quality, size, speed and training.

Each quantity is looked at in its own window of the text: from the number before it (or the start of its sentence) to
the number behind it (or the end of its clause). The nearest word that names a subject decides. Numbers that limit
nothing (rows of a table, pixels, clip lengths, sampling rates, opening hours) are left alone.

>>> [(c.kind, c.name, c.operator, c.si_value) for c in read_limits("F1 above 0.9, at most 3M params, 20 ms per image.")]
[('metric', 'f1', '>', 0.9), ('parameters', None, '<=', 3000000.0), ('latency', None, '<=', 0.02)]
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .comparators import after, before, resolve
from .limit_words import (
    ALONE_AFTER,
    ALONE_BEFORE,
    DATA_BEFORE,
    FLOPS,
    JOINED,
    LATENCY,
    LATENCY_AFTER,
    LATENCY_NAMED,
    MEMORY,
    MEMORY_AFTER,
    METRIC_AFTER,
    NOT_BYTES_AFTER,
    NOT_LATENCY,
    NOT_TIME_AFTER,
    NOW,
    OWN_NUMBER,
    PARAMETERS,
    PARAMETERS_AFTER,
    PLAIN_NOUN,
    RATE,
    RIGHT,
    SAMPLED,
    SAMPLED_AFTER,
    SHOOTS,
    SIZE,
    TRAINING,
    TRAINING_AFTER,
    UNIT_AFTER,
    WAITING,
)
from .metrics import LOWER_IS_BETTER, UNBOUNDED, Metric, find_metrics
from .quantities import read_quantities
from .windows import Window, joined, shares_subject, windows_of


@dataclass(frozen=True)
class Limit:
    """One constraint, as said and normalised."""

    kind: str
    """metric, parameters, flops, latency, throughput, model_size, training_time or memory."""
    name: str | None
    """Name of the metric; None for the other kinds."""
    operator: str
    """>=, <=, >, <, == or ~."""
    value: float
    """As written."""
    unit: str | None
    """As written; for parameters the multiplier ("million", "M")."""
    si_value: float
    """A fraction for percent, seconds, bytes, items per second, a count."""


def read_limits(text: str) -> list[Limit]:
    """Every limit of a text, in order."""
    metrics = find_metrics(text)
    spans = [(m.start, m.end) for m in metrics]
    quantities = [q for q in read_quantities(text) if not any(a <= q.start < b for a, b in spans)]
    windows = windows_of(text, quantities)
    limits: list[Limit] = []
    used: set[int] = set()
    open_range: tuple[str | None, str | None] | None = None
    for i, window in enumerate(windows):
        shared = shares_subject(window, windows[i + 1]) if i + 1 < len(windows) else False
        asked = joined(window, windows[i + 1]) if shared else window
        kind, name = (None, None) if NOW.search(window.before) else _subject(text, asked, metrics, used)
        if kind is None and open_range:
            kind, name = open_range
        limit = _limit(text, window, kind, name, starts_range=shared, ends_range=bool(open_range)) if kind else None
        if limit is not None:
            limits += [*(replace(limit, name=other) for other in _also(text, metrics, used, limit)), limit]
        open_range = (kind, name) if shared and limit is not None else None
    return limits


def _also(text: str, metrics: list[Metric], used: set[int], limit: Limit) -> list[str]:
    """Measures that share a number: "precision and recall above 0.8"."""
    at = next((i for i in used if metrics[i].name == limit.name and i - 1 >= 0 and i - 1 not in used), None)
    if limit.kind != "metric" or at is None or not JOINED.fullmatch(text[metrics[at - 1].end : metrics[at].start]):
        return []
    used.add(at - 1)
    return [metrics[at - 1].name]


def _limit(
    text: str, window: Window, kind: str, name: str | None, *, starts_range: bool, ends_range: bool
) -> Limit | None:
    q = window.quantity
    lower = name in LOWER_IS_BETTER or kind not in ("metric", "throughput")
    said, _ = before(window.before.replace("(", " "))
    if said == "drop" or (q.implied and said is None and kind in ("latency", "training_time")):
        return None
    operator = resolve(said, kind, lower_is_better=lower) if said else None
    if operator is None and (starts_range or ends_range):
        operator = ">=" if starts_range else "<="
    if operator is None and "+" in text[q.start : q.end]:
        operator = ">="
    operator = operator or after(window.after, kind, cut=window.cut) or ("<=" if lower else ">=")
    value, unit, si = _normalised(text, window, kind, name)
    return Limit(kind, name, operator, value, unit, si)


def _subject(text: str, window: Window, metrics: list[Metric], used: set[int]) -> tuple[str | None, str | None]:
    """The kind of limit, and the metric's name; (None, None) if the number limits nothing."""
    q = window.quantity
    if q.dimension == "rate":
        return _rate(window), None
    if q.dimension == "flops":
        return "flops", None
    if q.dimension == "bytes":
        return _bytes(window), None
    if q.dimension == "count":
        if PARAMETERS_AFTER.match(window.after) and q.si_value >= 50:
            return "parameters", None
        nearest = _nearest(window.before)
        if nearest == "flops" and q.si_value >= 1000:
            return "flops", None
        if nearest == "rate" and not PLAIN_NOUN.match(window.after):
            return "throughput", None
        if nearest == "parameters" and q.si_value >= 50 and not PLAIN_NOUN.match(window.after):
            return "parameters", None
    name = _metric(text, window, metrics, used)
    if q.dimension == "time":
        if name in UNBOUNDED or name == "error_rate":
            return "metric", "mae" if name == "error_rate" else name  # "an error below 3 years"
        return _time(window), None
    alone = q.dimension == "percent" and ALONE_BEFORE.search(window.before) and ALONE_AFTER.match(window.after)
    if name is None and q.dimension in ("percent", "ratio") and (alone or RIGHT.search(window.before + window.after)):
        name = "accuracy"
    return ("metric", name) if name is not None else (None, None)


def _nearest(text: str) -> str | None:
    found = [
        (m.end(), name)
        for name, rule in (("flops", FLOPS), ("parameters", PARAMETERS), ("rate", RATE))
        for m in rule.finditer(text)
    ]
    found += [(m.end, "metric") for m in find_metrics(text)]
    return max(found)[1] if found else None


def _rate(window: Window) -> str | None:
    unit = (window.quantity.unit or "").lower()
    if SAMPLED.search(window.before) or SHOOTS.search(window.before) or SAMPLED_AFTER.match(window.after):
        return None
    slow = re.search(r"\b(?:h|hrs?|hours?|days?)$", unit)
    if slow and before(window.before)[0] is None and after(window.after, "throughput") is None:
        return None
    return "throughput"


def _bytes(window: Window) -> str | None:
    if NOT_BYTES_AFTER.match(window.after):
        return None
    if MEMORY_AFTER.match(window.after):
        return "memory"
    memory, size = ([m.end() for m in rule.finditer(window.before)] for rule in (MEMORY, SIZE))
    if DATA_BEFORE.search(window.before):
        return None
    return "memory" if memory and (not size or memory[-1] > size[-1]) else "model_size"


def _time(window: Window) -> str | None:
    q, unit = window.quantity, (window.quantity.unit or "").lower()
    if NOT_TIME_AFTER.match(window.after):
        return None
    if TRAINING_AFTER.match(window.after):
        return "training_time"
    lead = window.sentence if q.si_value >= 60 else window.before
    training = [m.end() for m in TRAINING.finditer(lead)]
    latency = LATENCY.search(window.before)
    named = LATENCY_NAMED.search(lead)
    if training and not (named and named.end() > training[-1]) and not NOT_LATENCY.search(window.before):
        return "training_time"
    if unit.startswith(("day", "week", "year")) or (NOT_LATENCY.search(window.before) and not named):
        return None
    if q.si_value >= 60 and not named and WAITING.search(window.before):
        return None
    short = q.si_value < 1 and not unit.startswith(("h", "min"))
    if (
        short
        or latency
        or LATENCY_AFTER.match(window.after)
        or before(window.before)[0]
        or after(window.after, "latency")
    ):
        return "latency"
    return None


def _metric(text: str, window: Window, metrics: list[Metric], used: set[int]) -> str | None:
    """The metric a number belongs to: the one right behind it, else the nearest before it."""
    q = window.quantity
    start, end = q.start - len(window.before), q.end + len(window.after)
    right = next((i for i, m in enumerate(metrics) if q.end <= m.start < end and i not in used), None)
    if right is not None and METRIC_AFTER.fullmatch(text[q.end : metrics[right].start]):
        m = metrics[right]
        if not OWN_NUMBER.match(text[m.end : m.end + 40]):
            used.add(right)
            return m.name
    left = next(
        (i for i in range(len(metrics) - 1, -1, -1) if start <= metrics[i].start and metrics[i].end <= q.start), None
    )
    if left is None:
        left = _referred(text, window, metrics, start)
    if left is None or left in used or not _plausible(metrics[left].name, window):
        return None
    used.add(left)
    return metrics[left].name


def _referred(text: str, window: Window, metrics: list[Metric], start: int) -> int | None:
    """A metric of the sentence before, where this one says "it has to be above 0.88"."""
    if not re.match(r"\s*(?:it|this|that|which)\b", window.before, re.IGNORECASE) or before(window.before)[0] is None:
        return None
    return next((i for i in range(len(metrics) - 1, -1, -1) if start - 80 <= metrics[i].start < start), None)


def _plausible(name: str, window: Window) -> bool:
    q = window.quantity
    if q.dimension == "time" and name == "error_rate":
        return True
    if q.dimension != "count":
        return q.dimension == "percent" or q.dimension == "ratio" or name in UNBOUNDED
    if name in UNBOUNDED:
        return True
    tight = before(window.before)[0] is not None or re.search(
        r"(?:\bof|\bis|:|=|\bto|\bbe|\bscore|\b\w+)\s*$", window.before
    )
    return q.multiplier is None and 0 <= q.value <= 1000 and bool(tight) and not PLAIN_NOUN.match(window.after)


def _normalised(text: str, window: Window, kind: str, name: str | None) -> tuple[float, str | None, float]:
    q = window.quantity
    if kind == "parameters":
        return q.value, q.multiplier, q.si_value
    if kind != "metric":
        return q.value, q.full_unit, q.si_value
    if name in UNBOUNDED and q.dimension == "count":
        sign = text[q.start - 1] if q.start and text[q.start - 1] in "$€£" else None
        behind = UNIT_AFTER.match(window.after)
        named = sign or (behind[1] if behind else None)
        metres = q.multiplier == "m" and named is None  # "RMSE below 0.1 m"
        unit = " ".join(p for p in (q.multiplier, named) if p) or None
        return q.value, unit, q.value if metres else q.si_value
    if q.dimension == "count" and q.value >= 10 and name not in UNBOUNDED:
        return q.value, None, q.value / 100  # "mAP of 45" is meant in percent
    return q.value, q.full_unit, q.si_value
