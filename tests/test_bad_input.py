"""Whatever is handed over either works or ends in an error of this library that says what to do."""

from __future__ import annotations

import datetime
import json
import string
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flame_fixtures import labelled, model_fixture, tiny_fixture, tiny_generator_fixture, unlabelled  # noqa: F401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flame import FlameError, GeneratedModel, generate_model, read_data
from flame.data import read_rows
from flame.errors import CheckpointError, ConfigError, DataError, MetadataError, RouteError
from flame.table.preprocessing import TablePreprocessor
from flame.table.tables import TABLES

IRIS = list(TABLES["iris"].columns)


def refused(data: Any, why: str, **options: Any) -> None:
    with pytest.raises(DataError, match=why):
        read_data(data, **options)


# --- what cannot be a table -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (5, "data of type int is not understood; give a DataFrame"),
        (b"a,b", "data of type bytes is not understood"),
        (object(), "data of type object is not understood"),
        ({1, 2}, "data of type set is not understood"),
        (np.zeros((2, 2, 2)), r"shape \(rows, columns\), however: shape \(2, 2, 2\)"),
        (np.float64(1.0), "data of type float64 is not understood"),
        (np.array(1.0), r"shape \(rows, columns\), however: shape \(\)"),
        (np.zeros(2, dtype=complex), "numbers or strings is expected, however: dtype complex128"),
        (np.zeros(2, dtype="datetime64[s]"), "numbers or strings is expected"),
        (np.zeros((2, 0)), "the data has no columns"),
        ([], "the data has no columns"),
        ({}, "the data has no columns"),
        (pd.DataFrame(), "the data has no columns"),
        (pd.DataFrame(index=range(3)), "the data has no columns"),
        (pd.DataFrame({"a": [], "b": []}), r"the data has no rows \(columns: \['a', 'b'\]\)"),
        ({"a": [1, 2], "b": [1]}, "cannot make a table of the dict that was given"),
        ([[1, 2], 3], "cannot make a table of the list that was given"),
        ([np.zeros((2, 2)), np.zeros((2, 2))], "cannot make a table of the list that was given"),
        ((np.zeros((3, 1)), [1, 2]), "one label per row, however: 3 rows and 2 labels"),
        ((np.zeros((2, 1)), 5), "one label per row, however: y of type int"),
        ((np.zeros((2, 1)), np.zeros((2, 2))), "one label per row, however: y of type ndarray"),
        ((np.zeros((2, 1)), [[1], [2]]), "'target' holds cells of type list"),
        ("\0", "no file at"),
        ("sepal_length,sepal_width\n1,2\n" * 500, "no file at"),
    ],
)
def test_what_is_no_table_is_refused(data, why):
    refused(data, why)


def test_to_pandas_that_fails_or_gives_no_table_is_refused():
    class Broken:
        def __init__(self, given: Any) -> None:
            self.given = given

        def to_pandas(self) -> Any:
            if isinstance(self.given, Exception):
                raise self.given
            return self.given

    refused(Broken(ImportError("needs pyarrow")), r"to_pandas\(\) of the Broken that was given failed: needs pyarrow")
    refused(Broken([1, 2]), r"to_pandas\(\) must give a DataFrame, however: list")
    assert read_rows(Broken(pd.Series([1, 2], name="a"))).columns.tolist() == ["a"]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"], [None, "None"]])
def test_columns_of_one_name_are_refused(names):
    for read in (read_data, read_rows):
        with pytest.raises(DataError, match=r"column names must differ, however: '.+' stand\(s\) more than once"):
            read(pd.DataFrame([[1, 2]], columns=pd.Index(names, dtype=object)))


def test_names_in_levels_are_refused_and_the_advice_helps():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)]))
    refused(frame, r"one level are expected, however: 2 levels; join them first, as in frame.columns = \['_'.join")
    frame.columns = ["_".join(map(str, names)) for names in frame.columns]
    assert [c.name for c in read_data(frame).columns] == ["a_1", "a_2"]


def test_names_of_broken_characters_are_refused():
    frame = pd.DataFrame([[1]], columns=pd.Index(["a\ud83d"], dtype=object))
    refused(frame, "characters that are none")
    refused(pd.DataFrame({"a": pd.Series(["x\udc80"], dtype=object)}), "column 'a' holds characters that are none")


@pytest.mark.parametrize(
    "name", ["", " ", "木", "🙂", "a\nb", "\u202eabc", "a" * 5000, "'; DROP TABLE", "{{x}}", "[red]", "nan", "\0"]
)
def test_strange_names_work_beside_the_tasks_columns(tiny, name):
    made = generate_model(None, labelled().assign(**{name: 1.0}), target="class", checkpoint=tiny)
    assert made.route.task == "iris"
    assert json.loads(json.dumps(made.route.to_json()))["columns"] == {c: c for c in IRIS}


def test_absent_targets_are_told_the_nearest_there_is():
    refused(
        pd.DataFrame({"species": [1], "x": [2]}),
        r"'specie' is not in the data.*Did you mean 'species'\?",
        target="specie",
    )
    refused(pd.DataFrame({"a": [1]}), "'5' is not in the data", target=5)


def test_a_target_without_any_value_is_refused():
    for cells in ([None, None], [np.nan, np.inf], ["?", " "], [pd.NaT, None]):
        refused(pd.DataFrame({"x": [1, 2], "y": cells}), "'y' holds no value in any of its 2 rows", target="y")


def test_a_target_alone_is_refused():
    refused(pd.DataFrame({"y": [1, 2]}), "no column besides the target 'y'")


# --- cells ------------------------------------------------------------------------------------------------------------

NESTED = ([1], (1, 2), {"a": 1}, {1}, frozenset([1]), np.zeros(2), pd.Series([1]), range(3))


@pytest.mark.parametrize("cell", NESTED, ids=lambda c: type(c).__name__)
def test_nested_cells_are_refused_wherever_they_are_read(model, cell):
    rows = unlabelled().head(3).assign(**{"class": ["setosa", "virginica", "setosa"]}).astype(object)
    for column in ("petal_width", "class"):
        nested = rows.copy()
        nested[column] = pd.Series([cell, "a", None], dtype=object)
        refused(nested, f"column '{column}' holds cells of type {type(cell).__name__}, such as", target="class")
        with pytest.raises(DataError, match=f"column '{column}' holds cells of type"):
            model.evaluate(nested)


def test_all_columns_of_nested_or_complex_cells_are_named_at_once():
    frame = pd.DataFrame({"a": [[1]], "b": [1], "c": [1j], "d": pd.Series([1j, "x"], dtype=object).head(1)})
    refused(
        frame, "column 'a' holds cells of type list.*; column 'c' holds complex numbers.*; column 'd' holds complex"
    )


CELLS: dict[str, Any] = {
    "bool": [True, False, True],
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "datetime": pd.to_datetime(["2020-01-01", None, "1700-01-01"]),
    "far datetime": np.array(["20000-01-01", "NaT", "-5000-01-01"], dtype="datetime64[s]"),
    "zoned datetime": pd.to_datetime(["2020-01-01"] * 3).tz_localize("Asia/Tokyo"),
    "timedelta": pd.to_timedelta(["1d", None, "3h"]),
    "period": pd.period_range("2020", periods=3, freq="Q"),
    "monthly period": pd.PeriodIndex(["1800-01", "2200-01", None], freq="M"),
    "category": pd.Categorical(["a", None, "b"]),
    "category of numbers": pd.Categorical([1.5, 2.5, None]),
    "nullable integer": pd.array([1, None, 3], dtype="Int64"),
    "nullable float": pd.array([1.5, None, np.inf], dtype="Float64"),
    "nullable text": pd.array(["a", None, "1"], dtype="string"),
    "infinity": [np.inf, -np.inf, 1.0],
    "huge integers": [2**70, -(2**70), 1],
    "integers beyond float64": pd.Series([10**400, -(10**5000), 1], dtype=object),
    "unsigned": np.array([2**64 - 1, 0, 1], dtype="uint64"),
    "half": np.array([1, 65504, np.nan], dtype="float16"),
    "long double": np.array([1, 2, 3], dtype="longdouble"),
    "mixed": [1, "a", 2.5],
    "mixed with all": pd.Series([True, b"x", Decimal("1.5")], dtype=object),
    "decimals": pd.Series([Decimal("NaN"), Decimal("Infinity"), 1], dtype=object),
    "interval": pd.interval_range(0, 3),
    "sparse": pd.arrays.SparseArray([0.0, np.nan, 1.0]),
    "dates": pd.Series([datetime.date(2020, 1, 1), datetime.datetime(1, 1, 1), None], dtype=object),
    "objects": pd.Series([object(), object(), None], dtype=object),
    "classes": pd.Series([int, str, None], dtype=object),
    "nothing": [None, None, None],
    "not a time": [pd.NaT, pd.NaT, pd.NaT],
    "long text": ["x" * 100_000, "", "y"],
    "emoji": ["🙂", "🙃", "\u200b"],
}


@pytest.mark.parametrize("kind", CELLS)
def test_cells_of_every_kind_work_or_are_our_error_in_every_place(tiny, model, kind):
    cells = pd.Series(CELLS[kind]).to_numpy() if isinstance(CELLS[kind], list) else CELLS[kind]
    rows = labelled().iloc[[0, 50, 100]].reset_index(drop=True)
    extra, feature, target = (rows.assign(**{c: cells}) for c in ("extra", "petal_width", "class"))
    assert generate_model(None, extra, target="class", checkpoint=tiny).route.task == "iris"
    assert model.predict(extra).tolist() == model.predict(rows).tolist()
    for call in (
        lambda: generate_model(None, feature, target="class", checkpoint=tiny),
        lambda: generate_model(None, target, target="class", checkpoint=tiny),
        lambda: model.predict(feature),
        lambda: model.evaluate(target, target="class"),
        lambda: model.finetune(target, target="class"),
    ):
        works_or_is_our_error(call)


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", b"\n\n  \n", "a.csv cannot be read as CSV"),
        ("a.csv", b"a,b\n", r"the data has no rows \(columns: \['a', 'b'\]\)"),
        ("a.csv", b"a,b,a\n1,2,3\n", "column names must differ, however: 'a'"),
        ("a.csv", b"a;b;a\n1;2;3\n", "column names must differ, however: 'a'"),
        ("a.csv", b"a, b ,b\n1,2,3\n", "column names must differ, however: 'b'"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "a.csv cannot be read as CSV: .*line 3"),
        ("a.csv", b"a,b\n1,2,3\n1,2,3\n", "another number of cells than the 2 names of the header"),
        ("a.csv", b"a,b\n1,2\n3\n", "a.csv, line 3: 1 cells, however the header has 2 names"),
        ("a.csv", b'a,b\n1,"2\n3,4\n', "a.csv cannot be read as CSV"),
        ("a.csv", "größe,b\n1,2\n".encode("latin1"), r"is not UTF-8 text \(.*byte 2\); save it as UTF-8"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "is not UTF-8 text|binary data"),
        ("a.csv", bytes(range(256)), "binary data"),
        ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), "binary data"),
        ("a.csv", b"\xff\xd8\xff\xe0junk", "is not UTF-8 text"),
        ("a.parquet", b"PAR1junk", "a.parquet cannot be read as PARQUET"),
        ("a.json", b"junk", "a.json cannot be read as JSON"),
        ("a.json", b"5", "must hold a list of rows or an object of columns, however: int"),
        ("a.json", b'"text"', "must hold a list of rows or an object of columns, however: str"),
        ("a.json", b"[]", "the data has no columns"),
        ("a.json", b"[" * 100_000, "a.json cannot be read as JSON"),
        ("a.json", b'{"a": [1, 2], "b": [1]}', "cannot make a table"),
        ("a.json", b'[{"a": {"b": 1}}]', "column 'a' holds cells of type dict"),
        ("a.json", "ä".encode("latin1"), "is not UTF-8 text"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "a.jsonl cannot be read as JSONL"),
        ("a.xlsx", b"PK", r"suffix '.xlsx'; known are \['.csv', '.tsv'"),
        ("noext", b"a,b\n1,2\n", "suffix ''; known are"),
    ],
)
def test_files_that_are_no_table_are_refused(tmp_path, name, content, why):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow: pip install 'flame-hypernet[parquet]'")
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, why)


def test_paths_that_hold_no_file_are_refused(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv", "is a folder; a table is expected")
    refused(tmp_path / "absent.csv", "no file at .*absent.csv")
    refused(tmp_path / "my rows.csv", "no file at .*my rows.csv$")
    (tmp_path / "locked.csv").write_text("a\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "absent.csv")
    refused(tmp_path / "link.csv", "no file at .*link.csv")


def test_a_short_last_cell_that_is_only_empty_is_no_short_row(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,\n\n"x, y",2\n  \n')
    assert read_data(tmp_path / "a.csv").features["b"].tolist()[1] == 2.0


# --- errors belong to one family --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "builtin"),
    [
        (DataError, ValueError),
        (MetadataError, ValueError),
        (ConfigError, ValueError),
        (RouteError, LookupError),
        (CheckpointError, OSError),
    ],
)
def test_errors_are_caught_as_one_family_and_as_builtins(ours, builtin):
    assert issubclass(ours, FlameError)
    assert issubclass(ours, builtin)


# --- any table at all -------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=8) | st.sampled_from(
    ["", "?", "NA", "1", "2.5", "-3e2", "1_0", "nan", "inf", "True", "é", "\x00"]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**80)
    | st.floats()
    | st.decimals()
    | st.fractions()
    | TEXT
    | st.binary(max_size=3)
    | st.complex_numbers()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=1)
    | st.just(pd.NA)
    | st.just(pd.NaT)
)
NAMES = (
    st.sampled_from([*IRIS, "class", "species", "target"]) | st.text(string.printable, max_size=6) | st.text(max_size=4)
)
DTYPES = (
    *("float64", "float32", "int64", "uint8", "bool", "object", "str", "string", "category", "complex128"),
    *("Int64", "Float64", "boolean", "datetime64[ns]", "datetime64[s]", "timedelta64[s]"),
)


@st.composite
def columns(draw: st.DrawFn, n: int) -> pd.Series:
    """A column of some dtype, or of objects of all kinds."""
    kind = draw(st.sampled_from(["any", "floats", "integers", "text", "flags", "typed"]))
    cells = {
        "any": SCALARS,
        "floats": st.floats(),
        "integers": st.integers(-(2**63), 2**63 - 1),
        "text": TEXT | st.none(),
        "flags": st.booleans() | st.none(),
        "typed": st.integers(0, 1),
    }[kind]
    values = pd.Series(draw(st.lists(cells, min_size=n, max_size=n)), dtype=object)
    if kind == "typed":
        return values.astype(int).astype(draw(st.sampled_from(DTYPES)))
    return values if draw(st.booleans()) else values.infer_objects()


@st.composite
def strange(draw: st.DrawFn) -> pd.DataFrame:
    """A table of 0 to 30 rows, with names that may be those of iris and may repeat."""
    n, names = draw(st.integers(0, 30)), draw(st.lists(NAMES, max_size=6))
    names += draw(st.permutations(IRIS)) if draw(st.booleans()) else []
    found = [draw(columns(n)) for _ in names]
    frame = pd.concat(found, axis=1) if found else pd.DataFrame(index=range(n))
    return frame.set_axis(pd.Index(names, dtype=object), axis=1)


@st.composite
def flowers(draw: st.DrawFn) -> pd.DataFrame:
    """Real rows of iris, with or without labels, a few cells spoilt, and perhaps a strange column among them."""
    n = draw(st.integers(1, 30))
    frame = labelled().sample(n, random_state=n).astype(object).reset_index(drop=True)
    for _ in range(draw(st.integers(0, 2))):
        frame.iat[draw(st.integers(0, n - 1)), draw(st.integers(0, 4))] = draw(SCALARS)
    frame = frame[draw(st.permutations([*IRIS, "class"]))]
    frame = frame if draw(st.booleans()) else frame.drop(columns="class")
    if draw(st.booleans()):
        frame = frame.assign(**{draw(NAMES): draw(columns(n))})
    return frame.infer_objects() if draw(st.booleans()) else frame


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """Any of these, under an index that may repeat."""
    frame = draw(strange() | flowers())
    return frame.set_axis(draw(st.lists(st.integers(0, 3), min_size=len(frame), max_size=len(frame))))


def works_or_is_our_error(call: Any) -> Any:
    """The result; None after an error of ours, whose message must be a sentence. Nothing may be warned of."""
    found, message = None, "no error at all"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = call()
        except FlameError as error:
            message = str(error)
    assert [str(w.message) for w in warned] == []
    assert len(message) > 14
    return found


SETTINGS = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@SETTINGS
@given(frames())
def test_any_table_is_read_or_refused(frame):
    before = frame.copy()
    batch = works_or_is_our_error(lambda: read_data(frame))
    if batch is not None:
        assert len(batch.features) == len(batch) > 0
        assert [c.name for c in batch.columns] == list(batch.features.columns)
        assert batch.labels is None or len(batch.labels) == len(batch)
    assert frame.columns.tolist() == before.columns.tolist()
    assert frame.index.tolist() == before.index.tolist()


@SETTINGS
@given(frames(), st.randoms(use_true_random=False))
def test_any_table_becomes_a_finite_matrix_row_by_row(frame, random):
    batch = works_or_is_our_error(lambda: read_data(frame))
    if batch is None:
        return
    fitted = works_or_is_our_error(lambda: TablePreprocessor.fit(batch))
    matrix = fitted.transform(batch.features)
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(batch), fitted.width)
    assert np.isfinite(matrix).all()
    assert TablePreprocessor.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    i = random.randrange(len(batch))
    assert np.array_equal(fitted.transform(batch.features.iloc[[i]])[0], matrix[i])
    raw = read_rows(frame)
    if batch.labels is None:
        assert np.array_equal(fitted.transform(raw), matrix)
        assert np.array_equal(fitted.transform(raw.iloc[[i]])[0], matrix[i])


@SETTINGS
@given(frames(), st.none() | NAMES, st.none() | st.text(max_size=30))
def test_any_request_gives_a_model_or_a_clear_error(tiny_generator, frame, target, description):
    made = works_or_is_our_error(lambda: generate_model(description, frame, target=target, checkpoint=tiny_generator))
    if made is not None:
        assert isinstance(made, GeneratedModel)
        assert len(made.predict(frame)) == len(frame)
        json.dumps(list(made.labels))


@SETTINGS
@given(frames())
def test_any_rows_are_predicted_or_refused(model, frame):
    found = works_or_is_our_error(lambda: model.predict_proba(frame))
    if found is not None:
        assert found.shape == (len(frame), 3)
        assert np.allclose(found.sum(1), 1.0, atol=1e-5)
    works_or_is_our_error(lambda: model.evaluate(frame))


@settings(SETTINGS, max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([".csv", ".tsv", ".txt", ".json", ".jsonl", ".parquet"]))
def test_any_file_is_read_or_refused(tmp_path, content, suffix):
    path = Path(tmp_path / f"file{suffix}")
    path.write_bytes(content)
    works_or_is_our_error(lambda: read_data(path))


@settings(SETTINGS, max_examples=60)
@given(st.lists(st.lists(TEXT.map(lambda t: t.replace("\x00", "")), min_size=2, max_size=4), min_size=1, max_size=6))
def test_any_csv_of_text_is_read_or_refused(tmp_path, rows):
    path = Path(tmp_path / "file.csv")
    path.write_text("\n".join(",".join(cells) for cells in rows), "utf8", errors="replace")
    works_or_is_our_error(lambda: read_data(path))
