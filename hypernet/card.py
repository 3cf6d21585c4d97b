"""The model card of a checkpoint: what it was trained on, with what, for how long, and how well it does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypernet.tasks import TaskRecord


def write_card(arch: str, tasks: Iterable[TaskRecord], provenance: dict[str, Any]) -> str:
    """Markdown with the front matter that model hubs read."""
    records = list(tasks)
    front = ["---", "library_name: flame-hypernet", "license: apache-2.0", "tags: [hypernetwork, tabular]", "---", ""]
    name = provenance.get("name", "FLAME generator")
    lines = [
        f"# {name}",
        "",
        f"A hypernetwork that reads one requirement sentence and writes a whole `{arch}` in one forward pass.",
        "It has one head per task below; it cannot write a model for a table that none of them fits.",
        "",
        "| task | classes | columns | rows (train) | accuracy (validation) | accuracy (test) | licence of the data |",
        "|---|---|---|---|---|---|---|",
    ]
    data = provenance.get("data", {})
    for t in records:
        about = data.get(t.name, {})
        scores = [f"{t.scores[k]:.3f}" if k in t.scores else "-" for k in ("validation_accuracy", "test_accuracy")]
        cells = [t.title or t.name, t.metadata.out_dim, t.metadata.in_dim, about.get("n_train", "-"), *scores]
        lines.append("| " + " | ".join(map(str, [*cells, about.get("licence", "-")])) + " |")
    lines += ["", "## How it was made", ""]
    lines += [f"* {key}: {value}" for key, value in provenance.items() if key not in ("data", "name")]
    lines += [
        "",
        "## Limits",
        "",
        "Scores are accuracies on a fixed split of each table (70/15/15, stratified, equal rows never split); test",
        "rows were used neither for training nor for choosing the checkpoint. Columns are matched by name and scaled",
        "with the statistics of the training rows: data in other units need other preprocessing and are not detected.",
        "",
    ]
    return "\n".join(front + lines)
