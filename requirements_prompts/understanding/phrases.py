"""Noun phrases and lists of them, read word by word without a parser.

>>> from .lexicon import words_of
>>> read_list(words_of("the different types of apples, pears and ripe plums from photos"), 0)[0]
('apples', 'pears', 'ripe plums')
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from .grammar import (
    ADJECTIVES,
    AND_OR,
    ASPECTS,
    CARRIERS,
    COMMON_DEVICES,
    CONTRACTED,
    DETERMINERS,
    FINITE,
    IRREGULAR,
    KINDS,
    LY_NOUNS,
    NUMBERED,
    NUMBERS,
    PARTICIPLES,
    PRONOUNS,
    QUANTIFIERS,
    STOPS,
    VERBS_BEHIND_AND,
    WORN,
)
from .lexicon import Word, folded, named, phrases
from .metrics import find_metrics

_OPENING, _CLOSING = "'\"\u201c\u2018`", "'\"\u201d\u2019`"
_MAX_WORDS = 9
_EXPLAINING = ("based", "given", "according", "depending", "taken", "recorded")
_PORTIONS = ("each", "all", "some", "any", "most", "both", "every", "many", "one")
_LEADING = DETERMINERS | QUANTIFIERS | NUMBERS


def text_at(words: Sequence[Word], i: int) -> str:
    """The word at a place; "" outside the text."""
    return words[i].text if 0 <= i < len(words) else ""


def sentence_starts(words: Sequence[Word]) -> list[int]:
    """Where sentences and their colon- and dash-separated parts begin."""
    return [0] + [i + 1 for i, w in enumerate(words[:-1]) if w.text in '.!?;:\n-"' and words[i + 1].is_name]


def sentence_end(words: Sequence[Word], i: int) -> int:
    """The index of the mark that ends the sentence of word `i`."""
    return next((k for k in range(i, len(words)) if words[k].text in ".!;\n?"), len(words))


@lru_cache(maxsize=1)
def _machinery() -> frozenset[str]:
    sections = [phrases(section).values() for section in ("device", "engine")]
    return frozenset(p for lists in sections for entries in lists for p in entries if " " not in p)


@lru_cache(maxsize=4096)
def is_technical(word: str) -> bool:
    """Whether a word names a measure, device, engine or model, and so no thing to be found or sorted."""
    if word in COMMON_DEVICES:
        return False
    machinery = _machinery()
    return any(f in machinery for f in folded(word)) or bool(find_metrics(word)) or bool(named("family", word))


def is_blocked(words: Sequence[str]) -> bool:
    """Whether a phrase is no thing: it holds a technical word, or ends with what is said of models ("batch size")."""
    if not words or words[-1] in ADJECTIVES or words[-1] in ("networks", "models", "mobile", "edge", "embedded"):
        return True
    return any(is_technical(w) for w in words)


def read_item(words: Sequence[Word], i: int, *, clause: bool = False) -> tuple[list[str], int]:
    """One noun phrase from word `i` on, and the index behind it.

    Args:
        words: the tokens of the text.
        i: where to start.
        clause: the phrase is a subject, so it ends at its verb even if that is unknown ("a customer churns").
    """
    while text_at(words, i) in _OPENING and i < len(words):
        i += 1
    if text_at(words, i) in _PORTIONS and text_at(words, i + 1) == "of":  # "each of our dogs"
        i += 2
    start, item, skipped = i, list[str](), ""
    while i < len(words) and words[i].is_name and len(item) < _MAX_WORDS:
        word = words[i].text
        if not item and _names_absence(words, i):
            item.append(word)
        elif not item and (word in _LEADING or word.isdigit()) and _is_word(words, i + 1):
            if word.isdigit() and i > start and words[i - 1].text not in DETERMINERS | QUANTIFIERS:
                break
            skipped = word
        elif (skipped in QUANTIFIERS and word in _EXPLAINING) or _ends_item(words, i, item, clause):
            break
        else:
            item.append(word)
        i += 1
    if not item and skipped in QUANTIFIERS:  # "left or right", "best and worst": no count, but the name itself
        item.append(skipped)
    if clause and _ends_with_verb(words, start, i, item):
        item.pop()
    return item, i


def _is_word(words: Sequence[Word], i: int) -> bool:
    return i < len(words) and words[i].is_name


def _names_absence(words: Sequence[Word], i: int) -> bool:
    """ "tumour and no tumour", "toxic or not toxic"; not "and no more than"."""
    if words[i].text not in ("no", "not") or i == 0:
        return False
    if words[i - 1].text in (",", "/", "from", "vs"):  # "weld, no weld"
        return text_at(words, i + 1) in [w.text for w in words[max(0, i - 5) : i]]
    if words[i - 1].text not in ("or", "and"):
        return False
    return _is_word(words, i + 1) and words[i + 1].text not in STOPS | VERBS_BEHIND_AND | ADJECTIVES


def _ends_item(words: Sequence[Word], i: int, item: Sequence[str], clause: bool) -> bool:
    """Whether a noun phrase ends before word `i`."""
    word = words[i].text
    if word in STOPS or word in AND_OR or ("'" in word and word.split("'")[0] in CONTRACTED):
        return True
    if word == "of":
        aspect = text_at(words, i + 1) in _LEADING and text_at(words, i + 2) in ASPECTS  # "boxes of different sizes"
        return not item or not _is_word(words, i + 1) or aspect
    if not item or (item[0] in ("no", "not") and len(item) == 1):
        return False
    if item[-1] in NUMBERED and (word in NUMBERS or word.isdigit()):
        return False
    if item[-1] != "of" and (word in DETERMINERS or word in NUMBERS):
        return True
    if word in PARTICIPLES or (word[0].isdigit() and item[-1] != "of") or _is_attached(words, i, item):
        return True
    if clause and word.endswith("s") and not word.endswith(("ss", "us", "is")) and not _is_plural(item[-1]):
        following = text_at(words, i + 1)  # "a worker wears gloves"
        article = any(w.text in ("a", "an") for w in words[max(0, i - len(item) - 1) : i])
        if article and following[:1].isalpha() and following not in STOPS:
            return True
    return clause and _is_plural(item[-1]) and not _is_plural(word)


def _is_attached(words: Sequence[Word], i: int, item: Sequence[str]) -> bool:
    """A participle or adverb behind the noun: "bees entering the hive", "reviews quickly", "letters written by"."""
    word, following = words[i].text, text_at(words, i + 1)
    if word.endswith("ly") and len(word) > 4 and not word.endswith(LY_NOUNS):
        return True
    if item[-1] == "of":
        return False
    if word.endswith("ing") and len(word) > 5:
        return following in DETERMINERS or following in STOPS
    return (word in WORN or (word.endswith("ed") and len(word) > 4)) and following in STOPS - FINITE


def _ends_with_verb(words: Sequence[Word], start: int, end: int, item: Sequence[str]) -> bool:
    """Whether the last word of a subject is its verb: "a customer churns", "which roll lies on the scale"."""
    if len(item) < 2 or not item[-1].endswith("s") or item[-1].endswith("ss") or _is_plural(item[-2]):
        return False
    article = text_at(words, start) in ("a", "an", "the", "this", "each", "every")
    return article or text_at(words, end) in STOPS - FINITE


def _is_plural(word: str) -> bool:
    return word in IRREGULAR or (len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")))


def read_list(words: Sequence[Word], i: int, *, bars: bool = False) -> tuple[tuple[str, ...], int]:
    """Things joined by commas, "and", "or": their names, and the index behind the last one.

    Args:
        words: the tokens of the text.
        i: where to start.
        bars: "|" separates too.
    """
    names: list[str] = []
    end, last = i, False
    while i < len(words):
        item, j = read_item(words, i)
        if not item or (names and _is_no_further_item(words, i, j, item)):
            break
        if name := clean(item):
            names.append(name)
        while j < len(words) and words[j].text in _CLOSING:
            j += 1
        end, mark = j, text_at(words, j)
        if mark == "," and not last:
            last = text_at(words, j + 1) in ("and", "or", "&")
            i = j + 1 + last
        elif mark in ("and", "or", "&", "/", "vs", "plus") or (bars and mark == "|"):
            last = last or mark != "/"
            i = j + 1
        else:  # also "a, b and c, ...": the list is complete
            break
    return tuple(dict.fromkeys(names)), end


def _is_no_further_item(words: Sequence[Word], i: int, j: int, item: Sequence[str]) -> bool:
    """Whether the words behind a comma or "and" start something new: ", 20 ms", "and export it", ", our budget is"."""
    first, following = words[i].text, text_at(words, j)
    if _names_absence(words, i):
        return False
    if first.isdigit() or first in NUMBERS or item[0][0].isdigit():
        return True
    if len(item) > 5 or is_blocked(item) or (first in VERBS_BEHIND_AND and item[0] not in ("no", "not")):
        return True
    joined = text_at(words, i - 1) in ("and", "or", "&", "/")  # "upheld and reversed from"; not ", trained on"
    if text_at(words, i - 1) == "or" and following in ("does", "do", "did"):  # "which of a, b or c does it show?"
        return False
    return following in FINITE or (item[-1].endswith("ed") and following in STOPS and not joined)


def clean(item: Sequence[str]) -> str:
    """A name without articles, counts, "types of" and "images of"; "" if nothing is named.

    >>> clean("the three types of images of birds".split()), clean(["it"]), clean("genre of a song".split())
    ('birds', '', 'genre of a song')
    """
    rest = list(item)
    while rest:
        article = rest[0] in DETERMINERS and rest[0] != "no" and len(rest) > 1
        count = rest[0] in NUMBERS or rest[0].isdigit()
        if article or count or (rest[0] in QUANTIFIERS and len(rest) > 1):
            rest.pop(0)
        elif len(rest) > 2 and rest[1] == "of" and rest[0] in KINDS:
            del rest[:2]
        elif "of" in rest[1:-1] and rest[rest.index("of") - 1] in CARRIERS:  # "colour photos of birds"
            del rest[: rest.index("of") + 1]
        else:
            break
    while rest and (rest[-1] == "of" or rest[-1] in STOPS or (rest[-1] in DETERMINERS and len(rest) > 1)):
        rest.pop()
    if not rest or (len(rest) == 1 and rest[0] in PRONOUNS):
        return ""
    return " ".join([*rest[:-1], rest[-1].removesuffix("'")])
