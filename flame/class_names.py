"""The names of classes: read in a description, or given; what a label-conditioned model is written from.

>>> class_names("Is this product review positive or negative?")
('positive', 'negative')
>>> class_names("Which of mug, laptop or dog does the photo show?")
('mug', 'laptop', 'dog')
>>> class_names("Sort product reviews into 5 classes."), class_names("Detect toxic comments.")
((), ())
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from flame.columns import plain, shorten
from flame.data import DataBatch
from flame.errors import DataError
from flame.text.reading import NAMES
from requirements_prompts.understanding.classes import read_classes
from requirements_prompts.understanding.lexicon import words_of
from requirements_prompts.understanding.request import lower_same_length, normalise

_HEADS = NAMES | {"one", "ones", "post", "posts", "email", "emails", "ticket", "tickets", "mail", "mails"}
"""Nouns behind the name of a class that say what is sorted: "spam messages from normal ones"."""
_LETTER = re.compile(r"[^\W\d_]")


def class_names(description: str | None) -> tuple[str, ...]:
    """The classes that a description names one by one, in its own spelling; () where it names none, or yes and no."""
    text = normalise(description or "")
    lower = lower_same_length(text)
    names = [_without_head(name) for name in read_classes(words_of(lower))]
    spelled = tuple(_spelling(name, text, lower) for name in names)
    return spelled if len(set(map(str.casefold, spelled))) == len(spelled) else ()


def check_class_names(labels: Sequence[Any], *, words: bool) -> tuple[Any, ...]:
    """Labels that a user gave, as plain values.

    Args:
        words: they have to mean something, because nothing else tells the classes apart.

    Raises:
        DataError: with every fault: no sequence, fewer than two, the same twice, no words.
    """
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence):
        raise DataError(
            f"labels must be a list of names, as in ['negative', 'positive'], however: {type(labels).__name__}"
        )
    found, faults = tuple(map(plain, labels)), []
    if len(found) < 2:
        faults.append(f"at least two labels are expected, however: {list(found)!r}")
    seen = [str(label).strip().casefold() for label in found]
    twice = sorted({str(label) for label, key in zip(found, seen, strict=True) if seen.count(key) > 1})
    if twice:
        faults.append(f"labels must differ, however: {', '.join(map(shorten, twice))} stand(s) more than once")
    mute = [label for label in found if not _LETTER.search(str(label))] if words else []
    if mute:
        shown = ", ".join(map(shorten, mute[:5]))
        faults.append(
            f"labels must be words, as the model is written from what they say, however: {shown}; name the classes, as "
            "in ['negative', 'positive'], or give labelled rows"
        )
    if faults:
        raise DataError("; ".join(faults))
    return found


def same_labels(labels: Sequence[Any] | None, batch: DataBatch) -> tuple[Any, ...]:
    """The labels of the rows, in the user's order where one was given: `labels`.

    Raises:
        DataError: if others were given than the rows hold.
    """
    if labels is None:
        return batch.label_values
    given = check_class_names(labels, words=False)
    by_name = {str(value): value for value in batch.label_values}
    if {str(label) for label in given} != set(by_name):
        raise DataError(
            f"the labels {list(given)!r} were given, however column {batch.target!r} holds "
            f"{list(batch.label_values)!r}; give the same ones, or leave labels out where rows are labelled"
        )
    return tuple(by_name[str(label)] for label in given)


def are_words(labels: Sequence[Any]) -> bool:
    """Whether labels are names that say something, and no codes or numbers."""
    return all(isinstance(label, str) and _LETTER.search(label) for label in labels)


def as_words(label: Any) -> str:
    """A label as it would stand in a sentence.

    >>> as_words("not_spam"), as_words("FeatureRequest")
    ('not spam', 'Feature Request')
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(label))
    return " ".join(re.sub(r"[_\s]+", " ", spaced).split())


def _without_head(name: str) -> str:
    words = name.split()
    while len(words) > 1 and words[-1] in _HEADS:
        words.pop()
    return " ".join(words)


def _spelling(name: str, text: str, lower: str) -> str:
    """A name as the text writes it; names that were put together of its words stay as they are."""
    found = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", lower)
    return text[found.start() : found.end()] if found else name
