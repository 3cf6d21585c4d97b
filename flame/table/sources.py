"""Where the FLAME paper's ten UCI tables come from: a data folder, scikit-learn, a cache of CSV files, or UCI itself.

Every reader hands over a raw frame in the spellings of its source; `canonical_frame` makes them all the same.
"""

from __future__ import annotations

import gzip
import io
import json
import numbers
import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flame.errors import DataError, missing_extra

if TYPE_CHECKING:
    from flame.table.tables import TableInfo

# Spellings of UCI's download that differ in more than case, spaces and underscores: letters and digits -> canonical.
_COLUMN_ALIASES: dict[str, dict[str, str]] = {
    "wine": {"0d2800d315ofdilutedwines": "od280_od315", "od280od315ofdilutedwines": "od280_od315"},
    "wine_quality": {"color": "colour"},
    "dry_bean": {"aspectratio": "AspectRation"},
    "bank_marketing": {"dayofweek": "day"},
}
_LABEL_ALIASES: dict[str, dict[str, str]] = {
    "iris": {"Iris-setosa": "setosa", "Iris-versicolor": "versicolor", "Iris-virginica": "virginica"},
    "wine": {f"{kind}{i + shift}": f"cultivar {i}" for i in (1, 2, 3) for kind, shift in (("", 0), ("class_", -1))},
    "breast_cancer": {"M": "malignant", "B": "benign"},
}
# ucimlrepo reads the category 'unknown' of the bank's files as missing; it is an answer, so it is put back.
_FILL_TEXT: dict[str, str] = {"bank_marketing": "unknown"}


class TableAbsentError(LookupError):
    """This source does not hold the table; the message says why. Never leaves `flame.table.tables`."""


def cell_text(value: Any) -> str:
    """One cell as text that does not depend on its type: `%.9g` for numbers, stripped text, empty if missing.

    >>> [cell_text(v) for v in (3, 3.0, -0.0, " a ", None)]
    ['3', '3', '0', 'a', '']
    """
    if isinstance(value, numbers.Real):
        return "" if value != value else f"{float(value) + 0.0:.9g}"  # + 0.0 turns -0.0 into 0.0
    return "" if value is None or value is pd.NA or value is pd.NaT else str(value).strip()


def cache_folder() -> Path:
    """Folder of downloaded tables: `$FLAME_CACHE/tables`, else in `$XDG_CACHE_HOME/flame` or `~/.cache/flame`."""
    if own := os.environ.get("FLAME_CACHE"):
        return Path(own).expanduser() / "tables"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "flame" / "tables"


# --- one frame, whatever the source ---------------------------------------------------------------------------------


def canonical_frame(raw: pd.DataFrame, info: TableInfo, *, where: str) -> pd.DataFrame:
    """Bring a raw frame to the table's canonical columns, values and label strings.

    Raises:
        DataError: naming `where` and every way in which the frame is not this table.
    """
    expected = [*info.columns, info.target]
    canonical = {_letters(c): c for c in expected} | _column_aliases(info)
    names = [canonical.get(_letters(c), str(c)) for c in raw.columns]
    wanted = [i for i, name in enumerate(names) if _letters(name) != "id"]
    raw = raw.iloc[:, wanted].set_axis([names[i] for i in wanted], axis=1)
    faults = []
    if len(raw) != info.n_rows:
        faults.append(f"expected {info.n_rows} rows, however: {len(raw)}")
    if missing := [c for c in expected if c not in names]:
        faults.append(f"columns {missing} are missing")
    if surplus := [c for c in raw.columns if c not in expected]:
        faults.append(f"columns {surplus} are not expected")
    if twice := sorted(set(raw.columns[raw.columns.duplicated()])):
        faults.append(f"columns {twice} come twice")
    if not missing and not twice:
        aliases = _LABEL_ALIASES.get(info.name, {})
        labels = pd.Series([aliases.get(t, t) for t in map(cell_text, raw[info.target])])
        if unknown := sorted(set(labels) - {*info.labels, *info.paper_labels}):
            faults.append(f"expected the labels {list(info.labels)}, however: {unknown[:5]}")
    if faults:
        raise DataError(f"{where} is not the table {info.name!r}: {'; '.join(faults)}")
    features = {c: _typed(raw[c], fill=_FILL_TEXT.get(info.name)) for c in info.columns}
    return _same_digits(pd.DataFrame({**features, info.target: labels}), info)


def _letters(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _column_aliases(info: TableInfo) -> dict[str, str]:
    if info.name != "breast_cancer":
        return _COLUMN_ALIASES.get(info.name, {})
    numbers_of = {"mean": "1", "se": "2", "worst": "3"}  # UCI: radius1, radius2, radius3
    split = [(column, *column.rsplit("_", 1)) for column in info.columns]
    return {_letters(base) + numbers_of[kind]: column for column, base, kind in split}


def _typed(column: pd.Series, *, fill: str | None) -> pd.Series:
    """Whole numbers, numbers or text, decided by the values alone; '?' and blanks are missing."""
    codes, values = pd.factorize(column)  # each different value once; code -1 is missing, and the last cell
    cells = [v.strip() if isinstance(v, str) else v for v in values]
    cells = [*(np.nan if v in ("?", "") else v for v in cells), np.nan]
    try:
        floats = np.array(cells, dtype=object).astype(float)[codes]  # Python's float: exact, unlike a fast CSV parser
    except ValueError:
        texts = [cell_text(v) or fill or np.nan for v in cells]
        return pd.Series([texts[code] for code in codes])
    is_whole = bool(np.isfinite(floats).all()) and bool((floats == np.round(floats)).all())
    return pd.Series(floats.astype(np.int64) if is_whole else floats)


def _same_digits(frame: pd.DataFrame, info: TableInfo) -> pd.DataFrame:
    """Undo what differs between copies of one table: typing errors and the number of digits kept."""
    if info.name == "iris":
        return _correct_iris(frame, info.target)
    digits = {"rice": _single_precision, "dry_bean": _eleven_characters}.get(info.name)
    if digits is None:
        return frame
    fractional = frame.select_dtypes("float")
    return frame.assign(**{str(c): fractional[c].map(digits, na_action="ignore") for c in fractional})


def _single_precision(value: float) -> float:
    """Rice: its files write single-precision measurements with 9 to 17 digits; any of them give the same float32."""
    return float(np.float32(value))


def _eleven_characters(value: float) -> float:
    """Dry Bean: the spreadsheet has 15 digits, its CSV export at most 11 characters with the point."""
    return round(value, 10 - len(str(int(abs(value)))))


def _correct_iris(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Correct UCI's two wrong rows, found by value because rows may come in any order.

    UCI's note: sample 35 should end in 0.2 and sample 38 should be 4.9, 3.6, 1.4, 0.1. Both were typed as
    4.9, 3.1, 1.5, 0.1, which sample 10 truly is; where that row comes three times, the errors are still there.
    """
    typed = (frame.drop(columns=target) == [4.9, 3.1, 1.5, 0.1]).all(axis=1)
    if typed.sum() != 3:
        return frame
    _, sample_35, sample_38 = frame.index[typed]
    frame.loc[sample_35, "petal_width"] = 0.2
    frame.loc[sample_38, ["sepal_width", "petal_length"]] = [3.6, 1.4]
    return frame


# --- readers ----------------------------------------------------------------------------------------------------------


def read_sklearn(info: TableInfo) -> pd.DataFrame:
    """The raw table bundled with scikit-learn, whose columns stand in UCI's order."""
    if info.sklearn is None:
        raise TableAbsentError("scikit-learn does not bundle it")
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, info.sklearn)()
    frame = pd.DataFrame(bunch.data, columns=list(info.columns))
    return frame.assign(**{info.target: bunch.target_names[bunch.target]})


def read_csv_folder(info: TableInfo, folder: Path) -> pd.DataFrame:
    """The raw table from a canonical CSV file that `fetch_table` wrote."""
    path = folder / f"{info.name}.csv"
    if not path.is_file():
        raise TableAbsentError(f"{path} does not exist")
    try:
        return _read_csv(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; delete it and run: flame data fetch {info.name}") from error


def read_kit(info: TableInfo, folder: Path) -> pd.DataFrame:
    """The raw table from a data folder whose `tasks.json` says how to read each table's files."""
    index = next((p for p in (folder / "tabular" / "tasks.json", folder / "tasks.json") if p.is_file()), None)
    if index is None:
        raise TableAbsentError(f"{folder} has no tabular/tasks.json")
    root = index.parent.parent  # file names in tasks.json begin with tabular/
    try:
        task = json.loads(index.read_text(encoding="utf-8")).get(info.kit)
        if task is None:
            raise TableAbsentError(f"{index} has no entry {info.kit!r}")
        read = task["read"]
        files = read.get("files", task["files"][:1])
        if absent := [f for f in files if not (root / f).is_file()]:
            raise TableAbsentError(f"{root} lacks {absent}")
        frames = [_read_file(root / file, read) for file in files]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        if isinstance(error, TableAbsentError):
            raise
        raise DataError(f"cannot read the table {info.name!r} from {root}: {error!r}; is a file damaged?") from error
    if tag := read.get("tag"):
        frames = [frame.assign(**{tag[0]: value}) for frame, value in zip(frames, tag[1], strict=True)]
    return pd.concat(frames, ignore_index=True).drop(columns=read.get("drop", []), errors="ignore")


def _read_file(path: Path, read: dict[str, Any]) -> pd.DataFrame:
    data = path.read_bytes()
    if path.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(read["member"])
    elif path.suffix == ".gz":
        data = gzip.decompress(data)
    if read["format"] == "arff":
        return _read_arff(data)
    return _read_csv(data, sep=read.get("sep", ","), names=read.get("names"), skiprows=read.get("skiprows", 0))


def _read_csv(data: bytes, *, sep: str = ",", names: list[str] | None = None, skiprows: int = 0) -> pd.DataFrame:
    # Everything as text: what is a number and what is missing is decided in one place, for all sources alike.
    return pd.read_csv(
        io.BytesIO(data),
        sep=sep,
        names=names,
        header=None if names else 0,
        skiprows=skiprows,
        skipinitialspace=True,
        dtype=str,
        keep_default_na=False,
    )


def _read_arff(data: bytes) -> pd.DataFrame:
    """A dense ARFF file whose names and values have no quotes, as those of the ten tables."""
    lines = [line.strip() for line in data.decode("latin1").splitlines()]
    lines = [line for line in lines if line and not line.startswith("%")]
    start = next((i for i, line in enumerate(lines) if line.lower() == "@data"), None)
    if start is None:
        raise ValueError("the ARFF file has no @data line")
    names = [line.split()[1] for line in lines[:start] if line.lower().startswith("@attribute")]
    return _read_csv("\n".join(lines[start + 1 :]).encode(), names=names)


# --- download ---------------------------------------------------------------------------------------------------------


def download_uci(info: TableInfo) -> pd.DataFrame:
    """The raw table from the UCI repository.

    Raises:
        MissingExtraError: the package `ucimlrepo` is not installed.
        DataError: the download failed.
    """
    try:
        from ucimlrepo import fetch_ucirepo
    except ImportError:
        raise missing_extra("ucimlrepo", "data", "downloads of UCI tables") from None
    try:
        return fetch_ucirepo(id=info.uci_id).data.original
    except Exception as error:  # ucimlrepo derives its own errors from Exception
        raise DataError(
            f"could not download the table {info.name!r} from UCI (id {info.uci_id}): {error}; check the network, or "
            "read it from a folder with load_table(..., folder=...)"
        ) from error


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write all of the file or nothing: readers never see half a table.

    Raises:
        DataError: the file cannot be written.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8") as file:
            temporary = Path(file.name)
            frame.to_csv(file, index=False, lineterminator="\n")
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error}; set FLAME_CACHE to a folder you may write to") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
