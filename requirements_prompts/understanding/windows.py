"""The words around each number of a text: what is read to find out what the number is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from .comparators import before
from .limit_words import SENTENCE_END
from .quantities import Quantity


class Window(NamedTuple):
    quantity: Quantity
    before: str
    """From the end of the number before, or the start of the sentence."""
    after: str
    """To the end of the clause or the start of the next number."""
    cut: bool
    """Whether `after` ends at a number."""
    sentence: str
    """From the start of the sentence, over other numbers."""


def shares_subject(first: Window, second: Window) -> bool:
    """Whether two numbers bound the same thing: "2 to 5 million", "at least 1M and at most 5M parameters"."""
    if not first.cut:
        return False
    if re.fullmatch(r"\s?(?:-|\u2013|\u2014|to|\.\.\.?)\s?", first.after):
        return first.quantity.full_unit == second.quantity.full_unit
    between = re.search(r"\b(?:between|from)\s*$", first.before, re.IGNORECASE) and first.after.strip() == "and"
    bounds = (
        re.fullmatch(r"\s*,?\s*(?:and|but)\s+(.*)", first.after)
        and before(second.before)[0]
        and before(first.before)[0]
    )
    same = first.quantity.dimension == second.quantity.dimension == "count" and len(first.after.split()) <= 4
    return bool(between) or bool(bounds and same and first.quantity.multiplier)


def joined(first: Window, second: Window) -> Window:
    """The window of the first number with what stands behind the second."""
    return first._replace(
        quantity=replace(second.quantity, start=first.quantity.start), after=second.after, cut=second.cut
    )


def _behind_comparator(text: str, end: int) -> int:
    """The end of a number with the comparator behind it: "10 ms or less", "5 MB max"."""
    match = _BEHIND.match(text, end)
    return match.end() if match else end


_WAY = r"(?:more|less|higher|lower|better|above|below|fewer|faster|under|over|up|smaller|greater)"
_BEHIND = re.compile(
    rf"\s*(?:[a-z/-]+ ){{0,3}}?(?:or {_WAY}\b(?! than)|and {_WAY}(?=\s*(?:and\b|but\b|[,;.)]|$))"
    r"|(?:is|as) (?:the|our) (?:upper |lower |absolute |hard )?(?:limit|max(?:imum)?|min(?:imum)?|ceiling)\b"
    r"|(?:at (?:the )?(?:very )?(?:most|least)|max(?:imum)?|min(?:imum)?|tops)(?= and\b| but\b|[,;.](?!\s*\d)))",
    re.IGNORECASE,
)


def windows_of(text: str, quantities: Sequence[Quantity]) -> list[Window]:
    ends = [m.end() for m in SENTENCE_END.finditer(text)]
    windows = []
    for i, q in enumerate(quantities):
        sentence_start = max((e for e in ends if e <= q.start), default=0)
        sentence_end = next((e for e in ends if e > q.end), len(text) + 1) - 1
        start = max(sentence_start, _behind_comparator(text, quantities[i - 1].end) if i else 0)
        following = quantities[i + 1].start if i + 1 < len(quantities) else len(text) + 1
        end = min(sentence_end, following)
        windows.append(
            Window(
                q, text[start : q.start], text[q.end : end], following <= sentence_end, text[sentence_start : q.start]
            )
        )
    return windows
