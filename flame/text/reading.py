"""Free text: how it is told from categories, names and codes, and its rows in one form.

A table with categories must never be taken for text, so free text is what is mostly distinct and reads like sentences:
several words to a cell, in lower case but for the first, with the small words or the full stops that sentences have.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from flame.columns import Column, distinct_cells, is_missing
from flame.errors import DataError

_NAMES = (
    "text texts sentence sentences review reviews comment comments question questions tweet tweets message messages "
    "document documents utterance utterances headline headlines passage passages premise hypothesis query"
)
NAMES = frozenset(_NAMES.split())
"""Last words of column names that mean text, when nothing stands beside the column."""
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("text1", "text2"),
    ("sentence_a", "sentence_b"),
    ("question", "passage"),
    ("question", "context"),
)
"""Names of two columns that mean a pair of texts, in this order."""
_SMALL = (
    "the a an of to and in is it that this for on with was be are as i you not my what how do at by from or but have "
    "has der die das und ist nicht ein eine le la les des et est un une el los y es que de en"
)
SMALL_WORDS = frozenset(_SMALL.split())
"""Words that sentences have, and names and categories rarely."""

N_LOOKED_AT = 1000
"""Cells that are looked at, evenly spread."""
N_CHARACTERS = 1000
"""Characters of a cell that are looked at."""
LONG, SHORT = 6.0, 2.0
"""Words of a cell on average: from `LONG` on it is text whatever it looks like, below `SHORT` it is none."""
DISTINCT_LONG, DISTINCT_SHORT = 0.2, 0.5
"""Share of different cells; premises come with several hypotheses, so long ones may repeat."""
LOWER_CASE = 0.4
"""Share of words in lower case; names and titles have few, German sentences half."""
LIKE_SENTENCES = 0.2
"""Share of cells that hold a small word or end like a sentence."""

_WORD = re.compile(r"[^\W\d_]+")
_NO_BLANKS = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that write words without blanks; two count as a word."""
_END = (".", "!", "?", "…", "。", "！", "？")


def looks_free(values: pd.Series, *, sentences: bool = True) -> bool:
    """Whether the cells of a column are free text, by what they hold.

    Args:
        values: the column.
        sentences: want small words or full stops in short texts; without, phrases in lower case will do.

    >>> looks_free(pd.Series(["a gripping film", "it drags on.", "What a mess!"])), looks_free(pd.Series(["New York"]))
    (True, False)
    """
    cells = _strings(values)
    # Quickly past single words and codes, which most columns of most tables hold.
    if sum(" " in c or not c.isascii() for c in cells) <= len(cells) / 4:
        return False
    distinct = len(set(cells)) / len(cells)
    words = [_words(c) for c in cells]
    mean = float(np.mean([n_words(c, w) for c, w in zip(cells, words, strict=True)]))
    if mean < SHORT or distinct < (DISTINCT_LONG if mean >= LONG else DISTINCT_SHORT):
        return False
    if mean >= LONG:
        return True
    every = [w for found in words for w in found]
    if sum(not w.isupper() and not w.istitle() for w in every) < LOWER_CASE * len(every):
        return False
    like = [c.endswith(_END) or not SMALL_WORDS.isdisjoint(w) for c, w in zip(cells, words, strict=True)]
    return not sentences or float(np.mean(like)) >= LIKE_SENTENCES


def holds_words(values: pd.Series) -> bool:
    """Whether most cells of a column are strings with letters or signs beyond ASCII: no numbers, no dates."""
    cells = _strings(values)
    return sum(bool(_WORD.search(c)) or not c.isascii() for c in cells) > len(cells) / 2


def named_like_text(name: str) -> bool:
    """Whether a column's name says that it holds text.

    >>> named_like_text("Review Text"), named_like_text("tweetText"), named_like_text("colour")
    (True, True, False)
    """
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return bool(parts) and parts[-1].casefold() in NAMES


def pair_by_name(names: list[str]) -> tuple[str, str] | None:
    """Two of the columns whose names mean a pair of texts, the first in front."""
    folded = {n.casefold(): n for n in names}
    return next(((folded[a], folded[b]) for a, b in PAIR_NAMES if a in folded and b in folded), None)


def read_texts(features: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Column, ...], np.ndarray, list[str]]:
    """Cells as text, the columns, which rows hold any text (a mask of the rows given), and notes.

    A text that is missing beside another is "".

    Raises:
        DataError: if no row holds a text, or a cell is nested.
    """
    cells = {name: cells_as_text(features[name]) for name in features.columns}
    found = pd.DataFrame(cells, index=features.index, dtype=object)
    kept = (found != "").any(axis=1).to_numpy(dtype=bool)
    if not kept.any():
        raise DataError(f"at least one text is expected, however none of the {len(kept)} rows holds any")
    found = found[kept].reset_index(drop=True)
    columns = tuple(Column(n, "text", int((found[n] == "").sum()), int(found[n].nunique())) for n in found.columns)
    notes = [f"{int((~kept).sum())} row(s) without any text are left out"] if not kept.all() else []
    return found, columns, kept, notes


def n_words(cell: str, words: list[str]) -> float:
    """How many words a text has, given its runs of letters."""
    dense = 0 if cell.isascii() else len(_NO_BLANKS.findall(cell[:N_CHARACTERS]))
    return dense / 2 if dense > len(words) else len(words)


def _words(cell: str) -> list[str]:
    return _WORD.findall(cell[:N_CHARACTERS])


def _strings(values: pd.Series) -> list[str]:
    """The texts among evenly spread cells; none if they are rather something else."""
    if isinstance(values.dtype, pd.CategoricalDtype):  # who makes a column one of categories means them
        return []
    if values.dtype.kind != "O" and not pd.api.types.is_string_dtype(values):
        return []
    places = np.linspace(0, max(len(values) - 1, 0), min(N_LOOKED_AT, len(values))).astype(int)
    cells = [c for c in values.iloc[places].tolist() if not is_missing(c)]
    texts = [c.strip() for c in cells if isinstance(c, str)]
    return [t for t in texts if t] if len(texts) >= 0.9 * len(cells) else []


def cells_as_text(values: pd.Series) -> np.ndarray:
    """The cells of a column as text, "" where one is missing.

    Shape:
        -> (n,) object

    Raises:
        DataError: if a cell is nested, or holds characters that are none.
    """
    codes, cells = distinct_cells(values)
    table = np.array([*map(str, cells), ""], dtype=object)
    return table[codes]
