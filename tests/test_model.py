"""What a user holds: it answers in the user's own labels, row by row, and nothing changes in place."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from flame_fixtures import SPECIES, labelled, model_fixture, parts, tiny_fixture, tiny_generator_fixture, unlabelled  # noqa: F401
from sklearn import metrics

from flame import GeneratedModel, generate_model
from flame.errors import ConfigError, DataError
from flame.table.preprocessing import TablePreprocessor

CODES = list(SPECIES)


def with_labels(tiny: str, codes: dict[str, Any]) -> GeneratedModel:
    rows = labelled()
    return generate_model(None, rows.assign(**{"class": rows["class"].map(codes)}), target="class", checkpoint=tiny)


def weights(model: GeneratedModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], two[name]) for name in one | two)


# --- predictions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "dtype"),
    [
        ({k: f"Iris-{k}" for k in CODES}, "object"),
        (SPECIES, "int64"),
        ({k: v / 2 for k, v in SPECIES.items()}, "float64"),
        ({k: float(v) for k, v in SPECIES.items()}, "float64"),
        ({"setosa": 2**70, "versicolor": -1, "virginica": 2}, "object"),
        ({"setosa": 2**63, "versicolor": -1, "virginica": 2}, "object"),
        ({"setosa": 1, "versicolor": "two", "virginica": 3}, "object"),
    ],
)
def test_predictions_are_the_users_own_labels_and_dtype(tiny, codes, dtype):
    found = with_labels(tiny, codes).predict(unlabelled())
    truth = [codes[k] for k in parts("iris").test["class"]]
    assert found.dtype == dtype
    assert np.mean([(type(a), a) == (type(b), b) for a, b in zip(found.tolist(), truth, strict=True)]) > 0.9


def test_two_boolean_labels_come_back_as_booleans(tiny):
    rows = labelled("breast_cancer")
    made = generate_model(
        None, rows.assign(diagnosis=rows["diagnosis"] == "malignant"), target="diagnosis", checkpoint=tiny
    )
    assert made.predict(rows).dtype == bool
    assert (made.predict(rows) == (rows["diagnosis"] == "malignant")).mean() > 0.9


def test_probabilities_of_a_row_sum_to_one_and_agree_with_the_prediction(model):
    p = model.predict_proba(unlabelled())
    assert p.shape == (21, 3)
    assert p.dtype == np.float32
    assert p.sum(1) == pytest.approx(np.ones(21), abs=1e-6)
    assert model.predict(unlabelled()).tolist() == [model.labels[i] for i in p.argmax(1)]


def test_probabilities_are_the_softmax_of_the_plain_module(model):
    x = model.preprocessor.transform(unlabelled())
    logits = model.module(torch.from_numpy(x)).detach().numpy().astype("float64")
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert model.predict_proba(unlabelled()) == pytest.approx(expected, abs=1e-6)


def test_a_row_is_predicted_alike_alone_and_in_any_batch(model):
    rows = pd.concat([labelled(), unlabelled()])
    together = model.predict_proba(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert model.predict_proba(rows.iloc[order]) == pytest.approx(together[order], abs=1e-6)
    alone = np.concatenate([model.predict_proba(rows.iloc[[i]]) for i in range(len(rows))])
    assert alone == pytest.approx(together, abs=1e-6)
    assert (alone.argmax(1) == together.argmax(1)).all()


def test_extreme_rows_of_a_batch_do_not_touch_the_others(model):
    rows = unlabelled()
    wild = pd.concat([rows, rows.assign(petal_length=1e30), rows.assign(petal_width=np.nan)])
    assert model.predict_proba(wild)[:21] == pytest.approx(model.predict_proba(rows), abs=1e-6)


def test_preprocessing_is_the_stored_one_whatever_the_users_rows(tiny, tiny_generator):
    stored = TablePreprocessor.from_json(tiny_generator.tasks["iris"].preprocessing)
    for rows in (labelled(), unlabelled(), unlabelled().head(1), labelled().assign(sepal_width=3.0)):
        assert generate_model(None, rows, checkpoint=tiny).preprocessor == stored


def test_further_columns_and_another_order_change_nothing(model):
    rows = unlabelled()
    more = rows.assign(nested=[[1]] * 21, note="x", when=pd.Timestamp(0))[
        ["note", *rows.columns[::-1], "nested", "when"]
    ]
    assert np.array_equal(model.predict_proba(more), model.predict_proba(rows))


def test_missing_values_and_infinities_are_predicted(model):
    rows = unlabelled().astype(object)
    rows.iloc[0, 0], rows.iloc[1, 1], rows.iloc[2] = None, np.inf, "?"
    assert np.isfinite(model.predict_proba(rows)).all()


def test_no_rows_give_no_predictions(model):
    empty = unlabelled().head(0)
    assert model.predict_proba(empty).shape == (0, 3)
    assert model.predict(empty).shape == (0,)
    assert model.predict(pd.DataFrame(columns=unlabelled().columns)).tolist() == []


@pytest.mark.parametrize(
    "form", [lambda f: f, lambda f: f.to_dict("records"), lambda f: f.to_dict("list"), lambda f: (f, [0] * len(f))]
)
def test_rows_to_predict_come_in_every_form(model, form):
    assert model.predict(form(unlabelled())).tolist() == model.predict(unlabelled()).tolist()


def test_one_flower_as_a_mapping_is_one_row(model):
    assert model.predict(unlabelled().iloc[0].to_dict()).tolist() == [model.predict(unlabelled())[0]]


def test_wrong_columns_are_named_with_the_nearest_there_is(model):
    with pytest.raises(DataError, match=r"'petal_width' missing from .*Did you mean 'petal-width'\?"):
        model.predict(unlabelled().rename(columns={"petal_width": "petal-width"}))


def test_text_in_a_column_of_numbers_is_refused_alone_and_among_others(model):
    rows = unlabelled().astype(object)
    rows.iloc[3, 2] = "long"
    for part in (rows, rows.iloc[[3]]):
        with pytest.raises(DataError, match="'petal_length' must hold numbers, however: 'long'"):
            model.predict(part)


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
@pytest.mark.parametrize(
    "keep", [["setosa", "versicolor", "virginica", "benign", "malignant"], ["virginica", "benign"]]
)
def test_scores_equal_those_of_scikit_learn(tiny, name, keep):
    made = generate_model(None, labelled(name), target=labelled(name).columns[-1], checkpoint=tiny)
    # Half-trained weights, so that there are errors to score.
    damaged = {k: v + 0.3 * torch.randn(v.shape) for k, v in made.module.state_dict().items()}
    made.module.load_state_dict(damaged)
    rows = labelled(name)[lambda f: f.iloc[:, -1].isin(keep)]
    truth, guess, p = (
        rows.iloc[:, -1].to_list(),
        made.predict(rows).tolist(),
        made.predict_proba(rows).astype("float64"),
    )
    present = sorted(set(truth))
    assert guess != truth
    area = metrics.roc_auc_score(pd.get_dummies(truth), p, average="macro") if len(present) == p.shape[1] else None
    expected = {
        "n_rows": len(rows),
        "accuracy": metrics.accuracy_score(truth, guess),
        "balanced_accuracy": metrics.recall_score(truth, guess, average="macro", labels=present),
        "f1_macro": metrics.f1_score(truth, guess, average="macro", labels=present),
        "auc": area,
        "log_loss": metrics.log_loss(truth, p / p.sum(1, keepdims=True), labels=list(made.labels)),
        "mcc": metrics.matthews_corrcoef(truth, guess),
        "majority_accuracy": rows.iloc[:, -1].value_counts(normalize=True).max(),
    }
    scores = {name: value for name, value in made.evaluate(rows).items() if name != "ece"}
    assert scores == pytest.approx({k: v for k, v in expected.items() if v is not None}, abs=1e-9)


def test_scoring_warns_of_nothing(model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.evaluate(labelled().query("`class` == 'virginica'"))


def test_certain_errors_cost_a_finite_log_loss(model):
    sure = replace(model, labels=("virginica", "setosa", "versicolor"), module=copy.deepcopy(model.module))
    for parameter in sure.module.parameters():
        parameter.data.mul_(50.0)
    assert (sure.predict_proba(labelled()) == 0.0).any()
    assert 30 < sure.evaluate(labelled())["log_loss"] < 40


@pytest.mark.parametrize(
    "form",
    [
        lambda f: f,
        lambda f: f.rename(columns={"class": "label"}),
        lambda f: f.rename(columns={"class": "CLASS"}),
        lambda f: f.to_dict("records"),
        lambda f: f.to_dict("list"),
        lambda f: (f.drop(columns="class"), f["class"]),
        lambda f: (f.drop(columns="class"), f["class"].rename("whatever")),
        lambda f: f.assign(nested=[{}] * len(f)),
    ],
)
def test_labelled_rows_are_scored_in_every_form(model, form):
    assert model.evaluate(form(labelled())) == model.evaluate(labelled(), target="class")


def test_labelled_rows_are_scored_from_a_file_by_the_models_target(tiny, tmp_path):
    rows = labelled().rename(columns={"class": "species"})
    made = generate_model(None, rows, target="species", checkpoint=tiny)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert made.evaluate(tmp_path / "rows.csv") == made.evaluate(rows)


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_as_labels_are_scored_in_every_type(tiny, kind):
    made = with_labels(tiny, {k: kind(v) for k, v in SPECIES.items()})
    coded = labelled()["class"].map(SPECIES)
    scores = [
        made.evaluate(labelled().assign(**{"class": coded.astype(t)})) for t in ("int64", "float64", "str", "Int8")
    ]
    assert all(s == scores[0] for s in scores)


def test_labels_unknown_to_the_model_are_named(model):
    rows = labelled().assign(**{"class": ["rose", "tulip"] + ["setosa"] * 103})
    with pytest.raises(DataError, match=r"'class' holds 'rose', 'tulip'; the model knows the labels \['setosa',"):
        model.evaluate(rows)
    with pytest.raises(DataError, match="'rose', 'tulip'"):
        model.finetune(rows)


def test_rows_without_labels_are_not_scored(model):
    with pytest.raises(DataError, match="labels are needed; name the target column"):
        model.evaluate(unlabelled())


# --- fine-tuning ------------------------------------------------------------------------------------------------------


@pytest.fixture
def bad(model: GeneratedModel) -> GeneratedModel:
    """A model whose labels are in the wrong order, so that it is always wrong."""
    return replace(model, labels=("virginica", "setosa", "versicolor"))


def test_finetuning_improves_a_bad_model_and_leaves_it_as_it_was(bad):
    before, story = weights(bad), dict(bad.provenance)
    tuned = bad.finetune(labelled(), epochs=15, learning_rate=2e-2)
    assert bad.evaluate(parts("iris").test)["accuracy"] < 0.2
    assert tuned.evaluate(parts("iris").test)["accuracy"] > 0.8
    assert same(weights(bad), before)
    assert bad.provenance == story
    assert tuned.provenance["finetune"]["best_epoch"] > 0


def test_finetuning_keeps_the_generated_weights_when_no_epoch_helps(model):
    tuned = model.finetune(labelled(), epochs=2, learning_rate=1e3)
    assert tuned is not model
    assert tuned.module is not model.module
    assert same(weights(tuned), weights(model))
    assert tuned.provenance["finetune"]["best_epoch"] == 0
    assert "the generated weights are kept" in tuned.provenance["finetune"]["note"]


def test_finetuning_with_one_seed_gives_one_model_whatever_was_drawn_before(bad):
    one = bad.finetune(labelled(), seed=3)
    torch.rand(100)
    assert same(weights(one), weights(bad.finetune(labelled(), seed=3)))
    assert not same(weights(one), weights(bad.finetune(labelled(), seed=4)))


def test_finetuning_holds_out_a_seventh_of_the_rows(bad):
    assert bad.finetune(labelled()).provenance["finetune"]["n_rows"] == 90


def test_finetuning_needs_two_rows(model):
    with pytest.raises(DataError, match="at least 2 labelled rows, however: 1"):
        model.finetune(labelled().head(1))
    assert model.finetune(labelled().head(2)).provenance["finetune"]["n_rows"] == 1


@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"epochs": -1}, {"learning_rate": 0.0}, {"learning_rate": float("nan")}]
)
def test_finetuning_out_of_range_is_refused(model, options):
    with pytest.raises(ConfigError, match="at least 1 epoch and a learning rate above 0, however: epochs="):
        model.finetune(labelled(), **options)


def test_repr_and_size_tell_what_it_is(model):
    n = sum(value.numel() for value in model.module.state_dict().values())
    assert model.n_parameters() == n
    assert repr(model) == f"GeneratedModel(mlp_small, 'iris', 3 classes, {n:,} parameters)"
    assert set(model.timings) == {"load", "read", "route", "requirement", "weights", "total"}
    assert model.timings["total"] == pytest.approx(sum(v for k, v in model.timings.items() if k != "total"), abs=1e-4)
