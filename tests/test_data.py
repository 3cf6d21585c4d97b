"""Whatever holds rows becomes the same checked batch, and the caller's object stays as it is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from flame import read_data
from flame.columns import type_column
from flame.data import read_rows
from flame.errors import DataError, MissingExtraError

FRAME = pd.DataFrame(
    {
        "size": [0.1, 2.675, None, 1e-7, 12345678.9],
        "count": [1, 2, 3, 4, 5],
        "colour": ["red", "blue", None, "red", "grün"],
        "class": ["a", "b", "a", "b", "a"],
    }
)


class Foreign:
    """Another library's table, such as `datasets.Dataset`."""

    def __init__(self, frame: Any) -> None:
        self.frame = frame

    def to_pandas(self) -> Any:
        return self.frame


def write(path: Path, form: str) -> Path:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'flame-hypernet[parquet]'")
        FRAME.to_parquet(path)
    elif form == "json":
        FRAME.to_json(path, orient="records", double_precision=15)
    elif form == "jsonl":
        FRAME.to_json(path, orient="records", lines=True, double_precision=15)
    else:
        FRAME.to_csv(path, index=False, sep={"tsv": "\t"}.get(form, ","))
    return path


def in_memory(form: str) -> Any:
    return {
        "frame": FRAME,
        "pair": (FRAME.drop(columns="class"), FRAME["class"].to_numpy()),
        "rows": FRAME.astype(object).where(FRAME.notna(), None).to_dict("records"),
        "columns": FRAME.to_dict("list"),
        "foreign": Foreign(FRAME),
        "odd index": FRAME.set_axis([7, 7, 7, 7, 7]),
    }[form]


def is_the_batch(data: Any) -> None:
    batch = read_data(data, target=None if isinstance(data, tuple) else "class")
    expected = FRAME.drop(columns="class").astype({"count": float, "colour": object})
    expected["colour"] = expected["colour"].where(expected["colour"].notna(), None)
    assert_frame_equal(batch.features, expected, check_exact=True)
    assert batch.labels is not None
    assert batch.labels.tolist() == ["a", "b", "a", "b", "a"]
    assert [(c.name, c.kind, c.n_missing, c.n_unique) for c in batch.columns] == [
        ("size", "numeric", 1, 4),
        ("count", "numeric", 0, 5),
        ("colour", "categorical", 1, 3),
    ]


# --- every form is the same -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["frame", "pair", "rows", "columns", "foreign", "odd index"])
def test_rows_in_memory_become_the_same_batch(form):
    is_the_batch(in_memory(form))


@pytest.mark.parametrize("form", ["csv", "tsv", "txt", "parquet", "json", "jsonl"])
def test_files_become_the_same_batch_to_the_last_bit(tmp_path, form):
    path = write(tmp_path / f"table.{form}", form)
    is_the_batch(path)
    is_the_batch(str(path))


def test_csv_with_semicolons_and_decimal_commas_is_the_same_batch(tmp_path):
    path = tmp_path / "table.csv"
    FRAME.to_csv(path, index=False, sep=";", decimal=",")
    is_the_batch(path)


def test_csv_with_semicolons_keeps_decimal_points_and_commas_inside_names(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('"size, in cm";class\n1.5;a\n2,5;b\n')
    batch = read_data(path, target="class")
    assert batch.features["size, in cm"].tolist() == ["1.5", "2,5"]


def test_csv_with_a_byte_order_mark_has_no_mark_in_its_first_name(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"\xef\xbb\xbf" + write(tmp_path / "plain.csv", "csv").read_bytes())
    is_the_batch(path)


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "table.json"
    path.write_bytes(b"\xef\xbb\xbf" + write(tmp_path / "plain.json", "json").read_bytes())
    is_the_batch(path)


def test_json_of_columns_is_the_same_as_json_of_rows(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps(FRAME.astype(object).where(FRAME.notna(), None).to_dict("list")))
    is_the_batch(path)


def test_names_in_csv_lose_blanks_around_them(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('size , "class"\n1, a\n2, b\n')
    assert read_data(path, target="class").features.columns.tolist() == ["size"]


def test_a_mapping_of_cells_is_one_row():
    assert read_rows({"size": 1.5, "colour": "red", "count": None}).shape == (1, 3)


def test_arrays_get_numbered_names():
    assert read_rows(np.zeros((2, 3))).columns.tolist() == ["x0", "x1", "x2"]


def test_callers_frame_stays_as_it_is():
    frame = pd.DataFrame({1: [1, 2], "y": [0, 1]}, index=[5, 5])
    before = frame.copy()
    read_data(frame)
    read_data(Foreign(frame))
    assert_frame_equal(frame, before)
    assert frame.columns.tolist() == [1, "y"]


def test_names_that_are_no_text_become_text():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=[1, None, ("a", 2), 2.5])
    assert read_rows(frame).columns.tolist() == ["1", "None", "('a', 2)", "2.5"]


def test_a_target_may_be_named_by_a_number():
    frame = pd.DataFrame({0: [1.0, 2.0], 1: ["a", "b"]})
    assert read_data(frame, target=1).target == "1"  # type: ignore[arg-type]


# --- labels -----------------------------------------------------------------------------------------------------------


def test_a_column_with_a_likely_name_is_the_target_and_noted():
    batch = read_data(pd.DataFrame({"x": [1, 2], "Label": ["a", "b"]}))
    assert batch.target == "Label"
    assert batch.notes == ("column 'Label' is taken as the target, because of its name",)


def test_labels_of_a_pair_outrank_a_column_named_target():
    batch = read_data((pd.DataFrame({"target": [1.0, 2.0]}), ["a", "b"]))
    assert batch.labels is not None
    assert batch.labels.tolist() == ["a", "b"]
    assert batch.features.columns.tolist() == ["target"]


@pytest.mark.parametrize(
    "y", [np.array([[0], [1]]), pd.DataFrame({"y": [0, 1]}), (0, 1), pd.Series([0, 1], index=[9, 9])]
)
def test_labels_of_a_pair_may_be_a_column_a_list_or_a_series(y):
    assert read_data((np.zeros((2, 1)), y)).label_values == (0, 1)


def test_labels_of_a_pair_keep_their_name_or_get_the_users():
    x, y = pd.DataFrame({"x": [1, 2]}), pd.Series([0, 1], name="species")
    assert read_data((x, y)).target == "species"
    assert read_data((x, y), target="kind").target == "kind"


def test_labels_of_several_types_keep_them():
    assert read_data((np.zeros((2, 1)), [1, "a"])).label_values == (1, "a")


def test_rows_without_a_label_are_left_out_with_a_note():
    batch = read_data(pd.DataFrame({"x": [1, 2, 3, 4], "y": ["a", None, "?", "b"]}, index=[3, 3, 3, 3]), target="y")
    assert batch.features["x"].tolist() == [1.0, 4.0]
    assert batch.notes == ("2 row(s) without a value in 'y' are left out",)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.0, None, 1.0], [0, 1]),
        ([True, False], [True, False]),
        (pd.array([1, None, 2], dtype="Int64"), [1, 2]),
        (pd.array([True, None], dtype="boolean"), [True]),
        (pd.Categorical(["b", "a"]), ["b", "a"]),
        ([" a", "a "], ["a", "a"]),
        (np.array([3, 4], dtype="int8"), [3, 4]),
    ],
)
def test_labels_are_plain_values_of_the_users_own_type(labels, expected):
    batch = read_data(pd.DataFrame({"x": range(len(labels)), "y": labels}), target="y")
    assert batch.labels is not None
    assert [(type(v), v) for v in batch.labels] == [(type(v), v) for v in expected]


def test_label_values_are_sorted_numbers_before_text():
    batch = read_data((np.zeros((5, 1)), ["b", 2, "a", 1, 2]))
    assert batch.label_values == (1, 2, "a", "b")


def test_a_column_can_become_the_labels_later():
    batch = read_data(pd.DataFrame({"x": [1, 2, 3], "code": [1, 0, None]})).label_by("code")
    assert batch.labels is not None
    assert batch.labels.tolist() == [1, 0]
    assert [type(v) for v in batch.label_values] == [int, int]
    assert batch.features["x"].tolist() == [1.0, 2.0]
    assert "column 'code' is taken as the target" in batch.notes


# --- what a column is -------------------------------------------------------------------------------------------------

DAY = 18_262.0  # 2020-01-01, in days since 1970


@pytest.mark.parametrize(
    ("cells", "kind", "expected"),
    [
        (["1", " 2.5 ", "-3e2"], "numeric", [1.0, 2.5, -300.0]),
        (["1", "two", "3"], "categorical", ["1", "two", "3"]),
        (["1_000", "2"], "categorical", ["1_000", "2"]),
        ([1, 2.5, Decimal("0.5"), True], "numeric", [1.0, 2.5, 0.5, 1.0]),
        ([1, "a", 3.0, True], "categorical", ["1", "a", "3", "True"]),
        ([True, False], "boolean", [True, False]),
        (pd.array([True, None], dtype="boolean"), "boolean", [True, None]),
        (np.array([True, None], dtype=object), "boolean", [True, None]),
        (pd.to_datetime(["2020-01-01", None]), "numeric", [DAY, None]),
        (pd.to_datetime(["2020-01-01T05:00+05:00"]), "numeric", [DAY]),
        (np.array(["20000-01-01"], dtype="datetime64[s]"), "numeric", [6_585_322.0]),
        (pd.to_timedelta(["36h", None]), "numeric", [1.5, None]),
        (pd.PeriodIndex(["2020-01"], freq="M"), "numeric", [DAY]),
        (pd.Categorical(["a", None, "b"]), "categorical", ["a", None, "b"]),
        (pd.Categorical([3, 4]), "numeric", [3.0, 4.0]),
        (pd.array([1, None], dtype="Int64"), "numeric", [1.0, None]),
        (pd.array([1.5, None], dtype="Float32"), "numeric", [1.5, None]),
        (pd.array(["a", None], dtype="string"), "categorical", ["a", None]),
        (pd.arrays.SparseArray([0.0, 1.0, np.nan]), "numeric", [0.0, 1.0, None]),
        ([np.inf, -np.inf, 1.0], "numeric", [None, None, 1.0]),
        ([2**70, 1], "numeric", [float(2**70), 1.0]),
        (pd.Series([10**400, 1], dtype=object), "numeric", [None, 1.0]),
        (["9" * 400, "1"], "numeric", [None, 1.0]),
        (["?", "NA", "", "null", "n/a"], "categorical", [None] * 5),
        ([None, pd.NA, pd.NaT, float("nan")], "categorical", [None] * 4),
        ([b"a", "b"], "categorical", ["a", "b"]),
        ([datetime.date(2020, 1, 1)], "categorical", ["2020-01-01"]),
        (pd.interval_range(0, 2), "categorical", ["(0, 1]", "(1, 2]"]),
        (np.array([1, 2], dtype="longdouble"), "numeric", [1.0, 2.0]),
    ],
)
def test_type_of_a_column_and_the_form_of_its_cells(cells, kind, expected):
    found, values = type_column(pd.Series(cells, name="c"))
    assert found == kind
    assert [None if pd.isna(v) else v for v in values] == expected
    assert values.dtype == (np.float64 if kind == "numeric" else object)


def test_missing_text_is_missing_and_not_the_word_nan():
    batch = read_data(pd.DataFrame({"colour": pd.Series(["red", None, "?"], dtype="str")}))
    assert batch.n_missing == 2


def test_words_for_no_value_are_the_same_in_a_file_and_in_a_frame(tmp_path):
    words = ["?", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "null", "NULL", "None", "-", "unknown"]
    frame = pd.DataFrame({"a": words, "b": range(len(words))})
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    assert_frame_equal(read_data(path).features, read_data(frame).features)
    assert read_data(frame).features["a"].dropna().tolist() == ["-", "unknown"]


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    def absent(*_: Any) -> None:
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd, "read_parquet", absent)
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    with pytest.raises(MissingExtraError, match=r"pip install 'flame-hypernet\[parquet\]'"):
        read_data(tmp_path / "table.parquet")


def test_labels_needed_but_absent_lists_the_columns():
    with pytest.raises(DataError, match=r"target=\.\.\. \(one of \['a', 'b'\]\)"):
        read_data(pd.DataFrame({"a": [1], "b": [2]}), labels_needed=True)
