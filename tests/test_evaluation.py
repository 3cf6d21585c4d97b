"""Scores are scikit-learn's, intervals cover, and a page shows labels without trusting them."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics
from torchmetrics.functional.classification import multiclass_calibration_error

from flame.errors import CheckpointError
from flame.evaluation import evaluate_classes, evaluate_numbers
from flame.evaluation.bootstrap import class_statistics, number_statistics


def guesses(n: int, k: int, *, skill: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, k) and true classes (n,), every class unequally frequent."""
    rng = np.random.default_rng(seed)
    y = rng.choice(k, n, p=np.arange(1, k + 1) / sum(range(k + 1)))
    logits = rng.normal(size=(n, k)).round(1)  # rounded: some are equal
    logits[np.arange(n), y] += skill
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), y


def numbers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.gamma(2.0, 50.0, n).round()
    return np.abs(y + rng.normal(0, 40, n)).round(), y


# --- scores -----------------------------------------------------------------------------------------------------------


def test_matthews_and_top_k_are_those_of_scikit_learn():
    p, y = guesses(300, 12)
    p += 1e-9 * np.arange(12)  # no two classes of a row are equal
    made = evaluate_classes(p, y, range(12), n_resamples=0)
    assert made["mcc"] == pytest.approx(metrics.matthews_corrcoef(y, p.argmax(1)))
    for top in (3, 5):
        assert made[f"top_{top}_accuracy"] == pytest.approx(np.mean((p > p[range(300), y][:, None]).sum(1) < top))


def test_top_k_of_few_classes_is_left_out():
    assert not [name for name in evaluate_classes(*guesses(50, 5), range(5)) if name.startswith("top")]


def test_the_area_is_left_out_where_only_one_class_occurs():
    p, _ = guesses(20, 3)
    made = evaluate_classes(p, np.ones(20, dtype=int), range(3))
    assert "auc" not in made
    assert "auc" not in made.intervals


def test_scores_of_numbers_are_those_of_scikit_learn_and_scipy():
    predicted, y = numbers(200)
    made = evaluate_numbers(predicted, y)
    assert made["r2"] == pytest.approx(metrics.r2_score(y, predicted))
    assert made["rmsle"] == pytest.approx(np.sqrt(metrics.mean_squared_log_error(y, predicted)))
    assert made["pearson"] == pytest.approx(stats.pearsonr(y, predicted).statistic)
    assert made["spearman"] == pytest.approx(stats.spearmanr(y, predicted).statistic)
    assert made["mean_rmse"] == pytest.approx(y.std())


def test_a_negative_number_leaves_the_logarithmic_error_out():
    predicted, y = numbers(50)
    assert "rmsle" not in evaluate_numbers(predicted - 1e6, y)


def test_equal_numbers_have_no_correlation_and_no_share_explained():
    made = evaluate_numbers(np.full(9, 2.0), np.full(9, 3.0))
    assert made["r2"] == 0
    assert "pearson" not in made
    assert made["mae"] == 1


def test_the_calibration_error_is_that_of_torchmetrics():
    p, y = guesses(500, 4)
    expected = multiclass_calibration_error(torch.tensor(p), torch.tensor(y), num_classes=4, n_bins=10, norm="l1")
    made = evaluate_classes(p, y, range(4)).calibration
    assert made is not None
    assert made.ece == pytest.approx(float(expected), abs=1e-6)
    assert sum(b.n_rows for b in made.bins) == 500


def test_the_baseline_is_that_of_guessing_class_shares():
    p, y = guesses(300, 3)
    made = evaluate_classes(p, y, range(3))
    shares = np.bincount(y) / 300
    assert made.baseline["accuracy"] == made["majority_accuracy"] == pytest.approx(shares.max())
    assert made.baseline["log_loss"] == pytest.approx(stats.entropy(shares))
    assert made.baseline["auc"] == 0.5


def test_the_confusion_matrix_and_the_table_of_classes_agree_with_scikit_learn():
    p, y = guesses(200, 4)
    made = evaluate_classes(p, y, "abcd")
    assert np.array_equal(made.confusion, metrics.confusion_matrix(y, p.argmax(1), labels=range(4)))
    assert [c.f1 for c in made.classes] == pytest.approx(metrics.f1_score(y, p.argmax(1), average=None))
    assert [c.n_predicted for c in made.classes] == np.array(made.confusion).sum(0).tolist()


# --- intervals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 6])
def test_scores_of_a_resample_are_those_of_scikit_learn_on_its_rows(k):
    p, y = guesses(80, k)
    counts = np.bincount(np.random.default_rng(1).integers(0, 80, 80), minlength=80)
    found = {name: value[0] for name, value in class_statistics(p, y)(counts[None].astype(float)).items()}
    drawn = np.repeat(np.arange(80), counts)
    expected = evaluate_classes(p[drawn], y[drawn], range(k), n_resamples=0)
    assert found == pytest.approx({name: expected[name] for name in found})
    assert {"auc", "mcc", "log_loss"} <= set(found)


def test_scores_of_numbers_in_a_resample_are_those_of_scikit_learn_on_its_rows():
    predicted, y = numbers(80)
    counts = np.bincount(np.random.default_rng(1).integers(0, 80, 80), minlength=80)
    found = {name: value[0] for name, value in number_statistics(predicted, y)(counts[None].astype(float)).items()}
    drawn = np.repeat(np.arange(80), counts)
    expected = evaluate_numbers(predicted[drawn], y[drawn], n_resamples=0)
    assert found == pytest.approx({name: expected[name] for name in found})
    assert {"r2", "spearman", "rmsle"} <= set(found)


def test_intervals_cover_the_true_accuracy_about_as_often_as_they_say():
    truth = (lambda p, y: (p.argmax(1) == y).mean())(*guesses(200_000, 3))
    covered = []
    for seed in range(100):
        low, high = evaluate_classes(*guesses(150, 3, seed=seed + 1), range(3), n_resamples=300).intervals["accuracy"]
        covered.append(low <= truth <= high)
    assert 88 <= sum(covered) <= 100


def test_intervals_depend_on_the_seed_alone():
    p, y = guesses(60, 3)
    one, other = (evaluate_classes(p, y, range(3), n_resamples=200, seed=s) for s in (1, 2))
    assert one == evaluate_classes(p, y, range(3), n_resamples=200, seed=1)
    assert one.intervals != other.intervals
    assert one.scores == other.scores


def test_one_row_is_scored():
    assert evaluate_classes(np.array([[0.2, 0.8]]), np.array([1]), "ab")["accuracy"] == 1
    assert evaluate_numbers(np.array([2.0]), np.array([3.0]))["mae"] == 1


# --- shown ------------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """Collects what a browser would take for tags, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [str(value) for name, value in attrs if name in ("src", "href", "onload", "onerror")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("k", [2, 40])
def test_a_label_or_a_name_is_never_taken_for_html(k):
    p, y = guesses(400, k, skill=0.3)
    evil = [f"<script>alert({i})</script>\"'><img src=x onerror=alert(1)>" for i in range(k)]
    page = Tags(evaluate_classes(p, y, evil, target="<b onload=x>").to_html("<script>1</script>"))
    assert page.tags.isdisjoint({"script", "img", "iframe", "object", "link"})
    assert page.links == []
    assert all(label in page.text for label in evil[:2])


def test_a_page_of_numbers_shows_points_and_needs_no_other_file():
    page = evaluate_numbers(*numbers(700)).to_html()
    assert page.count("<circle") == 500
    assert Tags(page).links == []
    assert "prefers-color-scheme: dark" in page


def test_half_a_surrogate_pair_in_a_label_can_be_written(tmp_path):
    p, y = guesses(20, 2)
    assert evaluate_classes(p, y, ["\ud83d", "b"]).save_html(tmp_path / "p.html").is_file()
    with pytest.raises(CheckpointError, match="cannot write"):
        evaluate_classes(p, y, ["a", "b"]).save_html(tmp_path / "no" / "p.html")


def test_an_evaluation_is_printed_with_intervals_and_classes():
    p, y = guesses(100, 3)
    made = evaluate_classes(p, y, ["first", "second", "third"], target="place")
    lines = str(made).splitlines()
    assert lines[0] == "100 rows, 'place'"
    assert f"{made['accuracy']:.3f}   {made.intervals['accuracy'][0]:.3f} to" in str(made)
    assert lines[-1].split()[:2] == ["third", str(made.classes[2].n_rows)]


def test_an_evaluation_is_json():
    p, y = guesses(100, 3)
    made = evaluate_classes(p, y, ["a", "b", "c"])
    told = json.loads(json.dumps(made.to_json()))
    assert told["accuracy"] == made["accuracy"]
    assert told["intervals"]["auc"] == list(made.intervals["auc"])
    assert told["confusion"] == [list(row) for row in made.confusion]
