"""A user's names find their trained partners, and nothing that is not theirs."""

from __future__ import annotations

import numpy as np
import pytest
from flame_fixtures import NAMES
from sklearn.datasets import load_breast_cancer, load_iris, load_wine

from flame.table.matching import column_similarity, description_scores, match_columns, match_labels, words_of
from flame.table.tables import TABLES
from requirements_prompts import table_descriptions

IRIS = list(TABLES["iris"].columns)


@pytest.mark.parametrize(
    "given",
    [
        ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
        ["SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm"],
        ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"],
        ["sepallength", "sepalwidth", "petallength", "petalwidth"],
        ["SEPAL_LENGTH", "SEPAL_WIDTH", "PETAL_LENGTH", "PETAL_WIDTH"],
        ["length of sepal", "width of sepal", "length of petal", "width of petal"],
        ["sepal_len", "sepal_width", "petal_len", "petal_width"],
        ["sepal-length", "sepal width", "petal lenght", "petal-widht"],
    ],
)
def test_iris_columns_are_found_in_any_spelling_and_order(given):
    expected = dict(zip(IRIS, given, strict=True))
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        assert match_columns(IRIS, [given[i] for i in order] + ["Id", "species"]) == expected


@pytest.mark.parametrize(
    ("name", "loader"), [("iris", load_iris), ("wine", load_wine), ("breast_cancer", load_breast_cancer)]
)
def test_columns_of_scikit_learn_are_found_in_their_order(name, loader):
    given = [str(n) for n in loader().feature_names]
    assert list(match_columns(TABLES[name].columns, given).values()) == given


@pytest.mark.parametrize("name", TABLES)
def test_every_table_finds_its_own_columns_shouted_and_shuffled(name):
    columns = list(TABLES[name].columns)
    shouted = [c.upper() for c in np.random.default_rng(0).permutation(columns)]
    assert match_columns(columns, shouted) == {c: c.upper() for c in columns}


@pytest.mark.parametrize(
    "given",
    [
        ["sepal_length", "sepal_width", "petal_length"],
        ["sepal_length", "sepal_width", "petal_length", "petal_colour"],
        ["sepal_length", "sepal_width", "petal_length", "stem_width"],
    ],
)
def test_an_absent_column_gets_no_partner(given):
    assert match_columns(IRIS, given) == {c: c for c in IRIS[:3]}


def test_a_bad_partner_is_left_out_beside_a_good_one():
    assert match_columns(IRIS[1:3], ["petal_colour", "Sepal.Width"]) == {"sepal_width": "Sepal.Width"}


def test_no_given_column_serves_two():
    found = match_columns(["length", "lengths"], ["Length"])
    assert list(found.values()) == ["Length"]


def test_the_same_name_is_preferred_to_another_case_of_it():
    assert match_columns(["a", "A"], ["A", "a"]) == {"a": "a", "A": "A"}
    assert match_columns(["ab"], ["AB", "ab", "Ab"]) == {"ab": "ab"}


def test_names_without_letters_match_themselves_only():
    assert match_columns(["🙂", "__"], ["🙃", "__", "🙂"]) == {"🙂": "🙂", "__": "__"}
    assert column_similarity("🙂", "🙃") == 0.0


def test_nothing_is_found_among_nothing():
    assert match_columns(IRIS, []) == {}
    assert match_columns([], ["a"]) == {}


def test_similarity_is_symmetric_and_between_0_and_1():
    names = [*IRIS, *TABLES["breast_cancer"].columns[:8], "sepal length (cm)", "Länge", ""]
    table = np.array([[column_similarity(a, b) for b in names] for a in names])
    assert np.allclose(table, table.T)
    assert table.min() >= 0.0
    assert (np.diag(table) == 1.0).all()


@pytest.mark.parametrize(
    ("known", "given", "expected"),
    [
        (["setosa", "virginica"], ["Iris-setosa", "Iris-virginica"], ["Iris-setosa", "Iris-virginica"]),
        (["benign", "malignant"], ["B", "M"], ["B", "M"]),
        (["benign", "malignant"], ["MALIGNANT", "Benign "], ["Benign ", "MALIGNANT"]),
        (["<=50K", ">50K"], [">50K", "<=50K"], ["<=50K", ">50K"]),
        (["<=50K", ">50K"], [" <= 50k.", ">50K."], [" <= 50k.", ">50K."]),
        (["0", "1", "2"], [2, 0, 1], [0, 1, 2]),
        (["0", "1", "2"], [2.0, 0.0, 1.0], [0.0, 1.0, 2.0]),
        (["3", "4", "5"], ["5", "3"], ["3", None, "5"]),
        (["-1", "1"], [1, -1], [-1, 1]),
        (["cultivar 1", "cultivar 2"], ["Cultivar_2", "cultivar-1"], ["cultivar-1", "Cultivar_2"]),
    ],
)
def test_labels_are_matched_by_name(known, given, expected):
    assert match_labels(known, given) == {k: g for k, g in zip(known, expected, strict=True) if g is not None}


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (["benign", "malignant"], [0, 1]),
        (["cultivar 1", "cultivar 2"], [1, 2]),
        (["cultivar 1", "cultivar 2"], ["class_0", "class_1"]),
        (["BOMBAY", "BARBUNYA"], ["B", "A"]),
        (["setosa", "versicolor"], ["setosa", "Setosa "]),
        (["setosa", "versicolor"], ["setosa", "rose"]),
        (["<=50K", ">50K"], ["50K", "100K"]),
        (["no", "yes"], [True, False]),
    ],
)
def test_labels_that_could_be_mistaken_are_not_matched(known, given):
    assert match_labels(known, given) is None


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_score_their_own_table_highest(name):
    texts = {n: [*table_descriptions(n)[1:], *TABLES[n].labels, *TABLES[n].columns] for n in NAMES}
    scores = description_scores(table_descriptions(name)[0], texts)
    assert scores[name] > 1.25 * max(scores[n] for n in NAMES if n != name)


def test_a_description_of_stop_words_and_numbers_scores_nothing():
    assert description_scores("Which of the 3 classes is it?", {"iris": ["which iris is it 3"]}) == {"iris": 0.0}


def test_rare_words_count_more_than_common_ones():
    texts = {"iris": ["flower petal"], "rose": ["flower thorn"], "oak": ["flower leaf"]}
    scores = description_scores("flower petal", texts)
    assert scores["iris"] == 1.0
    assert 0.0 < scores["rose"] < 0.5


def test_words_are_taken_apart():
    assert words_of("petalWidth_mm(mean)") == ["petal", "width", "mm", "mean"]
    assert words_of("😀!") == []
