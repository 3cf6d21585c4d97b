"""What `experiments.unseen_tables` found, as Markdown and JSON: means over tables, intervals, ranks, wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments import table_scores as scores

MEASURES = {"classification": ("accuracy", "auc", "log_loss", "ece"), "regression": ("r2",)}
TITLES = {"accuracy": "accuracy %", "auc": "AUC %", "log_loss": "log-loss", "ece": "ECE %", "r2": "R² %"}
FLOOR = -1.0
"""R² of a split counts as this where it is lower: one table must not decide the mean."""
FOREST = "random forest"
SUBJECTS = ("FLAME", "FLAME large")
RIVALS = (FOREST, "XGBoost", "untrained generator", "recipe, 4 draws")
N_EXTREMES = 5
LEVEL = 95
"""Per cent of the intervals."""


@dataclass(frozen=True)
class Board:
    """Means over splits of one kind of table."""

    kind: str
    tables: list[str]
    methods: list[str]
    values: dict[str, scores.Array]
    """(t, m) by measure, and `fit_s`, `predict_s`."""
    facts: dict[str, dict[str, Any]]
    failures: list[str]

    @property
    def measure(self) -> str:
        """The measure that ranks are by."""
        return MEASURES[self.kind][0]

    @property
    def families(self) -> dict[str, str]:
        return {t: self.facts[t]["family"] for t in self.tables}

    def grouped(self, measure: str) -> scores.Array:
        """Near-duplicates averaged: (families, m)."""
        rows = {t: list(v) for t, v in zip(self.tables, self.values[measure], strict=True)}
        return scores.by_family(rows, self.families)[1]

    def column(self, method: str) -> scores.Array:
        return self.grouped(self.measure)[:, self.methods.index(method)]


def collect(records: Iterable[dict[str, Any]], kind: str, tables: Sequence[str] | None = None) -> Board | None:
    """The board of one kind from the records of all runs; None if there are none."""
    found = [r for r in records if r["facts"]["kind"] == kind and (tables is None or r["table"] in tables)]
    names = list(dict.fromkeys(r["table"] for r in found))
    methods = list(dict.fromkeys(r["method"] for r in found))
    if not found:
        return None
    values = {}
    for measure in (*MEASURES[kind], "fit_s", "predict_s"):
        cells: dict[tuple[str, str], list[float]] = {}
        for r in found:
            cells.setdefault((r["table"], r["method"]), []).append(max(r[measure], FLOOR))
        values[measure] = np.array([[np.mean(cells[t, m]) for m in methods] for t in names])
    failures = [f"{r['method']} on {r['table']}, split {r['split']}: {r['error']}" for r in found if "error" in r]
    return Board(kind, names, methods, values, {r["table"]: r["facts"] for r in found}, failures)


def summary(board: Board) -> list[dict[str, Any]]:
    """One row a method, best first; differences are to the random forest and to the strongest control."""
    ranks = scores.mean_ranks(board.grouped(board.measure))
    control = strongest_control(board)
    rows = []
    for i, method in enumerate(board.methods):
        row: dict[str, Any] = {"method": method, "rank": float(ranks[i])}
        row |= {m: float(np.nanmean(board.grouped(m)[:, i])) for m in MEASURES[board.kind]}
        row["by table"] = float(board.values[board.measure][:, i].mean())
        for label, other in (("to forest", FOREST), ("to control", control)):
            row[label] = _difference(board, method, other)
        row |= {m: float(board.values[m][:, i].mean()) for m in ("fit_s", "predict_s")}
        row["failures"] = sum(f.startswith(f"{method} on ") for f in board.failures)
        rows.append(row)
    return sorted(rows, key=lambda r: -r[board.measure])


def strongest_control(board: Board) -> str | None:
    """The method other than FLAME with the best mean on these very tables, which is hard on FLAME."""
    means = board.grouped(board.measure).mean(0)
    others = [m for m in board.methods if m not in SUBJECTS]
    return max(others, key=lambda m: means[board.methods.index(m)]) if others else None


def _difference(board: Board, method: str, other: str | None) -> list[float] | None:
    """Mean difference over families and its interval."""
    if other is None or other == method or other not in board.methods:
        return None
    gap = board.column(method) - board.column(other)
    return [float(gap.mean()), *scores.bootstrap_interval(gap, level=LEVEL / 100)]


def records_against(board: Board) -> list[dict[str, Any]]:
    """Wins, losses and ties of FLAME, counted by family."""
    return [
        {"method": ours, "against": theirs, "record": scores.record_against(board.column(ours), board.column(theirs))}
        for ours in SUBJECTS
        for theirs in RIVALS
        if ours in board.methods and theirs in board.methods
    ]


def extremes(board: Board, subject: str = SUBJECTS[0]) -> list[dict[str, Any]]:
    """The tables on which FLAME loses and wins most against the strongest control, with what kind of table they are."""
    control = strongest_control(board)
    if subject not in board.methods or control is None:
        return []
    values = board.values[board.measure]
    gaps = values[:, board.methods.index(subject)] - values[:, board.methods.index(control)]
    order = np.argsort(gaps)
    chosen = [*order[:N_EXTREMES], *order[max(N_EXTREMES, len(order) - N_EXTREMES) :]]
    return [
        {"table": board.tables[i], "difference": float(gaps[i]), "against": control, **board.facts[board.tables[i]]}
        for i in chosen
    ]


def markdown(board: Board) -> str:
    """Everything about one kind of table."""
    parts = [_preface(board), _summary_grid(board)]
    if against := records_against(board):
        counted = [[r["method"], r["against"], *map(str, r["record"])] for r in against]
        parts.append(grid(["", "against", "wins", "losses", "ties"], counted))
    if found := extremes(board):
        parts.append(f"{SUBJECTS[0]} against {strongest_control(board)}, the largest losses and wins:")
        parts.append(_extremes_grid(found))
    return "\n\n".join(parts)


def _preface(board: Board) -> str:
    siblings = _has_siblings(board)
    text = f"{len(board.tables)} tables of {board.kind} in {len(set(board.families.values()))} families"
    text += "; near-duplicates are averaged first, `by table` does not. " if siblings else ". "
    text += f"R² of a split counts as {FLOOR:.0f} where it is lower. " if board.kind == "regression" else ""
    text += f"Differences with {LEVEL} % intervals (bootstrap over families)."
    p = _friedman(board)
    return text + ("" if p is None else f" Friedman's test that all are alike: p = {p:.1g}.")


def _summary_grid(board: Board) -> str:
    control = strongest_control(board)
    compared = {"to forest": FOREST, "to control": control}
    if control == FOREST or FOREST not in board.methods:
        compared.pop("to control" if control == FOREST else "to forest")
    by_table = ["by table"] if _has_siblings(board) else []
    header = ["", *(TITLES[m] for m in MEASURES[board.kind]), *by_table, *(f"to {m}" for m in compared.values())]
    lines = []
    for row in summary(board):
        cells = [row["method"], *(_cell(m, row[m]) for m in MEASURES[board.kind])]
        cells += [_cell(board.measure, row[k]) for k in by_table] + [_interval(row[k]) for k in compared]
        cells += [f"{row['rank']:.2f}", f"{row['fit_s']:.3f}", f"{row['predict_s']:.3f}", str(row["failures"])]
        lines.append(cells)
    return grid([*header, "mean rank", "fit s", "predict s", "failed"], lines)


def _has_siblings(board: Board) -> bool:
    return len(set(board.families.values())) < len(board.tables)


def _extremes_grid(found: Sequence[dict[str, Any]]) -> str:
    facts = ("rows", "columns", "classes", "categorical", "missing")
    lines = [[f["table"], f"{100 * f['difference']:+.1f}", *(str(f[k]) for k in facts)] for f in found]
    return grid(["table", "difference", *facts[:3], "share categorical", "share missing"], lines)


def story(board: Board) -> dict[str, Any]:
    """A JSON object with every table's figures."""
    per_table = {
        t: {
            "facts": board.facts[t],
            "methods": {
                m: {k: _rounded(v[i, j]) for k, v in board.values.items()} for j, m in enumerate(board.methods)
            },
        }
        for i, t in enumerate(board.tables)
    }
    return {
        "summary": _rounded(summary(board)),
        "strongest_control": strongest_control(board),
        "against": records_against(board),
        "extremes": _rounded(extremes(board)),
        "friedman_p": _friedman(board),
        "failures": board.failures,
        "tables": per_table,
    }


def brief(groups: Mapping[str, dict[str, Any]]) -> str:
    """One table of the first group of each kind: what a reader wants to know first."""
    found: dict[str, dict[str, list[str]]] = {}
    first = {kind: next((g for name, g in groups.items() if name.startswith(kind)), None) for kind in MEASURES}
    measures = {"classification": ("accuracy", "auc", "log_loss", "ece", "rank"), "regression": ("r2", "rank")}
    for kind, group in first.items():
        for row in group["summary"] if group else ():
            cells = [f"{row[m]:.2f}" if m == "rank" else _cell(m, row[m]) for m in measures[kind]]
            found.setdefault(row["method"], {})[kind] = cells
    shown = {kind: names for kind, names in measures.items() if first[kind]}
    header = ["", *(TITLES.get(m, f"mean rank, {kind}") for kind, names in shown.items() for m in names)]
    lines = [
        [method, *(c for kind, names in shown.items() for c in cells.get(kind, ["-"] * len(names)))]
        for method, cells in found.items()
    ]
    return grid(header, lines)


def _friedman(board: Board) -> float | None:
    grouped = board.grouped(board.measure)
    return scores.friedman_p(grouped) if grouped.shape[0] > 2 and grouped.shape[1] > 2 else None


def grid(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(measure: str, value: float) -> str:
    return f"{value:.3f}" if measure == "log_loss" else f"{100 * value:.1f}"


def _interval(values: list[float] | None) -> str:
    return "-" if values is None else "{:+.1f} ({:+.1f}, {:+.1f})".format(*(100 * v for v in values))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 5) if np.isfinite(value) else None
    return value
