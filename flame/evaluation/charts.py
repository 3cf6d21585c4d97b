"""Plots of an evaluation as inline SVG. Colours come from the page's style, text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from flame.evaluation.evaluation import Calibration

SIDE = 300
"""Width and height of a square plot, in units of the picture."""
MARGIN = 44
"""Room for numbers and titles of the axes."""
MAX_NAME = 14
"""Characters of a label that fit beside a plot."""


def confusion_chart(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """A cell a pair of classes, as dark as its share of the true class; counts stand in the cells."""
    k = len(labels)
    cell, left, top = max(22, min(60, 420 // k)), 120, 90
    parts = []
    for i, row in enumerate(confusion):
        above, total = top + i * cell, max(1, sum(row))
        parts.append(_text(left - 6, above + cell / 2 + 4, _short(labels[i]), anchor="end"))
        for j, n in enumerate(row):
            x, share = left + j * cell, n / total
            tip = f"{labels[i]} taken for {labels[j]}: {n} of {sum(row)}"
            kind = "right" if i == j else "wrong"
            parts.append(
                f'<g><title>{escape(tip)}</title><rect class="{kind}" x="{x}" y="{above}" width="{cell - 1}" '
                f'height="{cell - 1}" fill-opacity="{0.08 + 0.85 * share:.2f}"/>'
                f"{_text(x + cell / 2, above + cell / 2 + 4, str(n), anchor='middle')}</g>"
            )
    for j, label in enumerate(labels):
        middle = left + j * cell + cell / 2
        parts.append(f'<g transform="rotate(-40 {middle} {top - 8})">{_text(middle, top - 8, _short(label))}</g>')
    size = left + k * cell + 40, top + k * cell + 10
    return _svg(*size, parts, "Confusion matrix: true class down, predicted class across")


def reliability_chart(calibration: Calibration) -> str:
    """Accuracy over confidence, a bar a bin; on the diagonal the two agree."""
    parts = [*_axes((0, 1), (0, 1), "confidence", "accuracy"), _diagonal()]
    for b in calibration.bins:
        x, y = _place(b.low, 0, 1), _place(b.accuracy, 0, 1)
        tip = f"{b.n_rows} rows: confidence {b.confidence:.3f}, accuracy {b.accuracy:.3f}"
        width, height = SIDE * (b.high - b.low) - 2, SIDE * b.accuracy
        parts.append(
            f'<g><title>{tip}</title><rect class="right" fill-opacity="0.6" x="{MARGIN + x + 1:.1f}" '
            f'y="{10 + SIDE - y:.1f}" width="{width:.1f}" height="{height:.1f}"/></g>'
        )
    return _svg(SIDE + MARGIN + 20, SIDE + MARGIN + 10, parts, "Reliability: accuracy over confidence")


def scatter_chart(points: Sequence[tuple[float, float]]) -> str:
    """Predicted over true numbers; on the diagonal they agree."""
    values = [v for point in points for v in point]
    low, high = min(values), max(values)
    high = high if high > low else low + 1
    parts = [*_axes((low, high), (low, high), "true", "predicted"), _diagonal()]
    for true, predicted in points:
        x, y = MARGIN + _place(true, low, high), 10 + SIDE - _place(predicted, low, high)
        parts.append(f'<circle class="right" fill-opacity="0.5" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return _svg(SIDE + MARGIN + 20, SIDE + MARGIN + 10, parts, "Predicted over true numbers")


def _axes(across: tuple[float, float], up: tuple[float, float], x_name: str, y_name: str) -> list[str]:
    bottom = 10 + SIDE
    return [
        f'<rect class="frame" x="{MARGIN}" y="10" width="{SIDE}" height="{SIDE}"/>',
        _text(MARGIN, bottom + 16, f"{across[0]:.4g}"),
        _text(MARGIN + SIDE, bottom + 16, f"{across[1]:.4g}", anchor="end"),
        _text(MARGIN + SIDE / 2, bottom + 32, x_name, anchor="middle"),
        _text(MARGIN - 4, bottom, f"{up[0]:.4g}", anchor="end"),
        _text(MARGIN - 4, 20, f"{up[1]:.4g}", anchor="end"),
        f'<g transform="rotate(-90 14 {10 + SIDE / 2})">{_text(14, 10 + SIDE / 2, y_name, anchor="middle")}</g>',
    ]


def _diagonal() -> str:
    return f'<line class="frame" x1="{MARGIN}" y1="{10 + SIDE}" x2="{MARGIN + SIDE}" y2="10" stroke-dasharray="4"/>'


def _place(value: float, low: float, high: float) -> float:
    return SIDE * (value - low) / (high - low)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(label: str) -> str:
    return label if len(label) <= MAX_NAME else label[: MAX_NAME - 1] + "…"


def _svg(width: float, height: float, parts: Sequence[str], title: str) -> str:
    head = f'<svg role="img" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"><title>{escape(title)}</title>'
    return head + "".join(parts) + "</svg>"
