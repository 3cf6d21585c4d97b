"""Rows to numbers: what is fitted, what is stored, and what a row that was never seen becomes."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from flame.data import read_data
from flame.errors import CheckpointError, DataError
from flame.table.preprocessing import CLIP, MAX_CATEGORIES, ColumnEncoding, TablePreprocessor

FRAME = pd.DataFrame(
    {
        "size": [1.0, 2.0, None, 5.0],
        "count": [10, 20, 30, 40],
        "colour": ["red", "blue", None, "red"],
        "open": [True, False, True, True],
    }
)


def fit(frame: pd.DataFrame) -> TablePreprocessor:
    return TablePreprocessor.fit(read_data(frame))


def column(cells: Any) -> pd.DataFrame:
    return pd.DataFrame({"c": cells})


def test_numbers_are_standardised_as_scikit_learn_does():
    frame = FRAME[["size", "count"]].dropna()
    expected = StandardScaler().fit_transform(frame)
    assert fit(frame).transform(frame) == pytest.approx(expected, abs=1e-6)


def test_categories_get_one_input_each_as_in_scikit_learn():
    frame = FRAME[["colour", "open"]].dropna()
    expected = OneHotEncoder(sparse_output=False).fit_transform(frame)
    assert fit(frame).transform(frame).tolist() == expected.tolist()


def test_missing_values_in_the_fitted_rows_get_an_input_of_their_own():
    found = fit(FRAME[["size", "colour"]])
    assert [(c.name, c.width, c.has_missing) for c in found.columns] == [("size", 2, True), ("colour", 3, True)]
    assert found.transform(FRAME)[2].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]


def test_missing_text_of_every_dtype_gets_its_input():
    for dtype in ("object", "str", "string", "category"):
        assert fit(column(pd.Series(["a", None, "b"], dtype=dtype))).columns[0].has_missing, dtype


def test_width_is_that_of_the_matrix():
    found = fit(FRAME)
    matrix = found.transform(FRAME)
    assert matrix.shape == (4, found.width) == (4, 2 + 1 + 3 + 2)
    assert matrix.dtype == np.float32


def test_a_constant_column_becomes_zeros():
    assert fit(column([0.1] * 7)).transform(column([0.1, 0.1])).tolist() == [[0.0], [0.0]]
    assert fit(column([1e300, 1e300])).columns[0].std == 1.0


def test_tiny_numbers_are_not_taken_for_a_constant_column():
    assert fit(column([1e-20, 3e-20])).transform(column([1e-20, 3e-20])).tolist() == [[-1.0], [1.0]]


def test_numbers_far_outside_are_cut():
    assert fit(column([0.0, 1.0])).transform(column([1e9, -1e9])).tolist() == [[CLIP], [-CLIP]]


def test_numbers_near_the_end_of_float64_give_no_warning_and_no_infinity():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cells in ([1e308, -1e308, 1.7e308], [5e-324, 0.0, 1e-323]):
            assert np.isfinite(fit(column(cells)).transform(column([1.7e308, -1.7e308, 0.0]))).all()


def test_unseen_categories_become_zeros():
    assert fit(column(["a", "b"])).transform(column(["c", "b"])).tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_values_missing_only_at_prediction_become_the_mean_or_zeros():
    found = fit(pd.DataFrame({"n": [1.0, 3.0], "t": ["a", "b"]}))
    assert found.transform(pd.DataFrame({"n": [None, np.inf], "t": [None, "?"]})).tolist() == [[0.0, 0.0, 0.0]] * 2


def test_numbers_and_their_text_are_one_category():
    found = fit(column([3, "a", 4.5, "b"]))
    for three in (3, 3.0, "3", "3.0", " 3 ", np.float32(3), np.int8(3)):
        assert found.transform(column([three])).tolist() == found.transform(column(["3"])).tolist()
        assert found.transform(column([three])).sum() == 1.0


def test_one_and_true_are_not_one_category_whichever_comes_first():
    found = fit(column([1, True, "a"]))
    alone = [found.transform(column(pd.Series([cell], dtype=object)))[0].tolist() for cell in (1, True, 1.0)]
    assert alone[0] == alone[2] != alone[1]
    for cells in ([1, True, 1.0], [True, 1, 1.0]):
        together = found.transform(column(pd.Series(cells, dtype=object))).tolist()
        assert together == [alone[1] if cell is True else alone[0] for cell in cells]


def test_numbers_given_as_text_are_the_same_numbers():
    found = fit(FRAME[["count"]])
    assert (
        found.transform(column([" 10", "4e1"]).set_axis(["count"], axis=1)).tolist()
        == found.transform(pd.DataFrame({"count": [10, 40]})).tolist()
    )


def test_text_in_columns_of_numbers_is_refused_with_all_columns_and_some_cells():
    rows = FRAME.assign(size=["1", "big", "?", "huge"], count=["x", 1, 2, 3])
    with pytest.raises(DataError, match=r"'size' must hold numbers, however: 'big', 'huge'.*'count' .*: 'x'; clear"):
        fit(FRAME).transform(rows)


def test_only_the_commonest_categories_get_inputs():
    cells = [f"c{i:03}" for i in range(100) for _ in range(1 + (i < 40))]
    kept = fit(column(cells)).columns[0].categories
    assert kept == tuple(f"c{i:03}" for i in range(MAX_CATEGORIES))


def test_kept_categories_do_not_depend_on_the_order_of_the_rows():
    cells = [f"c{i}" for i in range(100)]
    assert fit(column(cells)) == fit(column(cells[::-1]))


def test_a_row_is_the_same_alone_and_among_others_whatever_their_order():
    found, rows = fit(FRAME), pd.concat([FRAME, FRAME.assign(colour=["green", "?", "blue", "red"])])
    together = found.transform(rows)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(found.transform(rows.iloc[order]), together[order])
    for i in range(len(rows)):
        assert np.array_equal(found.transform(rows.iloc[[i]])[0], together[i])


def test_columns_are_found_by_name_and_others_ignored():
    rows = FRAME.assign(more=[[1]] * 4)[["more", "open", "size", "colour", "count"]]
    assert np.array_equal(fit(FRAME).transform(rows), fit(FRAME).transform(FRAME))


def test_fitting_and_transforming_read_cells_alike():
    cells = [3.0, "3", " 3", "a", True, None, 2.5, "2.50", "?", 10**400]
    batch = read_data(column(pd.Series(cells, dtype=object)))
    found = TablePreprocessor.fit(batch)
    assert np.array_equal(found.transform(batch.features), found.transform(column(pd.Series(cells, dtype=object))))
    assert found.transform(batch.features).sum() == len(cells)


def test_missing_columns_are_named_with_the_nearest_there_is():
    with pytest.raises(DataError, match=r"'colour', 'open' missing from .*Did you mean 'color'\?"):
        fit(FRAME).transform(FRAME.rename(columns={"colour": "color"}).drop(columns="open"))


def test_rows_without_column_names_are_told_how_to_get_them():
    with pytest.raises(DataError, match=r"no names; give them, as in pandas.DataFrame\(X, columns=") as caught:
        fit(FRAME).transform(pd.DataFrame(FRAME.to_numpy()))
    assert "['size', 'count', 'colour', 'open']" in str(caught.value)
    named = pd.DataFrame(FRAME.to_numpy(), columns=["size", "count", "colour", "open"])
    assert np.array_equal(fit(FRAME).transform(named), fit(FRAME).transform(FRAME))


def test_no_rows_become_an_empty_matrix():
    assert fit(FRAME).transform(FRAME.head(0)).shape == (0, 8)
    assert fit(FRAME).transform(FRAME.head(0).astype(object)).shape == (0, 8)


def test_json_holds_everything_exactly():
    found = fit(FRAME.assign(size=[1 / 3, 1e-17, None, 2**53 + 0.0], colour=["grün", '"', "\n", None]))
    assert TablePreprocessor.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"columns": [{}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "std": 0.0}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "std": float("nan")}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "std": float("inf")}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "mean": float("nan")}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "mean": "0"}]},
        {"columns": [{"name": "a", "kind": "pixels", "categories": []}]},
        {"columns": [{"name": "a", "kind": "numeric", "categories": [], "more": 1}]},
    ],
)
def test_json_that_is_not_ours_is_refused(value):
    with pytest.raises(CheckpointError, match="stored preprocessing is not readable"):
        TablePreprocessor.from_json(value)


def test_renamed_columns_encode_alike():
    found = fit(FRAME).renamed({"size": "Size (cm)"})
    rows = FRAME.rename(columns={"size": "Size (cm)"})
    assert found.names == ("Size (cm)", "count", "colour", "open")
    assert np.array_equal(found.transform(rows), fit(FRAME).transform(FRAME))


def test_width_of_an_encoding_counts_its_missing_input():
    assert ColumnEncoding("a", "numeric").width == 1
    assert ColumnEncoding("a", "categorical", categories=("x", "y"), has_missing=True).width == 3
