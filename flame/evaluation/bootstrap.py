"""Intervals of scores by the percentile bootstrap (Efron 1979), all resamples of a block in a few array operations.

A resample is a row of counts: how often each row of data was drawn. Every score is computed from counts, which is what
makes a thousand resamples affordable; scikit-learn would be called a thousand times a score.

Shape letters: b = resamples, n = rows, k = classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flame.evaluation.scores import tops

N_RESAMPLES = 1000
LEAST_RESAMPLES = 100
"""Of many rows, whose intervals are narrow anyway."""
_WORK = 3e7
"""Counts times classes that are worth computing in all."""
_BLOCK = 2.5e5
"""Counts that are held at once."""
Interval = tuple[float, float]
Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]
"""From counts (b, n) to scores, (b,) each; NaN where a resample has none."""


def class_intervals(p: np.ndarray, y: np.ndarray, *, n_resamples: int, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of `flame.evaluation.scores.class_scores`.

    Shape:
        p (n, k), y (n,)
    """
    return _intervals(class_statistics(p, y), len(y), _affordable(n_resamples, p.size), seed)


def number_intervals(predicted: np.ndarray, y: np.ndarray, *, n_resamples: int, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of `flame.evaluation.scores.number_scores`.

    Shape:
        predicted (n,), y (n,)
    """
    return _intervals(number_statistics(predicted, y), len(y), _affordable(n_resamples, 2 * len(y)), seed)


def class_statistics(p: np.ndarray, y: np.ndarray) -> Statistics:
    """The scores of class probabilities as functions of counts."""
    n, k = p.shape
    guess, each = p.argmax(1), np.arange(n)
    own = np.clip(p[each, y], np.finfo("float64").eps, 1.0)
    better = (np.argsort(p, axis=1, kind="stable")[:, ::-1] == y[:, None]).argmax(1)  # scikit-learn's order of equals
    rows = {"accuracy": (guess == y).astype("float64"), "log_loss": -np.log(own)}
    rows |= {f"top_{top}_accuracy": (better < top).astype("float64") for top in tops(k)}
    truths, guesses = np.eye(k)[y], np.eye(k)[guess]
    ranked = [_Ranks(p[:, c]) for c in range(k)]

    def statistics(counts: np.ndarray) -> dict[str, np.ndarray]:
        scores = {name: counts @ values / n for name, values in rows.items()}
        t, g, hits = counts @ truths, counts @ guesses, counts @ (truths * guesses)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores["balanced_accuracy"] = _mean_of_present(hits / t, t)
            scores["f1_macro"] = _mean_of_present(2 * hits / (t + g), t)
            spread = np.sqrt((n**2 - (g * g).sum(1)) * (n**2 - (t * t).sum(1)))
            scores["mcc"] = np.nan_to_num((hits.sum(1) * n - (t * g).sum(1)) / spread)
            areas = np.stack([_auc(counts, truths[:, c], ranked[c]) for c in range(k)], 1)
            scores["auc"] = _mean_of_present(areas, t * (n - t))
        return scores

    return statistics


def number_statistics(predicted: np.ndarray, y: np.ndarray) -> Statistics:
    """The scores of predicted numbers as functions of counts."""
    n, error = len(y), predicted - y
    rows = {"rmse": error**2, "mae": np.abs(error)}
    if min(y.min(), predicted.min()) >= 0:
        rows["rmsle"] = (np.log1p(predicted) - np.log1p(y)) ** 2
    ranks = _Ranks(y), _Ranks(predicted)

    def statistics(counts: np.ndarray) -> dict[str, np.ndarray]:
        scores = {name: counts @ values / n for name, values in rows.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            scores["r2"] = 1 - scores["rmse"] / _covariance(counts, y, y)
            scores["pearson"] = _correlation(counts, y, predicted)
            scores["spearman"] = _correlation(counts, *(r.of(counts) for r in ranks))
        return scores | {name: np.sqrt(scores[name]) for name in ("rmse", "rmsle") if name in scores}

    return statistics


class _Ranks:
    """Ranks of fixed values within resamples; equal ones share the middle of their places, from 1 on."""

    def __init__(self, values: np.ndarray) -> None:
        self._order = np.argsort(values, kind="stable")
        _, self._starts, groups = np.unique(values[self._order], return_index=True, return_inverse=True)
        self._group = np.empty(len(values), dtype=np.int64)
        self._group[self._order] = groups

    def of(self, counts: np.ndarray) -> np.ndarray:
        """Ranks, of rows that were not drawn too.

        Shape:
            counts (b, n) -> (b, n)
        """
        return self._of_groups(self._grouped(counts))[:, self._group]

    def total(self, counts: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Sum of the ranks of some of the drawn rows, without a rank for every row.

        Shape:
            counts (b, n), own (b, n), at most `counts` -> (b,)
        """
        return (self._grouped(own) * self._of_groups(self._grouped(counts))).sum(1)

    def _grouped(self, counts: np.ndarray) -> np.ndarray:
        ordered = counts[:, self._order]
        return ordered if len(self._starts) == len(self._order) else np.add.reduceat(ordered, self._starts, axis=1)

    @staticmethod
    def _of_groups(ties: np.ndarray) -> np.ndarray:
        return np.cumsum(ties, 1) - (ties - 1) / 2


def _auc(counts: np.ndarray, positive: np.ndarray, ranks: _Ranks) -> np.ndarray:
    """The area under the ROC curve by the sum of the positives' ranks (Mann and Whitney 1947)."""
    own = counts * positive
    n = own.sum(1)
    above = ranks.total(counts, own) - n * (n + 1) / 2
    return above / (n * (counts.shape[1] - n))


def _mean_of_present(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Mean over the classes with `present` above zero; NaN if there is none."""
    kept = present > 0
    return np.where(kept, values, 0.0).sum(1) / kept.sum(1)


def _covariance(counts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of values (n,) or (b, n) under counts; values are centred first, so that large ones lose no digits."""
    a, b = a - a.mean(), b - b.mean()
    n = counts.shape[1]
    return (counts * a * b).sum(1) / n - (counts * a).sum(1) * (counts * b).sum(1) / n**2


def _correlation(counts: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _covariance(counts, a, b) / np.sqrt(_covariance(counts, a, a) * _covariance(counts, b, b))


def _affordable(n_resamples: int, work: int) -> int:
    return min(n_resamples, max(LEAST_RESAMPLES, int(_WORK / max(1, work))))


def _intervals(statistics: Statistics, n: int, n_resamples: int, seed: int) -> dict[str, Interval]:
    rng = np.random.default_rng(seed)
    size = max(1, int(_BLOCK / n))
    blocks = [statistics(_draw(rng, min(size, n_resamples - done), n)) for done in range(0, n_resamples, size)]
    found = {}
    for name in blocks[0] if blocks else ():
        values = np.concatenate([block[name] for block in blocks])
        values = values[np.isfinite(values)]
        if len(values):
            low, high = np.percentile(values, [2.5, 97.5])
            found[name] = (float(low), float(high))
    return found


def _draw(rng: np.random.Generator, b: int, n: int) -> np.ndarray:
    """Counts of b resamples, each of n rows with replacement.

    Shape:
        -> (b, n) float64
    """
    drawn = rng.integers(0, n, (b, n)) + n * np.arange(b)[:, None]
    return np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype("float64")
