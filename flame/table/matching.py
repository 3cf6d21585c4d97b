"""Finding a user's columns, labels and words among those that a task was trained with."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from flame.columns import plain

# Units and fillers carry no meaning for matching; some words have a short form in well-known files.
_FILLERS = {"cm", "mm", "in", "of", "the", "a", "an", "and", "per", "number", "is", "value"}
_SYNONYMS = {"error": "se", "len": "length", "colour": "color", "gender": "sex", "centimetres": "cm"}
_SAY_NOTHING = (
    "to from for with by on at or it its this that be are as which what whether how i my me we our you your into "
    "than task class classes classification tabular base scaled small large feature features column columns predict "
    "tell find sort based data table using use model given one two three their them they has have numeric "
    "categorical missing values"
)
_STOP = _FILLERS | set(_SAY_NOTHING.split())
_NEAR_WORDS = 0.6
"""Words less alike than this have nothing in common."""


def words_of(text: str) -> list[str]:
    """Lower-cased words and numbers; camelCase, snake_case and units are taken apart.

    >>> words_of("MajorAxisLength"), words_of("sepal length (cm)"), words_of("od280/od315_of_diluted_wines")
    (['major', 'axis', 'length'], ['sepal', 'length', 'cm'], ['od280', 'od315', 'of', 'diluted', 'wines'])
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return re.findall(r"[^\W_]+", spaced.casefold())


def column_similarity(a: str, b: str) -> float:
    """1 for the same name in another spelling, 0 for nothing in common.

    >>> column_similarity("mean radius", "radius_mean"), column_similarity("AspectRation", "AspectRatio") > 0.8
    (1.0, True)
    """
    first, second = _name_words(a), _name_words(b)
    if not first or not second:
        return float(a.strip().casefold() == b.strip().casefold())
    if first == second or _letters(a) == _letters(b):
        return 1.0
    shared = sum(max(_word_likeness(x, y) for y in second) for x in first)
    back = sum(max(_word_likeness(x, y) for y in first) for x in second)
    return (shared + back) / (len(first) + len(second))


def match_columns(wanted: Sequence[str], given: Sequence[str], *, threshold: float = 0.6) -> dict[str, str]:
    """The best one-to-one assignment of wanted columns to given ones, with pairs below `threshold` left out.

    >>> match_columns(["sepal_length", "sepal_width"], ["Sepal.Width", "sepal length (cm)"])
    {'sepal_length': 'sepal length (cm)', 'sepal_width': 'Sepal.Width'}
    """
    found = _match_exactly(wanted, given)
    rest, free = [w for w in wanted if w not in found], [g for g in given if g not in set(found.values())]
    # Only names that share a word or all of their letters can match; most pairs of a wide table share none.
    pairs = {(i, j): column_similarity(rest[i], free[j]) for i, j in _candidates(rest, free)}
    if not any(score >= threshold for score in pairs.values()):
        return found
    from scipy.optimize import linear_sum_assignment

    rows, columns = (sorted({pair[k] for pair in pairs}) for k in (0, 1))
    scores = np.array([[pairs.get((i, j), 0.0) for j in columns] for i in rows])
    best = linear_sum_assignment(-scores)
    matched = {rest[rows[i]]: free[columns[j]] for i, j in zip(*best, strict=True) if scores[i, j] >= threshold}
    return {w: (found | matched)[w] for w in wanted if w in found or w in matched}


def _match_exactly(wanted: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """Names that are the same, or the same but for case; every given one is taken once."""
    present = set(given)
    found = {w: w for w in wanted if w in present}
    free = {g.casefold(): g for g in reversed(given) if g not in found}
    for w in wanted:
        if w not in found and w.casefold() in free:
            found[w] = free.pop(w.casefold())
    return found


def _candidates(rest: Sequence[str], free: Sequence[str]) -> set[tuple[int, int]]:
    known = {
        w: [i for i, name in enumerate(rest) if w in _name_words(name)] for name in rest for w in _name_words(name)
    }
    holders: dict[str, list[int]] = {}
    whole: dict[str, list[int]] = {}
    for j, name in enumerate(free):
        whole.setdefault(_letters(name), []).append(j)
        for word in _name_words(name):
            holders.setdefault(word, []).append(j)
    pairs = {(i, j) for i, name in enumerate(rest) for j in whole.get(_letters(name), ())}
    for word, places in known.items():
        for other, columns in holders.items():
            if _word_likeness(word, other):
                pairs |= {(i, j) for i in places for j in columns}
    return pairs


def match_labels(known: Sequence[str], given: Sequence[Any]) -> dict[str, Any] | None:
    """Map known labels to given ones by name: equal words, contained words, or a unique first letter.

    None unless every given label finds one partner of its own; known labels that were not given are left out.

    >>> match_labels(["setosa", "virginica"], ["Iris-setosa", "Iris-virginica"])
    {'setosa': 'Iris-setosa', 'virginica': 'Iris-virginica'}
    >>> match_labels(["benign", "malignant"], ["M", "B"])
    {'malignant': 'M', 'benign': 'B'}
    >>> match_labels(["benign", "malignant"], [0, 1]) is None
    True
    """
    found: dict[str, Any] = {}
    for value in given:
        text = str(plain(value))
        # The strictest kind of likeness that finds anyone decides: '>50K' is not '<=50K', though their words are.
        partners = next((p for same in _LIKENESSES if (p := [k for k in known if same(k, text)])), [])
        if len(partners) != 1 or partners[0] in found:
            return None
        found[partners[0]] = value
    return found


def description_scores(description: str, tasks: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Share of the description's content words that each task's own words hold, rare words counting more.

    >>> scores = description_scores("sepals of iris flowers", {"iris": ["iris sepal flower"], "rice": ["rice grain"]})
    >>> scores["iris"] > 0.9, scores["rice"]
    (True, 0.0)
    """
    bags = {name: _bag(tuple(texts)) for name, texts in tasks.items()}
    asked = {_stem(w) for w in words_of(description) if w not in _STOP and not w.isdigit()}
    if not asked:
        return dict.fromkeys(tasks, 0.0)
    weight = {w: math.log((1 + len(bags)) / (1 + sum(w in bag for bag in bags.values()))) + 0.1 for w in asked}
    total = sum(weight.values())
    return {name: sum(weight[w] for w in asked & bag) / total for name, bag in bags.items()}


@lru_cache(maxsize=256)
def _bag(texts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_stem(w) for text in texts for w in words_of(text))


@lru_cache(maxsize=8192)
def _name_words(name: str) -> tuple[str, ...]:
    words = [_SYNONYMS.get(w, w) for w in words_of(name)]
    return tuple(sorted(w for w in words if w not in _FILLERS) or sorted(words))


@lru_cache(maxsize=8192)
def _letters(name: str) -> str:
    """The name without what separates its words: 'sepallength' is 'sepal length (cm)'."""
    words = words_of(name)
    return "".join([w for w in words if w not in _FILLERS] or words) or name


@lru_cache(maxsize=65_536)
def _word_likeness(a: str, b: str) -> float:
    """1 for the same word, less for another spelling, 0 for another word."""
    if a == b:
        return 1.0
    if 2 * min(len(a), len(b)) < _NEAR_WORDS * (len(a) + len(b)) or not set(a) & set(b):
        return 0.0
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    if matcher.quick_ratio() < _NEAR_WORDS:
        return 0.0
    ratio = matcher.ratio()
    return ratio**4 if ratio >= _NEAR_WORDS else 0.0


def _same_text(known: str, given: str) -> bool:
    return known.strip().casefold() == given.strip().casefold()


def _same_signs(known: str, given: str) -> bool:
    """Equal but for blanks, dashes and full stops at the end."""
    first, second = (re.sub(r"[\s_-]+|\.+$", "", text.casefold()) for text in (known.strip(), given.strip()))
    return first == second != ""


def _same_words(known: str, given: str) -> bool:
    return words_of(known) == words_of(given) != []


def _near_label(known: str, given: str) -> bool:
    a, b = set(words_of(known)), set(words_of(given))
    if not a or not b or known.strip().lstrip("-").isdigit() or given.strip().lstrip("-").isdigit():
        return False
    initial = len(given.strip()) == 1 and known.casefold().startswith(given.strip().casefold())
    return a <= b or b <= a or initial


_LIKENESSES: tuple[Callable[[str, str], bool], ...] = (_same_text, _same_signs, _same_words, _near_label)


def _stem(word: str) -> str:
    for ending in ("ing", "es", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
