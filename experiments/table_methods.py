"""Every method of `experiments.unseen_tables` by its name: controls, ordinary learners, and FLAME.

    METHODS["random forest"].make("classification", seed).fit(x, y).predict_proba(x_test)

All run on one thread with the settings their libraries give them, none is tuned. How trees read categories was chosen
on the tables of role `select`: one-hot for the forest and XGBoost, codes for the two other boosted ones. Methods whose
library is not installed are left out by `available`: pip install 'flame-hypernet[experiments]'.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from experiments.closed_form import MAX_CATEGORIES, ClosedForm
from experiments.table_networks import Network
from flame.errors import DataError, did_you_mean

ROOT = Path(__file__).parents[1]
FLAME_CODE = [
    *(
        f"hypernet/tables/{name}.py"
        for name in ("encoding", "generator", "head", "look", "network", "shrinkage", "support", "units")
    ),
    *(
        f"flame/{name}.py"
        for name in ("columns", "inputs", "table/any_table", "table/estimators", "table/preprocessing")
    ),
    "targets/step_mlp.py",
]
"""What FLAME's results depend on besides its checkpoint."""
RECIPES = {
    "recipe, 1 draw": {"draws": 1},
    "recipe, 4 draws": {"draws": 4},
    "recipe, no conjunctions": {"draws": 4, "n_units": 512, "n_conjunctions": 0},
}


class Model(Protocol):
    """What scikit-learn calls an estimator; classes are in the order of `classes_`."""

    def fit(self, x: pd.DataFrame, y: Any) -> Any: ...
    def predict(self, x: pd.DataFrame) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Method:
    """How one method is built."""

    make: Callable[[str, int], Any]
    """Kind of table and seed to a Model; one for classification also has `predict_proba` and `classes_`."""
    version: Callable[[], str] = lambda: "1"
    """Changes whenever its results may: part of the cache's key."""
    needs: str = ""
    """The library it needs."""


class Prepared:
    """An estimator of a library with the inputs it can read; it sees class codes or standardised numbers."""

    def __init__(self, estimator: Any, inputs: Literal["dense", "hot", "codes"], kind: str) -> None:
        self.estimator, self.inputs, self.kind = estimator, inputs, kind

    def fit(self, x: pd.DataFrame, y: Any) -> Prepared:
        self.preparation = Preparation(x, self.inputs)
        if self.kind == "classification":
            self.classes_, target = np.unique(np.asarray(y), return_inverse=True)
        else:
            numbers = np.asarray(y, dtype=float)
            self.mean, self.std = numbers.mean(), numbers.std() or 1.0
            target = (numbers - self.mean) / self.std
        self.estimator.fit(self.preparation(x), target)
        return self

    def predict(self, x: pd.DataFrame) -> NDArray[Any]:
        found = np.asarray(self.estimator.predict(self.preparation(x))).ravel()
        return self.classes_[found.astype(int)] if self.kind == "classification" else found * self.std + self.mean

    def predict_proba(self, x: pd.DataFrame) -> NDArray[Any]:
        return np.asarray(self.estimator.predict_proba(self.preparation(x)))


class Preparation:
    """What is learnt about the columns from the training rows, and rows turned into inputs.

    dense: one-hot (the most frequent categories), medians for what is missing, standardised; hot: one-hot, NaN for
    numbers that are missing; codes: numbers for categories, NaN for what is missing.
    """

    def __init__(self, x: pd.DataFrame, inputs: str) -> None:
        self.inputs = inputs
        self.categories = {str(c): x[c].value_counts().index[:MAX_CATEGORIES] for c in x if x[c].dtype == "category"}
        self.median = {str(c): float(x[c].median()) for c in x if x[c].dtype != "category" and x[c].notna().any()}
        # A column without any value carries nothing.
        self.columns = [c for c in x if c in self.median or len(self.categories.get(str(c), ()))]
        if inputs == "dense":
            found = self._blocks(x)
            self.mean, self.std = found.mean(0), np.where(found.std(0) > 1e-9, found.std(0), 1.0)

    def __call__(self, x: pd.DataFrame) -> NDArray[Any]:
        found = self._blocks(x)
        return (found - self.mean) / self.std if self.inputs == "dense" else found

    def _blocks(self, x: pd.DataFrame) -> NDArray[Any]:
        nothing = [np.zeros((len(x), 1))] if not self.columns else []
        return np.concatenate([*nothing, *(self._block(x[c]) for c in self.columns)], 1, dtype=float)

    def _block(self, column: pd.Series) -> NDArray[Any]:
        if column.name not in self.categories:
            filled = column.fillna(self.median[str(column.name)]) if self.inputs == "dense" else column
            return filled.to_numpy(dtype=float)[:, None]
        known = self.categories[str(column.name)]
        codes = np.asarray(pd.Categorical(column.astype(object), categories=known).codes)[:, None]
        return np.where(codes < 0, np.nan, codes) if self.inputs == "codes" else codes == np.arange(len(known))


def _prepared(
    inputs: Literal["dense", "hot", "codes"], classifier: Callable[[int], Any], regressor: Callable[[int], Any]
) -> Callable[[str, int], Prepared]:
    def make(kind: str, seed: int) -> Prepared:
        return Prepared((classifier if kind == "classification" else regressor)(seed), inputs, kind)

    return make


def _sklearn(module: str, classifier: str, regressor: str, **settings: Any) -> tuple[Callable[[int], Any], ...]:
    """Two estimators by name, imported when they are built; `random_state` is the seed where one is taken."""

    def build(name: str, seed: int) -> Any:
        estimator = getattr(importlib.import_module(module), name)
        takes = estimator().get_params()
        given = {k: v for k, v in {"random_state": seed, **settings}.items() if k in takes}
        return estimator(**given)

    return lambda seed: build(classifier, seed), lambda seed: build(regressor, seed)


def _svm(seed: int) -> Any:
    from sklearn.svm import SVC

    # libsvm's own Platt scaling copes with classes of a single row; scikit-learn 1.11 drops it, see the extra.
    return SVC(probability=True, random_state=seed)


def _boosted(module: str, prefix: str, **settings: Any) -> tuple[Callable[[int], Any], ...]:
    def build(suffix: str, seed: int) -> Any:
        return getattr(importlib.import_module(module), prefix + suffix)(n_jobs=1, random_state=seed, **settings)

    return lambda seed: build("Classifier", seed), lambda seed: build("Regressor", seed)


def _network(kind: str, seed: int, *, ensemble: bool) -> Prepared:
    epochs, patience = (60, 10) if ensemble else (20, 20)
    return Prepared(Network(kind, ensemble=ensemble, epochs=epochs, patience=patience, seed=seed), "dense", kind)


def _recipe(**settings: Any) -> Callable[[str, int], ClosedForm]:
    return lambda kind, seed: ClosedForm(kind, seed=seed, **settings)


# --- FLAME ------------------------------------------------------------------------------------------------------------


def flame_model(kind: str, seed: int, *, scale: Literal["base", "large"] = "base", generator: Any = None) -> Any:
    """The estimator of the library; `generator` None is the checkpoint it ships."""
    from flame.table.estimators import FlameClassifier, FlameRegressor

    estimator = FlameClassifier if kind == "classification" else FlameRegressor
    return estimator(scale=scale, generator=generator, random_state=seed)


@lru_cache(maxsize=2)
def control_generator(kind: Literal["untrained", "random"]) -> Any:
    """A generator that learnt nothing: its last layers zero (the closed form alone), or drawn like all the others."""
    from hypernet.tables import TableGenerator

    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    generator = TableGenerator()
    if kind == "random":
        generator.shrinkage.scale.reset_parameters()
        generator.shrinkage.settings.reset_parameters()
    torch.random.set_rng_state(state)
    return generator.eval()


def flame_methods(folder: str | None = None) -> dict[str, Method]:
    """FLAME with the generator in this folder (None: the shipped one), and the two that learnt nothing."""
    found = {}
    scales: dict[str, Literal["base", "large"]] = {"FLAME": "base", "FLAME large": "large"}
    for name, scale in scales.items():
        found[name] = Method(
            lambda kind, seed, scale=scale: flame_model(kind, seed, scale=scale, generator=folder),  # type: ignore[misc]
            lambda: f"{generator_version(folder)}-{code_version()}",
        )
    for name in ("untrained", "random"):
        found[f"{name} generator"] = Method(
            lambda kind, seed, name=name: flame_model(kind, seed, generator=control_generator(name)),  # type: ignore[misc]
            code_version,
        )
    return found


@lru_cache(maxsize=4)
def generator_version(folder: str | None) -> str:
    """The start of the fingerprint of a generator for tables."""
    from flame.api import any_table_way
    from flame.table.any_table import fingerprint
    from hypernet.tables.checkpoint import load_table_generator

    place = any_table_way(folder).generator
    return fingerprint(load_table_generator(str(place)))[:12]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of the code that FLAME's results depend on, comments and docstrings left out."""
    digest = hashlib.sha256()
    for name in FLAME_CODE:
        digest.update(ast.dump(_without_docstrings(ast.parse((ROOT / name).read_text("utf8")))).encode())
    return digest.hexdigest()[:8]


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]  # type: ignore[attr-defined]
    return tree


METHODS: dict[str, Method] = {
    "majority": Method(_prepared("codes", *_sklearn("sklearn.dummy", "DummyClassifier", "DummyRegressor"))),
    "linear": Method(_prepared("dense", *_sklearn("sklearn.linear_model", "LogisticRegression", "RidgeCV",
                                                  max_iter=1000, alphas=np.geomspace(1e-2, 1e4, 13)))),
    "k-NN": Method(_prepared("dense", *_sklearn("sklearn.neighbors", "KNeighborsClassifier", "KNeighborsRegressor"))),
    "SVM": Method(_prepared("dense", _svm, _sklearn("sklearn.svm", "SVC", "SVR")[1])),
    "random forest": Method(_prepared("hot", *_sklearn("sklearn.ensemble", "RandomForestClassifier",
                                                         "RandomForestRegressor", n_estimators=200))),
    "HistGradientBoosting": Method(_prepared("codes", *_sklearn(
        "sklearn.ensemble", "HistGradientBoostingClassifier", "HistGradientBoostingRegressor"))),
    "XGBoost": Method(_prepared("hot", *_boosted("xgboost", "XGB", n_estimators=100)), needs="xgboost"),
    "LightGBM": Method(_prepared("codes", *_boosted("lightgbm", "LGBM", verbose=-1)), needs="lightgbm"),
    "MLP, 20 epochs": Method(lambda kind, seed: _network(kind, seed, ensemble=False)),
    "TabM": Method(lambda kind, seed: _network(kind, seed, ensemble=True), needs="tabm"),
    **{name: Method(_recipe(**settings)) for name, settings in RECIPES.items()},
}  # fmt: skip


def available(names: Sequence[str] = (), *, generator: str | None = None) -> tuple[dict[str, Method], list[str]]:
    """The methods that were named (none: all), and the names of those whose library is not installed.

    Raises:
        DataError: if a name is unknown.
    """
    methods = {**METHODS, **flame_methods(generator)}
    if unknown := [n for n in names if n not in methods]:
        raise DataError(f"no method {unknown[0]!r}; there are {did_you_mean(unknown[0], list(methods))}")
    chosen = {n: m for n, m in methods.items() if n in names or not names}
    absent = [n for n, m in chosen.items() if m.needs and importlib.util.find_spec(m.needs) is None]
    return {n: m for n, m in chosen.items() if n not in absent}, absent
