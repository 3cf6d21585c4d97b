"""The loader of the paper's ten UCI tables: every source gives the same frame, and every frame the same split."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from flame.errors import DataError
from flame.table.tables import TABLES, Split, load_table, split_table

KIT = Path(os.environ.get("FLAME_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
needs_kit = pytest.mark.skipif(
    not (KIT / "tabular" / "tasks.json").is_file(),
    reason="needs the data kit: set FLAME_DATA to a folder that holds tabular/tasks.json",
)
BUNDLED = ("iris", "wine", "breast_cancer")
CLASS_SIZES = {  # as counted in the published files
    "iris": {"setosa": 50, "versicolor": 50, "virginica": 50},
    "heart_disease": {"0": 164, "1": 55, "2": 36, "3": 35, "4": 13},
    "wine": {"cultivar 1": 59, "cultivar 2": 71, "cultivar 3": 48},
    "adult": {"<=50K": 37155, ">50K": 11687},
    "breast_cancer": {"benign": 357, "malignant": 212},
    "car_evaluation": {"unacc": 1210, "acc": 384, "good": 69, "vgood": 65},
    "wine_quality": {"3": 30, "4": 216, "5": 2138, "6": 2836, "7": 1079, "8": 193, "9": 5},
    "dry_bean": {
        **{"BARBUNYA": 1322, "BOMBAY": 522, "CALI": 1630, "DERMASON": 3546},
        **{"HOROZ": 1928, "SEKER": 2027, "SIRA": 2636},
    },
    "rice": {"Cammeo": 1630, "Osmancik": 2180},
    "bank_marketing": {"no": 39922, "yes": 5289},
}


@pytest.fixture(autouse=True)
def _no_folders_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLAME_DATA", raising=False)
    monkeypatch.setenv("FLAME_CACHE", str(tmp_path / "cache"))


@cache
def from_kit(name: str, paper_labels: bool = False) -> pd.DataFrame:
    return load_table(name, folder=KIT, source="kit", paper_labels=paper_labels)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1.0, random_state=3)


def same_split(one: Split, two: Split) -> bool:
    return all(getattr(one, part).equals(getattr(two, part)) for part in ("train", "validation", "test"))


def rows_of(frame: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(frame.astype(str).itertuples(index=False, name=None))


def toy(sizes: dict[str, int]) -> pd.DataFrame:
    """Different rows of two columns, with so many rows of each class."""
    labels = [label for label, size in sizes.items() for _ in range(size)]
    return pd.DataFrame({"x": np.arange(len(labels)) / 8, "y": labels})


# --- what is known of the tables --------------------------------------------------------------------------------------


def test_the_ten_tables_stand_in_the_order_of_the_paper() -> None:
    assert [info.title for info in TABLES.values()] == [
        *("Iris", "Heart Disease", "Wine", "Adult", "Breast Cancer"),
        *("Car Evaluation", "Wine Quality", "Dry Bean", "Rice", "Bank Marketing"),
    ]


def test_small_tables_are_upweighted_as_in_appendix_a() -> None:
    weights = {name: info.upweight for name, info in TABLES.items() if info.upweight != 1}
    assert weights == {"iris": 10, "wine": 10, "heart_disease": 2, "rice": 2, "dry_bean": 2}


def test_importing_the_loader_imports_nothing_heavy() -> None:
    code = "import sys, flame.table.tables; print({'sklearn', 'scipy', 'ucimlrepo', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- reading ----------------------------------------------------------------------------------------------------------


def test_iris_is_read_without_any_folder() -> None:
    frame = load_table("iris")
    assert list(frame.columns) == ["sepal_length", "sepal_width", "petal_length", "petal_width", "class"]


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_tables_have_the_published_class_sizes(name: str) -> None:
    assert load_table(name, source="sklearn")[TABLES[name].target].value_counts().to_dict() == CLASS_SIZES[name]


@needs_kit
@pytest.mark.parametrize("name", TABLES)
def test_tables_of_the_data_kit_have_the_published_class_sizes(name: str) -> None:
    assert from_kit(name)[TABLES[name].target].value_counts().to_dict() == CLASS_SIZES[name]


@needs_kit
@pytest.mark.parametrize("name", TABLES)
def test_the_label_is_the_last_column_after_the_features(name: str) -> None:
    assert list(from_kit(name).columns) == [*TABLES[name].columns, TABLES[name].target]


@needs_kit
@pytest.mark.parametrize("name", BUNDLED)
def test_the_data_kit_and_scikit_learn_give_the_same_frame(name: str) -> None:
    assert_frame_equal(from_kit(name), load_table(name, source="sklearn"), check_exact=True)


@needs_kit
def test_a_question_mark_is_a_missing_value() -> None:
    gaps = from_kit("adult").isna().sum()
    assert gaps[gaps > 0].to_dict() == {"workclass": 2799, "occupation": 2809, "native-country": 857}


@needs_kit
def test_the_answer_unknown_of_the_bank_stays_a_category() -> None:
    assert (from_kit("bank_marketing")["poutcome"] == "unknown").sum() == 36959


@needs_kit
def test_whole_numbers_are_integers_unless_some_are_missing() -> None:
    types = from_kit("heart_disease").dtypes.astype(str)
    assert types[["age", "oldpeak", "ca"]].tolist() == ["int64", "float64", "float64"]


@needs_kit
def test_paper_labels_keep_the_four_raw_strings_of_adult() -> None:
    counts = from_kit("adult", paper_labels=True)["income"].value_counts().to_dict()
    assert counts == {"<=50K": 24720, "<=50K.": 12435, ">50K": 7841, ">50K.": 3846}


@needs_kit
def test_a_folder_may_hold_tasks_json_itself() -> None:
    assert load_table("rice", folder=KIT / "tabular", source="kit").equals(from_kit("rice"))


def iris_in_uci_form() -> pd.DataFrame:
    """UCI's iris.data: other names, other labels and two rows that UCI's own note calls wrong."""
    frame = load_table("iris", source="sklearn").rename(columns=lambda c: c.replace("_", " "))
    frame["class"] = "Iris-" + frame["class"]
    frame.loc[[34, 37], ["sepal width", "petal length", "petal width"]] = [3.1, 1.5, 0.1]
    return frame


def folder_with_iris(root: Path, file: str, data: bytes, **read: object) -> Path:
    task = {"target": "class", "files": [f"tabular/iris/{file}"], "read": read}
    (root / "tabular" / "iris").mkdir(parents=True)
    (root / "tabular" / "tasks.json").write_text(json.dumps({"iris": task}))
    (root / "tabular" / "iris" / file).write_bytes(data)
    return root


def iris_bytes(sep: str = ",") -> bytes:
    return iris_in_uci_form().to_csv(index=False, sep=sep).encode()


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inner.csv", data)
    return buffer.getvalue()


def as_arff(data: bytes) -> bytes:
    names = ("sepal_length", "sepal_width", "petal_length", "petal_width", "class")
    head = "".join(f"@ATTRIBUTE {n}\tReal\n" for n in names)
    return f"% a note\n@RELATION iris\n{head}\n@DATA\n".encode() + data.split(b"\n", 1)[1]


@pytest.mark.parametrize(
    ("file", "data", "read"),
    [
        ("iris.csv", iris_bytes, {"format": "csv"}),
        ("iris.csv", lambda: iris_bytes(";"), {"format": "csv", "sep": ";"}),
        ("iris.csv.gz", lambda: gzip.compress(iris_bytes()), {"format": "csv"}),
        ("iris.zip", lambda: zipped(iris_bytes()), {"format": "csv", "member": "inner.csv"}),
        ("iris.arff", lambda: as_arff(iris_bytes()), {"format": "arff"}),
    ],
    ids=["comma", "semicolon", "gz", "zip", "arff"],
)
def test_a_data_folder_is_read_in_every_format(
    tmp_path: Path, file: str, data: Callable[[], bytes], read: dict[str, str]
) -> None:
    folder = folder_with_iris(tmp_path, file, data(), **read)
    assert_frame_equal(load_table("iris", folder=folder), load_table("iris", source="sklearn"), check_exact=True)


def test_the_two_wrong_rows_of_uci_iris_are_corrected_in_any_order(tmp_path: Path) -> None:
    data = shuffled(iris_in_uci_form()).to_csv(index=False).encode()
    folder = folder_with_iris(tmp_path, "iris.csv", data, format="csv")
    bundled = load_table("iris", source="sklearn")
    columns = list(bundled.columns)
    assert_frame_equal(
        load_table("iris", folder=folder).sort_values(columns, ignore_index=True),
        bundled.sort_values(columns, ignore_index=True),
    )


def test_a_folder_that_holds_the_table_comes_before_scikit_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upside_down = iris_in_uci_form()[::-1].to_csv(index=False).encode()
    monkeypatch.setenv("FLAME_DATA", str(folder_with_iris(tmp_path, "iris.csv", upside_down, format="csv")))
    assert load_table("iris")["class"].iloc[0] == "virginica"


def test_a_folder_that_lacks_the_file_gives_way_to_scikit_learn(tmp_path: Path) -> None:
    folder = folder_with_iris(tmp_path, "iris.csv", b"", format="csv")
    (folder / "tabular" / "iris" / "iris.csv").unlink()
    assert load_table("iris", folder=folder)["class"].iloc[0] == "setosa"


def test_a_damaged_file_is_named_and_not_passed_over(tmp_path: Path) -> None:
    folder = folder_with_iris(tmp_path, "iris.csv.gz", b"not gzip", format="csv")
    with pytest.raises(DataError, match=r"cannot read the table 'iris' from .*is a file damaged"):
        load_table("iris", folder=folder)


def test_all_faults_of_a_foreign_table_come_in_one_message(tmp_path: Path) -> None:
    foreign = iris_in_uci_form().head(7).rename(columns={"petal width": "stem width"})
    foreign["class"] = "rose"
    folder = folder_with_iris(tmp_path, "iris.csv", foreign.to_csv(index=False).encode(), format="csv")
    with pytest.raises(DataError) as caught:
        load_table("iris", folder=folder)
    faults = ("expected 150 rows, however: 7", "['petal_width'] are missing", "['stem width'] are not expected")
    assert [fault for fault in faults if fault not in str(caught.value)] == []


def test_a_label_the_table_does_not_have_is_refused(tmp_path: Path) -> None:
    data = iris_bytes().replace(b"Iris-setosa", b"rose")
    folder = folder_with_iris(tmp_path, "iris.csv", data, format="csv")
    with pytest.raises(DataError, match=r"expected the labels \['setosa', .*however: \['rose'\]"):
        load_table("iris", folder=folder)


def test_an_unknown_table_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="Did you mean 'dry_bean'"):
        load_table("dry_beans")


def test_an_unknown_source_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="Did you mean 'sklearn'"):
        load_table("iris", source="scikit-learn")  # type: ignore[arg-type]


def test_a_table_found_nowhere_says_what_was_tried_and_how_to_fetch_it() -> None:
    with pytest.raises(DataError) as caught:
        load_table("car_evaluation")
    message = str(caught.value)
    assert all(part in message for part in ("kit: ", "sklearn: ", "cache: ", "flame data fetch car_evaluation"))


def test_the_source_kit_without_a_folder_says_that_none_was_given() -> None:
    with pytest.raises(DataError, match="no folder was given and FLAME_DATA is not set"):
        load_table("iris", source="kit")


# --- splitting --------------------------------------------------------------------------------------------------------


def test_shuffled_rows_give_the_same_split() -> None:
    frame = load_table("breast_cancer")
    assert same_split(split_table(frame, "diagnosis"), split_table(shuffled(frame), "diagnosis"))


@needs_kit
@pytest.mark.parametrize("name", BUNDLED)
def test_the_data_kit_and_scikit_learn_give_the_same_split(name: str) -> None:
    target = TABLES[name].target
    bundled = load_table(name, source="sklearn")
    assert same_split(split_table(shuffled(from_kit(name)), target), split_table(bundled, target))


def test_the_types_of_numbers_do_not_change_the_split() -> None:
    whole = toy({"a": 20, "b": 20}).assign(x=range(40))
    as_float = split_table(whole.astype({"x": float}), "y")
    assert split_table(whole, "y").test["x"].tolist() == as_float.test["x"].tolist()


def test_the_order_of_columns_does_not_change_the_split() -> None:
    frame = toy({"a": 20, "b": 20})
    assert split_table(frame[["y", "x"]], "y").test["x"].tolist() == split_table(frame, "y").test["x"].tolist()


def test_another_seed_gives_another_split() -> None:
    frame = load_table("iris")
    assert not same_split(split_table(frame, "class", seed=0), split_table(frame, "class", seed=1))


def test_every_row_is_in_exactly_one_part() -> None:
    frame = load_table("iris")
    split = split_table(frame, "class")
    together = pd.concat([split.train, split.validation, split.test])
    columns = list(frame.columns)
    assert_frame_equal(together.sort_values(columns, ignore_index=True), frame.sort_values(columns, ignore_index=True))


def test_every_part_has_a_fresh_index() -> None:
    split = split_table(toy({"a": 20, "b": 20}), "y")
    assert split.test.index.tolist() == list(range(len(split.test)))


def test_the_frame_that_is_split_stays_as_it_was() -> None:
    frame = load_table("iris")
    split_table(frame, "class")
    assert_frame_equal(frame, load_table("iris"))


def test_each_class_is_cut_at_the_fractions() -> None:
    split = split_table(toy({"a": 100, "b": 200}), "y")
    sizes = [part["y"].value_counts().to_dict() for part in (split.train, split.validation, split.test)]
    assert sizes == [{"b": 140, "a": 70}, {"b": 30, "a": 15}, {"b": 30, "a": 15}]


@needs_kit
@pytest.mark.parametrize("name", TABLES)
def test_parts_of_the_ten_tables_are_near_their_fractions(name: str) -> None:
    split = split_table(from_kit(name), TABLES[name].target)
    shares = np.array([len(split.train), len(split.validation), len(split.test)]) / TABLES[name].n_rows
    assert np.abs(shares - [0.70, 0.15, 0.15]).max() < 0.011


@needs_kit
@pytest.mark.parametrize("name", ["iris", "adult", "wine_quality", "dry_bean"])
def test_no_row_of_test_or_validation_appears_in_train(name: str) -> None:
    split = split_table(from_kit(name), TABLES[name].target)
    assert rows_of(split.train).isdisjoint(rows_of(split.test) | rows_of(split.validation))


def test_identical_rows_stay_together() -> None:
    frame = pd.concat([toy({"a": 30})] * 5)
    split = split_table(frame, "y")
    assert [part["x"].value_counts().unique().tolist() for part in (split.train, split.validation, split.test)] == [
        [5],
        [5],
        [5],
    ]


def test_a_class_of_three_rows_is_in_every_part() -> None:
    split = split_table(toy({"common": 50, "rare": 3}), "y")
    assert [(part["y"] == "rare").sum() for part in (split.train, split.validation, split.test)] == [1, 1, 1]


def test_a_class_of_two_rows_is_in_train_and_test() -> None:
    split = split_table(toy({"common": 50, "rare": 2}), "y")
    assert [(part["y"] == "rare").sum() for part in (split.train, split.validation, split.test)] == [1, 0, 1]


def test_a_large_group_of_identical_rows_leaves_the_others_for_validation_and_test() -> None:
    frame = pd.concat([toy({"a": 3}), *[toy({"a": 1})] * 90])
    split = split_table(frame, "y")
    assert min(len(split.train), len(split.validation), len(split.test)) >= 1


def test_a_part_with_no_share_is_empty() -> None:
    split = split_table(toy({"a": 20, "b": 20}), "y", fractions=(0.8, 0.0, 0.2))
    assert (len(split.train), len(split.validation), len(split.test)) == (32, 0, 8)


def test_missing_cells_may_be_split() -> None:
    frame = toy({"a": 20, "b": 20}).assign(note=[np.nan, 1.0] * 20)
    assert len(split_table(frame, "y").test) == 6


def test_a_target_that_is_no_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no column 'klass'.*Did you mean 'class'"):
        split_table(load_table("iris"), "klass")


def test_rows_without_a_label_are_counted() -> None:
    frame = toy({"a": 20, "b": 20})
    frame.loc[:2, "y"] = None
    with pytest.raises(DataError, match="however: 3 in 'y' are missing"):
        split_table(frame, "y")


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (0.0, 0.5, 0.5), (1.1, -0.2, 0.1), (0.5, 0.5)])
def test_fractions_that_are_not_three_shares_of_one_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="three shares of one"):
        split_table(toy({"a": 20}), "y", fractions=fractions)  # type: ignore[arg-type]


def test_a_table_too_small_for_every_part_is_refused() -> None:
    with pytest.raises(DataError, match="the validation part would be empty"):
        split_table(toy({"a": 2, "b": 2}), "y")
