"""Names of quality measures in the user's words, and what is usual for each: fraction or not, high or low.

>>> [m.name for m in find_metrics("mAP@0.5 over 60 %, mean IoU, macro F1 and a word error rate")]
['mAP50', 'mIoU', 'f1', 'wer']
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Metric(NamedTuple):
    """A measure by name."""

    name: str
    start: int
    end: int


_RULES = {
    "top5_accuracy": r"top[- ]?(?:5|five)(?:[- ](?:accuracy|acc))?",
    "balanced_accuracy": r"balanced acc(?:uracy)?",
    "pixel_accuracy": r"pixel(?:[- ]?wise)? acc(?:uracy)?",
    "accuracy": r"top[- ]?(?:1|one)(?! (?:accuracy|acc))|(?:top[- ]?(?:1|one) )?(?:accuracy|acc|accuracies)|accurate"
    r"|correct(?:ly)?|correctness|hit rate|success rate",
    "mAP50": r"m?ap ?@ ?(?:iou ?=? ?)?0?\.50?(?![\d:.])|m?ap[-_]?50|ap at iou ?=? ?0\.5",
    "mAP": r"map(?: ?@ ?\[?[\d.:]+\]?)?|mean average precision",
    "AP": r"ap(?: ?@ ?[\d.:]+)?|average precision",
    "mIoU": r"m-?iou|mean (?:iou|intersection over union)",
    "IoU": r"iou|intersection over union|jaccard(?: index)?",
    "dice": r"dice(?:[- ](?:scores?|coefficient|index|similarity coefficient))?|dsc",
    "PCK": r"pckh?(?: ?@ ?[\d.]+)?|percentage of correct key ?points",
    "f1": r"(?:(?:macro|micro|weighted)[- ](?:averaged? )?)?f[- ]?1(?:[- ]?(?:score|measure)s?)?|f[- ](?:score"
    r"|measure)",
    "auc": r"(?:roc[- ])?au-?(?:roc|c)(?:[- ]roc)?|roc|area under (?:the )?(?:roc )?curve",
    "precision": r"precision",
    "recall": r"recall|sensitivity|true positive rate|tpr",
    "specificity": r"specificity|true negative rate",
    "r2": r"r ?2|r\^2|r[- ]squared?|coefficient of determination",
    "rmse": r"rmse|root[- ]mean[- ]squared? error",
    "mape": r"mape|mean absolute percentage error",
    "mae": r"mae|(?:mean|average) (?:absolute )?(?:error|deviation)",
    "mse": r"mse|mean[- ]squared? error",
    "wer": r"wer|word error rate",
    "error_rate": r"error rate|misclassification rate|errors?",
    "bleu": r"(?:sacre)?bleu(?:[- ]?4)?(?: scores?)?",
    "rouge": r"rouge(?:[- ]?[12l])?(?: scores?)?",
    "perplexity": r"perplexity",
    "mcc": r"mcc|matthews(?: correlation(?: coefficient)?)?",
    "kappa": r"(?:cohen'?s )?kappa",
    "ndcg": r"ndcg(?: ?@ ?\d+)?",
    "silhouette": r"silhouette(?: (?:score|coefficient|width))?",
    "logloss": r"log[- ]?loss|cross[- ]entropy",
    "pearson": r"pearson(?:'?s)?(?: (?:correlation|r))?",
    "spearman": r"spearman(?:'?s)?(?: (?:correlation|rho))?",
    "psnr": r"psnr",
    "ssim": r"ssim",
}
METRIC_NAMES: tuple[str, ...] = tuple(_RULES)
UNBOUNDED = frozenset({"rmse", "mae", "mse", "perplexity", "logloss", "psnr"})
"""Measures that are no fraction: a value above 1 is fine, and a unit may follow."""
LOWER_IS_BETTER = UNBOUNDED - {"psnr"} | {"mape", "wer", "error_rate"}
TASK_OF_METRIC = {
    **dict.fromkeys(("mAP", "mAP50"), "detection"),
    **dict.fromkeys(("mIoU", "IoU", "dice", "pixel_accuracy"), "segmentation"),
    "PCK": "keypoints",
    **dict.fromkeys(("r2", "rmse", "mae", "mse", "mape"), "regression"),
    **dict.fromkeys(
        ("accuracy", "balanced_accuracy", "top5_accuracy", "f1", "auc", "precision", "recall"), "classification"
    ),
    **{"bleu": "translation", "rouge": "summarization", "ndcg": "ranking", "silhouette": "clustering", "wer": "other"},
}
"""What a measure is mostly used for; weak evidence."""

_METRIC = re.compile(
    r"(?<![\w-])(?:" + "|".join(f"(?P<{name}>{rule})" for name, rule in _RULES.items()) + r")(?![\w]|-\w)",
    re.IGNORECASE,
)
_NO_METRIC = re.compile(
    r"\b(?:not|isn't|never) (?:be )?(?:very )?(?:accurate|correct)|\bmap of (?:the|an?|our|my|this|all|every|each)\b"
    r"|(?:measurement|typing|spelling|human) errors?"
)


def find_metrics(text: str) -> list[Metric]:
    """Every mention of a measure, in order."""
    blocked = [m.span() for m in _NO_METRIC.finditer(text.lower())]
    found = [Metric(str(m.lastgroup), m.start(), m.end()) for m in _METRIC.finditer(text)]
    return [m for m in found if not any(a <= m.start < b for a, b in blocked)]
