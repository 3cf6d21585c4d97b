"""What a description says about size: the resources (hence the scale of the model), and how many classes and columns.

Plain rules on whole words. All readers answer None rather than guess: a "small" flower, a "phone" call and a "binary"
column are about the data, not about the model or its classes.
"""

from __future__ import annotations

import re
import unicodedata

from .words import MAX_CHARS

_SO = r"(?:(?:a|an|the|my|our|some|any|very|really|quite|rather|too|so|as|pretty|extremely) )*"
_KIND = r"(?:(?:neural|language|vision|image|text|tabular|machine[- ]learning|simple|fast|deep|enough|and|cheap) )*"
_MODEL = (
    r"(?:(?:models?|classifiers?|regressors?|mlps?)\b(?! (?:cars?|trains?|ships?|planes?|aircraft|years?|number))"
    r"|(?:nets?|networks?)\b(?! (?:of|traffic|packets?|flows?|connections?)\b))"
)
_COMPUTE = (
    r"(?:resources?|hardware|comput(?:e|er|ing|ational) (?:power|budget|resources)|comput(?:e|ing)|gpus?|ram|vram|"
    r"processing power|memory\b(?! (?:loss|scores?|tests?|problems|complaints|impairment|decline)))\b"
)
_DEVICE = (
    r"(?:(?:smart)?phones?|(?:mobile|edge|embedded|small) (?:phones?|devices?|systems?|boards?)|mobiles?|tablets?|"
    r"(?:smart)?watch(?:es)?|laptops?|browsers?|chips?|micro ?controllers?|raspberry pis?|arduinos?|iphones?|android)\b"
)
_RUN = (
    r"(?:runs?|running|deploy(?:s|ed|ing)?|fits?|execut(?:e|es|ed|ing)|usable|installed|"
    r"(?:should|must|has to|have to|needs to|can|will) (?:work|live))"
)
_TINY_BOARD = r"(?:raspberry pis?|micro ?controllers?|arduinos?|edge devices?)"
_SHORT = r"(?:limited|scarce|tight|modest|low|tiny|little|few|small|minimal|weak|constrained|not much|hardly any)"
_LIGHT = r"(?:tiny|small|smaller|smallest|little|light|lightweight|compact|minimal|mini)"
_BIG = r"(?:large|larger|largest|big|bigger|biggest|huge)"
_MUCH = r"(?:plenty of|lots of|a lot of|enough|ample|abundant|unlimited|generous|large|big|huge|strong|powerful)"
_BEST = r"(?:best|highest|greatest|maximum|maximal|top|utmost)"
_NO_COMMA = r"(?:[^\s,;.!?]+ )"

_SMALL = tuple(
    re.compile(rf"\b(?:{rule})")
    for rule in (
        rf"{_RUN} {_NO_COMMA}{{0,3}}?(?:on|in|inside|onto) {_NO_COMMA}{{0,3}}?{_DEVICE}",
        rf"(?:on|for|have|got|only) {_NO_COMMA}{{0,2}}?{_TINY_BOARD}\b",
        r"on-device\b|edge deployment|(?:resource|memory|compute)[- ](?:constrained|limited|poor)\b",
        rf"(?:don't|do not|doesn't|does not) have (?:much|many|enough|a lot of|lots of|plenty of) {_KIND}{_COMPUTE}",
        rf"{_SHORT}[- ]{_KIND}{_COMPUTE}",
        rf"{_COMPUTE} (?:is|are) {_SO}(?:limited|scarce|tight|modest|low|short|constrained|small)\b",
        rf"(?:on|have|has|got|only|with) {_NO_COMMA}{{0,2}}?(?:old|cheap|slow|weak|low-end|small) "
        r"(?:laptop|computer|machine|pc|notebook|device|server)\b",
        r"(?:without|no|lack) (?:a |any )?(?:gpus?|graphics card)\b|cpu[- ]only|only (?:a |one )?cpu\b",
        rf"{_LIGHT} {_KIND}{_MODEL}",
        rf"{_MODEL} (?:must|should|has to|have to|needs to|can) (?:be|stay|remain) {_SO}{_LIGHT}\b",
        rf"(?:keep|make|need|want) (?:it|this|{_SO}{_MODEL}) (?:to be )?{_SO}{_LIGHT}\b",
        r"as (?:small|light|tiny|lightweight) as possible|the smaller the better",
        r"(?:small|tiny)-scaled?\b(?! (?:farm|fish|business)\w*)|(?:small|tiny) scale (?:model|network)",
        r"(?:small|tiny)(?:,? please|,? (?:is|would be) (?:fine|enough|ok|okay))\b",
    )
)
_LARGE = tuple(
    re.compile(rf"\b(?:{rule})")
    for rule in (
        rf"{_BEST} (?:possible |achievable |reachable )?accuracy\b",
        rf"{_BEST} (?:possible |achievable |reachable )(?:quality|performance|results?|predictions?)\b",
        r"as accurate(?:ly)? as possible|most accurate (?:\w+ )?(?:model|classifier|predictions?|answers?|result)",
        r"accuracy (?:is|matters|comes) (?:most|first|everything|above all|critical|crucial|paramount)\b",
        r"accuracy is (?:the |my |our )?(?:top |only |first )?priority",
        rf"{_MUCH} {_KIND}(?:and \w+ )?{_COMPUTE}|as much {_COMPUTE} as",
        rf"{_COMPUTE} (?:is|are) {_SO}(?:plentiful|abundant|ample|unlimited|no (?:problem|issue|concern|object))\b",
        r"(?:powerful|big|large|strong) (?:server|workstation|cluster|machine|computer)\b",
        r"(?:several|many|multiple|two|four|eight|[248]) (?:\w+ )?gpus\b",
        rf"{_BIG} {_KIND}{_MODEL}",
        rf"{_MODEL} (?:may|can|should|must) be {_SO}(?:large|big|huge)\b|large-scaled\b|large scale (?:model|network)",
    )
)
_BARE = {
    "small": re.compile(rf"(?:something |{_SO})(?:tiny|small|lightweight)(?: please)?"),
    "large": re.compile(rf"(?:something |{_SO})(?:large|big|huge)(?: please)?"),
}
_NOT = re.compile(r"\b(?:no|not|never|without|don't|doesn't|isn't|needn't|than|instead of|nor)\b")


def read_scale(description: str) -> str | None:
    """The scale that the user's words about resources ask for; None if they say nothing.

    Scarce resources outrank the wish for accuracy: they are a limit.

    >>> read_scale("It runs on a phone."), read_scale("I need the best accuracy."), read_scale("Sort small flowers.")
    ('small', 'large', None)
    """
    text = _plain(description)
    for scale, rules in (("small", _SMALL), ("large", _LARGE)):
        if _BARE[scale].fullmatch(text.strip(" .!")) or any(_said(rule, text) for rule in rules):
            return scale
    return None


def _said(rule: re.Pattern[str], text: str) -> bool:
    """Whether a rule holds somewhere without a "not" in the four words before, in the same clause."""
    for match in rule.finditer(text):
        clause = re.split(r"[.,;:!?]", text[: match.start()])[-1]
        if not _NOT.search(" ".join(clause.split()[-4:])):
            return True
    return False


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text.strip()[:MAX_CHARS]).replace("\u2019", "'").lower().split())


_SMALL_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_UNITS = _SMALL_NUMBERS.split()[:10]
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: i for i, word in enumerate(_SMALL_NUMBERS.split())}
_NUMBERS |= {word: 10 * i for i, word in enumerate(_TENS, 2)}
_NUMBERS |= {f"{ten}-{unit}": 10 * i + j for i, ten in enumerate(_TENS, 2) for j, unit in enumerate(_UNITS) if j}
_N = rf"(?<![\w.,-])(?P<n>[0-9]{{1,4}}|{'|'.join(sorted(_NUMBERS, key=len, reverse=True))})"
_NO_ADJECTIVE = (
    "of|and|or|the|to|in|from|by|for|with|on|per|more|are|is|were|was|at|which|that|hundred|thousand|million|dozen"
)
_ADJECTIVES = rf"(?:(?!(?:{_NO_ADJECTIVE})\b)[a-z'-]+ ){{0,3}}?"
_STRONG = r"(?:class(?:es)?|categor(?:y|ies)|species|variet(?:y|ies)|cultivars?|breeds?|labels?|genres?)"
_WEAK = (
    r"(?:kinds|types|groups|grades|levels|sorts|stages|outcomes|buckets|bins|topics|emotions|ratings|degrees|verdicts|"
    r"answers|choices|options|possibilities|alternatives|brackets|bands|notches|marks|ranks|steps|diagnoses|varietals|growers)"
)
_NO_CLASSES = r"(?! (?:of|in) (?:\w+ )?(?:measurements?|features?|columns?|attributes?|tests?|sensors?|data|inputs?)\b)"
_INTO = r"(?:sort|class|divid|group|split|separat|put|grad|categor|bin|assign|plac|fall|label|tell)"
_NO_PARTS = r"(?!\w*(?:folds?|parts?|columns?|features?|rows?|files?|sets?|batches|dimensions?|inputs?)\b)"
_CLASS_RULES = tuple(
    re.compile(rule)
    for rule in (
        rf"{_N}[- ](?:class|way|label|category)\b(?!es)",
        rf"{_N} {_ADJECTIVES}{_STRONG}\b{_NO_CLASSES}",
        rf"\b{_INTO}\w* [^.;!?]{{0,120}}?\binto (?:one of )?(?:the |these )?{_N} (?:\w+ )?{_NO_PARTS}[a-z]+",
        rf"\b(?:as|into|to|in|is|be|shows?|depicts?|pictures) one of (?:the |these )?{_N}\b",
        rf"\bwhich of (?:the |these |my |our )?{_N}\b",
        rf"{_N} {_ADJECTIVES}{_NO_PARTS}[a-z]+s\b(?: [^.;:!?,]{{1,40}})?[,;:] (?:(?:find out|tell me|say|guess) )?which"
        rf"(?: one\b| of them\b|(?=[.?!]|$))",
        rf"(?<!using )(?<!given )(?<!with )(?<!by )(?<!from )(?<!over ){_N} {_ADJECTIVES}{_WEAK}\b{_NO_CLASSES}",
    )
)
_TWO = re.compile(
    r"(?<!not )(?<!non-)\bbinary\b(?! (?:\w+ )?(?:features?|columns?|attributes?|inputs?|variables?|fields?|flags?|"
    r"stars?|indicators?|files?|codes?|images?|masks?|strings?|numbers?|systems?|options?))"
    r"|\b(?:yes(?: or |[-/]or[-/]|[/-])no|true(?: or |/)false|pass(?: or |/)fail|win(?: or |/)los[es]|or not)\b"
    r"|\b(?:positive(?: or |/)negative|negative(?: or |/)positive|malignant(?: or |/)benign|benign(?: or |/)malignant|"
    r"good(?: or |/)bad|spam(?: or |/)ham|sick(?: or |/)healthy|healthy(?: or |/)sick|above or below|below or above)\b"
)


def read_n_classes(description: str) -> int | None:
    """The number of classes that the words name; None if they name none, or hesitate between two.

    >>> read_n_classes("Sort into three species"), read_n_classes("Spam or not?"), read_n_classes("House prices")
    (3, 2, None)
    """
    text = re.sub(rf"\b({'|'.join(_TENS)}) ({'|'.join(_UNITS[1:])})\b", r"\1-\2", _plain(description))
    for rule in _CLASS_RULES:
        for match in rule.finditer(text):
            n = int(match["n"]) if match["n"].isdigit() else _NUMBERS[match["n"]]
            if n >= 2 and not re.search(r"(?:\d|\b\w+) (?:or|to)$", _number_before(text[: match.start("n")])):
                return n
    return 2 if _TWO.search(text) else None


_COLUMNS = re.compile(
    rf"{_N}[- ]{_ADJECTIVES}(?:features?|columns?|attributes?|predictors?|variables?|measurements?|measures|inputs?)\b"
    rf"|\b(?:from|with|by|has|have|holds?|using) {_N.replace('?P<n>', '?P<m>')} {_ADJECTIVES}(?:numbers|numeric values)"
    r"\b"
)


def read_n_features(description: str) -> int | None:
    """The number of input columns that the words name; None if they name none, or several numbers.

    >>> read_n_features("from 13 chemical measurements"), read_n_features("4-feature"), read_n_features("3 kinds")
    (13, 4, None)
    """
    text = _plain(description)
    matches = list(_COLUMNS.finditer(text))
    if any(re.search(r"\b(?:and|or|to|plus) $", text[: m.start()]) for m in matches):
        return None  # "3 numeric and 2 text columns" are not 2
    numbers = [m["n"] or m["m"] for m in matches]
    found = {int(n) if n.isdigit() else _NUMBERS[n] for n in numbers}
    return found.pop() if len(found) == 1 and 0 not in found else None


def _number_before(text: str) -> str:
    """The end of `text` if it is a number and "or" or "to", as in "two or |three| kinds"; else nothing."""
    words = text.split()[-2:]
    return " ".join(words) if len(words) == 2 and (words[0].isdigit() or words[0] in _NUMBERS) else ""
