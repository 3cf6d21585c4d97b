"""What a column is, and its cells in one form, whatever type they came in.

A cell means the same alone and among others; only the kind of a column depends on all of its cells. Distinct cells are
looked at one by one, rows are taken by code.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

from flame.errors import DataError

Kind = Literal["numeric", "boolean", "categorical", "text", "image"]
"""Columns of tables are of the first three kinds; free text and pictures stand alone, or as a pair of texts."""

MISSING = ("", "?", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "NaN", "nan", "null", "NULL", "None")
"""Cell texts that mean 'no value'."""


@dataclass(frozen=True)
class Column:
    """One input column as the profile saw it."""

    name: str
    kind: Kind
    n_missing: int
    n_unique: int


def type_column(values: pd.Series) -> tuple[Kind, pd.Series]:
    """Decide what a column is, and bring its cells into one form: float64, or object with None for missing.

    Text that is all numbers is numeric; True/False is boolean; dates and durations count in days; the rest is
    categorical. Infinite numbers count as missing.

    >>> type_column(pd.Series(["1", " 2.5", "?"]))[0], type_column(pd.Series(["1", "two"]))[0]
    ('numeric', 'categorical')

    Raises:
        DataError: if a cell is a list, a mapping or a complex number.
    """
    if values.dtype.kind == "b":
        return "boolean", _series(values.astype("object").where(values.notna(), None).to_numpy(dtype="object"), values)
    typed = _typed_numbers(values)
    if typed is not None:
        return "numeric", _series(typed, values)
    codes, cells = distinct_cells(values)
    if cells and all(isinstance(c, bool) for c in cells):
        return "boolean", _series(take(cells, codes), values)
    found = [_number(c) for c in cells]
    if cells and None not in found:
        return "numeric", _series(np.array([*found, np.nan], dtype="float64")[codes], values)
    return "categorical", _series(take([_text(c) for c in cells], codes), values)


def numbers_in(values: pd.Series) -> np.ndarray:
    """The cells as numbers, NaN where missing or infinite.

    Shape:
        -> (n,) float64

    Raises:
        DataError: if a cell is something else than a number.
    """
    typed = _typed_numbers(values)
    if typed is not None:
        return typed
    codes, cells = distinct_cells(values)
    found = [_number(c) for c in cells]
    if None in found:
        strange = [c for c, number in zip(cells, found, strict=True) if number is None]
        shown = ", ".join(shorten(c) for c in strange[:3]) + (", ..." if len(strange) > 3 else "")
        raise DataError(f"column {values.name!r} must hold numbers, however: {shown}; clear cells that mean 'no value'")
    return np.array([*found, np.nan], dtype="float64")[codes]


def categories_in(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Codes (n,), -1 for missing, and the distinct cells as text; whole numbers lose their '.0'."""
    codes, cells = distinct_cells(values)
    return codes, [_text(c) for c in cells]


def distinct_cells(values: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Codes (n,), -1 for missing, and the distinct cells as plain Python values; text is stripped.

    Raises:
        DataError: if a cell is a list, a mapping or a complex number.
    """
    # pandas takes 1 and True for one value; a dictionary of types and cells does not, but is slower.
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        codes, found = _factorize_mixed(values)
    else:
        codes, index = pd.factorize(values, use_na_sentinel=True)
        found = list(index)
    places: dict[tuple[type, Any], int] = {}
    where = []
    for cell in found:
        value = _cell(cell, values.name)
        where.append(-1 if value is None else places.setdefault((type(value), value), len(places)))
    return np.array([*where, -1], dtype=np.intp)[codes], [value for _, value in places]


def take(cells: Sequence[Any], codes: np.ndarray) -> np.ndarray:
    """Rows of distinct cells, None for code -1.

    Shape:
        codes (n,) -> (n,) object
    """
    table = np.empty(len(cells) + 1, dtype=object)
    table[:-1] = cells
    return table[codes]


def plain(value: Any) -> Any:
    """A label as a plain, JSON-able Python value; whole floats become integers.

    >>> plain(np.float64(3.0)), plain(np.str_("a")), plain(True)
    (3, 'a', True)
    """
    value = _scalar(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, bool | int | float | str) else str(value)


def shorten(value: Any, width: int = 60) -> str:
    """How a user's value looks in a message: its `repr`, cut if long.

    >>> shorten("abc"), shorten("a" * 500, width=8)
    ("'abc'", "'aaaa...")
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no integer of more than 4300 digits
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= width else text[: width - 3] + "..."


def unnamed(names: Sequence[str]) -> bool:
    """Whether columns have numbers for names, as those of an array (`x0`) or of a list of lists (`0`)."""
    return all(re.fullmatch(r"x?\d+", n) for n in names)


def is_broken(text: str) -> bool:
    """Whether a text holds half of a surrogate pair, as of bytes that were decoded wrongly; no file can hold it."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def is_missing(cell: Any) -> bool:
    """Whether a single raw cell is one of Python's or pandas' ways to say 'no value'; texts are looked at elsewhere."""
    # pandas.isna looks into arrays, and fails on signalling NaNs.
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell))


def _series(cells: np.ndarray, like: pd.Series) -> pd.Series:
    return pd.Series(cells, index=like.index, name=like.name, dtype=cells.dtype)  # object stays object


def _typed_numbers(values: pd.Series) -> np.ndarray | None:
    """Numbers of a column whose dtype says that it holds numbers or times; None for any other."""
    try:
        if isinstance(values.dtype, pd.PeriodDtype):
            values = values.dt.to_timestamp()
        kind = values.dtype.kind
        if kind in "mM":
            return _days(values)
        if kind == "c":
            raise DataError(f"column {values.name!r} holds complex numbers; split it into real and imaginary part")
        if kind not in "biuf" or not (kind == "b" or pd.api.types.is_numeric_dtype(values)):
            return None
        with np.errstate(over="ignore"):  # long double beyond float64 is infinite, hence missing
            cells = values.to_numpy(dtype="float64", na_value=np.nan)
    except (ValueError, TypeError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"column {values.name!r} of type {values.dtype} cannot be read: {error}") from error
    return np.where(np.isfinite(cells), cells, np.nan)


def _days(values: pd.Series) -> np.ndarray:
    """Dates as days since 1970 in UTC, durations as days."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert(None)
    # Whole seconds: nanoseconds end in the year 2262.
    kind = "datetime64[s]" if values.dtype.kind == "M" else "timedelta64[s]"
    seconds = values.to_numpy(dtype=kind)
    return np.where(np.isnat(seconds), np.nan, seconds.astype("int64") / 86_400)


def _factorize_mixed(values: pd.Series) -> tuple[np.ndarray, list[Any]]:
    places: dict[tuple[type, Any], int] = {}
    try:
        codes = [places.setdefault((cell.__class__, cell), len(places)) for cell in values]
    except TypeError:
        raise _nested(next(c for c in values if not _hashable(c)), values.name) from None
    return np.array(codes, dtype=np.intp), [cell for _, cell in places]


def _hashable(cell: Any) -> bool:
    try:
        hash(cell)
    except TypeError:
        return False
    return True


def _cell(value: Any, name: Any) -> Any:
    """A cell as a plain Python value; None if it means 'no value'."""
    value = _scalar(value)
    if isinstance(value, bytes):
        value = value.decode("utf8", "replace")
    if isinstance(value, str):
        value = value.strip()
        if is_broken(value):
            raise DataError(f"column {name!r} holds characters that are none (half of a pair), in {shorten(value)}")
        return None if value in MISSING else value
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Real | Decimal):
        return value if not math.isnan(_finite(value)) else None
    if isinstance(value, complex):
        raise DataError(f"column {name!r} holds complex numbers; split it into real and imaginary part")
    if hasattr(type(value), "__iter__") or not _hashable(value):
        raise _nested(value, name)
    return None if pd.isna(value) else value


def _nested(value: Any, name: Any) -> DataError:
    return DataError(
        f"column {name!r} holds cells of type {type(value).__name__}, such as {shorten(value)}; a cell must be a "
        "number, a text or a date: spread the column over several, or drop it"
    )


def _scalar(value: Any) -> Any:
    """A numpy scalar as the Python value it stands for."""
    for kind, python in ((np.bool_, bool), (np.integer, int), (np.floating, float), (np.str_, str)):
        if isinstance(value, kind):
            return python(value)
    return complex(value) if isinstance(value, np.complexfloating) else value


def _number(cell: Any) -> float | None:
    """A cell as a number, NaN if infinite, None if it is something else."""
    if isinstance(cell, str):
        try:
            return None if "_" in cell else _finite(float(cell))  # Python reads '1_000'; tables do not mean that
        except ValueError:
            return None
    return _finite(cell) if isinstance(cell, numbers.Real | Decimal) else None


def _finite(number: Any) -> float:
    """A number as float64; NaN if that is infinite."""
    try:
        value = float(number)
    except (OverflowError, ValueError):  # an integer beyond float64, a signalling NaN
        return math.nan
    return value if math.isfinite(value) else math.nan


def _text(cell: Any) -> str:
    """A cell as a category, so that 3, 3.0, '3' and '3.0' are one."""
    if isinstance(cell, numbers.Real | Decimal) and not isinstance(cell, int):
        return str(plain(float(cell)))
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(cell))
