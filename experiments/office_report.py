"""The figures of held-out domains as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.office_scores import (
    FOREIGN,
    FOREIGN_WORDS,
    LOGISTIC,
    POOLED,
    POOLED_PICTURES,
    READS,
    SHARED,
    SHARED_PICTURES,
    SHUFFLED,
    UNTRAINED_PICTURES,
    WORDS,
)
from flame.picture.sets import ImageSet

PAIRS = (
    (READS, POOLED),
    (READS, POOLED_PICTURES),
    (READS, SHARED_PICTURES),
    (READS, FOREIGN),
    (READS, FOREIGN_WORDS),
    (READS, UNTRAINED_PICTURES),
    (READS, WORDS),
    (WORDS, POOLED),
    (WORDS, SHARED),
    (WORDS, SHUFFLED),
    (WORDS, LOGISTIC),
)
"""What is compared over all held-out domains."""


SHOWN = (
    *(LOGISTIC, POOLED, SHARED, WORDS, SHUFFLED),
    *(UNTRAINED_PICTURES, POOLED_PICTURES, SHARED_PICTURES, READS, FOREIGN_WORDS, FOREIGN),
)
"""Rows of the summary."""


def summary_markdown(cases: Sequence[dict[str, Any]], sets: Sequence[ImageSet]) -> str:
    """Accuracy of the first kind of adapter by set: means over its held-out domains and over seeds."""
    kind = _without_seed(cases[0]["setting"])
    own = [c for c in cases if _without_seed(c["setting"]) == kind]
    found = [s for s in sets if any(c["set"] == s.name for c in own)]
    header = ["Test accuracy of domains held out, %", *(s.title.split(" (")[0] for s in found), "Mean of domains"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    domains = list(dict.fromkeys((c["set"], c["held"]) for c in own))
    for method in SHOWN:
        means = {d: np.mean([c["scores"][method][0] for c in own if (c["set"], c["held"]) == d]) for d in domains}
        cells = [np.mean([v for (name, _), v in means.items() if name == s.name]) for s in found]
        cells.append(np.mean(list(means.values())))
        lines.append("| " + " | ".join([method, *(f"{100 * v:.1f}" for v in cells)]) + " |")
    seeds = len({c["setting"] for c in own})
    return "\n".join([*lines, "", f"{len(domains)} domains, each held out once; {seeds} seed(s), adapters: {kind}."])


def zero_shot_markdown(cases: Sequence[dict[str, Any]], sets: Sequence[ImageSet]) -> str:
    """A table per setting and set, means over seeds, and the differences that the description makes."""
    parts = []
    for setting in dict.fromkeys(_without_seed(c["setting"]) for c in cases):
        own = [c for c in cases if _without_seed(c["setting"]) == setting]
        parts.append(f"## {setting}")
        parts += [_table([c for c in own if c["set"] == s.name], s) for s in sets]
        parts.append(_differences(own))
    parts.append(_between_kinds(cases))
    return "\n\n".join(p for p in parts if p)


def _table(cases: Sequence[dict[str, Any]], found: ImageSet) -> str:
    domains = [d for d in found.domains if any(c["held"] == d for c in cases)]
    if not domains:
        return ""
    seeds = {c["setting"] for c in cases}
    header = [found.title, *(f"→ {d}" for d in domains), "Average", "Top-3", "Top-5"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for method in cases[0]["scores"]:
        rows = np.array([np.mean([c["scores"][method] for c in cases if c["held"] == d], axis=0) for d in domains])
        cells = [f"{100 * v:.1f}" for v in (*rows[:, 0], *rows.mean(0))]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    return "\n".join([*lines, "", f"{len(seeds)} seed(s); accuracy on test pictures of the domain that was held out."])


def _differences(cases: Sequence[dict[str, Any]]) -> str:
    """Mean difference in points over held-out domains and seeds, and its standard error over domains."""
    header = ["Row", "less row", "Points of accuracy", "Standard error over domains", "Better in"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for one, other in PAIRS:
        ahead, behind = _by_domain(cases, one), _by_domain(cases, other)
        lines.append(f"| {one} | {other} | {_gap([ahead[d] - behind[d] for d in ahead])} |")
    return "\n".join(lines)


def _between_kinds(cases: Sequence[dict[str, Any]]) -> str:
    """The same of every other kind of adapter less the first one; seeds that both have."""
    kinds = list(dict.fromkeys(_without_seed(c["setting"]) for c in cases))
    if len(kinds) < 2:
        return ""
    header = ["Row", "Kinds", "Points of accuracy", "Standard error over domains", "Better in"]
    lines = ["## Kinds of adapters", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for kind in kinds[1:]:
        runs = [{_key(c): c for c in cases if _without_seed(c["setting"]) == k} for k in (kind, kinds[0])]
        both = [[run[key] for key in runs[0] if key in runs[1]] for run in runs]
        for row in (POOLED, SHARED, WORDS, POOLED_PICTURES, SHARED_PICTURES, READS):
            ahead, behind = (_by_domain(own, row) for own in both)
            lines.append(f"| {row} | {kind} less {kinds[0]} | {_gap([ahead[d] - behind[d] for d in ahead])} |")
    return "\n".join(lines)


def _by_domain(cases: Sequence[dict[str, Any]], method: str) -> dict[tuple[str, str], float]:
    """Accuracy in points of every held-out domain, mean over seeds."""
    domains = dict.fromkeys((c["set"], c["held"]) for c in cases)
    return {
        d: 100 * float(np.mean([c["scores"][method][0] for c in cases if (c["set"], c["held"]) == d])) for d in domains
    }


def _gap(gaps: Sequence[float]) -> str:
    """Mean, its standard error, and in how many cases the first one is better, as cells."""
    spread = np.std(gaps, ddof=1) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
    return f"{np.mean(gaps):+.1f} | {spread:.1f} | {sum(g > 1e-6 for g in gaps)} of {len(gaps)}"


def _key(case: dict[str, Any]) -> tuple[str, str, str]:
    return case["set"], case["held"], case["setting"].rsplit("seed", 1)[1]


def _without_seed(name: str) -> str:
    return name.rsplit(", seed", 1)[0]
