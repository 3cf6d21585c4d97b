"""Task verbs and task nouns: which words name the work a model is to do.

>>> from .lexicon import words_of
>>> words = words_of("please detect and count cars, the f1 score is free")
>>> [words[i].text for i, _ in find_verbs(words)]
['detect']
"""

from __future__ import annotations

from collections.abc import Sequence

from .lexicon import Word, word_set

_CLEAR = {
    "classification": "classify categorise categorize recognise recognize identify distinguish differentiate "
    "discriminate determine decide diagnose assign tell guess verify",
    "detection": "detect find locate localise localize spot",
    "segmentation": "segment outline delineate",
    "regression": "predict estimate",
    "forecasting": "forecast",
    "clustering": "cluster",
    "ranking": "rank recommend prioritise prioritize",
    "translation": "translate",
    "summarization": "summarise summarize condense",
    "question_answering": "answer",
    "generation": "generate synthesise synthesize rewrite paraphrase",
}
_ALSO = {
    "classification": "sort label tag flag say see know warn alert divide route triage allocate put reject accept "
    "approve output return group split grade read check name separate",
    "detection": "count track box search scan",
    "segmentation": "cut",
    "generation": "turn convert",
    "regression": "rate score grade measure",
    "anomaly_detection": "monitor",
}
VERBS: dict[str, str] = {v: task for group in (_ALSO, _CLEAR) for task, verbs in group.items() for v in verbs.split()}
"""Verbs by the task they mostly mean; context decides (`said`)."""
AMBIGUOUS = word_set(
    "sort label tag flag grade rank cluster forecast segment estimate outline score rate count track box guess spot "
    "answer group split read check name say see know divide route put output return search scan measure warn alert "
    "tell separate cut turn convert monitor reject accept approve assign decide determine"
)
"""Verbs that are nouns as well, or that take many objects; they count only where a verb can stand."""
_NEEDS_CLAUSE = word_set("say see know tell decide read check verify")
_NEEDS_FOR = word_set("search check scan")
_NEEDS_WORD = {
    "put": ("into", "in"),
    "divide": ("into", "among", "between"),
    "cut": ("out",),
    "turn": ("into",),
    "convert": ("into",),
    "scan": ("for",),
    "search": ("for",),
    "warn": ("about", "of", "if", "when", "whether"),
    "alert": ("about", "on", "if", "when"),
}
_BEFORE_VERB = word_set(
    "to and that which must should can could will would may might please , : . ; ! ? - ( & we i who it model network "
    "or helps help system app tool algorithm detector classifier them then automatically just kindly pls let's also "
    "only something need program"
) | {"\n", '"', "'", "`"}
_SUBJECTS = word_set("that which who model it network system app and tool algorithm")
"""In front of a third person, "labels" is a verb."""
CLASSIFYING = (
    *("classif", "categori", "label", "flag", "mark", "recogni", "sort", "tag", "grad", "assign", "predict", "identif"),
    *("rate", "score", "diagnos", "detect", "call"),
)
"""Stems of verbs that may stand before "as a or b"."""
WH = word_set("whether if which who what how where when")
PARTICLES = word_set("of out for around up down every single between any among per over under within")
_NOUNS = {
    "classification": "classification classifier categorization categorisation recognition recognizer recogniser "
    "labeling labelling identification filter filtering diagnosis tagging tagger grading spotting scoring",
    "detection": "detection detector localization localisation counting counter finder boxes",
    "segmentation": "segmentation masks masking segmenter outline outlines contour contours",
    "regression": "regression regressor prediction predictor estimation estimator",
    "forecasting": "forecast forecasting forecasts forecaster",
    "clustering": "clustering",
    "ranking": "ranking recommendation recommender recommendations",
    "translation": "translation translator",
    "summarization": "summarization summarisation summarizer summariser summaries",
    "generation": "generation generator synthesis",
    "question_answering": "answering",
}
NOMINALS: dict[str, str] = {noun: task for task, nouns in _NOUNS.items() for noun in nouns.split()}
"""Task nouns by task."""


def _forms(verb: str) -> tuple[str, ...]:
    """Third person and gerund.

    >>> _forms("classify"), _forms("spot"), _forms("locate")
    (('classify', 'classifies', 'classifying'), ('spot', 'spots', 'spotting'), ('locate', 'locates', 'locating'))
    """
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb, verb[:-1] + "ies", verb + "ing"
    if verb.endswith("e"):
        return verb, verb + "s", verb[:-1] + "ing"
    double = verb in ("spot", "tag", "flag", "split")
    return verb, verb + ("es" if verb.endswith(("x", "sh", "ch")) else "s"), verb + (verb[-1] if double else "") + "ing"


def _past(verb: str) -> str:
    if verb.endswith("y"):
        return verb[:-1] + "ied"
    double = verb in ("spot", "tag", "flag", "cut", "split")
    return verb + ("d" if verb.endswith("e") else verb[-1] + "ed" if double else "ed")


PAST: dict[str, str] = {_past(verb): verb for verb in VERBS} | {"found": "find", "told": "tell"}
"""Past participles, for the passive: "cracks should be found"."""
FORMS: dict[str, str] = {form: verb for verb in VERBS for form in _forms(verb)} | {
    "checked": "check",
    "searched": "search",
    "scanned": "scan",
    "alerted": "alert",
    "warned": "warn",
}
"""Every form of a task verb, to its base form."""


def is_ambiguous(word: str) -> bool:
    """Whether a word may be a plain noun."""
    return FORMS.get(word, word) in AMBIGUOUS or word in ("filter", "counter", "masks")


def find_verbs(words: Sequence[Word]) -> list[tuple[int, int]]:
    """Task verbs in order: index of the verb, and of what stands behind it (over "detect and count")."""
    found = []
    skip = -1
    for i, word in enumerate(words):
        if i <= skip or word.text not in FORMS or not _can_be_verb(words, i):
            continue
        after = i + 1
        while after + 1 < len(words) and words[after].text in _JOINTS and words[after + 1].text in FORMS:
            after += 2
        skip = after - 1
        found.append((i, after))
    return found


_JOINTS = word_set("and or , & /")


def _can_be_verb(words: Sequence[Word], i: int) -> bool:
    """Whether word `i`, a form of a task verb, stands where a verb can stand."""
    word, base = words[i].text, FORMS[words[i].text]
    previous = words[i - 1].text if i else "."
    if i > 1 and previous.endswith("ly") and len(previous) > 4:  # "to reliably count"
        previous = words[i - 2].text
    behind = [w.text for w in words[i + 1 : i + 7]]
    if base in _NEEDS_FOR and "for" in behind[:3]:
        return True
    if base in _NEEDS_WORD:
        return any(w in behind for w in _NEEDS_WORD[base]) and previous not in ("the", "a", "in")
    if base == "tell":
        further = [w.text for w in words[i + 1 : i + 12]]
        return "apart" in further or "from" in further or any(w in WH for w in behind)
    if base in _NEEDS_CLAUSE and not _takes_clause(base, previous, behind):
        return False
    if base not in AMBIGUOUS:
        return previous not in ("no", "not") or word == base
    if word.endswith("ing"):
        return previous not in ("the", "a") and (not behind or behind[0] not in _BEHIND_NOUN)
    if word.endswith("s") and word != base:
        relative = previous == "," and {"that", "which"} & {w.text for w in words[max(0, i - 14) : i]}
        return bool(relative) or previous in _SUBJECTS
    return previous in _BEFORE_VERB


_BEHIND_NOUN = word_set("spot spots system task . ,")


def _takes_clause(base: str, previous: str, behind: Sequence[str]) -> bool:
    """ "say whether", "decide between a or b", "need to know the price"."""
    if base == "know" and previous == "to" and behind[:1] and behind[0] in ("the", "its", "their", "his", "her"):
        return True
    return ("or" in behind and base in ("say", "decide")) or any(w in WH for w in behind)
