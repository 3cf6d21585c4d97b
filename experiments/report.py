"""Rows of figures with several seeds, as a Markdown table, and the machine they were measured on."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One method with one seed."""

    name: str
    epochs: int | None
    accuracies: list[float]
    """Test accuracy per table, 0 to 1."""
    seconds: float | None
    """End to end for all tables; None: not timed."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object with rounded figures."""
        return {**asdict(self), "accuracies": [round(a, 5) for a in self.accuracies]}


def markdown(runs: Sequence[Sequence[Row]], titles: Sequence[str]) -> str:
    """Mean over seeds per cell; the average also with its spread (standard deviation over seeds).

    The last column is seconds relative to the slowest timed method, as in the paper.
    """
    names = [row.name for row in runs[0]]
    by_name = {name: [next(r for r in rows if r.name == name) for rows in runs] for name in names}
    times = {n: [r.seconds for r in rs if r.seconds is not None] for n, rs in by_name.items()}
    slowest = max((float(np.mean(t)) for t in times.values() if t), default=0.0)
    timed = slowest > 0
    header = ["", *titles, "Average", *(["Epochs", "Seconds", "Relative"] if timed else [])]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, rows in by_name.items():
        table = np.array([r.accuracies for r in rows]) * 100
        averages = table.mean(1)
        cells = [name, *(f"{v:.1f}" for v in table.mean(0)), f"{averages.mean():.1f} ± {averages.std():.1f}"]
        if timed:
            seconds = float(np.mean(times[name])) if times[name] else None
            cells.append("-" if rows[0].epochs is None else str(rows[0].epochs))
            cells += ["-", "-"] if seconds is None else [f"{seconds:.2f}", f"{slowest / seconds:.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_results(stem: Path, text: str, story: dict[str, Any]) -> None:
    """Write a report as `<stem>.md` and what it was made of as `<stem>.json`."""
    stem.with_suffix(".md").write_text(text, "utf8")
    stem.with_suffix(".json").write_text(json.dumps(story, indent=0) + "\n", "utf8")


def processor() -> str:
    """The name of the processor, as well as it can be told."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
