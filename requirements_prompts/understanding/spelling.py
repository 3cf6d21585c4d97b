"""One typing error in a word that matters ("acuracy", "clasify", "paramters") is put right; the rest is left alone.

>>> correct("i want to clasify tweets, acurracy above 0.9, latncy 5 ms, throughout the day")
'i want to classify tweets, accuracy above 0.9, latency 5 ms, throughout the day'
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from .lexicon import word_set

_VERBS = (
    "classify detect segment predict recognise recognize categorise categorize distinguish estimate forecast recommend"
)
_NOUNS = (
    "accuracy precision parameter parameters latency throughput classification classifier detection detector "
    "segmentation regression regressor prediction recognition inference training clustering forecasting keypoints "
    "milliseconds seconds percent anomaly estimation estimator predictor recognizer recogniser sentiment spreadsheet "
    "tabular megabytes gigabytes"
)
_REAL = word_set(
    "throughout repression defection raining straining draining staining trailing perfect present recent presents "
    "tubular protection selection depiction categories category predilection predication clarify"
)
"""Words that look like an error, and are none."""
_WORD = re.compile(r"[A-Za-z]{5,20}")


def correct(text: str) -> str:
    """The text with the words of this module put right."""
    return _WORD.sub(lambda m: _correct_word(m[0]), text)


@lru_cache(maxsize=4096)
def _correct_word(word: str) -> str:
    lower = word.lower()
    known, near = _known()
    if lower in known or lower in _REAL or lower.removesuffix("s") in known:
        return word
    right = near.get(lower)
    if right is None:
        right = next((w for short in _shorter(lower) if (w := short) in known and len(short) >= 6), None)
    if right is None and len(lower) >= 8:
        right = next(
            (near[short] for short in _shorter(lower) if short in near and len(near[short]) == len(lower)), None
        )
    if right is None or right.startswith(lower) or lower.startswith(right):  # "second", "parameterised": no errors
        return word
    return right.upper() if word.isupper() else right.capitalize() if word[0].isupper() else right


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], dict[str, str]]:
    """The words, and each way to lose or swap one of their letters."""
    verbs = _VERBS.split()
    forms = [v[:-1] if v.endswith("e") else v for v in verbs]
    words = [
        *verbs,
        *(f + "ing" for f in forms),
        *(v.removesuffix("y").removesuffix("e") + ("ied" if v.endswith("y") else "ed") for v in verbs),
        *(v.removesuffix("y") + ("ies" if v.endswith("y") else "s") for v in verbs),
        *_NOUNS.split(),
    ]
    near: dict[str, str] = {}
    for word in words:
        for other in (*_shorter(word), *_swapped(word)):
            if len(other) >= 5 and other not in words and other not in _REAL:
                near.setdefault(other, word)
    return frozenset(words), near


def _shorter(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(1, len(word)))  # the first letter is seldom wrong


def _swapped(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(1, len(word) - 1))
