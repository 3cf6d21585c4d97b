"""The tables of a data folder: every way of reading, what is refused, and the real folder where it is there."""

from __future__ import annotations

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments/ is not installed

from experiments.table_kit import ROLES, load_kit_table, read_arff, read_tasks, select_tasks  # noqa: E402
from flame.errors import DataError  # noqa: E402


def entry(file: str, *more: str, **changes: Any) -> dict[str, Any]:
    return {
        "files": [f"tabular/{f}" for f in (file, *more)],
        "read": {"format": "csv"},
        "task": "classification",
        "target": "y",
        "numeric": ["a"],
        "role": "select",
        "family": "toys",
        **changes,
    }


@pytest.fixture
def put(tmp_path):
    """Write one table and its entry; returns how to read it."""
    (tmp_path / "tabular").mkdir()

    def write(content: str | bytes, *, file: str = "t.csv", **changes: Any):
        raw = content if isinstance(content, bytes) else content.encode("utf8")
        (tmp_path / "tabular" / file).write_bytes(raw)
        (tmp_path / "tabular" / "tasks.json").write_text(json.dumps({"toy": entry(file, **changes)}), "utf8")
        return load_kit_table("toy", tmp_path)

    return write


def test_numbers_and_categories_are_told_apart(put):
    table = put("a,b,y\n1, red,yes\n?,blue,no\n3,?,yes\n")
    assert (table.name, table.kind, table.role, table.family, table.target) == (
        "toy", "classification", "select", "toys", "y",
    )  # fmt: skip
    assert [str(d) for d in table.x.dtypes] == ["float64", "category"]
    assert np.array_equal(table.x["a"], [1, np.nan, 3], equal_nan=True)
    assert list(table.x["b"].cat.categories) == ["blue", "red"]
    assert table.x["b"].isna().tolist() == [False, False, True]
    assert table.y.tolist() == ["yes", "no", "yes"]


def test_a_regression_has_numbers_as_target(put):
    assert put("a,y\n1,2.5\n2,3\n", task="regression").y.tolist() == [2.5, 3.0]


def test_rows_without_a_target_are_left_out(put):
    table = put("a,y\n1,u\n2,?\n3,v\n")
    assert (table.x["a"].tolist(), table.y.tolist()) == ([1, 3], ["u", "v"])


def test_codes_of_categories_and_classes_are_whole_numbers_as_text(put):
    table = put("a,b,y\n1,7,0\n2,,1\n3,8,1\n")
    assert list(table.x["b"].cat.categories) == ["7", "8"]
    assert table.y.tolist() == ["0", "1", "1"]


def test_names_separators_and_dropped_columns_are_those_of_the_index(put):
    read = {"format": "csv", "names": ["id", "a", "y"], "sep": ";", "skiprows": 1, "drop": ["id"]}
    table = put("some;header;here\n1;5;u\n2;6;v\n", read=read)
    assert list(table.x) == ["a"]
    assert table.x["a"].tolist() == [5, 6]


def test_runs_of_spaces_separate(put):
    assert put("a   y\n1  u\n2 v\n", read={"format": "csv", "sep": r"\s+"}).y.tolist() == ["u", "v"]


def test_a_value_that_another_table_calls_missing_is_kept(put):
    table = put("b,y\n?,u\nw,v\n", numeric=[], read={"format": "csv", "na": []})
    assert table.x["b"].tolist() == ["?", "w"]


def test_packed_files_are_unpacked(put, tmp_path):
    assert put(gzip.compress(b"a,y\n1,u\n2,v\n", mtime=0), file="t.csv.gz").y.tolist() == ["u", "v"]
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("inside.csv", "a,y\n1,u\n2,v\n")
        archive.writestr("other.csv", "nothing")
    read = {"format": "csv", "member": "inside.csv"}
    assert put((tmp_path / "t.zip").read_bytes(), file="t.zip", read=read).y.tolist() == ["u", "v"]


def test_files_of_one_table_are_joined_and_tagged(put, tmp_path):
    (tmp_path / "tabular" / "more.csv").write_text("a,y\n9,v\n", "utf8")
    read = {"format": "csv", "files": ["tabular/t.csv", "tabular/more.csv"], "tag": ["colour", ["red", "white"]]}
    table = put("a,y\n1,u\n2,v\n", read=read)
    assert table.x["a"].tolist() == [1, 2, 9]
    assert table.x["colour"].tolist() == ["red", "red", "white"]


def test_labels_that_differ_by_a_full_stop_are_one_class(put):
    assert put("a,y\n1,>50K\n2,<=50K\n3,>50K.\n4,Mr.\n").y.tolist() == [">50K", "<=50K", ">50K", "Mr."]


def test_arff_is_read_with_quotes_comments_and_gaps(put):
    text = (
        "% made up\n@RELATION r\n@ATTRIBUTE 'a b' {x, 'y, z'}\n@attribute a real\n@attribute\ty {u,v}\n"
        "@DATA\n'y, z', 2 ,u\n% between\n?,3,v\n"
    )
    table = put(text, file="t.arff", read={"format": "arff"})
    assert table.x["a b"].tolist()[0] == "y, z"
    assert table.x["a b"].isna().tolist() == [False, True]
    assert table.x["a"].tolist() == [2, 3]


def test_arff_without_commas_is_split_at_spaces():
    assert read_arff("@attribute a real\n@attribute y {u}\n@data\n1\tu\n2  u").values.tolist() == [
        ["1", "u"],
        ["2", "u"],
    ]


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        ("@attribute a real\n", {"read": {"format": "arff"}}, "expected a line @data"),
        ("@attribute a real\n@data\n1,2\n", {"read": {"format": "arff"}}, "expected 1 values in a row"),
        ("a,y\n1,u\n", {"target": "z"}, "'z'"),
        ("a,y\n1,u\n", {"numeric": ["a", "size"]}, "expected the column 'size'"),
        ("a,y\n1,u\nmany,v\n", {}, "expected numbers in the column 'a', however: 'many'"),
        ("a,y\n1,u\n", {"task": "regression"}, "could not convert"),
        ("a,y\n1,?\n", {}, "no row with a target"),
        (b"a,y\n1,\xe9\n", {}, "UnicodeDecodeError"),
        (gzip.compress(b"a,y\n1,u\n", mtime=0)[:-9], {"file": "t.csv.gz"}, "EOFError"),
        ("not a zip", {"file": "t.zip", "read": {"format": "csv", "member": "x"}}, "BadZipFile"),
        ("", {}, "EmptyDataError"),
    ],
)
def test_a_table_that_is_not_as_the_index_says_is_refused(put, content, changes, message):
    with pytest.raises(DataError, match=r"cannot read the table 'toy' from .*" + message):
        put(content, **changes)


def test_a_file_that_is_not_there_is_refused(put, tmp_path):
    put("a,y\n1,u\n")
    (tmp_path / "tabular" / "t.csv").unlink()
    with pytest.raises(DataError, match="No such file"):
        load_kit_table("toy", tmp_path)


def test_an_unknown_name_is_refused_with_the_nearest(put, tmp_path):
    put("a,y\n1,u\n")
    with pytest.raises(DataError, match=r"no table 'toi'; the folder has \['toy'\]. Did you mean 'toy'"):
        load_kit_table("toi", tmp_path)


def test_a_folder_without_an_index_says_what_to_set(tmp_path):
    with pytest.raises(DataError, match="set FLAME_DATA"):
        read_tasks(tmp_path)


def test_tables_are_selected_by_role_or_name():
    tasks = {name: {"role": role} for name, role in zip("abc", ROLES, strict=True)}
    assert select_tasks(tasks) == ["a", "b", "c"]
    assert select_tasks(tasks, role="evaluate") == ["c"]
    assert select_tasks(tasks, names=["b", "a"]) == ["a", "b"]


# --- the real folder --------------------------------------------------------------------------------------------------


def test_every_table_of_the_kit_is_what_its_index_says(kit):
    tasks = read_tasks(kit)
    for name, task in tasks.items():
        table = load_kit_table(name, kit, tasks)
        columns = task.get("columns_after_drop") or task["columns"]
        assert len(table.y) == len(table.x) == task["n_rows"], name
        assert list(table.x) == [c for c in columns if c != task["target"]], name
        if table.kind == "classification":
            assert table.y.nunique() == (2 if name == "adult" else task["n_classes"]), name


def test_no_family_of_the_kit_stands_in_two_roles(kit):
    roles: dict[str, set[str]] = {}
    for task in read_tasks(kit).values():
        roles.setdefault(task["family"], set()).add(task["role"])
    assert {family for family, found in roles.items() if len(found) > 1} == set()
