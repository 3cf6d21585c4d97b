"""Models for tables that no head was trained for: routes, odd tables, regression, words, files and the command line."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine
from typer.testing import CliRunner

import flame
from flame.api import any_table_way, write_model
from flame.cli import app
from hypernet.tables import TableGenerator

RNG = np.random.default_rng(0)


def table(n=120, d=4, k=3, seed=0):
    """A class, or a number (k = 0), that depends on the first two columns and their product."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    score = x[:, 0] * x[:, 1 % d] + x[:, 0]
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(d)])
    return frame.assign(y=pd.qcut(score, k, labels=False).astype(str) if k else score)


def halves(frame):
    return frame.iloc[::2], frame.iloc[1::2]


def test_a_table_that_no_head_knows_gets_a_model_of_its_own():
    support, query = halves(table(400))
    model = flame.generate_model("Which of three groups?", support, target="y")
    scores = model.evaluate(query)
    assert scores["accuracy"] > 0.75 > 0.45 > scores["majority_accuracy"]
    assert (model.route.way, model.metadata.arch, model.labels) == ("any_table", "mlp_steps", ("0", "1", "2"))
    assert "no trained head is used: no task has a column of these names" in model.route.notes
    assert isinstance(model.module, torch.nn.Module)
    assert model.provenance["checkpoint_sha256"] == any_fingerprint()


def any_fingerprint():
    from flame.api import BUILTIN
    from hypernet.tables.checkpoint import load_table_generator

    return load_table_generator(BUILTIN / "any-table").fingerprint


def test_a_known_table_still_goes_to_its_head(tmp_path):
    from tests.test_route import labelled

    assert flame.generate_model(None, labelled()).route.way == "task_head"


def test_a_number_is_predicted_in_its_own_unit(tmp_path):
    frame = load_diabetes(as_frame=True).frame
    support, query = halves(frame.assign(target=frame["target"] * 1e6))
    model = flame.generate_model("Predict how diabetes progresses.", support, target="target")
    scores = model.evaluate(query)
    assert model.is_regression
    assert scores["r2"] > 0.35
    assert scores["rmse"] < scores["mean_rmse"]
    assert "a number" in repr(model)
    with pytest.raises(flame.FlameError, match="has no probabilities; call predict"):
        model.predict_proba(query)
    with pytest.raises(flame.FlameError, match=r"holds 'many'.*finite numbers are needed"):
        model.evaluate(query.astype({"target": object}).assign(target="many"))
    again = flame.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict(query), model.predict(query))


def test_numbers_are_fine_tuned_in_their_standard_deviations():
    support, query = halves(table(1200, k=0).assign(y=lambda f: f["y"] * 1e6 + 1e7))
    model = flame.generate_model(None, support.head(30), target="y")
    tuned = model.finetune(support, epochs=5)
    assert tuned.provenance["finetune"]["best_epoch"] > 0
    assert tuned.evaluate(query)["r2"] > model.evaluate(query)["r2"] + 0.02


def test_a_saved_model_gives_the_same_probabilities(tmp_path):
    support, query = halves(table())
    model = flame.generate_model(None, support, target="y")
    again = flame.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict_proba(query), model.predict_proba(query))
    assert again.metadata == model.metadata


def test_the_order_of_columns_changes_nothing():
    support, query = halves(table(d=5))
    turned = support[["y", "c3", "c0", "c4", "c2", "c1"]]
    a, b = (flame.generate_model(None, rows, target="y").predict_proba(query) for rows in (support, turned))
    assert np.array_equal(a, b)


def test_two_calls_give_the_same_model_and_another_seed_another():
    support, query = halves(table())
    batch = flame.read_data(support, target="y")
    made = [write_model(any_table_way(seed=s).propose(None, batch), None).predict_proba(query) for s in (0, 0, 1)]
    assert np.array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2])


def test_scale_decides_how_many_networks_are_drawn():
    batch = flame.read_data(table(), target="y")
    made = [write_model(any_table_way().propose(None, batch), None, scale=s) for s in ("small", "base", "large")]
    units = [m.metadata.widths[1] for m in made]
    assert units == [384, 768, 1536]
    assert [m.metadata.scale for m in made] == ["small", "base", "large"]
    spoken = flame.generate_model("Tell the groups apart; it runs on a phone.", table(), target="y")
    assert spoken.metadata.scale == "small"
    assert "the scale is small: 1 drawn networks in one" in spoken.route.notes


def test_columns_that_the_words_name_are_said_in_the_reason():
    frame = table().rename(columns={"c0": "blood_pressure", "c1": "age"})
    model = flame.generate_model("Which group, judging by blood pressure?", frame, target="y")
    assert model.route.reason.endswith("; the description names 'blood_pressure'")


def test_a_generator_of_ones_own_is_used_and_named():
    own = TableGenerator().eval()
    own.provenance = {"name": "mine"}
    model = flame.generate_model(None, table(), target="y", table_generator=own)
    assert model.route.checkpoint == "mine"
    assert model.provenance["checkpoint_sha256"] != any_fingerprint()
    with pytest.raises(flame.FlameError, match="is no generator for tables"):
        flame.generate_model(None, table(), target="y", table_generator="nowhere")


def model_and_notes(frame, **options):
    model = flame.generate_model(None, frame, target="y", **options)
    assert np.isfinite(model.predict_proba(frame) if not model.is_regression else model.predict(frame)).all()
    return model, "; ".join(model.route.notes)


@pytest.mark.parametrize(("n", "d", "k"), [(150, 1, 2), (400, 200, 3), (800, 4, 40), (60, 3, 0)])
def test_any_number_of_columns_and_classes(n, d, k):
    model, _ = model_and_notes(table(n, d, k))
    assert len(model.labels) == k


def test_columns_of_no_use_are_left_out_and_named():
    texts = [f"text number {i}" for i in range(120)]
    frame = table().assign(same=3, never=np.nan, texts=texts, half=np.where(np.arange(120) % 2, np.nan, 1.0))
    model, notes = model_and_notes(frame)
    assert "column 'same' holds the same value in every row and is not used" in notes
    assert "column 'never' holds no value and is not used" in notes
    assert "column 'texts' holds 120 different texts in 120 rows and is not used" in notes
    assert model.preprocessor.names == ("c0", "c1", "c2", "c3", "half")
    with pytest.raises(flame.FlameError, match=r"no input column can be used: column 'same'.*give numbers"):
        flame.generate_model(None, frame[["same", "y"]], target="y")


def test_one_row_per_class_works_and_says_how_little_that_is():
    _, notes = model_and_notes(table(3, 2, 3))
    assert "a class has only 1 labelled row(s): expect little of this model" in notes


def test_a_rare_class_keeps_its_place():
    frame = table(500).assign(y=np.where(np.arange(500) < 6, "rare", "common"))
    frame.loc[frame["y"] == "rare", "c3"] += 9
    model, _ = model_and_notes(frame)
    assert (model.predict(frame[frame["y"] == "rare"]) == "rare").all()


def test_labels_without_any_relation_are_noticed():
    frame = table(300, 4, 2).assign(y=RNG.permutation(["a", "b"] * 150))
    assert "they may be unrelated" in model_and_notes(frame)[1]
    assert "unrelated" not in model_and_notes(table(300, 4, 2))[1]


def test_missing_cells_unseen_categories_and_infinite_targets():
    frame = table(200, 3, 2)
    frame["colour"] = RNG.choice(["red", "green", None], 200)
    frame.loc[::3, "c0"] = np.nan
    model, _ = model_and_notes(frame)
    assert np.isfinite(model.predict_proba(frame.assign(colour="violet", c1=np.nan))).all()
    numbers = table(60, 3, 0)
    numbers.loc[3, "y"] = np.inf
    assert "1 row(s) without a value in 'y' are left out" in model_and_notes(numbers)[1]


def test_many_rows_are_thinned_to_bound_the_memory(monkeypatch):
    monkeypatch.setattr("flame.table.any_table.MAX_FEATURE_CELLS", 60_000)
    frame = table(1000, 2, 2)
    frame.loc[999, "y"] = "late"
    model, notes = model_and_notes(frame)
    assert "of 1,000 rows are read, evenly spread, to bound the memory" in notes
    assert "late" in model.labels


def test_more_rows_make_a_better_model():
    query = table(2000, seed=1)
    accuracies = [flame.generate_model(None, table(n), target="y").evaluate(query)["accuracy"] for n in (30, 300, 1500)]
    assert accuracies == sorted(accuracies)
    assert accuracies[2] > accuracies[0] + 0.1


def test_the_command_line_serves_a_number(tmp_path):
    wine = load_wine(as_frame=True).frame.drop(columns="target")
    wine.iloc[:120].to_csv(tmp_path / "rows.csv", index=False)
    wine.iloc[120:].drop(columns="alcohol").to_csv(tmp_path / "new.csv", index=False)
    run, folder = CliRunner().invoke, str(tmp_path / "model")
    made = run(app, ["generate", str(tmp_path / "rows.csv"), "--target", "alcohol", "-o", folder, "--json"])
    assert json.loads(made.stdout)["metadata"]["task"] == "tabular_reg"
    told = run(app, ["predict", folder, str(tmp_path / "new.csv"), "--json"])
    numbers = [row["alcohol"] for row in json.loads(told.stdout)]
    assert len(numbers) == len(wine) - 120
    assert all(10 < v < 16 for v in numbers)
    scored = run(app, ["evaluate", folder, str(tmp_path / "rows.csv"), "--json"])
    assert json.loads(scored.stdout)["r2"] > 0.3
