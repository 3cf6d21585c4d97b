"""Every method on every split of every table, one line of JSON each, so that an interrupted run goes on."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.table_kit import KitTable
from experiments.table_methods import METHODS, Method
from experiments.table_scores import classification_scores, r_squared
from flame.errors import CheckpointError

TRAIN = 0.7
"""Share of the rows that a method is given."""


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to be scored on."""

    x: pd.DataFrame
    y: pd.Series
    x_test: pd.DataFrame
    y_test: pd.Series


def split_rows(table: KitTable, seed: int, *, max_rows: int | None = None, n_support: int | None = None) -> Split:
    """70/30 by the seed, in equal shares of every class; a class with a single row is learnt from, never scored.

    Args:
        max_rows: at most so many rows are drawn first.
        n_support: only so many rows are learnt from; the rows that are scored stay the same.
    """
    order = np.random.default_rng(seed).permutation(len(table.y))[:max_rows]
    y = table.y.to_numpy()[order]
    if table.kind == "regression":
        first = np.arange(len(order)) < round(TRAIN * len(order))
    else:
        place = pd.Series(y).groupby(y).cumcount().to_numpy()
        first = place < np.ceil(TRAIN * pd.Series(y).map(pd.Series(y).value_counts()).to_numpy())
    train, test = order[first], order[~first]
    if n_support is not None:
        train = _first_of_each(table, train)[:n_support]
        known = set(table.y.to_numpy()[train]) if table.kind == "classification" else None
        test = test if known is None else test[[v in known for v in table.y.to_numpy()[test]]]
    return Split(table.x.iloc[train].reset_index(drop=True), table.y.iloc[train].reset_index(drop=True),
                 table.x.iloc[test].reset_index(drop=True), table.y.iloc[test].reset_index(drop=True))  # fmt: skip


def _first_of_each(table: KitTable, rows: NDArray[Any]) -> NDArray[Any]:
    """The same rows, those first that show a class for the first time."""
    if table.kind == "regression":
        return rows
    seen = pd.Series(table.y.to_numpy()[rows]).duplicated().to_numpy()
    return np.concatenate([rows[~seen], rows[seen]])


def score_method(method: Method, kind: str, split: Split, seed: int) -> dict[str, Any]:
    """Figures of one method on one split, and its seconds; a method that fails gets those of the majority or mean."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _measured(method, kind, split, seed)
    except (ImportError, CheckpointError):
        raise  # the set-up is wrong, not the method
    except Exception as error:  # noqa: BLE001  (whatever a library raises is a result: it is counted and reported)
        fallback = _measured(METHODS["majority"], kind, split, seed)
        return {**fallback, "error": f"{type(error).__name__}: {error}"[:300]}


def _measured(method: Method, kind: str, split: Split, seed: int) -> dict[str, Any]:
    model = method.make(kind, seed)
    started = time.perf_counter()
    model.fit(split.x, split.y)
    fitted = time.perf_counter()
    if kind == "regression":
        predicted = np.asarray(model.predict(split.x_test), dtype=float)
        seconds = {"fit_s": fitted - started, "predict_s": time.perf_counter() - fitted}
        _check(predicted)
        return {"r2": r_squared(split.y_test.to_numpy(dtype=float), predicted), **seconds}
    p = np.asarray(model.predict_proba(split.x_test), dtype=float)
    seconds = {"fit_s": fitted - started, "predict_s": time.perf_counter() - fitted}
    _check(p)
    place = {str(c): i for i, c in enumerate(model.classes_)}
    truth, codes = ([place[str(v)] for v in labels] for labels in (split.y_test, model.predict(split.x_test)))
    return {**classification_scores(np.array(truth), p, np.array(codes)), **seconds}


def _check(values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise ValueError("predictions that are not finite")


class Results:
    """Finished runs by table, method, version and split; kept in a file if one is given."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = {}
        if path is not None and path.is_file():
            for line in path.read_text("utf8").splitlines():
                self._remember(line)

    def _remember(self, line: str) -> None:
        try:
            record = json.loads(line)
            self.found[record["key"]] = record
        except (ValueError, KeyError, TypeError):
            return  # the last line of a run that was killed

    def add(self, record: dict[str, Any]) -> None:
        self.found[record["key"]] = record
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf8") as file:
                file.write(json.dumps(record) + "\n")


def table_facts(table: KitTable) -> dict[str, Any]:
    """What kind of table it is."""
    n_classes = int(table.y.nunique()) if table.kind == "classification" else 0
    return {
        "kind": table.kind,
        "role": table.role,
        "family": table.family,
        "rows": len(table.y),
        "columns": table.x.shape[1],
        "classes": n_classes,
        "categorical": round(float(np.mean([d == "category" for d in table.x.dtypes] or [0.0])), 3),
        "missing": round(float(table.x.isna().to_numpy().mean()), 3),
    }


def run(
    names: Sequence[str],
    load: Callable[[str], KitTable],
    methods: Mapping[str, Method],
    results: Results,
    *,
    splits: int,
    max_rows: int,
    supports: Sequence[int | None] = (None,),
) -> Iterator[dict[str, Any]]:
    """Yield the record of every run, from the results where it is there already."""
    for name in names:
        table = lru_cache(maxsize=1)(lambda name=name: load(name))  # read only if something is missing
        for seed in range(splits):
            for n_support in supports:
                for label, method in methods.items():
                    key = json.dumps([name, label, method.version(), seed, max_rows, n_support])
                    if key not in results.found:
                        split = split_rows(table(), seed, max_rows=max_rows, n_support=n_support)
                        scores = score_method(method, table().kind, split, seed)
                        facts = {**table_facts(table()), "support": len(split.y)}
                        which = {"table": name, "method": label, "split": seed, "n_support": n_support}
                        results.add({"key": key, **which, **scores, "facts": facts})
                    yield results.found[key]
