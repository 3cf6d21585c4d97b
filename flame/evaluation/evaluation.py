"""What `model.evaluate` hands back: scores, how sure they are, where the model errs, and what guessing would give.

Shape letters: n = rows, k = classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flame.evaluation.bootstrap import N_RESAMPLES, Interval, class_intervals, number_intervals
from flame.evaluation.scores import class_scores, number_scores

N_BINS = 10
"""Bins of equal width in which confidence is compared with accuracy."""
MAX_POINTS = 500
"""Rows of a regression that a page shows."""


@dataclass(frozen=True)
class ClassScores:
    """How one class fares."""

    label: str
    n_rows: int
    """Rows that are of it."""
    n_predicted: int
    """Rows that are taken for it."""
    precision: float
    """0 where no row is taken for it."""
    recall: float
    """0 where no row is of it."""
    f1: float


@dataclass(frozen=True)
class Bin:
    """Rows whose most likely class has a probability between two bounds."""

    low: float
    high: float
    n_rows: int
    confidence: float
    """Mean probability of the most likely class."""
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities mean what they say."""

    bins: tuple[Bin, ...]
    """Those that hold rows."""
    ece: float
    """Expected calibration error (Guo et al. 2017): mean distance of confidence and accuracy, weighted by rows."""


@dataclass(frozen=True)
class Evaluation(Mapping[str, float]):
    """Scores of a model on labelled rows; a mapping from their names to numbers, with more behind it.

    `evaluation["accuracy"]`, `dict(evaluation)` and `print(evaluation)` are what most need.
    """

    target: str
    scores: dict[str, float]
    """Rows, scores and the baseline's main score, by name."""
    intervals: dict[str, Interval]
    """95 % intervals by name; none for what was not resampled."""
    baseline: dict[str, float]
    """Scores of always predicting these rows' class shares, or their mean."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows by true class (first) and predicted class; of a classification."""
    classes: tuple[ClassScores, ...] = ()
    calibration: Calibration | None = None
    points: tuple[tuple[float, float], ...] = ()
    """True and predicted number of at most 500 rows; of a regression."""

    def __getitem__(self, name: str) -> float:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the scores by name, and beside them intervals, baseline, classes, confusion, calibration."""
        more = {"intervals": self.intervals, "baseline": self.baseline}
        told = asdict(self)
        return {**self.scores, **more, **{k: told[k] for k in ("classes", "confusion", "calibration") if told[k]}}

    def to_html(self, title: str = "Evaluation") -> str:
        """One self-contained page with tables and plots; labels and names are escaped."""
        from flame.evaluation.page import evaluation_page

        return evaluation_page(self, title)

    def save_html(self, path: str | Path, title: str = "Evaluation") -> Path:
        """Write `to_html` to a file in one step.

        Raises:
            CheckpointError: if it cannot be written.
        """
        from flame.files import atomic_text

        atomic_text(path, self.to_html(title))
        return Path(path)

    def __str__(self) -> str:
        """A table for a terminal."""
        guess = "majority" if self.classes else "mean"
        lines = [
            f"{int(self['n_rows'])} rows, {self.target!r}",
            f"{'':18} {'score':>8}   {'95 % interval':17} {guess:>8}",
        ]
        for name in self.measured():
            low_high = "{:.3f} to {:.3f}".format(*self.intervals[name]) if name in self.intervals else ""
            guessed = f"{self.baseline[name]:8.3f}" if name in self.baseline else ""
            lines.append(f"{name:18} {self[name]:8.3f}   {low_high:17} {guessed}".rstrip())
        return "\n".join([*lines, *self._class_lines()])

    def measured(self) -> list[str]:
        """Names of the model's own scores, without counts and what guessing gives."""
        return [name for name in self if name != "n_rows" and not name.startswith(("majority_", "mean_"))]

    def _class_lines(self) -> list[str]:
        if not 0 < len(self.classes) <= 20:
            return []
        head = f"{'class':18} {'rows':>8} {'precision':>9} {'recall':>9} {'F1':>9}"
        rows = [f"{c.label[:18]:18} {c.n_rows:8d} {c.precision:9.3f} {c.recall:9.3f} {c.f1:9.3f}" for c in self.classes]
        return ["", head, *rows]


def evaluate_classes(
    probabilities: np.ndarray,
    y: np.ndarray,
    labels: Sequence[Any],
    *,
    target: str = "label",
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Score class probabilities.

    Args:
        n_resamples: of the bootstrap; fewer are taken of many rows, none with 0.

    Shape:
        probabilities (n, k), y (n,) int64 classes
    """
    p = probabilities.astype("float64")
    p /= p.sum(1, keepdims=True)
    guess, k = p.argmax(1), len(labels)
    shares = np.bincount(y, minlength=k) / len(y)
    baseline = class_scores(np.tile(shares, (len(y), 1)), y)
    calibration = calibration_of(p.max(1), guess == y)
    confusion = np.bincount(y * k + guess, minlength=k * k).reshape(k, k)
    scores = {"n_rows": float(len(y)), **class_scores(p, y), "ece": calibration.ece}
    return Evaluation(
        target,
        {**scores, "majority_accuracy": float(shares.max())},
        class_intervals(p, y, n_resamples=n_resamples, seed=seed) if n_resamples else {},
        baseline,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        classes=_by_class(y, guess, [str(v) for v in labels]),
        calibration=calibration,
    )


def evaluate_numbers(
    predicted: np.ndarray, y: np.ndarray, *, target: str = "target", n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Evaluation:
    """Score predicted numbers.

    Args:
        n_resamples: of the bootstrap; fewer are taken of many rows, none with 0.

    Shape:
        predicted (n,), y (n,) float64
    """
    baseline = number_scores(np.full(len(y), y.mean()), y)
    scores = {"n_rows": float(len(y)), **number_scores(predicted, y)}
    shown = np.linspace(0, len(y) - 1, min(len(y), MAX_POINTS)).astype(int)
    return Evaluation(
        target,
        {**scores, "mean_rmse": baseline["rmse"], "mean_mae": baseline["mae"]},
        number_intervals(predicted, y, n_resamples=n_resamples, seed=seed) if n_resamples else {},
        baseline,
        points=tuple(zip(y[shown].tolist(), predicted[shown].tolist(), strict=True)),
    )


def calibration_of(confidence: np.ndarray, right: np.ndarray, n_bins: int = N_BINS) -> Calibration:
    """Compare the probability of the most likely class with how often it is the right one.

    Shape:
        confidence (n,) from 0 to 1, right (n,) bool
    """
    place = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    bins = []
    for i in np.unique(place):
        rows = place == i
        means = float(confidence[rows].mean()), float(right[rows].mean())
        bins.append(Bin(float(i / n_bins), float((i + 1) / n_bins), int(rows.sum()), *means))
    ece = sum(b.n_rows * abs(b.confidence - b.accuracy) for b in bins) / len(confidence)
    return Calibration(tuple(bins), ece)


def _by_class(y: np.ndarray, guess: np.ndarray, labels: Sequence[str]) -> tuple[ClassScores, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    k = len(labels)
    found = precision_recall_fscore_support(y, guess, labels=np.arange(k), zero_division=0)
    predicted = np.bincount(guess, minlength=k)
    return tuple(
        ClassScores(label, int(n), int(m), float(p), float(r), float(f))
        for label, n, m, p, r, f in zip(labels, found[3], predicted, *found[:3], strict=True)
    )
