"""Does an export give the same answers as the model it was made of? Asked of every export, in its own engine.

Shape letters: n = rows, k = outputs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from flame.errors import FlameError

LIMIT = 1e-5
"""Largest difference of an export in 32-bit numbers: of a probability, or of a number in units of the largest one."""
TINY = 1e-30
"""Probabilities below are as good as none: 32-bit numbers lose their digits there."""
MIN_AGREEMENT = 0.95
"""Of an export in 8-bit numbers: share of the rows with the same class, or R² of its numbers against the model's."""


class ExportError(FlameError, RuntimeError):
    """A model cannot be exported, or its export does not answer as the model does."""


@dataclass(frozen=True)
class ParityReport:
    """What the comparison found; `<file>.parity.json` holds the same."""

    file: str
    """Name of the export."""
    format: str
    n_rows: int
    """Rows that were compared."""
    rows: str
    """`given`, or `made up` within what the preprocessing has seen."""
    max_abs_difference: float
    """Largest difference of an output, in its own unit."""
    relative_difference: float
    """The same for probabilities; for numbers in units of the largest one."""
    class_agreement: float | None
    """Share of the rows with the same most likely class, or one as likely to the model; None for a number."""
    logit_difference: float | None
    """Largest difference of a logit (log-probabilities less their mean), in units of the largest; None for a number."""
    r2: float | None
    """Share of the variance of the model's numbers that the export keeps; None for classes."""
    preprocessing_identical: bool
    """Whether the shipped reader makes the same inputs of the rows: bit for bit, pixels within 1e-4 of their spread."""
    n_bytes: int
    """Size of the model's files, without card and report."""
    versions: dict[str, str]
    """Of torch and of the engine that ran the export."""
    sha256: str = ""
    """Of the export's file, by which a change is noticed."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def compare(expected: np.ndarray, found: np.ndarray, *, classes: bool) -> dict[str, Any]:
    """The figures of a report.

    Shape:
        expected (n, k), found (n, k)

    Raises:
        ExportError: if shapes differ, or an output is no finite number.
    """
    if expected.shape != found.shape:
        raise ExportError(f"outputs of shape {expected.shape} are expected of the export, however: {found.shape}")
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise ExportError("finite outputs are expected of model and export, however some are infinite or no number")
    a, b = expected.astype("float64"), found.astype("float64")
    largest = float(np.abs(a - b).max(initial=0.0))
    scale = 1.0 if classes else float(np.abs(a).max(initial=0.0)) or 1.0
    spread = float(np.square(a - a.mean()).sum()) or 1.0
    return {
        "max_abs_difference": largest,
        "relative_difference": largest / scale,
        "class_agreement": _agreement(a, b) if classes else None,
        "logit_difference": _logit_difference(a, b) if classes else None,
        "r2": None if classes else 1 - float(np.square(a - b).sum()) / spread,
    }


def _agreement(a: np.ndarray, b: np.ndarray) -> float:
    found = np.take_along_axis(a, b.argmax(1)[:, None], 1)[:, 0]
    return float((a.max(1) - found <= LIMIT).mean())


def _logit_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Out of probabilities, so that near-certain rows count too; what is below 32-bit numbers does not."""
    seen = (a > TINY) & (b > TINY)
    x, y = (np.where(seen, np.log(np.maximum(p, TINY)), 0.0) for p in (a, b))
    n = np.maximum(seen.sum(1, keepdims=True), 1)
    x, y = (np.where(seen, v - v.sum(1, keepdims=True) / n, 0.0) for v in (x, y))
    return float(np.abs(x - y).max(initial=0.0)) / (float(np.abs(x).max(initial=0.0)) or 1.0)


def refuse_if_different(report: ParityReport, *, exact: bool) -> None:
    """Accept or refuse an export.

    Args:
        exact: of an export in 32-bit numbers.

    Raises:
        ExportError: saying by how much it differs.
    """
    name = Path(report.file).name
    if not report.preprocessing_identical:
        raise ExportError(
            f"{name}: the shipped reader makes other inputs of the rows than the model does; please report"
        )
    measured = {"": report.relative_difference, " in its logits": report.logit_difference or 0.0}
    for where, difference in measured.items():
        if exact and difference > LIMIT:
            raise ExportError(
                f"{name} differs from the model by {difference:.2g}{where} on {report.n_rows} rows, at most "
                f"{LIMIT:g} is accepted; nothing was written: try another format"
            )
    if exact and report.class_agreement is not None and report.class_agreement < 1:
        raise ExportError(f"{name} gives other classes than the model; nothing was written: try another format")
    kept = report.r2 if report.class_agreement is None else report.class_agreement
    if not exact and kept is not None and kept < MIN_AGREEMENT:
        what = "R²" if report.class_agreement is None else "share of equal classes"
        raise ExportError(
            f"{name}: {what} against the model is {kept:.3f} on {report.n_rows} rows, at least {MIN_AGREEMENT} is "
            "accepted; nothing was written: export to .onnx without 8-bit numbers"
        )
