"""The look of data in a few words for the requirement sentence: about the inputs, never the labels.

Texts and pictures are only counted and measured; what a text says, even an order, stays a handful of single words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from flame.data import DataBatch
from flame.errors import DataError
from flame.picture.facts import picture_facts
from flame.picture.words import picture_words
from flame.text.reading import N_CHARACTERS, SMALL_WORDS, n_words

N_TEXTS = 500
"""Rows of texts that are looked at, evenly spread."""
N_TELLING, TELLING_SHARE = 3, 0.03
"""How many recurring words are named, and the share of rows that must hold one."""
_STOP = (
    "about above after again against ain all almost also always amp and another any anyone anything are aren around "
    "auch auf aus avec away back because been before being best better between both but came can cannot cant com come "
    "como con could couldn dans del dem den did didn does doesn doing don done down during each edu else enough even "
    "ever every everyone everything few find first for found from für gave get gets getting give given gives goes "
    "going gone good got great had has hasn have haven having her here hers herself him himself his how however http "
    "https ich including into isn its itself just keep kind knew know known las last least less let like little long "
    "look looking los lot lots made make makes making many may maybe might mit more most much must myself más need "
    "needs never new next not nothing now off often once one ones only other others our out over own para part pas "
    "people per perhaps por pour put que qui quite rather really right said same saw say says see seem seems seen set "
    "several shall she should shouldn show shows sich sie since some someone something soon still such sur sure take "
    "taken takes tell than thank that the their them then there these they thing things think this those though three "
    "through thus time times together too took tried try trying two under une until upon use used user using very von "
    "want wants was wasn way well went were what when where whether which while who whom whose why will wir with "
    "within without won work works would wouldn www yes yet you your yours"
)
STOP_WORDS = SMALL_WORDS | frozenset(_STOP.split())
"""Words that tell nothing of what a text is about."""
SHORT, LONG = 12, 150
"""Words; what has no more is called short, what has more is called long."""
_ENGLISH = "the of and to is in it that for with was are not what how this on you be have a"
ENGLISH = frozenset(_ENGLISH.split())
_LETTERS = re.compile(r"(?<![\w'’#@./-])[^\W\d_]{3,20}(?![\w@/-]|\.\w)")
"""A word of letters alone: no part of a number, an address, a tag or a name that is called."""


def data_pattern(batch: DataBatch) -> str:
    """The look of a batch in a few words, about its inputs and never its labels.

    "6 numeric and 8 categorical columns", "short English sentences of about 9 words, about film, story", "colour
    photographs on a cluttered background, in warm tones", ... The same rows give the same words.
    """
    if batch.modality == "image":
        return _pictures(batch)
    if batch.modality == "table":
        return _table(batch)
    return _texts([_spread(batch.features[c.name], N_TEXTS) for c in batch.columns])


def _spread(values: pd.Series, n: int) -> list[object]:
    places = np.linspace(0, max(len(values) - 1, 0), min(n, len(values))).astype(int)
    cells: list[object] = values.iloc[places].tolist()
    return cells


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(batch: DataBatch) -> str:
    """Kinds of the columns, as in "numeric columns" or "categorical columns with missing values"."""
    n_numeric = sum(c.kind == "numeric" for c in batch.columns)
    n_other = len(batch.columns) - n_numeric
    if n_other == 0:
        words = "numeric columns"
    elif n_numeric == 0:
        words = "categorical columns"
    else:
        words = f"{n_numeric} numeric and {n_other} categorical columns"
    return words + (" with missing values" if batch.n_missing else "")


# --- texts ------------------------------------------------------------------------------------------------------------


def _texts(columns: Sequence[Sequence[object]]) -> str:
    """Form and length of the texts, or of both texts of a pair, and what they are often about."""
    (kind, n), *other = [_form([str(t) for t in column if t]) for column in columns]
    if other:
        words = _pair(kind, n, *other[0])
    else:
        words = f"{_length(n)}{kind} of about {_rounded(n)} words"
    # A word that stands in both texts of a pair counts once.
    rows = [" ".join(str(t)[:N_CHARACTERS] for t in texts) for texts in zip(*columns, strict=True)]
    found = _telling(rows)
    return words + (f", about {', '.join(found)}" if found else "")


def _pair(kind: str, n: float, other: str, n_other: float) -> str:
    kinds = kind if other == kind else f"{kind} and {other.removeprefix('English ')}"
    near = abs(n - n_other) <= 0.25 * max(n, n_other)
    sizes = str(_rounded((n + n_other) / 2)) if near else f"{_rounded(n)} and {_rounded(n_other)}"
    return f"pairs of {_length(max(n, n_other))}{kinds} of about {sizes} words"


def _length(n: float) -> str:
    return "short " if n <= SHORT else "long " if n > LONG else ""


def _form(texts: Sequence[str]) -> tuple[str, float]:
    """What the texts of a column are, and how many words they have in the middle."""
    if not texts:
        return "texts", 0.0
    starts = [t[:N_CHARACTERS] for t in texts]
    words = [re.findall(r"[^\W\d_]+", t) for t in starts]
    n = float(np.median([n_words(s, w) * len(t) / len(s) for t, s, w in zip(texts, starts, words, strict=True)]))
    asked = np.mean([t.rstrip().endswith("?") for t in texts]) >= 0.6
    kind = "phrases" if n <= 3 else "texts" if n > 60 else "questions" if asked else "sentences"
    small = np.mean([not ENGLISH.isdisjoint(x.lower() for x in w) for w in words])
    return ("English " if small >= (0.25 if n <= 6 else 0.6) else "") + kind, n


def _rounded(n: float) -> int:
    """A number of words as a person would say it."""
    step = 1 if n < 20 else 5 if n < 100 else 50 if n < 1000 else 500
    return max(2, round(n / step) * step)


def _telling(rows: Sequence[str]) -> list[str]:
    """The words of content that most rows hold, most frequent first; a plural counts with its singular.

    Words that mostly have a capital letter are left out: names of people and places have no business in a sentence
    that is stored with the model.
    """
    counts: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for row in rows:
        found = set(_LETTERS.findall(row))
        counts.update({w.lower() for w in found})
        small.update(w for w in found if w.islower())
    counts = Counter({w: n for w, n in counts.items() if w not in STOP_WORDS and w.isalpha() and 2 * small[w] > n})
    for word in [w for w in counts if w.endswith("s") and counts[w[:-1]] > 0.1 * counts[w]]:
        counts[word[:-1]] += counts.pop(word)
    least = max(2, TELLING_SHARE * len(rows))
    return sorted((w for w, n in counts.items() if n >= least), key=lambda w: (-counts[w], w))[:N_TELLING]


# --- pictures ---------------------------------------------------------------------------------------------------------


def _pictures(batch: DataBatch) -> str:
    """Light, colour, sharpness, background and kind; labels only see to it that every class is looked at."""
    labels = None if batch.labels is None else batch.labels.tolist()
    try:
        facts = picture_facts(batch.features[batch.columns[0].name].tolist(), classes=labels)
    except DataError:  # the reader has told which cannot be opened
        return "pictures"
    return picture_words(facts)
