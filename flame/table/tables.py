"""The ten UCI tables of the FLAME paper (section 4.1): one loader, the same frame and the same split from every source.

>>> frame = load_table("iris", source="sklearn")
>>> split = split_table(frame, "class")
>>> len(split.train), len(split.validation), len(split.test)
(105, 24, 21)
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd

from flame.errors import DataError, did_you_mean
from flame.table.sources import (
    TableAbsentError,
    cache_folder,
    canonical_frame,
    cell_text,
    download_uci,
    read_csv_folder,
    read_kit,
    read_sklearn,
    write_csv,
)

__all__ = ["TABLES", "Split", "TableInfo", "cache_folder", "fetch_table", "load_table", "split_table"]

Source = Literal["auto", "kit", "sklearn", "cache"]


@dataclass(frozen=True)
class TableInfo:
    """What is known about a table before it is read."""

    name: str
    target: str
    """Column that holds the label; the last one of the frame."""
    columns: tuple[str, ...]
    """Features, in order."""
    labels: tuple[str, ...]
    """Label strings; a label's place here is its class number."""
    n_rows: int
    uci_id: int
    """Number of the table in the UCI repository."""
    kit: str
    """Key of the table in a data folder's `tasks.json`."""
    sklearn: str | None = None
    """Loader of scikit-learn that bundles the table, if there is one."""
    upweight: int = 1
    """How often the table's rows are repeated in training (the paper's appendix A)."""
    paper_labels: tuple[str, ...] = ()
    """Raw label strings of the files where they differ from `labels`: Adult only."""
    licence: str = "CC BY 4.0"

    @property
    def title(self) -> str:
        """The name as the paper prints it, such as "Heart Disease"."""
        return self.name.replace("_", " ").title()


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_CELL = _names("radius, texture, perimeter, area, smoothness, compactness, concavity, concave_points, symmetry")
_CELL_FEATURES = (*_CELL, "fractal_dimension")

# fmt: off
_ALL = (
    TableInfo("iris", target="class", n_rows=150, uci_id=53, kit="iris", sklearn="load_iris", upweight=10,
              columns=_names("sepal_length, sepal_width, petal_length, petal_width"),
              labels=_names("setosa, versicolor, virginica")),
    TableInfo("heart_disease", target="num", n_rows=303, uci_id=45, kit="heart_disease_cleveland", upweight=2,
              columns=_names("age, sex, cp, trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal"),
              labels=_names("0, 1, 2, 3, 4")),
    TableInfo("wine", target="class", n_rows=178, uci_id=109, kit="wine", sklearn="load_wine", upweight=10,
              columns=_names("alcohol, malic_acid, ash, alcalinity_of_ash, magnesium, total_phenols, flavanoids, "
                             "nonflavanoid_phenols, proanthocyanins, color_intensity, hue, od280_od315, proline"),
              labels=_names("cultivar 1, cultivar 2, cultivar 3")),
    TableInfo("adult", target="income", n_rows=48842, uci_id=2, kit="adult",
              columns=_names("age, workclass, fnlwgt, education, education-num, marital-status, occupation, "
                             "relationship, race, sex, capital-gain, capital-loss, hours-per-week, native-country"),
              labels=_names("<=50K, >50K"),
              paper_labels=_names("<=50K, <=50K., >50K, >50K.")),
    TableInfo("breast_cancer", target="diagnosis", n_rows=569, uci_id=17, kit="breast_cancer_wisconsin_diagnostic",
              sklearn="load_breast_cancer",
              columns=tuple(f"{feature}_{kind}" for kind in ("mean", "se", "worst") for feature in _CELL_FEATURES),
              labels=_names("benign, malignant")),
    TableInfo("car_evaluation", target="class", n_rows=1728, uci_id=19, kit="car_evaluation",
              columns=_names("buying, maint, doors, persons, lug_boot, safety"),
              labels=_names("unacc, acc, good, vgood")),
    TableInfo("wine_quality", target="quality", n_rows=6497, uci_id=186, kit="wine_quality",
              columns=_names("fixed acidity, volatile acidity, citric acid, residual sugar, chlorides, "
                             "free sulfur dioxide, total sulfur dioxide, density, pH, sulphates, alcohol, colour"),
              labels=_names("3, 4, 5, 6, 7, 8, 9")),
    TableInfo("dry_bean", target="Class", n_rows=13611, uci_id=602, kit="dry_bean", upweight=2,
              columns=_names("Area, Perimeter, MajorAxisLength, MinorAxisLength, AspectRation, Eccentricity, "
                             "ConvexArea, EquivDiameter, Extent, Solidity, roundness, Compactness, ShapeFactor1, "
                             "ShapeFactor2, ShapeFactor3, ShapeFactor4"),
              labels=_names("BARBUNYA, BOMBAY, CALI, DERMASON, HOROZ, SEKER, SIRA")),
    TableInfo("rice", target="Class", n_rows=3810, uci_id=545, kit="rice_cammeo_osmancik", upweight=2,
              columns=_names("Area, Perimeter, Major_Axis_Length, Minor_Axis_Length, Eccentricity, Convex_Area, "
                             "Extent"),
              labels=_names("Cammeo, Osmancik")),
    TableInfo("bank_marketing", target="y", n_rows=45211, uci_id=222, kit="bank_marketing",
              columns=_names("age, job, marital, education, default, balance, housing, loan, contact, day, month, "
                             "duration, campaign, pdays, previous, poutcome"),
              labels=_names("no, yes")),
)
# fmt: on

TABLES: dict[str, TableInfo] = {info.name: info for info in _ALL}
"""The paper's ten tables, in its order."""


def load_table(
    name: str, *, folder: str | Path | None = None, source: Source = "auto", paper_labels: bool = False
) -> pd.DataFrame:
    """Read one of the ten tables: features in order, then the label as text; only the row order depends on the source.

    Args:
        name: One of `TABLES`.
        folder: A data folder with a `tasks.json`, or a folder `fetch_table` wrote to; the default is `$FLAME_DATA`.
        source: "kit" (the folder), "sklearn" (bundled, three tables), "cache" (what `fetch_table` downloaded), or
            "auto": the first of these, in this order, that holds the table.
        paper_labels: Keep Adult's four raw label strings, on which the paper reports about 55% accuracy.

    Raises:
        DataError: the name or source is unknown, no source holds the table, or what it holds is not this table.
    """
    info = _info(name)
    if source not in get_args(Source):
        raise DataError(f"unknown source {source!r}; known sources: {did_you_mean(source, get_args(Source))}")
    tried = []
    for place in ("kit", "sklearn", "cache") if source == "auto" else (source,):
        try:
            frame = _read_from(place, info, folder)
        except TableAbsentError as error:
            tried.append(f"{place}: {error}")
        else:
            return _with_labels(frame, info, paper_labels)
    raise DataError(
        f"the table {name!r} was not found; tried {'; '.join(tried)}. Download it once with: flame data fetch {name}"
    )


def _info(name: str) -> TableInfo:
    if name not in TABLES:
        raise DataError(f"unknown table {name!r}; known tables: {did_you_mean(name, TABLES)}")
    return TABLES[name]


def _read_from(place: str, info: TableInfo, folder: str | Path | None) -> pd.DataFrame:
    if place == "sklearn":
        return canonical_frame(read_sklearn(info), info, where="the table bundled with scikit-learn")
    if place == "cache":
        where = f"the cached file {cache_folder() / info.name}.csv (delete it and fetch again)"
        return canonical_frame(read_csv_folder(info, cache_folder()), info, where=where)
    given = folder or os.environ.get("FLAME_DATA")
    if not given:
        raise TableAbsentError("no folder was given and FLAME_DATA is not set")
    root = Path(given).expanduser()
    reader = read_csv_folder if (root / f"{info.name}.csv").is_file() else read_kit
    return canonical_frame(reader(info, root), info, where=f"what the folder {root} holds")


def _with_labels(frame: pd.DataFrame, info: TableInfo, paper_labels: bool) -> pd.DataFrame:
    if not info.paper_labels:
        return frame
    if not paper_labels:
        return frame.assign(**{info.target: frame[info.target].str.rstrip(".")})
    if lacking := sorted(set(info.paper_labels) - set(frame[info.target])):
        raise DataError(f"paper_labels needs the raw labels {list(info.paper_labels)}, however: no {lacking}")
    return frame


def fetch_table(name: str, *, cache: Path | None = None, force: bool = False) -> Path:
    """Download a table from UCI into the cache as a canonical CSV file, unless it is there.

    Raises:
        DataError: the name is unknown, the download failed, did not bring this table, or cannot be written.
        MissingExtraError: the package `ucimlrepo` is not installed.
    """
    info = _info(name)
    path = Path(cache or cache_folder()) / f"{name}.csv"
    if force or not path.is_file():
        raw = download_uci(info)
        write_csv(canonical_frame(raw, info, where=f"what UCI sent (id {info.uci_id})"), path)
    return path


@dataclass(frozen=True, eq=False)
class Split:
    """Three parts of one table, each in an order that does not depend on the table's; the index is reset."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def split_table(
    frame: pd.DataFrame, target: str, *, seed: int = 0, fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
) -> Split:
    """Split by class into train, validation and test, the same for every row order and source of the table.

    Rows are ranked inside their class by a seeded hash of their text and cut at the fractions. Identical rows stay
    together, so no test row was seen in training (rows that differ in the label alone may part). A class with three
    different rows or more is in every part; a smaller one fills train first, then test.

    Raises:
        DataError: the target is missing or has gaps, the fractions are not three shares, or a part would be empty.
    """
    _check_split(frame, target, fractions)
    key = f"flame split {seed}".encode()
    rows = zip(*(_texts(frame[c]) for c in sorted(frame.columns, key=str)), strict=True)
    ranks = np.fromiter((_rank("\x1f".join(cells), key) for cells in rows), dtype=np.uint64, count=len(frame))
    part = np.zeros(len(frame), dtype=np.int8)
    for members in _members(_texts(frame[target])):
        _, group, sizes = np.unique(ranks[members], return_inverse=True, return_counts=True)
        first, second = _cuts(sizes, fractions)
        part[members] = (group >= first).astype(np.int8) + (group >= second)
    order = np.argsort(ranks, kind="stable")
    parts = [frame.iloc[order[part[order] == i]].reset_index(drop=True) for i in range(3)]
    for name, share, rows_of_part in zip(("train", "validation", "test"), fractions, parts, strict=True):
        if share > 0 and rows_of_part.empty:
            raise DataError(f"the {name} part would be empty; no class of {target!r} has enough different rows")
    return Split(*parts)


def _check_split(frame: pd.DataFrame, target: str, fractions: tuple[float, float, float]) -> None:
    faults = []
    if not frame.columns.is_unique:
        faults.append(
            f"column names must differ, however: {list(frame.columns[frame.columns.duplicated()])} come twice"
        )
    elif target not in frame.columns:
        faults.append(f"no column {target!r}; there are {did_you_mean(target, map(str, frame.columns))}")
    elif n_missing := int((_texts(frame[target]) == "").sum()):
        faults.append(f"every row needs a label, however: {n_missing} in {target!r} are missing; drop those rows")
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        faults.append(f"fractions must be three shares of one, the first above zero, however: {fractions}")
    if faults:
        raise DataError(f"cannot split: {'; '.join(faults)}")


def _texts(column: pd.Series) -> np.ndarray:
    codes, values = pd.factorize(column)  # code -1 is missing, and the last text
    return np.array([*map(cell_text, values), ""], dtype=object)[codes]


def _rank(text: str, key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=key).digest(), "big")


def _members(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of each class's rows."""
    codes, values = pd.factorize(labels)
    return (np.flatnonzero(codes == code) for code in range(len(values)))


def _cuts(sizes: np.ndarray, fractions: tuple[float, float, float]) -> tuple[int, int]:
    """How many groups of identical rows of one class stand before the first and before the second cut."""
    ends = np.cumsum(sizes)
    wanted = np.floor(np.cumsum(fractions)[:2] * ends[-1] + 0.5 + 1e-9)
    first, second = np.searchsorted(ends, wanted) + (wanted > 0)
    needs = [int(share > 0) for share in fractions]
    for i in (1, 2):  # too few groups for one each: validation goes without first, then test
        if len(sizes) < sum(needs):
            needs[i] = 0
    first = min(max(first, needs[0]), len(sizes) - needs[1] - needs[2])
    second = min(max(second, first + needs[1]), len(sizes) - needs[2])
    return int(first), int(second)
