"""Are labels the names of classes, or numbers to be predicted? The labels decide; words only where they allow both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from flame.columns import plain

Kind = Literal["classes", "numbers"]

FEW_VALUES = 20
"""As many different whole numbers may be grades or class ids without further evidence."""
ROWS_PER_ID = 10
"""Rows that each of many class ids has on average; measured numbers (ages, prices) rarely come back so often."""
SETTLED_VALUES = 10
"""Up to here the labels are never overruled by words."""
_WISH = {"classes": "classes", "numbers": "a number"}


def label_kind(labels: Iterable[Any]) -> Kind:
    """Whether labels are classes or numbers; missing ones do not count.

    * Anything that is no number (text, True/False): classes.
    * One or two different values: classes.
    * Three or more values, one of them with a fraction: numbers.
    * Up to `FEW_VALUES` different whole numbers: classes, if they come twice or more on average, or if all are between
      -20 and 20 (grades, ids); else numbers.
    * More whole numbers: classes, if they count from 0 or 1 without a gap and each has `ROWS_PER_ID` rows or more on
      average (class ids); else numbers.

    >>> label_kind(["a", "b", "c"]), label_kind([0.5, 1.25, 4.75]), label_kind([3, 9, 5, 6]), label_kind(range(17, 91))
    ('classes', 'numbers', 'classes', 'numbers')
    """
    values = [value for value in map(plain, labels) if value != "None" and value == value]
    return kind_of_values(list(dict.fromkeys(values)), len(values))


def kind_of_values(values: Sequence[Any], n_rows: int) -> Kind:
    """The same from the different labels (plain Python values) and the number of rows."""
    if len(values) <= 2 or not all_numbers(values):
        return "classes"
    if any(map(_has_fraction, values)):
        return "numbers"
    if len(values) <= FEW_VALUES:
        repeated = n_rows >= 2 * len(values)
        return "classes" if repeated or max(map(abs, values)) <= FEW_VALUES else "numbers"
    ids = min(values) in (0, 1) and max(values) - min(values) + 1 == len(values)
    return "classes" if ids and n_rows >= ROWS_PER_ID * len(values) else "numbers"


def all_numbers(values: Sequence[Any]) -> bool:
    """Whether every value is a number; True and False are none."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _has_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def words_may_matter(values: Sequence[Any]) -> bool:
    """Whether labels are such that an explicit wish could overrule them."""
    return len(values) > SETTLED_VALUES and all_numbers(values)


def settle_kind(
    values: Sequence[Any], n_rows: int, said: Kind | None, *, n_classes: int | None = None
) -> tuple[Kind, str | None]:
    """What labels and words make together, and a note where they differ.

    The words win only if they are explicit and there are more than `SETTLED_VALUES` numbers: a wish for a number
    always, a wish for classes only if it names exactly as many (`n_classes`) as there are whole numbers.

    >>> kind, note = settle_kind([0, 1, 2], 30, "numbers")
    >>> kind, note.split(", ")[1]
    ('classes', 'however the labels are classes (3 different values in 30 rows)')
    """
    kind = kind_of_values(values, n_rows)
    if said is None or said == kind:
        return kind, None
    seen = f"{len(values)} different values in {n_rows} rows"
    named = n_classes == len(values) and not any(map(_has_fraction, values))
    if words_may_matter(values) and (said == "numbers" or named):
        was = "classes" if kind == "classes" else "numbers"
        return said, f"the labels alone look like {was} ({seen}); the description asks for {_WISH[said]}"
    return kind, f"the description seems to ask for {_WISH[said]}, however the labels are {kind} ({seen})"
