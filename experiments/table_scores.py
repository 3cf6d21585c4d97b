"""Figures of one split, and what many tables together say: intervals, ranks, wins, critical differences.

Letters: n = rows, k = classes, t = tables, m = methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CLIP = 1e-3
"""Probabilities are cut here for the log-loss of every method, so that one certain mistake is not all that counts."""
BINS = 15
TIE = 1e-9


def classification_scores(y: NDArray[np.int64], p: Array, predicted: NDArray[np.int64]) -> dict[str, float]:
    """Accuracy, AUC, log-loss and calibration error of one split.

    Shape:
        y (n,) codes, p (n, k), predicted (n,) codes
    """
    p = p / p.sum(1, keepdims=True)
    return {
        "accuracy": float((predicted == y).mean()),
        "auc": macro_auc(y, p),
        "log_loss": log_loss(y, p),
        "ece": calibration_error(y, p),
    }


def log_loss(y: NDArray[np.int64], p: Array) -> float:
    """Mean negative log-probability of the true class, clipped."""
    return float(-np.log(np.clip(p[np.arange(len(y)), y], CLIP, 1)).mean())


def macro_auc(y: NDArray[np.int64], p: Array) -> float:
    """Mean over classes of the area under one-against-all ROC curves; classes that the split lacks do not count."""
    areas = [_auc(y == k, p[:, k]) for k in range(p.shape[1]) if 0 < (y == k).sum() < len(y)]
    return float(np.mean(areas)) if areas else float("nan")


def _auc(positive: NDArray[np.bool_], score: Array) -> float:
    """The Mann-Whitney statistic with mean ranks for ties."""
    from scipy.stats import rankdata

    n = int(positive.sum())
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def calibration_error(y: NDArray[np.int64], p: Array, n_bins: int = BINS) -> float:
    """Expected calibration error of the top class: |confidence - accuracy| in bins of equal width, weighted by rows."""
    confidence, right = p.max(1), p.argmax(1) == y
    place = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [abs(float((confidence - right)[place == b].sum())) for b in range(n_bins)]
    return float(sum(gaps) / len(y))


def r_squared(y: Array, predicted: Array) -> float:
    """Share of the split's variance that is explained; below zero: worse than its mean."""
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - predicted) ** 2).sum()) / spread if spread else 0.0


def bootstrap_interval(
    values: Array, *, n_draws: int = 5000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of the mean, over tables drawn with replacement."""
    values = np.asarray(values, dtype=float)
    rows = np.random.default_rng(seed).integers(len(values), size=(n_draws, len(values)))
    low, high = np.quantile(values[rows].mean(1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_ranks(scores: Array) -> Array:
    """Mean rank of every method, 1 is best, ties share: (t, m) of scores where more is better -> (m,)."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(-np.round(scores, 9), axis=1).mean(0))


def record_against(ours: Array, theirs: Array) -> tuple[int, int, int]:
    """Tables won, lost and tied."""
    gap = np.asarray(ours) - np.asarray(theirs)
    return int((gap > TIE).sum()), int((gap < -TIE).sum()), int((abs(gap) <= TIE).sum())


def by_family(values: Mapping[str, Sequence[float]], families: Mapping[str, str]) -> tuple[list[str], Array]:
    """Means of near-duplicate tables: rows per table -> names of families and (families, m)."""
    names = sorted({families[t] for t in values})
    rows = [np.mean([v for t, v in values.items() if families[t] == name], axis=0) for name in names]
    return names, np.array(rows)


def friedman_p(scores: Array) -> float:
    """Probability of such ranks if all methods were alike (Friedman's test): (t, m) -> number."""
    from scipy.stats import friedmanchisquare

    return float(friedmanchisquare(*scores.T).pvalue)


def critical_difference(n_methods: int, n_tables: int, *, level: float = 0.05) -> float:
    """Mean ranks nearer than this do not differ (Nemenyi's test; Demsar 2006)."""
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - level, n_methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def cliques(ranks: Array, difference: float) -> list[tuple[int, int]]:
    """First and last place of groups that do not differ, in sorted ranks; groups inside another are left out.

    >>> cliques(np.array([1.0, 1.5, 2.4, 4.0]), 1.0)
    [(0, 1), (1, 2)]
    """
    found: list[tuple[int, int]] = []
    for i in range(len(ranks)):
        j = int(np.searchsorted(ranks, ranks[i] + difference, side="right")) - 1
        if j > i and (not found or found[-1][1] < j):
            found.append((i, j))
    return found


def draw_differences(names: Sequence[str], scores: Array, path: Any, *, title: str) -> float:
    """A critical-difference diagram as PNG; returns the critical difference.

    Raises:
        MissingExtraError: without matplotlib.
    """
    from experiments.plots import figure

    ranks = mean_ranks(scores)
    order = np.argsort(ranks)
    n, difference = len(names), critical_difference(len(names), len(scores))
    half = (n + 1) // 2
    with figure(path, size=(10, 1.6 + 0.25 * half)) as (axes,):
        axes.set_xlim(1 - 0.4 * n, 1.4 * n)
        axes.set_ylim(-0.9 - 0.4 * half, 1.1)
        axes.axis("off")
        axes.set_title(f"{title}; critical difference {difference:.2f} on {len(scores)} families", fontsize=10)
        axes.plot([1, 1 + difference], [0.8, 0.8], color="black", lw=2)
        axes.plot([1, n], [0, 0], color="black", lw=1)
        for tick in range(1, n + 1):
            axes.plot([tick, tick], [0, 0.12], color="black", lw=1)
            axes.text(tick, 0.2, str(tick), ha="center", fontsize=8)
        for i, m in enumerate(order):
            y = -0.9 - 0.4 * (i if i < half else n - 1 - i)
            end, side = (0.9, "right") if i < half else (n + 0.1, "left")
            axes.plot([ranks[m], ranks[m], end], [0, y, y], color="gray", lw=0.8)
            axes.text(end, y, f" {names[m]} ({ranks[m]:.2f}) ", ha=side, va="center", fontsize=8)
        for i, (a, b) in enumerate(cliques(ranks[order], difference)):
            y = -0.15 - 0.12 * (i % 5)
            axes.plot([ranks[order][a] - 0.04, ranks[order][b] + 0.04], [y, y], color="black", lw=2.5)
    return difference
