"""What the rows are: a table, texts, pairs of texts or pictures; decided by the columns, or as the user says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import pandas as pd

from flame.columns import is_missing
from flame.errors import DataError, did_you_mean
from flame.picture.pictures import holds_picture, is_picture_path
from flame.text.reading import holds_words, looks_free, named_like_text, pair_by_name

Modality = Literal["table", "text", "text_pair", "image"]

ID_NAMES = frozenset({"", "id", "idx", "index", "guid", "uid", "uuid", "rowid", "sampleid", "exampleid", "unnamed0"})
"""Names, without signs, of columns that only number the rows."""


@dataclass(frozen=True)
class Choice:
    """What the rows are read as."""

    modality: Modality
    columns: tuple[str, ...]
    """The input columns that are used, in order."""
    notes: tuple[str, ...] = ()


def check_modality(asked: str | None) -> Modality | None:
    """The modality that the user asks for.

    Raises:
        DataError: if there is none of that name.
    """
    known = get_args(Modality)
    if asked is not None and asked not in known:
        raise DataError(f"modality must be one of {did_you_mean(str(asked), known)} However: {asked!r}")
    return cast("Modality | None", asked)


def choose_modality(features: pd.DataFrame, *, asked: Modality | None = None, listed: bool = False) -> Choice:
    """What the input columns are.

    Args:
        features: the input columns, as they came.
        asked: what the user wants them to be; None: decide.
        listed: a plain list of strings or of pairs came, which is rather one of texts than a table.

    Raises:
        DataError: if they cannot be read as asked for, or pictures stand beside other columns.
    """
    names = [str(n) for n in features.columns]
    if asked == "table":
        return Choice("table", tuple(names))
    ids = _ids(features)
    rest = [n for n in names if n not in ids]
    pictures = [n for n in rest if _pictures(features[n])]
    held = [n for n in pictures if _held(features[n])]
    if asked is not None:
        return _as_asked(asked, features, rest, pictures, held)
    note = (f"column(s) {_quoted(ids)} left out: they only number the rows",) if ids else ()
    if held or rest == pictures:
        return _images(names, rest, pictures, held) if pictures else Choice("table", tuple(names))
    if len(rest) == 1 and _lone_text(features[rest[0]], rest[0], listed):
        return Choice("text", tuple(rest), note)
    if len(rest) == 2:
        named = pair_by_name(rest)
        if (named and all(holds_words(features[n]) for n in rest)) or all(
            looks_free(features[n], sentences=not listed) for n in rest
        ):
            return Choice("text_pair", named or tuple(rest), note)
    free = [n for n in names if looks_free(features[n])]
    advice = "for a task of texts give them alone, with labels: target=..., or modality='text'"
    return Choice(
        "table", tuple(names), tuple(f"free text in column {n!r} is read as categories; {advice}" for n in free)
    )


def _as_asked(
    asked: Modality, features: pd.DataFrame, rest: Sequence[str], pictures: Sequence[str], held: Sequence[str]
) -> Choice:
    lone = list(rest) if len(rest) == 1 else []
    if asked == "image":
        wanted, what = 1, "one column of pictures or paths"
        ways = [list(held), list(pictures), lone if lone and holds_words(features[lone[0]]) else []]
    else:
        wanted, what = (1, "one column of text") if asked == "text" else (2, "two columns of text")
        readable = [n for n in rest if n not in held]
        free = [n for n in readable if looks_free(features[n])]
        called = [n for n in readable if named_like_text(n) and holds_words(features[n])]
        paired = list(pair_by_name(readable) or ()) if asked == "text_pair" else []
        ways = [paired, readable if len(readable) == wanted else [], free, called]
    used = next((way for way in ways if len(way) == wanted), [])
    if not used:
        near = next(filter(None, ways), [])
        found = f"{len(near)} of the columns {list(features.columns)!r} can be" + (f": {_quoted(near)}" if near else "")
        raise DataError(f"modality={asked!r} needs {what}, however {found}; give only the columns that are meant")
    others = [str(n) for n in features.columns if n not in used]
    notes = (f"column(s) {_quoted(others)} left out: {asked!r} was asked for",) if others else ()
    return Choice(asked, tuple(used), notes)


def _images(names: Sequence[str], rest: Sequence[str], pictures: Sequence[str], held: Sequence[str]) -> Choice:
    """Pictures, with nothing beside them but their numbers and the names of their files."""
    used = held or pictures
    if len(used) > 1 or len(pictures) < len(rest):
        beside = [n for n in rest if n not in used[:1]]
        if not held:
            return Choice("table", tuple(names))
        raise DataError(
            f"column {used[0]!r} holds pictures; they are read alone, with labels, however beside it there are columns "
            f"{_quoted(beside)}: leave them out, name the target (target=...), or give modality='image'"
        )
    others = [n for n in names if n not in used]
    note = (f"column(s) {_quoted(others)} left out: they only number or name the pictures",) if others else ()
    return Choice("image", tuple(used), note)


def _lone_text(values: pd.Series, name: str, listed: bool) -> bool:
    return ((listed or named_like_text(name)) and holds_words(values)) or looks_free(values)


def _ids(features: pd.DataFrame) -> list[str]:
    """Columns that only number the rows; never all of them."""
    found = [str(n) for n in features.columns if _is_id(str(n), features[n])]
    return found if len(found) < features.shape[1] else []


def _is_id(name: str, values: pd.Series) -> bool:
    if re.sub(r"[\W_]", "", name.casefold()) in ID_NAMES:
        return True
    if values.dtype.kind not in "iu" or len(values) < 2 or values.isna().any():
        return False
    low, high = int(values.min()), int(values.max())
    return low in (0, 1) and high - low == len(values) - 1 and bool(values.is_unique)


def _pictures(values: pd.Series) -> bool:
    """Whether a column holds pictures, or paths that end like those of pictures."""
    if values.dtype.kind != "O" and not pd.api.types.is_string_dtype(values):
        return False
    first = next((c for c in values if not is_missing(c)), None)
    return _held(values) or (is_picture_path(first) and all(is_missing(c) or is_picture_path(c) for c in values))


def _held(values: pd.Series) -> bool:
    if values.dtype != object:
        return False
    if {str, int, float, bool, type(None)}.issuperset(map(type, values)):
        return False
    return any(map(holds_picture, values))


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
