"""Scores of predictions, from scikit-learn; those that cannot be said of the rows at hand are left out.

Shape letters: n = rows, k = classes.
"""

from __future__ import annotations

import numpy as np

TOP = {3: 6, 5: 11}
"""Top-k accuracy by k, and the least number of classes with which it says something."""


def class_scores(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Scores of class probabilities.

    Balanced accuracy, macro F1 and AUC (one against the rest) are means over the classes that occur in `y`; AUC is left
    out where there is only one.

    Shape:
        p (n, k) float64, rows add up to 1; y (n,) int64
    """
    from sklearn import metrics

    guess, present = p.argmax(1), np.unique(y)
    scores = {
        "accuracy": metrics.accuracy_score(y, guess),
        "balanced_accuracy": metrics.recall_score(y, guess, average="macro", labels=present, zero_division=0),
        "f1_macro": metrics.f1_score(y, guess, average="macro", labels=present, zero_division=0),
    }
    if len(present) > 1:
        scores["auc"] = np.mean([metrics.roc_auc_score(y == c, p[:, c]) for c in present])
    scores["log_loss"] = metrics.log_loss(y, p, labels=np.arange(p.shape[1]))
    scores["mcc"] = metrics.matthews_corrcoef(y, guess) if len(present) > 1 else 0.0
    for top in tops(p.shape[1]):
        scores[f"top_{top}_accuracy"] = metrics.top_k_accuracy_score(y, p, k=top, labels=np.arange(p.shape[1]))
    return {name: float(value) for name, value in scores.items()}


def number_scores(predicted: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Scores of predicted numbers.

    R² is 0 where all of `y` are equal. RMSLE needs that no number is negative, the correlations that numbers differ.

    Shape:
        predicted (n,), y (n,) float64
    """
    from scipy import stats
    from sklearn import metrics

    varied = float(np.ptp(y)) > 0
    scores = {
        "r2": metrics.r2_score(y, predicted) if varied else 0.0,
        "rmse": metrics.root_mean_squared_error(y, predicted),
        "mae": metrics.mean_absolute_error(y, predicted),
    }
    if min(y.min(), predicted.min()) >= 0:
        scores["rmsle"] = metrics.root_mean_squared_log_error(y, predicted)
    if varied and float(np.ptp(predicted)) > 0:
        scores["pearson"] = stats.pearsonr(y, predicted).statistic
        scores["spearman"] = stats.spearmanr(y, predicted).statistic
    return {name: float(value) for name, value in scores.items()}


def tops(n_classes: int) -> tuple[int, ...]:
    """The k for which top-k accuracy says something.

    >>> tops(3), tops(6), tops(77)
    ((), (3,), (3, 5))
    """
    return tuple(top for top, least in TOP.items() if n_classes >= least)
