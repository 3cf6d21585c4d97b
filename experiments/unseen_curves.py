"""Two curves of `experiments.unseen_tables`: what more rows bring, and what a model costs in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.plots import figure
from experiments.table_kit import KitTable
from experiments.table_methods import Method
from experiments.table_runs import TRAIN, Results, run
from experiments.unseen_report import MEASURES, TITLES, collect, grid

SUPPORTS = (100, 300, 1_000, 3_000, 10_000)
CURVE_ROWS = 20_000
"""Rows of a table that take part, support and scored together."""
CURVE_METHODS = ("linear", "random forest", "XGBoost", "recipe, 4 draws", "untrained generator", "FLAME", "FLAME large")
COST_METHODS = ("XGBoost", "FLAME", "FLAME large")
ROWS, COLUMNS = (100, 300, 1_000, 3_000, 10_000, 50_000), (5, 10, 20, 50, 100, 200)
FIXED_ROWS, FIXED_COLUMNS = 1_000, 20
REPEATS, ENOUGH_S = 3, 2.0
"""The best of so many counts; a fit that takes longer than so many seconds is not repeated."""


def learning_curves(
    tasks: Mapping[str, dict[str, Any]],
    names: Sequence[str],
    load: Callable[[str], KitTable],
    methods: Mapping[str, Method],
    results: Results,
    *,
    splits: int,
    supports: Sequence[int] = SUPPORTS,
) -> list[dict[str, Any]]:
    """Mean accuracy or R² by number of support rows, on the tables that have rows for all numbers of a curve.

    Two curves a kind: up to the last number but one, on many tables, and up to the last, on few.
    """
    curves = []
    for kind in MEASURES:
        for points in (supports[:-1], supports):
            enough = [n for n in names if tasks[n]["task"] == kind and TRAIN * tasks[n]["n_rows"] >= points[-1]]
            if not enough:
                continue
            runs = run(enough, load, methods, results, splits=splits, max_rows=CURVE_ROWS, supports=points)
            records = list(runs)
            values: dict[str, list[float]] = {m: [] for m in methods}
            for point in points:
                board = collect([r for r in records if r["n_support"] == point], kind)
                assert board is not None
                for m, mean in zip(board.methods, board.grouped(board.measure).mean(0), strict=True):
                    values[m].append(round(float(mean), 5))
            curves.append({"kind": kind, "tables": enough, "support": list(points), "values": values})
    return curves


def curves_markdown(curves: Sequence[dict[str, Any]]) -> str:
    """Every curve as a table."""
    parts = []
    for curve in curves:
        lines = [[m, *(f"{100 * v:.1f}" for v in values)] for m, values in curve["values"].items()]
        title = TITLES[MEASURES[curve["kind"]][0]]
        where = f"{title} by support rows, {len(curve['tables'])} tables of {curve['kind']}:"
        parts.append(f"{where}\n\n{grid(['', *(f'{p:,}' for p in curve['support'])], lines)}")
    return "\n\n".join(parts)


def draw_curves(curves: Sequence[dict[str, Any]], path: Path) -> None:
    """The curves as a PNG file, one panel each."""
    with figure(path, size=(4.5 * len(curves), 4.0), panels=len(curves)) as panels:
        for axes, curve in zip(panels, curves, strict=True):
            for method, values in curve["values"].items():
                heavy = method.startswith("FLAME")
                axes.plot(curve["support"], values, marker="o", ms=3, lw=2 if heavy else 1, label=method)
            axes.set_xscale("log")
            axes.set_xlabel("support rows")
            axes.set_title(f"{MEASURES[curve['kind']][0]}, {len(curve['tables'])} tables", fontsize=10)
        panels[0].legend(fontsize=7)


def random_table(n_rows: int, n_columns: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Normal columns and two classes that depend on a few of them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n_rows, n_columns))
    y = x[:, 0] + x[:, 1] * x[:, -1] + 0.5 * rng.standard_normal(n_rows) > 0
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(n_columns)]), pd.Series(np.where(y, "yes", "no"))


def costs(
    methods: Mapping[str, Method], *, rows: Sequence[int] = ROWS, columns: Sequence[int] = COLUMNS
) -> list[dict[str, Any]]:
    """Seconds from rows to a model, best of a few, by number of rows and of columns."""
    for method in methods.values():
        _seconds(method, *random_table(100, 5))  # what is loaded once does not count
    sizes = {"rows": [(n, FIXED_COLUMNS) for n in rows], "columns": [(FIXED_ROWS, d) for d in columns]}
    found = []
    for by, pairs in sizes.items():
        values: dict[str, list[float]] = {m: [] for m in methods}
        for n_rows, n_columns in pairs:
            x, y = random_table(n_rows, n_columns)
            for name, method in methods.items():
                values[name].append(round(_best_seconds(method, x, y), 4))
        found.append({"by": by, "sizes": [list(p) for p in pairs], "values": values})
    return found


def _best_seconds(method: Method, x: pd.DataFrame, y: pd.Series) -> float:
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < ENOUGH_S:
        taken.append(_seconds(method, x, y))
    return min(taken)


def _seconds(method: Method, x: pd.DataFrame, y: pd.Series) -> float:
    model = method.make("classification", 0)
    started = time.perf_counter()
    model.fit(x, y)
    return time.perf_counter() - started


def costs_markdown(found: Sequence[dict[str, Any]]) -> str:
    """Seconds as tables."""
    parts = []
    for cost in found:
        place, fixed = (0, f"{FIXED_COLUMNS} columns") if cost["by"] == "rows" else (1, f"{FIXED_ROWS:,} rows")
        lines = [[m, *(f"{v:.3f}" for v in values)] for m, values in cost["values"].items()]
        title = f"Seconds to a model by {cost['by']} of random data with {fixed}, one thread:"
        parts.append(f"{title}\n\n{grid(['', *(f'{s[place]:,}' for s in cost['sizes'])], lines)}")
    return "\n\n".join(parts)


def draw_costs(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Seconds as a PNG file."""
    with figure(path, size=(9.0, 4.0), panels=len(found)) as panels:
        for axes, cost in zip(panels, found, strict=True):
            place = 0 if cost["by"] == "rows" else 1
            for method, values in cost["values"].items():
                axes.plot([s[place] for s in cost["sizes"]], values, marker="o", ms=3, label=method)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel(cost["by"])
            axes.set_ylabel("seconds to a model")
        panels[0].legend(fontsize=8)
