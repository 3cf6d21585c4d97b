"""Which facts of a task a requirement sentence says: written apart from the library's own reader of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FACTS = ("classes", "features", "type", "domain")
"""What is looked for: number of classes, number of input columns, task type, and a word of the field of life."""
TYPES = {
    "tabular_cls": "tabular classification",
    "tabular_reg": "tabular regression",
    "seq_cls": "text classification",
    "seq_reg": "text regression",
    "img_cls": "image classification",
}
_UP_TO_TWELVE = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_VALUES = {word: n for n, word in enumerate(_UP_TO_TWELVE, 2)} | {"twenty": 20, "thirty": 30}
_N = rf"(?<![\w.])(\d+|{'|'.join(_VALUES)})"
_CLASSES = re.compile(rf"{_N}[- ](?:[a-z]+ )?class(?:es)?\b", re.IGNORECASE)
_FEATURES = re.compile(rf"{_N}[- ](?:[a-z]+ )?(?:features?|input columns?)\b", re.IGNORECASE)
_TYPE = re.compile(
    r"\b(tabular|text|image)[- ](classification|regression)\b|\b(sequence)[- ](generation)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Truth:
    """What a sentence about a task should say."""

    type: str
    n_classes: int | None
    """None: a number is predicted."""
    n_features: int | None
    """None: no table."""
    words: tuple[str, ...]
    """Words of the task's field of life, one of which is enough."""

    @property
    def facts(self) -> tuple[str, ...]:
        """The facts that apply."""
        absent = {"classes": self.n_classes is None, "features": self.n_features is None}
        return tuple(f for f in FACTS if not absent.get(f))


def recalled(sentence: str | None, truth: Truth) -> dict[str, bool]:
    """Which of the facts that apply a sentence says; a sentence that says two different numbers says neither.

    >>> truth = Truth("tabular_cls", 3, 4, ("iris", "flower"))
    >>> recalled("This is a task of 3-class, 5-feature and base-scaled tabular classification of flowers.", truth)
    {'classes': True, 'features': False, 'type': True, 'domain': True}
    """
    text = sentence or ""
    said = {
        "classes": _numbers(_CLASSES, text) | ({2} if re.search(r"\bbinary\b", text, re.IGNORECASE) else set()),
        "features": _numbers(_FEATURES, text),
        "type": {" ".join(w.lower() for w in match.groups() if w) for match in _TYPE.finditer(text)},
    }
    true = {"classes": truth.n_classes, "features": truth.n_features, "type": TYPES[truth.type]}
    return {f: holds_one_of(text, truth.words) if f == "domain" else said[f] == {true[f]} for f in truth.facts}


def named_labels(sentence: str | None, labels: Iterable[object], given: Sequence[str]) -> list[str]:
    """Names of classes that a sentence gives away; those in what its writer was `given` of words do not count.

    >>> named_labels("This is about setosa and its petals.", ["setosa", "virginica", 1], ["petal length"])
    ['setosa']
    """
    known = _plain(" ".join(given))
    names = {_plain(v) for v in labels if isinstance(v, str) and sum(map(str.isalpha, v)) >= 3}
    return sorted(n for n in names if not _stands(n, known) and _stands(n, _plain(sentence or "")))


def holds_one_of(text: str, words: Iterable[str]) -> bool:
    """Whether one of the words, or its plural, stands in a text."""
    return any(_stands(_plain(word), _plain(text), ending="(?:s|es)?") for word in words)


def _numbers(pattern: re.Pattern[str], text: str) -> set[int]:
    found = (n.lower() for n in pattern.findall(text))
    return {int(n) if n.isdigit() else _VALUES[n] for n in found}


def _plain(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").replace("_", " ").casefold().split())


def _stands(word: str, text: str, ending: str = "") -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}{ending}(?!\w)", text) is not None
