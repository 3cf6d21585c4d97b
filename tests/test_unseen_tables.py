"""The evidence for tables nobody trained for: its figures against hand counts, its controls, its command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments/ is not installed

from experiments import table_methods, table_scores, unseen_curves, unseen_report, unseen_tables  # noqa: E402
from experiments.closed_form import ClosedForm, ColumnEncoder, fit_ridge  # noqa: E402
from experiments.table_kit import KitTable, load_kit_table, read_tasks  # noqa: E402
from experiments.table_methods import METHODS, Method, Preparation, available, control_generator  # noqa: E402
from experiments.table_runs import Results, run, score_method, split_rows  # noqa: E402
from flame.errors import CheckpointError, DataError  # noqa: E402
from hypernet.tables import TableGenerator  # noqa: E402
from hypernet.tables.checkpoint import save_table_generator  # noqa: E402

CHEAP = ["majority", "linear", "random forest", "recipe, 1 draw"]


def toy(kind: str = "classification", n: int = 120, seed: int = 0) -> KitTable:
    """Two numbers with gaps and a category; the first number and the category decide."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.standard_normal(n), rng.standard_normal(n), rng.choice(["u", "v"], n)
    x = pd.DataFrame({"a": a, "b": np.where(rng.random(n) < 0.1, np.nan, b), "c": pd.Categorical(c)})
    score = a + (c == "u")
    y = pd.Series(score if kind == "regression" else np.where(score > 0.5, "high", "low"), name="y")
    return KitTable("toy", "regression" if kind == "regression" else "classification", "select", "toys", "y", x, y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data folder with two classifications that are siblings, another one, and three regressions."""
    path = tmp_path_factory.mktemp("data")
    (path / "tabular").mkdir()
    tasks = {}
    for i, name in enumerate(("one", "twin", "two", "first", "second", "third")):
        table = toy("regression" if i > 2 else "classification", n=90 + i, seed=i)
        table.x.assign(y=table.y).to_csv(path / "tabular" / f"{name}.csv", index=False)
        tasks[name] = {
            "files": [f"tabular/{name}.csv"], "read": {"format": "csv"}, "task": table.kind, "target": "y",
            "numeric": ["a", "b"], "role": "select" if name != "third" else "evaluate",
            "family": "one" if name == "twin" else name, "n_rows": len(table.y), "n_classes": 2,
        }  # fmt: skip
    (path / "tabular" / "tasks.json").write_text(json.dumps(tasks), "utf8")
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A generator whose last layers say something."""
    torch.manual_seed(3)
    generator = TableGenerator()
    for last in (generator.shrinkage.scale, generator.shrinkage.settings):
        torch.nn.init.normal_(last.weight, std=0.5)
    return save_table_generator(generator, tmp_path_factory.mktemp("generator"), provenance={})


# --- figures ----------------------------------------------------------------------------------------------------------


def test_calibration_error_is_the_weighted_gap_of_the_bins():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    # Bins of 1/15: 0.9 twice (one right), 0.8 (right), 0.6 (wrong).
    assert table_scores.calibration_error(np.array([0, 1, 1, 1]), p) == pytest.approx(
        (abs(1.8 - 1) + abs(0.8 - 1) + 0.6) / 4
    )


def test_auc_is_that_of_scikit_learn_and_leaves_out_absent_classes():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    y, p = rng.integers(3, size=60), rng.dirichlet(np.ones(3), 60).round(1) + 1e-3
    p = p / p.sum(1, keepdims=True)
    assert table_scores.macro_auc(y, p) == pytest.approx(roc_auc_score(y, p, multi_class="ovr", average="macro"))
    wider = np.concatenate([p, np.zeros((60, 1))], 1)
    assert table_scores.macro_auc(y, wider) == pytest.approx(table_scores.macro_auc(y, p))


def test_log_loss_is_clipped():
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert table_scores.log_loss(np.array([0, 1]), p) == pytest.approx((np.log(2) + np.log(1000)) / 2)


def test_r_squared_is_that_of_scikit_learn():
    from sklearn.metrics import r2_score

    y, guess = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    assert table_scores.r_squared(y, guess) == pytest.approx(r2_score(y, guess))


def test_the_interval_of_a_constant_is_the_constant_and_widens_with_spread():
    assert table_scores.bootstrap_interval(np.full(9, 0.25)) == (0.25, 0.25)
    low, high = table_scores.bootstrap_interval(np.array([-1.0, 1.0] * 50))
    # The standard error is 0.1: the normal interval is +-0.196.
    assert (low, high) == (pytest.approx(-0.196, abs=0.03), pytest.approx(0.196, abs=0.03))


def test_mean_ranks_share_ties():
    assert table_scores.mean_ranks(np.array([[0.9, 0.8, 0.8], [0.5, 0.7, 0.6]])).tolist() == [2.0, 1.75, 2.25]


def test_wins_losses_and_ties_are_counted():
    assert table_scores.record_against(np.array([1.0, 0.5, 0.7]), np.array([0.9, 0.6, 0.7 + 1e-12])) == (1, 1, 1)


def test_families_are_averaged_before_the_mean():
    names, rows = table_scores.by_family({"a": [1.0], "b": [0.0], "c": [0.5]}, {"a": "f", "b": "f", "c": "g"})
    assert (names, rows.tolist()) == (["f", "g"], [[0.5], [0.5]])


def test_the_critical_difference_is_that_of_demsar():
    # Demsar 2006, section 3.2.2: q = 2.569 for 4 classifiers on 14 data sets.
    assert table_scores.critical_difference(4, 14) == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=2e-3)


# --- splits and runs --------------------------------------------------------------------------------------------------


def test_splits_keep_the_shares_of_classes_and_never_score_a_class_of_one_row():
    y = pd.Series(["a"] * 60 + ["b"] * 39 + ["c"])
    split = split_rows(KitTable("t", "classification", "select", "t", "y", pd.DataFrame({"n": range(100)}), y), 0)
    assert split.y.value_counts().to_dict() == {"a": 42, "b": 28, "c": 1}
    assert set(split.x["n"]) | set(split.x_test["n"]) == set(range(100))
    assert len(split.y_test) == 29


def test_fewer_support_rows_are_scored_on_the_same_rows():
    full, few = split_rows(toy(), 1), split_rows(toy(), 1, n_support=10)
    assert (len(few.y), set(few.y)) == (10, {"high", "low"})
    assert few.x_test.equals(full.x_test)


def test_another_seed_is_another_split():
    assert not split_rows(toy(), 0).x_test.equals(split_rows(toy(), 1).x_test)


def test_a_finished_run_is_read_and_only_a_new_version_is_measured_again(tmp_path):
    built = []

    def make(kind, seed):
        built.append(seed)
        return METHODS["majority"].make(kind, seed)

    def go(version: str) -> list[dict]:
        methods = {"m": Method(make, lambda: version)}
        results = Results(tmp_path / "runs.jsonl")
        return list(run(["toy"], lambda name: toy(), methods, results, splits=2, max_rows=100))

    first = go("1")
    with (tmp_path / "runs.jsonl").open("a") as file:
        file.write('{"key": "cut off')  # as a kill leaves it
    assert (go("1"), len(built)) == (first, 2)
    go("2")
    assert len(built) == 4


def test_a_method_that_fails_counts_as_the_majority_and_says_why():
    class Broken:
        def fit(self, x, y):
            raise ValueError("no such luck")

    split = split_rows(toy(), 0)
    found = score_method(Method(lambda kind, seed: Broken()), "classification", split, 0)
    assert found["error"] == "ValueError: no such luck"
    assert found["accuracy"] == score_method(METHODS["majority"], "classification", split, 0)["accuracy"]


def test_a_set_up_that_is_wrong_stops_the_run():
    def make(kind, seed):
        raise CheckpointError("no generator here")

    with pytest.raises(CheckpointError):
        score_method(Method(make), "classification", split_rows(toy(), 0), 0)


# --- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_every_method_beats_the_majority_on_an_easy_table(name, kind):
    if METHODS[name].needs:
        pytest.importorskip(METHODS[name].needs, reason=f"{name} needs its library")
    split = split_rows(toy(kind, n=400), 0)
    figure = "r2" if kind == "regression" else "accuracy"
    found, least = (score_method(METHODS[m], kind, split, 0) for m in (name, "majority"))
    assert "error" not in found
    assert found[figure] > least[figure] + 0.25 or name == "majority"


def test_missing_cells_and_unknown_categories_are_prepared():
    x = pd.DataFrame({"n": [1.0, np.nan, 3.0, 2.0], "c": pd.Categorical(["u", "v", None, "u"]), "e": [np.nan] * 4})
    later = pd.DataFrame({"n": [np.nan], "c": pd.Categorical(["w"]), "e": [np.nan]})
    assert np.array_equal(Preparation(x, "codes")(later), [[np.nan, np.nan]], equal_nan=True)
    assert np.array_equal(Preparation(x, "hot")(later), [[np.nan, 0, 0]], equal_nan=True)
    assert np.allclose(Preparation(x, "dense")(x).mean(0), 0)
    assert len(ColumnEncoder(x)(later).raw[0]) == 5  # a number and its flag; u, v and what is missing


def test_the_controls_are_different_models(checkpoint):
    methods, _ = available(
        ["untrained generator", "random generator", "FLAME", "FLAME large"], generator=str(checkpoint)
    )
    split = split_rows(toy(n=200), 0)
    guesses = [m.make("classification", 0).fit(split.x, split.y).predict_proba(split.x_test) for m in methods.values()]
    recipe = ClosedForm("classification").fit(split.x, split.y)
    guesses.append(recipe.predict_proba(split.x_test))
    for i, one in enumerate(guesses):
        assert np.allclose(one.sum(1), 1, atol=1e-5)
        assert [j for j, other in enumerate(guesses) if np.allclose(one, other, atol=1e-4)] == [i]


def test_only_the_untrained_generator_says_nothing():
    assert control_generator("random").shrinkage.scale.weight.any()
    assert not control_generator("untrained").shrinkage.scale.weight.any()


def test_the_version_of_flame_follows_its_generator_and_its_code(checkpoint, tmp_path, monkeypatch):
    torch.manual_seed(4)
    other = save_table_generator(TableGenerator(), tmp_path, provenance={})
    first, second = (table_methods.flame_methods(str(f))["FLAME"].version() for f in (checkpoint, other))
    assert first != second
    monkeypatch.setattr(table_methods, "code_version", lambda: "changed")
    assert table_methods.flame_methods(str(checkpoint))["FLAME"].version() != first


def test_an_unknown_method_is_refused_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'XGBoost'"):
        available(["XGBost"])


def test_a_method_without_its_library_is_left_out(monkeypatch):
    monkeypatch.setitem(METHODS, "TabM", Method(METHODS["TabM"].make, needs="no_such_library"))
    methods, absent = available(["majority", "TabM"])
    assert (list(methods), absent) == (["majority"], ["TabM"])


def test_leave_one_out_is_what_leaving_one_out_gives():
    rng = np.random.default_rng(0)
    z, y = rng.standard_normal((30, 6)), rng.standard_normal((30, 2))
    z = z - z.mean(0)
    head = fit_ridge(z, y)
    ridge = next(r for r in np.geomspace(1e-1, 1e3, 9) if np.allclose(solve(z, y, r)[0], head.weight))
    for i in range(3):
        w, mean, centre = solve(np.delete(z, i, 0), np.delete(y, i, 0), ridge)
        assert (z[i] - centre) @ w + mean == pytest.approx(head.left_out[i], abs=1e-8)


def solve(z, y, ridge):
    centre, mean = z.mean(0), y.mean(0)
    gram = (z - centre).T @ (z - centre) + ridge * np.eye(z.shape[1])
    return np.linalg.solve(gram, (z - centre).T @ (y - mean)), mean, centre


def test_more_draws_are_the_mean_of_single_ones():
    split = split_rows(toy("regression"), 0)
    both = ClosedForm("regression", draws=2).fit(split.x, split.y)
    scores = both.scores(split.x_test)
    parts = [
        layer(both.encoder(split.x_test)) @ h.weight + h.mean for layer, h in zip(both.layers, both.heads, strict=True)
    ]
    assert np.allclose(scores, (parts[0] + parts[1]) / 2)
    assert not np.allclose(parts[0], parts[1])


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_quick_run_reports_every_method_and_resumes(folder, checkpoint, tmp_path, capsys):
    given = ["--quick", "--data", str(folder), "--generator", str(checkpoint), "--work", str(tmp_path / "runs.jsonl")]
    unseen_tables.main([*given, "--output", str(tmp_path / "out"), "--plot", str(tmp_path / "plots" / "ranks")])
    out, text = capsys.readouterr().out, (tmp_path / "out.md").read_text("utf8").strip()
    assert text in out
    assert all(f"| {m} |" in text for m in unseen_tables.QUICK_METHODS)
    brief = (tmp_path / "out_summary.md").read_text("utf8")
    assert brief.startswith("|  | accuracy % | AUC % | log-loss | ECE % | mean rank, classification |")
    assert all(f"| {m} |" in brief for m in unseen_tables.QUICK_METHODS)
    assert "3 tables of classification in 2 families; near-duplicates" in text
    assert (tmp_path / "plots" / "ranks-classification.png").read_bytes().startswith(b"\x89PNG")
    story = json.loads((tmp_path / "out.json").read_text("utf8"))
    found = story["groups"]["classification, select"]
    assert set(found["tables"]) == {"one", "twin", "two"}
    assert not found["failures"]
    lines = (tmp_path / "runs.jsonl").read_text("utf8")
    unseen_tables.main([*given, "--json"])
    assert json.loads(capsys.readouterr().out)["groups"]["classification, select"] == found
    assert (tmp_path / "runs.jsonl").read_text("utf8") == lines


def test_the_reported_tables_come_first_and_then_the_whole_kit(folder, capsys):
    unseen_tables.main(["--data", str(folder), "--methods", *CHEAP, "--splits", "1"])
    out = capsys.readouterr().out
    assert out.index("tables for reported figures") < out.index("the whole kit")
    assert "1 tables of regression" in out
    assert "3 tables of regression" in out


def test_learning_curves_and_costs_are_drawn(folder, tmp_path):
    methods, _ = available(["majority", "linear"])
    load = lambda name: load_kit_table(name, folder)  # noqa: E731
    tasks = read_tasks(folder)
    found = unseen_curves.learning_curves(tasks, list(tasks), load, methods, Results(), splits=1, supports=(10, 30, 64))
    assert [(c["kind"], len(c["tables"]), c["support"]) for c in found] == [
        ("classification", 3, [10, 30]), ("classification", 1, [10, 30, 64]),
        ("regression", 3, [10, 30]), ("regression", 3, [10, 30, 64]),
    ]  # fmt: skip
    assert found[0]["values"]["linear"][1] > found[0]["values"]["majority"][1]
    assert "| linear |" in unseen_curves.curves_markdown(found)
    spent = unseen_curves.costs(methods, rows=(50, 100), columns=(2, 3))
    assert spent[1]["sizes"] == [[1000, 2], [1000, 3]]
    assert "by columns" in unseen_curves.costs_markdown(spent)
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'flame-hypernet[plot]'")
    unseen_curves.draw_curves(found, tmp_path / "rows.png")
    unseen_curves.draw_costs(spent, tmp_path / "seconds.png")
    assert {p.name for p in tmp_path.iterdir()} == {"rows.png", "seconds.png"}


def test_seconds_need_no_data_folder(tmp_path, checkpoint, monkeypatch):
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install 'flame-hypernet[plot]'")
    monkeypatch.delenv("FLAME_DATA", raising=False)
    unseen_tables.main(
        [
            "--cost",
            "--quick",
            "--methods",
            "linear",
            "FLAME",
            "--generator",
            str(checkpoint),
            "--output",
            str(tmp_path / "out"),
        ]
    )
    assert "| FLAME |" in (tmp_path / "out.md").read_text("utf8")
    assert (tmp_path / "out-seconds.png").is_file()


def test_a_learning_curve_needs_tables_with_rows(folder):
    with pytest.raises(SystemExit, match="none of these tables has rows enough"):
        unseen_tables.main(["--learning-curve", "--data", str(folder), "--methods", "majority"])


def board(**accuracies: list[float]) -> unseen_report.Board:
    facts = {"kind": "classification", "role": "select", "rows": 9, "columns": 2, "classes": 2, "categorical": 0.5}
    records = [
        {
            "table": f"t{i}", "method": m.replace("_", " "), "split": 0, "accuracy": a, "auc": a, "log_loss": 1 - a,
            "ece": 0.0, "fit_s": 1.0, "predict_s": 0.0, "facts": {**facts, "missing": 0.0, "family": f"f{max(i, 1)}"},
        }
        for m, values in accuracies.items()
        for i, a in enumerate(values)
    ]  # fmt: skip
    found = unseen_report.collect(records, "classification")
    assert found is not None
    return found


def test_differences_are_to_the_forest_and_the_strongest_control_by_family():
    found = board(FLAME=[0.9, 0.7, 0.6], random_forest=[0.5, 0.5, 0.5], linear=[0.8, 0.6, 0.4])
    row = unseen_report.summary(found)[0]
    assert (row["method"], unseen_report.strongest_control(found)) == ("FLAME", "linear")
    assert row["accuracy"] == pytest.approx((0.8 + 0.6) / 2)
    assert row["by table"] == pytest.approx(2.2 / 3)
    assert row["to forest"][0] == pytest.approx((0.3 + 0.1) / 2)
    assert row["to control"][0] == pytest.approx((0.1 + 0.2) / 2)
    assert unseen_report.records_against(found)[0]["record"] == (2, 0, 0)


def test_the_largest_losses_come_first_with_facts_of_their_tables():
    found = unseen_report.extremes(board(FLAME=[0.9, 0.3, 0.6], linear=[0.5, 0.8, 0.6]))
    assert [(f["table"], round(f["difference"], 2)) for f in found] == [("t1", -0.5), ("t2", 0.0), ("t0", 0.4)]
    assert found[0]["categorical"] == 0.5


def test_without_a_data_folder_the_message_says_what_to_set(monkeypatch):
    monkeypatch.delenv("FLAME_DATA", raising=False)
    with pytest.raises(SystemExit, match="set FLAME_DATA or give --data DIR"):
        unseen_tables.main(["--quick"])


def test_an_unknown_table_is_refused(folder):
    with pytest.raises(SystemExit, match=r"no table 'onne'; the folder has .* Did you mean 'one'"):
        unseen_tables.main(["--data", str(folder), "--names", "onne"])
