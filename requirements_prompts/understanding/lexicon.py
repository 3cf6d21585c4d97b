"""The words a request is read with: domains, modalities, devices, engines, model families, data sets (`lexicon.json`).

Phrases are looked up in dictionaries, one to four words at a time, so that reading stays linear; names with version
numbers are regular expressions.

>>> [(hit.key, hit.phrase) for hit in lookup("domain", words_of("tumours of patients from a hospital"))]
[('medicine', 'tumours'), ('medicine', 'patients'), ('medicine', 'hospital')]
>>> [(n.text, n.modality, n.task) for n in named("family", "A YOLOv8n or a ResNet-50, please")]
[('YOLOv8n', 'image', 'detection'), ('ResNet-50', 'image', None)]
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

MAX_PHRASE = 4
_WORD = re.compile(r"[^\W_]+(?:['\u2019.+-][^\W_]+|\+{1,2}(?!\w)|(?<=s)'(?=\s\w))*|[^\w\s]|\n|_")
_DATA_WORD = r"(?:data ?sets?|data-sets?|data|corpus|benchmark|collection)"


class Word(NamedTuple):
    """A token of the lower-case text; punctuation is a token too."""

    text: str
    start: int
    end: int

    @property
    def is_name(self) -> bool:
        """Whether it holds letters or digits, not punctuation."""
        return self.text[0].isalnum()


class Hit(NamedTuple):
    """A phrase of the lexicon in a text."""

    key: str
    phrase: str
    first: int
    """Index of its first word."""
    last: int
    """Index behind its last word."""


class Named(NamedTuple):
    """A model family or data set, as written."""

    text: str
    start: int
    end: int
    modality: str | None
    task: str | None


def word_set(text: str) -> frozenset[str]:
    """The words of a text without punctuation, as a set."""
    return frozenset(text.split())


def words_of(text: str) -> list[Word]:
    """Words and punctuation of a lower-case text, with their places."""
    return [Word(m[0], m.start(), m.end()) for m in _WORD.finditer(text)]


def folded(word: str) -> tuple[str, ...]:
    """A word and what it may be the plural or possessive of.

    >>> folded("leaves"), folded("berries"), folded("glass")
    (('leaves', 'leave', 'leaf', 'leav'), ('berries', 'berrie', 'berry', 'berri'), ('glass',))
    """
    word = word.removesuffix("'s").removesuffix("\u2019s")
    if len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return (word,)
    forms = [word, word[:-1]]
    if word.endswith("ies"):
        forms.append(word[:-3] + "y")
    if word.endswith("ves"):
        forms.append(word[:-3] + "f")
    if word.endswith("es"):
        forms.append(word[:-2])
    return tuple(forms)


def lookup(section: str, words: Sequence[Word]) -> list[Hit]:
    """Phrases of a section, the longest first at each place, none inside another."""
    table, longest = _table(section)
    hits: list[Hit] = []
    i = 0
    while i < len(words):
        n = min(
            longest.get(words[i].text, 0) or max((longest.get(f, 0) for f in folded(words[i].text)), default=0),
            len(words) - i,
        )
        for size in range(n, 0, -1):
            lead = " ".join(w.text for w in words[i : i + size - 1])
            found = next(
                (k for last in folded(words[i + size - 1].text) if (k := table.get(f"{lead} {last}".strip()))), None
            )
            if found:
                hits += [Hit(key, " ".join(w.text for w in words[i : i + size]), i, i + size) for key in found]
                i += size - 1
                break
        i += 1
    return hits


def named(section: str, text: str) -> list[Named]:
    """Model families ("family") or data sets ("dataset") in a text, as written."""
    rule, meanings = _names(section)
    found = []
    for match in rule.finditer(text):
        modality, task = meanings[str(match.lastgroup)]
        found.append(Named(match[0], match.start(), match.end(), modality, task))
    return found


def phrases(section: str) -> dict[str, list[str]]:
    """The lists of a section by key."""
    return dict(_lexicon()[section])


@lru_cache(maxsize=1)
def _lexicon() -> dict[str, Any]:
    return dict(json.loads(Path(__file__).with_name("lexicon.json").read_text(encoding="utf-8")))


@cache
def _table(section: str) -> tuple[dict[str, list[str]], dict[str, int]]:
    table: dict[str, list[str]] = {}
    longest: dict[str, int] = {}
    for key, entries in _lexicon()[section].items():
        for phrase in entries:
            table.setdefault(phrase, []).append(key)
            first, size = phrase.split()[0], len(phrase.split())
            longest[first] = max(longest.get(first, 0), min(size, MAX_PHRASE))
    return table, longest


@cache
def _names(section: str) -> tuple[re.Pattern[str], dict[str, tuple[str | None, str | None]]]:
    meanings: dict[str, tuple[str | None, str | None]] = {}
    rules = []
    for i, (meaning, patterns) in enumerate(_lexicon()[f"{section}_rules"].items()):
        modality, task = (None if part == "-" else part for part in meaning.split())
        meanings[f"g{i}"] = (modality, task)
        rules.append(f"(?P<g{i}>{'|'.join(f'(?:{p})' for p in patterns)})")
    if section == "dataset":
        common = sorted(_lexicon()["dataset_words"]["table"], key=len, reverse=True)
        meanings["common"] = ("table", None)
        rules.append(rf"(?P<common>(?:{'|'.join(common)})(?= {_DATA_WORD}\b)|(?<=uci )(?:{'|'.join(common)}))")
    return re.compile(rf"(?<![\w-])(?:{'|'.join(rules)})(?![\w+]|-\w)", re.IGNORECASE), meanings
