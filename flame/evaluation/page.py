"""An evaluation as one self-contained HTML page: no script, no file beside it, light or dark as the reader's system is.

Labels come from data that nobody has checked, so every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from flame.evaluation.charts import confusion_chart, reliability_chart, scatter_chart
from flame.evaluation.evaluation import Evaluation

MAX_CLASSES = 30
"""Classes whose confusion matrix can be read; of more, the most frequent confusions are listed."""
N_CONFUSIONS = 20
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --line: #8a9199; --good: #2a6fb0; --bad: #c2541b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --paper: #15181b; --line: #7a828a; --good: #5aa0e0; --bad: #e58a55; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
.frame { fill: none; stroke: var(--line); } .right { fill: var(--good); } .wrong { fill: var(--bad); }
"""


def evaluation_page(evaluation: Evaluation, title: str) -> str:
    """The page; `title` is escaped as everything is."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{int(evaluation['n_rows'])} rows with <b>{escape(evaluation.target)}</b>.</p>",
        *_scores(evaluation),
    ]
    if evaluation.classes:
        parts += [*_confusions(evaluation), *_classes(evaluation), *_calibration(evaluation)]
    if evaluation.points:
        note = f"<p>{len(evaluation.points)} of the rows.</p>" if len(evaluation.points) < evaluation["n_rows"] else ""
        parts += ["<h2>Predicted and true numbers</h2>", scatter_chart(evaluation.points), note]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"
    return page.encode("utf8", "replace").decode("utf8")  # half a surrogate pair in a label is no text


def _scores(evaluation: Evaluation) -> list[str]:
    rows = []
    for name in evaluation.measured():
        interval = " to ".join(f"{v:.4f}" for v in evaluation.intervals.get(name, ()))
        guess = evaluation.baseline.get(name)
        rows.append([name, f"{evaluation[name]:.4f}", interval, "" if guess is None else f"{guess:.4f}"])
    guessing = "class shares alone" if evaluation.classes else "mean alone"
    return ["<h2>Scores</h2>", _table(["score", "value", "95 % interval", guessing], rows)]


def _confusions(evaluation: Evaluation) -> list[str]:
    labels = [c.label for c in evaluation.classes]
    if len(labels) <= MAX_CLASSES:
        return [
            "<h2>Confusion matrix</h2>",
            "<p>True class down, predicted class across.</p>",
            confusion_chart(evaluation.confusion, labels),
        ]
    errors = [
        (n, labels[i], labels[j])
        for i, row in enumerate(evaluation.confusion)
        for j, n in enumerate(row)
        if n and i != j
    ]
    most = [[true, taken, n] for n, true, taken in sorted(errors, reverse=True)[:N_CONFUSIONS]]
    return ["<h2>Most frequent confusions</h2>", _table(["true class", "taken for", "rows"], most)]


def _classes(evaluation: Evaluation) -> list[str]:
    rows = [
        [c.label, c.n_rows, c.n_predicted, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}"]
        for c in evaluation.classes
    ]
    return ["<h2>Classes</h2>", _table(["class", "rows", "predicted", "precision", "recall", "F1"], rows)]


def _calibration(evaluation: Evaluation) -> list[str]:
    calibration = evaluation.calibration
    if calibration is None:
        return []
    rows = [
        [f"{b.low:.1f} to {b.high:.1f}", b.n_rows, f"{b.confidence:.3f}", f"{b.accuracy:.3f}"] for b in calibration.bins
    ]
    return [
        "<h2>Calibration</h2>",
        f"<p>Expected calibration error {calibration.ece:.4f}.</p>",
        reliability_chart(calibration),
        _table(["probability", "rows", "confidence", "accuracy"], rows),
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f"<table><tr>{top}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
