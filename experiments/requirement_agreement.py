"""Do rules and language models plan the same model? The rules beside an endpoint that is perfect and one that lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.requirement_scores import Truth
from experiments.requirement_tasks import Task
from experiments.scripted import LIE, Scripted, metadata, sentence_of
from flame.data import DataBatch
from flame.errors import FlameError
from flame.llm.writer import LLMWriter
from flame.planning import plan
from flame.table.tables import TABLES

SETTINGS = {
    "description and all rows": (True, "all"),
    "all rows": (False, "all"),
    "description and {n} rows": (True, "few"),
    "description only": (True, ""),
}
_ARCHES = {"tabular": "mlp_base", "seq": "distilbert-base-uncased", "img": "resnet50"}
_KEYS = ("task", "out_dim", "in_dim", "scale", "arch")


def compared(task: Task) -> bool:
    """The paper's ten tables, the nine GLUE tasks and the four office domains."""
    return task.name in TABLES or task.name.startswith(("glue_", "office_"))


def true_metadata(truth: Truth) -> dict[str, Any]:
    """The metadata that are right, from the truth by hand; no description here speaks of resources."""
    arch = _ARCHES[truth.type.split("_")[0]]
    return metadata(truth.type, truth.n_classes or 1, arch, in_dim=truth.n_features)


def agreement(tasks: Sequence[Task], n_rows: int, seed: int) -> list[dict[str, Any]]:
    """One row of counts per setting; `differ` names the tasks behind every count that is not full."""
    found = []
    for setting, (with_words, rows) in SETTINGS.items():
        planned = []
        for task in tasks:
            batch = task.batch(n_rows if rows == "few" else None, seed) if rows else None
            planned.append((task.name, *_plans(task, task.description if with_words else None, batch)))
        found.append({"setting": setting.format(n=n_rows)} | _counts(planned))
    return found


_Wire = dict[str, Any] | None
_Planned = tuple[str, dict[str, Any], _Wire, _Wire, _Wire]


def _plans(task: Task, description: str | None, batch: DataBatch | None) -> tuple[dict[str, Any], _Wire, _Wire, _Wire]:
    """The truth, and the metadata by the rules, with a perfect and with a lying endpoint; None: refused."""
    truth = true_metadata(task.truth)

    def wire(told: dict[str, Any] | None) -> _Wire:
        writer = LLMWriter(Scripted(sentence_of(told), told)) if told else None
        try:
            made = plan(description, batch, writer=writer)
        except FlameError:
            return None
        return {key: value for key, value in made.metadata.model_dump().items() if key in _KEYS}

    return truth, wire(None), wire(truth), wire(LIE)


def _counts(planned: Sequence[_Planned]) -> dict[str, Any]:
    by_rules = [p for p in planned if p[2] is not None]
    pairs = {
        "rules are right": [(n, rules == truth) for n, truth, rules, _, _ in by_rules],
        "perfect is right": [(n, perfect == truth) for n, truth, _, perfect, _ in planned],
        "perfect = rules": [(n, perfect == rules) for n, _, rules, perfect, _ in by_rules],
        "lying = rules, task and sizes": [(n, _sizes(lying) == _sizes(rules)) for n, _, rules, _, lying in by_rules],
        "lying = rules, scale": [(n, _scale(lying) == _scale(rules)) for n, _, rules, _, lying in by_rules],
    }
    return {
        "tasks": len(planned),
        "refused by the rules": len(planned) - len(by_rules),
        **{key: [sum(same for _, same in found), len(found)] for key, found in pairs.items()},
        "differ": {key: differ for key, found in pairs.items() if (differ := [n for n, same in found if not same])},
    }


def _sizes(wire: _Wire) -> list[Any]:
    return [(wire or {}).get(key) for key in _KEYS[:3]]


def _scale(wire: _Wire) -> list[Any]:
    return [(wire or {}).get(key) for key in _KEYS[3:]]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The counts as a table."""
    keys = [k for k in rows[0] if k not in ("setting", "differ")]
    lines = ["| " + " | ".join(["", *keys]) + " |", "|---" * (len(keys) + 1) + "|"]
    for row in rows:
        cells = ["/".join(map(str, row[k])) if isinstance(row[k], list) else str(row[k]) for k in keys]
        lines.append("| " + " | ".join([row["setting"], *cells]) + " |")
    return "\n".join(lines)
