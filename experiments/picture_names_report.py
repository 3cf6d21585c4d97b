"""The tables of `experiments.picture_names`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from flame.picture.sets import IMAGE_SETS

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Accuracy by set, domain and row."""
_NOTE = "Unlabelled: the training pictures. 3 draws of labelled ones, 3 shuffles of names. Features of the frozen base."


def markdown(scores: Scores, hardware: str) -> str:
    """Every domain."""
    domains = [(s, d) for s in scores for d in scores[s]]
    lines = ["| Test accuracy, % | " + " | ".join(d for _, d in domains) + " |", "|---" * (len(domains) + 1) + "|"]
    for row in scores[domains[0][0]][domains[0][1]]:
        lines.append(f"| {row} | " + " | ".join(f"{100 * scores[s][d][row]:.1f}" for s, d in domains) + " |")
    return "\n".join([*lines, "", _NOTE, "", hardware]) + "\n"


def summary_markdown(scores: Scores, n_classes: Mapping[str, int], unlike: Mapping[str, int], hardware: str) -> str:
    """Means of the sets, and what a request for them would be told."""
    titles = [IMAGE_SETS[s].title.split(" (")[0] if s in IMAGE_SETS else s for s in scores]
    lines = ["| Test accuracy, % | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    first = next(iter(scores.values()))
    for row in next(iter(first.values())):
        means = [100 * np.mean([d[row] for d in domains.values()]) for domains in scores.values()]
        lines.append(f"| {row} | " + " | ".join(f"{m:.1f}" for m in means) + " |")
    told = [f"{unlike[s]} of {n_classes[s]}" + _refused(unlike[s], n_classes[s]) for s in scores]
    lines.append("| classes like none of ImageNet's | " + " | ".join(told) + " |")
    return "\n".join([*lines, "", _NOTE, "", hardware]) + "\n"


def _refused(unlike: int, n: int) -> str:
    return ": refused" if 2 * unlike >= n else ""


def chosen_markdown(
    left_out: Mapping[tuple[float, float], float],
    lengths: Mapping[str, Mapping[str, Mapping[float, tuple[float, float]]]],
    hardware: str,
) -> str:
    """Settings and what they were chosen by; no test picture."""
    widths, ridges = (sorted({key[i] for key in left_out}) for i in (0, 1))
    lines = ["Mean cosine of rows of left-out classes to their own:", ""]
    lines += ["| width | " + " | ".join(f"ridge {r:g}" for r in ridges) + " |", "|---" * (len(ridges) + 1) + "|"]
    lines += [f"| {w:g} | " + " | ".join(f"{left_out[w, r]:.3f}" for r in ridges) + " |" for w in widths]
    lines += ["", "Accuracy in % and log-loss on training and validation pictures, by the length of written rows:", ""]
    lines += _length_lines(lengths)
    return "\n".join([*lines, "", hardware]) + "\n"


def _length_lines(lengths: Mapping[str, Mapping[str, Mapping[float, tuple[float, float]]]]) -> Sequence[str]:
    known = sorted({length for of in lengths.values() for found in of.values() for length in found})
    lines = ["| | set | " + " | ".join("no names" if v == 0 else f"{v:g}" for v in known) + " |"]
    lines += ["|---" * (len(known) + 2) + "|"]
    for what, of in lengths.items():
        for name, found in of.items():
            cells = [f"{100 * found[v][0]:.1f}, {found[v][1]:.2f}" if v in found else "" for v in known]
            lines.append(f"| {what} | {name} | " + " | ".join(cells) + " |")
    return lines
