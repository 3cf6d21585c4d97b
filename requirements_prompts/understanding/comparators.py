"""Which way a number is meant: "at least", "no more than", "below", "or better", "is the upper limit".

>>> before("it must not be larger than "), before("F1 above "), before("does not need to exceed ")
(('<=', 15), ('>', 3), ('drop', 0))
>>> after(" or better", "throughput"), after(" is the upper limit", "parameters"), after(" on CPU", "latency")
('>=', '<=', None)
"""

from __future__ import annotations

import re

_MORE = (
    r"(?:more|larger|bigger|greater|higher|longer|heavier|above|over|exceed(?:s|ing|ed)?|surpass(?:es|ing)?|beyond"
    r"|in excess of|upwards? of|north of)"
)
_LESS = r"(?:less|fewer|smaller|lower|shorter|lighter|below|under(?:neath)?|beneath|south of|undercut)"
_RULES: tuple[tuple[str, str], ...] = (
    (">=", rf"\b{_MORE} than or equal(?: to)?\b"),
    ("<=", rf"\b{_LESS} than or equal(?: to)?\b"),
    (
        ">=",
        r">=|=>|≥|⩾|≧|(?:\bat|\bas) (?:the |an? )?(?:very )?(?:least|minimum|min\b)"
        r"|\b(?:bare )?min(?:imum|imal|\b\.?)(?: of)?|\bnot? (?:any )?worse than",
    ),
    (
        "<=",
        r"<=|=<|≤|⩽|≦|(?:\bat|\bas) (?:the |an? )?(?:very )?(?:most|max(?:imum)?\b)|\bmax(?:imum|imal|\b\.?)(?: of)?"
        r"|\bup to\b|\bwithin\b|\bcap(?:ped)? (?:at|of|to)?"
        r"|\b(?:upper )?(?:limit|bound|ceiling|budget)(?:ed|s)?(?: \w+){0,2}? ?(?:of|to|is|:|=)"
        r"|\b(?:only|just) (?:have|has|had|got)?|\bhas (?:only|just)",
    ),
    (">", rf">|\b{_MORE}(?: than)?\b|\bbeat(?:s|ing)?\b"),
    ("<", rf"<|\b{_LESS}(?: than)?\b"),
    ("better", r"\bbetter than\b"),
    ("worse", r"\bworse than\b"),
    ("faster", r"\b(?:faster|quicker) than\b"),
    ("slower", r"\bslower than\b"),
    ("~", r"~|≈|\b(?:about|around|roughly|approximately|approx\.?|circa|ca\.|close to|nearly|almost)(?!\w)"),
    ("==", r"(?<![<>=])==?(?![<>=])|\b(?:exactly|precisely|equal to|equals)\b"),
)
_BEFORE = re.compile("|".join(f"(?P<r{i}>{rule})" for i, (_, rule) in enumerate(_RULES)), re.IGNORECASE)
_FLIP = {
    ">": "<=",
    "<": ">=",
    ">=": "<",
    "<=": ">",
    "better": "worse=",
    "worse": "better=",
    "faster": "slower=",
    "slower": "faster=",
}
_NOT = re.compile(
    r"(?:\b(?:no|nothing|none|without)|(?:\bnot|n't|\bnever|\bcannot|\bnor)(?: (?!but\b|and\b|only\b)[\w-]+){0,3}) $",
    re.IGNORECASE,
)
_NEED_NOT = re.compile(
    r"(?:\bnot|n't) (?:need|have) (?:to )?(?:[\w-]+ ){0,2}$|(?<!\bwe )(?<!\bi )\bneed(?:n't| not) (?:[\w-]+ ){0,2}$"
    r"|\bno need (?:to|for) (?:[\w-]+ ){0,2}$",
    re.IGNORECASE,
)
_FAR = re.compile(r"[;:.!?](?!\d)|,(?! say)|(?:\S+\s+){6}|\b(?:but|because|so that)\b")
_AFTER = tuple(
    (operator, re.compile(rule, re.IGNORECASE))
    for operator, rule in (
        (">=", r"\+|plus\b|and (?:up|more|above|higher)\b(?! (?:than|of)\b)|upwards\b"),
        ("faster=", r"or (?:faster|quicker)\b"),
        ("better=", r"or (?:so )?better\b"),
        (">=", r"(?:or|and) (?:more|higher|above|greater|over|larger|longer)\b(?! (?:than|of)\b)"),
        ("<=", r"(?:or|and) (?:less|lower|fewer|below|under|smaller|shorter)\b(?! (?:than|of)\b)"),
        (
            ">=",
            r"at (?:the |a )?(?:very |bare )?(?:least|minimum|min\b)|min(?:imum|\b)"
            r"|(?:is|as|being) (?:the|our|my|a) (?:bare )?(?:minimum|lower (?:limit|bound)|least)",
        ),
        (
            "<=",
            r"at (?:the |a )?(?:very |absolute )?(?:most|max(?:imum)?\b)|max(?:imum|\b)|tops\b|limit\b"
            r"|(?:is|as|being) (?:the|our|my|a|an) (?:\w+ )?(?:limit|max(?:imum)?\b|ceiling|cap\b|most)",
        ),
    )
)
_FILLER = re.compile(r"[ -]*[\w/'-]+ *")
_STOPS = frozenset(["or", "and", "but", "with", "while", "for", "on"])


def before(text: str) -> tuple[str | None, int]:
    """The comparator in front of a number and where it starts; "drop" where no bound is meant.

    Words such as "better than" give "better", "worse", "faster" or "slower" ("=" behind: or equal); `resolve` turns
    these into an operator.
    """
    last = None
    for match in _BEFORE.finditer(text):
        last = match
    if last is None or _FAR.search(text[last.end() :].lstrip(" :")):
        return None, len(text)
    operator = _RULES[int(str(last.lastgroup)[1:])][0]
    lead = text[: last.start()]
    if _NEED_NOT.search(lead):
        return "drop", 0
    if last[0].lower().startswith(("not", "no ")):
        return operator, last.start()
    negated = _NOT.search(lead)
    if negated and operator in _FLIP:
        return _FLIP[operator], last.start()
    return operator, last.start()


def after(text: str, kind: str, *, cut: bool = False) -> str | None:
    """The comparator behind a number, directly or behind at most four words; None if there is none.

    Args:
        text: from the number's end up to the end of the clause or the next number.
        kind: what the number limits; "or faster" is less for a latency and more for a throughput.
        cut: the text ends at a number; a comparator at its very end belongs to that one.
    """
    for start in _starts(text):
        for operator, rule in _AFTER:
            match = rule.match(text, start)
            if match:
                return None if cut and text[match.end() :].strip(" :=.") in ("", "of") else resolve(operator, kind)
    return None


def _starts(text: str) -> list[int]:
    """Where a comparator may stand: right behind the number, and behind one to four words."""
    starts = [len(text) - len(text.lstrip(" ,("))]
    while len(starts) < 5:
        word = _FILLER.match(text, starts[-1])
        if word is None or word[0].strip(" -,") in _STOPS:
            break
        starts.append(word.end())
    return starts


def resolve(operator: str, kind: str, *, lower_is_better: bool = False) -> str:
    """A plain operator for "better", "faster" and their like.

    >>> resolve("faster", "latency"), resolve("faster", "throughput"), resolve("worse=", "metric")
    ('<', '>', '<=')
    """
    word, equal = operator.rstrip("="), operator.endswith("=")
    if word not in ("better", "worse", "faster", "slower"):
        return operator
    low = lower_is_better or kind not in ("metric", "throughput")
    if word in ("better", "faster"):
        sign = "<" if low else ">"
    else:
        sign = ">" if low else "<"
    return sign + ("=" if equal else "")
