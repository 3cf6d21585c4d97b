"""Numbers with units in the user's words: "twenty GFLOPs", "0,02 s", "half a gigabyte", "nine out of ten", "3M".

Plain rules, linear in the length of the text. A quantity keeps what was written (value, unit) beside its SI value:
seconds, bytes, floating point operations, items per second, fractions for percent. What it is *for*, `limits` reads.

>>> q = read_quantities("no more than 2.5 million parameters")[0]
>>> q.value, q.multiplier, q.si_value
(2.5, 'million', 2500000.0)
>>> [(q.value, q.unit, q.si_value) for q in read_quantities("half an hour, at least ninety percent, 12,5 ms")]
[(0.5, 'hour', 1800.0), (90.0, 'percent', 0.9), (12.5, 'ms', 0.0125)]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from .comparators import before

Dimension = Literal["count", "percent", "ratio", "time", "bytes", "flops", "rate"]

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS: dict[str, float] = {
    **{w: float(i) for i, w in enumerate(_ONES)},
    **{w: 10.0 * (i + 2) for i, w in enumerate(_TENS)},
    "hundred": 100.0,
    "dozen": 12.0,
}
"""Words that are part of a value; the multipliers below count as part of the unit, as in "5 million"."""
_SPOKEN = {"thousand": 1e3, "million": 1e6, "milion": 1e6, "mio": 1e6, "billion": 1e9, "bilion": 1e9, "trillion": 1e12}
MULTIPLIERS: dict[str, float] = {**_SPOKEN, "k": 1e3, "m": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12}
_SECONDS = {
    r"(?:ns|nanosec(?:ond)?s?)": 1e-9,
    r"(?:us|µs|μs|microsec(?:ond)?s?)": 1e-6,
    r"(?:ms|msecs?|mili?seconds?|millis(?:ec(?:ond)?s?)?)": 1e-3,
    r"(?:s|secs?|seconds?)": 1.0,
    r"(?:mins?|minutes?)": 60.0,
    r"(?:h|hrs?|hours?)": 3600.0,
    r"days?": 86400.0,
    r"weeks?": 604800.0,
    r"years?": 31557600.0,
}
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18}
_PREFIX |= {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15, "exa": 1e18}
_MAX_EXPONENT = 60
"""Greater numbers are cut: nothing that is asked for is as large, and sums must stay finite."""
_BINARY = {"k": 2.0**10, "m": 2.0**20, "g": 2.0**30, "t": 2.0**40}

_WORD = r"(?:" + "|".join(sorted(NUMBER_WORDS, key=len, reverse=True)) + r")"
_SPOKEN_NUMBER = (
    rf"(?:an? )?{_WORD}(?:(?:[ -]|(?<=hundred) and ){_WORD}){{0,6}}(?: point(?: {_WORD}){{1,6}})?(?: and a half)?"
)
_DIGITS = (
    r"(?:\d{1,3}(?:[,.' _\u202f\u00a0\u2019]\d{3}){2,}|\d{1,3}(?:[ '_\u202f\u00a0\u2019]\d{3})(?!\d)"
    r"|\d+(?:_\d+)*)(?:[.,]\d+)*(?:e[+-]?\d{1,3}(?!\w)|\s?[x×*]\s?10\^\d{1,3})?|\.\d+"
)
_NUMBER = re.compile(
    rf"(?<![\w@#^])(?<![A-Za-z)]-)(?<!\d[.,])(?P<digits>(?>{_DIGITS}))(?!\s?[x×]\s?\d)"
    rf"|\b(?P<half>half|(?:a )?quarter|three quarters)(?: of)? an?(?= )|\b(?P<spoken>{_SPOKEN_NUMBER})(?![\w'])"
    r"|\b(?P<one>an?)(?= )",
    re.IGNORECASE,
)
_MULTIPLIER = re.compile(rf"[ -]?\+?(?P<m>{'|'.join(_SPOKEN)}|bn|mn|[kmbgt])(?![\w/%])", re.IGNORECASE)
_SPACE = r"[ \u00a0\u202f-]?\+?[ \u00a0\u202f-]?"
_PER = r"(?P<per>seconds?|secs?|s|minutes?|mins?|hours?|hrs?|h|days?)\b"
_NO_THING = (
    r"(?!(?:ms|msecs?|s|secs?|seconds?|minutes?|mins?|hours?|days?|percent|euros?|dollars?|usd|eur|kwh|km|or|and"
    r"|[kmgt]b)\b)"
)
_UNITS = re.compile(
    rf"{_SPACE}(?:(?P<percent>%|percent\b|per cent\b|pct\b|percentage points?\b)|(?P<hz>fps|hz|qps|rps|tps"
    rf"|ips)(?![\w])|(?P<flops>(?P<fp>kilo|mega|giga|tera|peta|exa|[kmgtpe])?[ -]?(?P<op>flops?|macs?"
    rf"|multiply[- ]adds?)|floating[- ]point operations?)\b|(?P<bytes>(?P<bp>[kmgt])(?P<bi>i?)b|(?P<bw>kilo|mega|giga"
    rf"|tera)?bytes?|(?P<bs>meg|gig)s?)(?![\w/])|(?:times |cases |images |pictures )?(?P<ratio>out of (?:every "
    rf"|a )?(?P<of>\d+|{_WORD}))(?!\w)|(?P<rate>{_NO_THING}[a-z][a-z'-]{{0,30}}(?: [a-z][a-z'-]{{0,30}})?(?: (?:per"
    rf"|an?|each|every) | ?/ ?){_PER})|(?P<time>(?:{'|'.join(_SECONDS)})(?!\w)))",
    re.IGNORECASE,
)
_SECOND_RULES = tuple((re.compile(rule, re.IGNORECASE), seconds) for rule, seconds in _SECONDS.items())


@dataclass(frozen=True)
class Quantity:
    """A number in a text, with what is written behind it."""

    value: float
    """As written, without multiplier: 2.5 of "2.5 million"."""
    multiplier: str | None
    """As written: "million", "M", "k"."""
    unit: str | None
    """As written, without the multiplier: "%", "ms", "GFLOPs", "frames per second"."""
    dimension: Dimension
    si_value: float
    """Seconds, bytes, operations, items per second, a fraction for percent; else value times multiplier."""
    start: int
    end: int
    implied: bool = False
    """Whether the number is only an article, as in "under a minute"."""

    @property
    def full_unit(self) -> str | None:
        """Multiplier and unit as written; None if neither is there."""
        return " ".join(p for p in (self.multiplier, self.unit) if p) or None


def read_quantities(text: str) -> list[Quantity]:
    """All numbers of a text, in order; an article counts as 1 only in front of a unit or multiplier."""
    found: list[Quantity] = []
    position = 0
    while match := _NUMBER.search(text, position):
        quantity = _quantity(text, match)
        position = max(match.end(), match.start() + 1) if quantity is None else max(quantity.end, position + 1)
        if quantity is not None:
            found.append(quantity)
    return _ranges(text, found)


def number_value(text: str) -> float | None:
    """The value of one number in digits or words; None if it is none.

    >>> number_value("ninety-five"), number_value("1.000.000"), number_value("0,85"), number_value("25,000")
    (95.0, 1000000.0, 0.85, 25000.0)
    """
    match = _NUMBER.fullmatch(text.strip())
    return _value(match) if match and not match["one"] else None


def _quantity(text: str, match: re.Match[str]) -> Quantity | None:
    end = match.end()
    value = _value(match)
    multiplier = _MULTIPLIER.match(text, end)
    factor, said = 1.0, None
    if multiplier is not None:
        factor, said, end = MULTIPLIERS[multiplier["m"].lower()], multiplier["m"], multiplier.end()
    unit = _UNITS.match(text, end)
    if unit is None or unit.end() == end:
        if match["one"] and (said is None or said.lower() not in _SPOKEN):
            return None
        if match["half"] and said is None:
            return None
        return Quantity(value, said, None, "count", value * factor, match.start(), end, bool(match["one"]))
    if match["one"] and (
        unit["percent"] or unit["rate"] or unit["hz"] or unit["ratio"] or len(unit[0].strip(" -")) < 3
    ):
        return None
    dimension, si = _to_si(value * factor, unit)
    written = unit["ratio"] or unit[0].strip(" +\u00a0\u202f-")
    return Quantity(value, said, written, dimension, si, match.start(), unit.end(), bool(match["one"]))


def _to_si(value: float, unit: re.Match[str]) -> tuple[Dimension, float]:
    if unit["percent"]:
        return "percent", value / 100
    if unit["hz"]:
        return "rate", value
    if unit["rate"]:
        return "rate", value / _seconds(unit["per"])
    if unit["ratio"]:
        whole = number_value(unit["of"]) or 1.0
        return "ratio", value / whole
    if unit["flops"]:
        macs = 2.0 if (unit["op"] or "").lower().startswith(("mac", "mul")) else 1.0  # one MAC is two operations
        return "flops", value * _PREFIX[(unit["fp"] or "").lower()] * macs
    if unit["bytes"]:
        prefix = (unit["bp"] or unit["bw"] or {"meg": "m", "gig": "g"}.get((unit["bs"] or "").lower(), "")).lower()
        return "bytes", value * (_BINARY[prefix] if unit["bi"] else _PREFIX[prefix])
    return "time", value * _seconds(unit["time"])


def _seconds(unit: str) -> float:
    return next(seconds for rule, seconds in _SECOND_RULES if rule.fullmatch(unit))


def _value(match: re.Match[str]) -> float:
    if match["one"]:
        return 1.0
    if match["half"]:
        return {"half": 0.5, "three quarters": 0.75}.get(match["half"].lower(), 0.25)
    return _digits(match["digits"]) if match["digits"] else _spoken(match["spoken"].lower())


def _digits(text: str) -> float:
    """English and continental digits: one separator with three digits behind it groups, unless a zero is before it."""
    text = re.sub(r"[ '_\u202f\u00a0\u2019](?=\d)", "", text)
    power = re.search(r"\s?[x×*]\s?10\^(\d+)$", text)
    factor = 10.0 ** min(int(power[1]), _MAX_EXPONENT) if power else 1.0
    text = text[: power.start()] if power else text
    number, _, exponent = text.lower().partition("e")
    marks = [c for c in number if c in ".,"]
    if len(marks) > 1:  # 1.234,5 or 1,234.5: a last mark of its own kind is the decimal one
        decimal = marks[-1] if marks.count(marks[-1]) == 1 else ""
        whole, _, rest = number.rpartition(decimal) if decimal else (number, "", "")
        number = whole.replace(",", "").replace(".", "") + (f".{rest}" if decimal else "")
    elif marks == [","]:
        grouped = re.fullmatch(r"[1-9]\d{0,2},\d{3}", number)
        number = number.replace(",", "" if grouped else ".")
    return min(float(f"{number or 0}e{exponent or 0}"), 10.0**_MAX_EXPONENT) * factor


def _spoken(text: str) -> float:
    words = text.replace("-", " ").split()
    half = words[-3:] == ["and", "a", "half"]
    words = words[:-3] if half else words
    whole, point, decimals = (words, "", []) if "point" not in words else _split_at_point(words)
    total = 0.0
    for word in whole:
        if word in ("hundred", "dozen"):
            total = max(total, 1.0) * NUMBER_WORDS[word]
        elif word in NUMBER_WORDS:
            total += NUMBER_WORDS[word]
    digits = "".join(str(int(NUMBER_WORDS[w])) for w in decimals)
    return total + (float(f"0.{digits}") if point else 0.0) + (0.5 if half else 0.0)


def _split_at_point(words: list[str]) -> tuple[list[str], str, list[str]]:
    at = words.index("point")
    return words[:at], "point", words[at + 1 :]


def _ranges(text: str, found: list[Quantity]) -> list[Quantity]:
    """In "2 to 5 million" and "10-15 fps" the first number has the unit of the second."""
    for i in range(len(found) - 1, 0, -1):
        first, second = found[i - 1], found[i]
        joined = re.fullmatch(r" ?(?:-|\u2013|\u2014|to|and|\.\.\.?) ?", text[first.end : second.start])
        if joined and joined[0] in (" - ", " \u2013 ") and before(text[: first.start])[0]:
            continue  # "F1 above 0.8 - 5 MB": a list
        if joined and "and" in joined[0]:
            joined = re.search(r"\bbetween\s+$", text[: first.start], re.IGNORECASE)
        if joined and first.full_unit is None and second.full_unit is not None and first.value < second.value:
            factor = second.si_value / second.value if second.value else 1.0
            found[i - 1] = Quantity(
                first.value,
                second.multiplier,
                second.unit,
                second.dimension,
                first.value * factor,
                first.start,
                first.end,
            )
    return found
