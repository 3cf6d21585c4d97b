"""A network that nobody trained: random units and a ridge head in closed form, the recipe the generator starts from.

    model = ClosedForm("classification", draws=4).fit(x, y)

The control of `experiments.unseen_tables` for all that is not learned: columns are encoded, units drawn at random, and
one convex problem solved, with the regulariser and the temperature by leave-one-out. Nothing comes from other tables.

Letters: n = rows, d = columns, m = inputs, p = features, k = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 12
"""Steps of the piecewise-linear encoding of a numeric column (Gorishniy et al. 2022)."""
MAX_CATEGORIES = 64
RIDGES = np.geomspace(1e-1, 1e3, 9)
TEMPERATURES = np.geomspace(1.0, 40.0, 24)
"""Factors of the ridge head's scores, which lie about between 0 and 1."""


@dataclass(frozen=True)
class Inputs:
    """Rows as a network reads them."""

    raw: Array
    """(n, m) standardised numbers and one-hot categories."""
    encoded: tuple[Array, ...]
    """One (n, steps) block a column."""
    column: NDArray[np.int64]
    """(m,) the column of every raw input."""


class ColumnEncoder:
    """Numbers become steps between quantiles, categories one-hot; missing numbers the mean and a flag."""

    def __init__(self, x: pd.DataFrame) -> None:
        self._columns: list[tuple[str, dict[str, Any]]] = []
        for name in x:
            known = _categories(x[name]) if x[name].dtype == "category" else _numbers(x[name])
            if known:
                self._columns.append((str(name), known))

    def __call__(self, x: pd.DataFrame) -> Inputs:
        raw, encoded, owner = [np.zeros((len(x), 0))], [], []
        for i, (name, known) in enumerate(self._columns):
            values, steps = _read(x[name], known)
            raw.append(values)
            encoded.append(steps)
            owner += [i] * values.shape[1]
        return Inputs(np.concatenate(raw, 1), tuple(encoded), np.array(owner, dtype=int))


def _categories(column: pd.Series) -> dict[str, Any]:
    shares = column.value_counts(normalize=True, dropna=False).head(MAX_CATEGORIES)
    if len(shares) < 2:
        return {}
    p = shares.to_numpy()
    return {"values": list(shares.index), "mean": p, "std": np.sqrt(p * (1 - p)) + 1e-6}


def _numbers(column: pd.Series) -> dict[str, Any]:
    values = column.to_numpy(dtype=float)
    values, flagged = values[~np.isnan(values)], bool(np.isnan(values).any())
    if len(values) == 0 or (values.std() == 0 and not flagged):
        return {}
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)))
    edges = edges if len(edges) > 1 else np.array([edges[0] - 0.5, edges[0] + 0.5])
    steps = _steps(values, edges).mean(0)
    return {"edges": edges, "fill": steps, "mean": values.mean(), "std": values.std() + 1e-9, "flagged": flagged}


def _steps(values: Array, edges: Array) -> Array:
    return np.clip((values[:, None] - edges[:-1]) / np.diff(edges), 0, 1)


def _read(column: pd.Series, known: dict[str, Any]) -> tuple[Array, Array]:
    if "values" in known:
        text, missing = column.astype(object), column.isna().to_numpy()
        hot = np.stack([missing if pd.isna(v) else (text == v).to_numpy() for v in known["values"]], 1).astype(float)
        return (hot - known["mean"]) / known["std"], hot - 0.5
    values = column.to_numpy(dtype=float)
    missing = np.isnan(values)
    steps = np.where(missing[:, None], known["fill"], _steps(values, known["edges"])) - 0.5
    number = np.where(missing, 0, np.clip((values - known["mean"]) / known["std"], -6, 6))[:, None]
    if not known["flagged"]:
        return number, steps
    flag = missing[:, None] - 0.5
    return np.concatenate([number, flag], 1), np.concatenate([steps, flag], 1)


class RandomLayer:
    """ReLU units over a few columns and conjunctions of thresholds, drawn for the support rows.

    Shape:
        Inputs -> (n, p), centred and scaled on the support rows
    """

    def __init__(self, inputs: Inputs, y: Array, n_units: int, n_conjunctions: int, rng: np.random.Generator) -> None:
        sizes = [block.shape[1] for block in inputs.encoded]
        owner = np.repeat(np.arange(len(sizes)), sizes)
        reads = np.stack([_few(len(sizes), rng) for _ in range(n_units)], 1) if n_units else np.zeros((len(sizes), 0))
        self._weight = rng.standard_normal((len(owner), n_units)) * reads[owner]
        z = np.concatenate(inputs.encoded, 1) @ self._weight
        self._scale, self._centre = z.std(0) + 1e-6, z.mean(0)
        self._bias = rng.uniform(-1.5, 1.5, n_units)
        chance = column_gains(inputs, y) + 0.02
        chance = chance[inputs.column] / chance[inputs.column].sum()
        self._terms = [_conjunction(inputs.raw, chance, rng) for _ in range(n_conjunctions)]
        features = self._features(inputs)
        self._mean, self._std = features.mean(0), features.std(0) + 0.05

    def __call__(self, inputs: Inputs) -> Array:
        return (self._features(inputs) - self._mean) / self._std

    def _features(self, inputs: Inputs) -> Array:
        z = np.concatenate(inputs.encoded, 1) @ self._weight
        units = np.maximum((z - self._centre) / self._scale + self._bias, 0)
        holds = [(sign * (inputs.raw[:, place] - value) >= 0).all(1) for place, value, sign in self._terms]
        ends = np.stack(holds, 1).astype(float) if holds else np.zeros((len(units), 0))
        return np.concatenate([inputs.raw, units, ends], 1)


def _few(d: int, rng: np.random.Generator) -> Array:
    """One to four of the columns."""
    reads = np.zeros(d)
    reads[rng.choice(d, min(d, int(rng.integers(1, 5))), replace=False)] = 1
    return reads


def _conjunction(raw: Array, chance: Array, rng: np.random.Generator) -> tuple[Any, Array, Array]:
    """Places, thresholds at values of random rows, and directions."""
    place = rng.choice(len(chance), min(len(chance), int(rng.integers(2, 5))), replace=False, p=chance)
    value = raw[rng.integers(len(raw), size=len(place)), place]
    return place, value, rng.choice([-1.0, 1.0], len(place))


def column_gains(inputs: Inputs, y: Array) -> Array:
    """How much of the target each column explains alone: R² of a small ridge regression, less what chance explains."""
    y = y - y.mean(0)
    gains = []
    for block in inputs.encoded:
        z = block - block.mean(0)
        w = np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T @ y)
        explained = 1 - ((y - z @ w) ** 2).sum() / max((y**2).sum(), 1e-12)
        gains.append(max(explained - z.shape[1] / len(y), 0.0))
    return np.array(gains)


@dataclass(frozen=True)
class Head:
    """A ridge regression and its leave-one-out predictions."""

    weight: Array
    mean: Array
    left_out: Array
    """(n, k)"""


def fit_ridge(z: Array, y: Array) -> Head:
    """Ridge regression of centred features, regularised by leave-one-out error.

    Shape:
        z (n, p), y (n, k)
    """
    mean = y.mean(0)
    u, s, vt = _svd(z)
    uy = u.T @ (y - mean)
    best: tuple[float, float, Array] | None = None
    for ridge in RIDGES:
        keep = s**2 / (s**2 + ridge)
        leverage = np.minimum((u**2) @ keep + 1 / len(y), 0.999)
        residual = (y - mean - u @ (keep[:, None] * uy)) / (1 - leverage)[:, None]
        error = float((residual**2).mean())
        if best is None or error < best[0]:
            best = error, ridge, y - residual
    assert best is not None
    weight = vt.T @ ((s / (s**2 + best[1]))[:, None] * uy)
    return Head(weight, mean, best[2])


def _svd(z: Array) -> tuple[Array, Array, Array]:
    """Thin singular value decomposition by the smaller Gram matrix, without directions of no length."""
    wide = z.shape[0] <= z.shape[1]
    values, vectors = np.linalg.eigh(z @ z.T if wide else z.T @ z)
    kept = values > 1e-9 * max(values.max(), 1e-12)
    s, vectors = np.sqrt(values[kept]), vectors[:, kept]
    other = (z.T @ vectors if wide else z @ vectors) / s
    return (vectors, s, other.T) if wide else (other, s, vectors.T)


class ClosedForm:
    """The recipe as a model of scikit-learn's shape, the mean of `draws` networks."""

    def __init__(
        self, kind: str, *, draws: int = 1, n_units: int = 384, n_conjunctions: int = 128, seed: int = 0
    ) -> None:
        self.kind, self.draws, self.sizes, self.seed = kind, draws, (n_units, n_conjunctions), seed

    def fit(self, x: pd.DataFrame, y: pd.Series | NDArray[Any]) -> ClosedForm:
        self.encoder = ColumnEncoder(x)
        inputs, target = self.encoder(x), self._target(np.asarray(y))
        self.layers, self.heads = [], []
        if inputs.encoded:
            for draw in range(self.draws):
                layer = RandomLayer(inputs, target, *self.sizes, np.random.default_rng([self.seed, draw]))
                self.layers.append(layer)
                self.heads.append(fit_ridge(layer(inputs), target))
        self.mean = target.mean(0)
        self.temperature = self._best_temperature(target) if self.kind == "classification" else 1.0
        return self

    def scores(self, x: pd.DataFrame) -> Array:
        inputs = self.encoder(x)
        parts = [layer(inputs) @ h.weight + h.mean for layer, h in zip(self.layers, self.heads, strict=True)]
        return np.mean(parts, 0) if parts else np.tile(self.mean, (len(x), 1))

    def predict_proba(self, x: pd.DataFrame) -> Array:
        return softmax(self.temperature * self.scores(x))

    def predict(self, x: pd.DataFrame) -> NDArray[Any]:
        scores = self.scores(x)
        return self.classes_[scores.argmax(1)] if self.kind == "classification" else scores[:, 0] * self.std

    def _target(self, y: NDArray[Any]) -> Array:
        if self.kind == "classification":
            self.classes_, codes = np.unique(y, return_inverse=True)
            return np.eye(len(self.classes_))[codes]
        numbers = y.astype(float)
        self.std = float(numbers.std()) or 1.0
        return (numbers / self.std)[:, None]

    def _best_temperature(self, target: Array) -> float:
        if not self.heads:
            return 1.0
        left_out = np.mean([h.left_out for h in self.heads], 0)
        losses = [-np.log((softmax(t * left_out) * target).sum(1) + 1e-12).mean() for t in TEMPERATURES]
        return float(TEMPERATURES[int(np.argmin(losses))])


def softmax(scores: Array) -> Array:
    """Shape: (n, k) -> (n, k)."""
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)
