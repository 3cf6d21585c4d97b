"""Tables that are fetched: from UCI into the cache, and what is said when that fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from test_tables import BUNDLED, _no_folders_of_this_machine, from_kit, iris_in_uci_form, needs_kit  # noqa: F401

from flame.errors import DataError, MissingExtraError
from flame.table.tables import TABLES, cache_folder, fetch_table, load_table


@pytest.fixture
def uci(monkeypatch: pytest.MonkeyPatch) -> Callable[[pd.DataFrame | Exception], list[int]]:
    """Put a `ucimlrepo` in place that sends this frame, or fails so; gives the list of the numbers asked for."""

    def install(answer: pd.DataFrame | Exception) -> list[int]:
        asked: list[int] = []

        def fetch_ucirepo(id: int) -> SimpleNamespace:
            asked.append(id)
            if isinstance(answer, Exception):
                raise answer
            return SimpleNamespace(data=SimpleNamespace(original=answer.copy()))

        module = ModuleType("ucimlrepo")
        module.fetch_ucirepo = fetch_ucirepo  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "ucimlrepo", module)
        return asked

    return install


def uci_wine() -> pd.DataFrame:
    names = {"malic_acid": "Malicacid", "od280_od315": "0D280_0D315_of_diluted_wines"}
    frame = load_table("wine", source="sklearn").rename(columns=lambda c: names.get(c, c.capitalize()))
    number = frame["Class"].str.removeprefix("cultivar ").astype(int)
    return frame.assign(Class=number).rename(columns={"Class": "class"})


def uci_breast_cancer() -> pd.DataFrame:
    frame = load_table("breast_cancer", source="sklearn")
    for word, digit in (("_mean", "1"), ("_se", "2"), ("_worst", "3")):
        frame.columns = [c.removesuffix(word) + digit if c.endswith(word) else c for c in frame.columns]
    frame.insert(0, "ID", range(len(frame)))
    frame.insert(1, "Diagnosis", frame.pop("diagnosis").str[0].str.upper())
    return frame


def uci_adult() -> pd.DataFrame:
    frame = from_kit("adult", paper_labels=True).copy()
    frame["workclass"] = frame["workclass"].astype(object).fillna("?")  # UCI has '?' for some gaps, blanks for others
    return frame


def uci_dry_bean() -> pd.DataFrame:
    """With the digits of UCI's spreadsheet, which are known for what follows from whole numbers."""
    frame = from_kit("dry_bean").rename(columns={"AspectRation": "AspectRatio", "roundness": "Roundness"})
    return frame.assign(EquivDiameter=np.sqrt(4 * frame["Area"] / np.pi), Solidity=frame["Area"] / frame["ConvexArea"])


def uci_rice() -> pd.DataFrame:
    frame = from_kit("rice")
    in_excel = {str(c): frame[c].map("{:.15g}".format).astype(float) for c in frame.select_dtypes("float")}
    return frame.assign(**in_excel)


def uci_bank_marketing() -> pd.DataFrame:
    frame = from_kit("bank_marketing").rename(columns={"day": "day_of_week"})
    return frame.replace("unknown", np.nan)


UCI_FORMS: dict[str, Callable[[], pd.DataFrame]] = {
    "iris": iris_in_uci_form,
    "heart_disease": lambda: from_kit("heart_disease").astype({"num": int}),
    "wine": uci_wine,
    "adult": uci_adult,
    "breast_cancer": uci_breast_cancer,
    "car_evaluation": lambda: from_kit("car_evaluation"),
    "wine_quality": lambda: (
        from_kit("wine_quality")
        .rename(columns=lambda c: c.replace(" ", "_").replace("colour", "color"))
        .astype({"quality": int})
    ),
    "dry_bean": uci_dry_bean,
    "rice": uci_rice,
    "bank_marketing": uci_bank_marketing,
}


@pytest.mark.parametrize("name", BUNDLED)
def test_a_downloaded_table_equals_the_bundled_one(name: str, uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(UCI_FORMS[name]())
    fetch_table(name)
    assert_frame_equal(load_table(name, source="cache"), load_table(name, source="sklearn"), check_exact=True)


@needs_kit
@pytest.mark.parametrize("name", [name for name in TABLES if name not in BUNDLED])
def test_a_downloaded_table_equals_that_of_the_data_kit(name: str, uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(UCI_FORMS[name]())
    fetch_table(name)
    assert_frame_equal(load_table(name), from_kit(name), check_exact=True)


@needs_kit
def test_the_cache_keeps_the_raw_labels_of_adult(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(uci_adult())
    fetch_table("adult")
    assert load_table("adult", source="cache", paper_labels=True).equals(from_kit("adult", paper_labels=True))


@needs_kit
def test_paper_labels_are_refused_where_the_source_has_cleaned_ones(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(from_kit("adult"))
    fetch_table("adult")
    with pytest.raises(DataError, match="paper_labels needs the raw labels"):
        load_table("adult", source="cache", paper_labels=True)


def test_a_table_in_the_cache_is_not_downloaded_again(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    asked = uci(uci_wine())
    fetch_table("wine")
    fetch_table("wine")
    assert asked == [109]


def test_force_downloads_again(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    asked = uci(uci_wine())
    fetch_table("wine")
    fetch_table("wine", force=True)
    assert asked == [109, 109]


def test_a_folder_of_fetched_tables_may_be_handed_over(
    tmp_path: Path, uci: Callable[[pd.DataFrame], list[int]]
) -> None:
    uci(iris_in_uci_form()[::-1])
    path = fetch_table("iris", cache=tmp_path / "mine")
    assert load_table("iris", folder=path.parent)["class"].iloc[0] == "virginica"


def test_a_download_of_another_table_is_refused(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(uci_wine())
    with pytest.raises(DataError, match=r"what UCI sent \(id 53\) is not the table 'iris': expected 150 rows"):
        fetch_table("iris")


def test_a_refused_download_leaves_no_file(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(uci_wine().head(10))
    with pytest.raises(DataError):
        fetch_table("wine")
    assert not (cache_folder() / "wine.csv").exists()


def test_a_failed_write_leaves_neither_the_table_nor_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, uci: Callable[[pd.DataFrame], list[int]]
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError("disk full")

    uci(uci_wine())
    monkeypatch.setattr(os, "replace", disk_full)
    with pytest.raises(DataError, match=r"cannot write .*wine\.csv: disk full"):
        fetch_table("wine")
    assert list(cache_folder().iterdir()) == []


def test_a_failed_download_says_how_to_do_without(uci: Callable[[Exception], list[int]]) -> None:
    uci(ConnectionError("Error connecting to server"))
    with pytest.raises(DataError, match=r"could not download.*Error connecting to server.*folder="):
        fetch_table("adult")


def test_without_ucimlrepo_the_message_holds_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ucimlrepo", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flame-hypernet\[data\]'"):
        fetch_table("adult")


def test_a_truncated_file_in_the_cache_is_named(uci: Callable[[pd.DataFrame], list[int]]) -> None:
    uci(uci_wine())
    path = fetch_table("wine")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:100]))
    with pytest.raises(DataError, match=r"wine\.csv \(delete it and fetch again\).*expected 178 rows, however: 99"):
        load_table("wine", source="cache")


def test_flame_cache_says_where_tables_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLAME_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path / "tables"


def test_the_cache_follows_xdg_where_flame_cache_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLAME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "flame" / "tables"


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FLAME_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "flame" / "tables"
