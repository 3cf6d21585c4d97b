"""The classes that a request names: "into a, b and c", "whether it is good or faulty", "a vs b", "(a / b / c)".

>>> from .lexicon import words_of
>>> read_classes(words_of("say whether a board is good or faulty")), read_classes(words_of("sort them into five kinds"))
(('good', 'faulty'), ())
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .grammar import CLASS_NOUNS, DATA_NOUNS, DETERMINERS, FINITE, NUMBERED, NUMBERS
from .lexicon import Word, lookup, word_set, words_of
from .phrases import (
    clean,
    is_blocked,
    read_item,
    read_list,
    sentence_end,
    sentence_starts,
    text_at,
)
from .verbs import CLASSIFYING, FORMS, PARTICLES, WH

_NO_CLASSES = word_set("yes no true false 0 1")
_SORTING = (
    *("sort", "classif", "split", "group", "divid", "categori", "separat", "assign", "put", "label", "bin"),
    *("triag", "rout", "grad", "organi", "segregat", "segment", "fall"),
)
_TELLING = (
    *("distinguish", "differentiat", "discriminat", "choos", "decid", "tell", "choice", "difference"),
    *("divid", "distribut", "rout"),
)
_INTRODUCERS = {
    "into": _SORTING,
    "between": _TELLING,
    "among": _TELLING,
    "to": ("rout", "forward", "dispatch", "triag"),
}
"""Stems of the verbs that may stand before a list of classes, by preposition."""
_SKIPPED = DETERMINERS | NUMBERS | CLASS_NOUNS | {"priority", "main", "following"}
_BEFORE_AS = word_set("such well soon much same far long fast accurate small")
_OUTPUTS = word_set("output answer result label prediction class verdict decision response")
_TO_BE = word_set("is are be should must will can may either")
_COPULAS = word_set("is are was were shows contains means belongs")
_RECORDED = word_set("signals recordings photos pictures images videos sounds audio texts speech clips scans")
_CLASSIFIER = re.compile(r" (?:classifier|detector|model|network|classification|recognition)$")


def read_classes(words: Sequence[Word]) -> tuple[str, ...]:
    """The named classes, two or more; () if none are named, or only "yes" and "no"."""
    for rule in (
        _one_of,
        _choice_clause,
        _choice,
        _output,
        _into,
        _named_as,
        _told_apart,
        _versus,
        _bracketed,
        _after_colon,
    ):
        names = rule(words)
        if len(names) >= 2 and not set(names) <= _NO_CLASSES and not (len(names) == 2 and names[-1] in _NO_CLASSES):
            return names
    return ()


def _one_of(words: Sequence[Word]) -> tuple[str, ...]:
    """ "one of the groups a, b or c", "one of three states: a, b, c", "which of a, b or c is it"."""
    for i in range(len(words) - 3):
        if words[i].text == "either" or (words[i].text in ("one", "which") and words[i + 1].text == "of"):
            j = i + (1 if words[i].text == "either" else 2)
            j = _over_heading(words, j)
            j += 2 if text_at(words, j + 1) == ":" else 0  # "one of these drawers: ..."
            names, _ = read_list(words, j)
            if len(names) >= 2:
                return names
    return ()


def _over_heading(words: Sequence[Word], j: int) -> int:
    """Behind "the three classes:", at the first class; "a, b or c" and "stage one" are classes."""
    while j < len(words) and text_at(words, j + 1) != ",":
        word = words[j].text
        named = word in NUMBERED and (text_at(words, j + 1) in NUMBERS or text_at(words, j + 1).isdigit())
        if named or not (word in _SKIPPED or word in ":'\"" or word.isdigit()):
            break
        j += 1
    return j


def _output(words: Sequence[Word]) -> tuple[str, ...]:
    """ "the output is a, b or c", "the answer should be a or b"."""
    for i, word in enumerate(words):
        if word.text not in _OUTPUTS:
            continue
        j = i + 1
        while text_at(words, j) in _TO_BE:
            j += 1
        names, end = read_list(words, j)
        if j > i + 1 and len(names) >= 2 and any(w.text == "or" for w in words[j:end]):
            return names
    return ()


def _into(words: Sequence[Word]) -> tuple[str, ...]:
    """ "sort ... into a, b and c"; not "into five kinds", and not "into English"."""
    for i, word in enumerate(words[:-1]):
        if word.text not in _INTRODUCERS or words[i + 1].text[0].isdigit():
            continue
        if not any(w.text.startswith(_INTRODUCERS[word.text]) for w in words[max(0, i - 14) : i]):
            continue
        j = i + 1
        j = _over_heading(words, j)
        names, _ = read_list(words, j)
        if len(names) >= 2:
            return names
    return ()


def _named_as(words: Sequence[Word]) -> tuple[str, ...]:
    """ "classify them as a or b"; not "such as", not "as well as"."""
    for i, word in enumerate(words):
        if word.text == "as" and text_at(words, i - 1) not in _BEFORE_AS:
            if not any(w.text.startswith(CLASSIFYING) for w in words[max(0, i - 12) : i]):
                continue
            names, _ = read_list(words, i + 1)
            if len(names) >= 2:
                return names
    return ()


def _choice_clause(words: Sequence[Word]) -> tuple[str, ...]:
    """ "whether a board is good or faulty", "is a tweet positive, neutral or negative?"."""
    starts = set(sentence_starts(words))
    for i, word in enumerate(words):
        inverted = word.text in ("is", "are", "was") and (i in starts or text_at(words, i - 1) == ",")
        if word.text not in ("whether", "if") and not inverted:
            continue
        end = min(sentence_end(words, i), i + 30)
        first_or = next((k for k in range(i + 1, end) if words[k].text == "or"), None)
        if first_or is None:
            continue
        if inverted:  # the subject stands between verb and classes: an article and a noun
            article = text_at(words, i + 1) in DETERMINERS | {"it"}
            names, _ = read_list(words, i + (2 if article else 1))
            if len(names) >= 2:
                n_words = len(names[-1].split())
                return (" ".join(names[0].split()[-n_words:]), *names[1:])
            continue
        verb = next((k for k in range(i + 1, first_or) if words[k].text in _COPULAS), None)
        names = read_list(words, verb + 1)[0] if verb is not None else ()
        if len(names) >= 2:
            return names
    return ()


def _choice(words: Sequence[Word]) -> tuple[str, ...]:
    """A question without a verb: "whale or no whale in sonar pictures?"."""
    for start in sentence_starts(words):
        end = sentence_end(words, start)
        if text_at(words, end) == "?" and not any(w.text in FINITE | WH for w in words[start:end]):
            names, j = read_list(words, start)
            if len(names) >= 2 and any(w.text == "or" for w in words[start:j]):
                return names
    return ()


def _told_apart(words: Sequence[Word]) -> tuple[str, ...]:
    """ "distinguish a from b", "tell a and b apart", "tell apart a and b"."""
    for i, word in enumerate(words):
        if not word.text.startswith(("distinguish", "differentiat", "discriminat", "tell", "separat")):
            continue
        apart = text_at(words, i + 1) == "apart"
        first, j = read_list(words, i + (2 if apart else 1))
        if len(first) >= 2 and (apart or text_at(words, j) == "apart"):
            return first
        if first and text_at(words, j) == "from":
            second, k = read_list(words, j + 1)
            if second and text_at(words, k) != "apart" and not any(is_blocked(n.split()) for n in second):
                return (*first, *second)
    return ()


def _versus(words: Sequence[Word]) -> tuple[str, ...]:
    """ "benign vs malignant": as many words on each side."""
    for i, word in enumerate(words):
        if word.text not in ("vs", "versus") or not 0 < i < len(words) - 1:
            continue
        start = i - 1
        while start > max(0, i - 3) and words[start - 1].is_name:
            if words[start - 1].text in DETERMINERS | PARTICLES:
                break
            start -= 1
        left = read_item(words, start)[0]
        right = read_item(words, i + (2 if text_at(words, i + 1) == "." else 1))[0]
        right = _CLASSIFIER.sub("", " ".join(right)).split()
        n_left = min(len(left), max(1, len(right)))
        n_right = max(1, len(left)) + (right[:1] in (["no"], ["not"]))  # "ok vs not ok"
        names = (clean(left[-n_left:]), clean(right[:n_right]))
        if all(names) and not any(is_blocked(n.split()) for n in names):
            return names
    return ()


def _bracketed(words: Sequence[Word]) -> tuple[str, ...]:
    """ "(melanoma / nevus / keratosis)", but not the columns of a table."""
    for i, word in enumerate(words):
        before = {w.text for w in words[max(0, i - 3) : i]}
        if word.text not in "({[" or (
            before & DATA_NOUNS and not (before & _RECORDED and before & DATA_NOUNS <= {"from"})
        ):
            continue
        names, j = read_list(words, i + 1, bars=True)
        closed = text_at(words, j) in (")", "}", "]")
        if len(names) >= 2 and closed and not any(lookup("kind", words_of(n)) for n in names):
            return names
    return ()


def _after_colon(words: Sequence[Word]) -> tuple[str, ...]:
    """ "the mood: calm, annoyed, furious", "the instrument - violin, flute, piano"; not "columns: age, income"."""
    for i, word in enumerate(words):
        before = {w.text for w in words[max(0, i - 5) : i]}
        dash = word.text in "-\u2013" and i + 1 < len(words) and words[i + 1].start > word.end
        if not (word.text == ":" or dash) or not before or before & DATA_NOUNS:
            continue
        names, j = read_list(words, i + 1)
        sorting = any(w.text.startswith(CLASSIFYING) or w.text in CLASS_NOUNS for w in words[max(0, i - 8) : i])
        closed = j >= len(words) or words[j].text in ".;)!?\n(-" or (sorting and not dash)
        plain = all(len(n.split()) <= 4 and n.split()[0] not in FORMS for n in names)
        if len(names) >= (3 if dash else 2) and closed and plain:
            return names
    return ()
