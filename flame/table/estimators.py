"""The generator for any table as scikit-learn estimators: `fit` is one forward pass, nothing is trained.

Shape letters: n = rows, d = columns, k = classes.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
from torch import Tensor, nn

from flame.api import any_table_way, write_model
from flame.data import read_data
from flame.errors import ConfigError
from flame.metadata import Scale
from flame.model import GeneratedModel
from flame.table.any_table import AnyTable, usable
from hypernet.tables import TableGenerator

TARGET = "target"
"""Name of the predicted column in the requirement sentence, where the labels have none."""


class _TableEstimator(BaseEstimator):
    """What both estimators share."""

    model_: GeneratedModel
    """The generated model; `save` keeps it."""
    network_: nn.Module
    """Its network in double precision."""

    def __init__(
        self,
        description: str | None = None,
        *,
        scale: Scale = "base",
        generator: str | Path | TableGenerator | None = None,
        random_state: int = 0,
    ) -> None:
        self.description = description
        self.scale = scale
        self.generator = generator
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    def _frame(self, x: Any, *, reset: bool) -> pd.DataFrame:
        """Rows as a frame; columns of an array are called x0, x1, ..."""
        if isinstance(x, pd.DataFrame):
            validate_data(self, x, reset=reset, skip_check_array=True)
            if reset and x.shape[1] == 0:
                raise ValueError(f"0 feature(s) (shape={x.shape}) while a minimum of 1 is required.")
            return x.set_axis([str(c) for c in x.columns], axis=1).reset_index(drop=True)
        # Infinite cells are refused, as everywhere in scikit-learn; missing ones are read.
        checked = validate_data(self, x, reset=reset, dtype=None, ensure_all_finite="allow-nan")
        if checked.dtype.kind == "c":
            raise ValueError("Complex data not supported")
        return pd.DataFrame(checked, columns=[f"x{i}" for i in range(checked.shape[1])])

    def _outputs(self, x: Any) -> Tensor:
        """In double precision: a row's prediction then hardly depends on the rows beside it."""
        check_is_fitted(self)
        rows = self.model_.preprocessor.encode(self._frame(x, reset=False))
        with torch.inference_mode():
            taken = [rows.take(part)[0] for part in rows.parts()]
            return torch.cat([self.network_(part.double()) for part in taken if part is not None])

    def _write(self, x: pd.DataFrame, y: np.ndarray, task_type: str, name: str) -> None:
        if self.scale not in ("small", "base", "large"):
            raise ConfigError(f"scale must be 'small', 'base' or 'large', however: {self.scale!r}")
        batch = usable(read_data((x, pd.Series(y, name=name)), modality="table"))
        way = any_table_way(self.generator, seed=self.random_state)
        proposal = AnyTable(way, self.description, batch, task_type)
        self.model_ = write_model(proposal, self.description, scale=self.scale)
        self.network_ = copy.deepcopy(self.model_.module).double()


class FlameClassifier(ClassifierMixin, _TableEstimator):
    """A classifier that a pre-trained generator writes from the labelled rows, in one forward pass.

    Args:
        description: what the task is; columns that it names may speak louder.
        scale: `small`, `base` or `large`: one, two or four drawn networks in one.
        generator: folder of a checkpoint or a loaded generator; the built-in one if not given.
        random_state: which networks are drawn; the same number gives the same model.

    >>> from sklearn.datasets import load_iris
    >>> FlameClassifier().fit(*load_iris(return_X_y=True)).predict_proba([[5.1, 3.5, 1.4, 0.2]]).shape
    (1, 3)
    """

    classes_: np.ndarray

    def fit(self, X: Any, y: Any) -> FlameClassifier:
        """Write the model. Rows may hold numbers, texts as categories, and missing cells.

        Raises:
            DataError: if no column is of use, or all labels are the same.
        """
        frame, labels = _with_labels(self, X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"a classifier needs at least 2 classes, however y holds one class: {self.classes_[0]!r}")
        self._write(frame, codes, "tabular_cls", _name_of(y))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities in the order of `classes_`: (n, k)."""
        return self._outputs(X).softmax(-1).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """The most likely class of every row: (n,)."""
        best = self._outputs(X).argmax(-1).numpy()
        return self.classes_[best]


class FlameRegressor(RegressorMixin, _TableEstimator):
    """A regressor that a pre-trained generator writes from the labelled rows; arguments as of `FlameClassifier`.

    >>> from sklearn.datasets import load_diabetes
    >>> FlameRegressor().fit(*load_diabetes(return_X_y=True)).predict([[0.0] * 10]).shape
    (1,)
    """

    def fit(self, X: Any, y: Any) -> FlameRegressor:
        """Write the model.

        Raises:
            DataError: if no column is of use.
        """
        frame, numbers = _with_labels(self, X, y, numeric=True)
        self._write(frame, numbers, "tabular_reg", _name_of(y))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicted numbers: (n,)."""
        return self._outputs(X)[:, 0].numpy()


def _with_labels(
    estimator: _TableEstimator, x: Any, y: Any, *, numeric: bool = False
) -> tuple[pd.DataFrame, np.ndarray]:
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    frame = estimator._frame(x, reset=True)
    labels = column_or_1d(y, warn=True)
    if len(labels) != len(frame):
        raise ValueError(f"inconsistent numbers of samples: X has {len(frame)} rows, y {len(labels)}")
    if len(frame) < 2:
        raise ValueError(f"a model needs at least 2 labelled rows, however n_samples = {len(frame)}")
    if numeric:
        labels = np.asarray(labels, dtype="float64")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("Input y contains NaN or infinity; leave out these rows")
    return frame, labels


def _name_of(y: Any) -> str:
    name = getattr(y, "name", None)
    return name if isinstance(name, str) and name else TARGET
