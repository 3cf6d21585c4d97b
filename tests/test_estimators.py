"""The scikit-learn estimators."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from flame import FlameClassifier, FlameError, FlameRegressor
from flame.errors import CheckpointError
from hypernet.tables import TableGenerator

WINE = load_wine(as_frame=True)


@pytest.mark.parametrize("estimator", [FlameClassifier(scale="small"), FlameRegressor(scale="small")])
def test_scikit_learn_accepts_them(estimator):
    results = check_estimator(estimator, on_skip=None)
    assert len(results) > 40
    assert {r["status"] for r in results} <= {"passed", "skipped"}


def test_they_score_in_cross_validation_pipelines_and_grid_search():
    assert cross_val_score(FlameClassifier(), WINE.data, WINE.target, cv=3).mean() > 0.93
    x, y = load_diabetes(return_X_y=True)
    assert cross_val_score(make_pipeline(FunctionTransformer(), FlameRegressor()), x, y, cv=3).mean() > 0.35
    search = GridSearchCV(FlameClassifier(), {"scale": ["small", "base"]}, cv=2).fit(WINE.data, WINE.target)
    assert search.best_params_["scale"] in ("small", "base")


def test_frames_with_texts_and_gaps_are_read():
    x = WINE.data.assign(colour=np.where(WINE.target == 0, "pale", "dark")).mask(lambda f: f == f.iloc[3])
    y = WINE.target.map({0: "a", 1: "b", 2: "c"})
    model = FlameClassifier("Which wine is it, by its alcohol?").fit(x, y)
    assert list(model.classes_) == ["a", "b", "c"]
    assert (model.predict(x) == y).mean() > 0.95
    assert "alcohol" in model.model_.route.reason
    with pytest.raises(ValueError, match="feature names"):
        model.predict(x.drop(columns="colour"))


def test_the_seed_decides_and_clones_are_equal():
    x, y = WINE.data.to_numpy(), WINE.target.to_numpy()
    a, b, c = (
        m.fit(x, y).predict_proba(x)
        for m in (FlameClassifier(), clone(FlameClassifier()), FlameClassifier(random_state=1))
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_another_generator_is_used():
    x, y = WINE.data, WINE.target
    untrained = FlameClassifier(generator=TableGenerator().eval()).fit(x, y)
    assert not np.array_equal(untrained.predict_proba(x), FlameClassifier().fit(x, y).predict_proba(x))
    with pytest.raises(CheckpointError, match="is no generator for tables"):
        FlameClassifier(generator="nowhere").fit(x, y)


def test_bad_arguments_and_labels_are_refused():
    x, y = WINE.data, WINE.target
    with pytest.raises(FlameError, match="'small', 'base' or 'large', however: 'huge'"):
        FlameClassifier(scale="huge").fit(x, y)
    with pytest.raises(ValueError, match="at least 2 classes"):
        FlameClassifier().fit(x, np.zeros(len(x)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        FlameClassifier().fit(x, y[:-1])
    with pytest.raises(FlameError, match="no input column can be used"):
        FlameRegressor().fit(pd.DataFrame({"same": [1.0] * 30}), np.arange(30.0))
