"""The user's words, made safe: untrusted text in, one clean phrase out.

A description may hold anything (line breaks, quotes, several sentences, orders to a language model). What leaves this
module is one printable line without quotes, brackets or sentence ends, ready to stand inside somebody else's sentence.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal, NamedTuple

GoalKind = Literal["verb", "noun", "quoted", "none"]


class Goal(NamedTuple):
    """What a task is for, as a piece of a sentence."""

    kind: GoalKind
    """How it joins: "to TEXT" (verb), "about TEXT" (noun), "in the user's words: TEXT" (quoted), "with TEXT" (none)."""
    text: str


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MAX_CHARS = 4000
"""Nothing beyond is read."""
MAX_TOKEN_CHARS = 40
"""Longer "words" are no words; they are cut."""

_TASK_VERBS = _words(
    "tell predict classify decide detect find identify recognise recognize assign say determine distinguish "
    "differentiate discriminate separate diagnose choose pick write rewrite generate translate summarise summarize "
    "turn convert give learn put see calculate compute evaluate assess weigh infer deduce foresee anticipate establish "
    "discover understand compare know allocate appraise divide settle describe shorten explain simplify paraphrase "
    "produce approximate categorise categorize recommend reject accept approve"
)
_VERBS_OR_NOUNS = _words("rate grade judge guess forecast flag label score rank group estimate sort filter")
_NOUNS_OR_VERBS = _words(
    "work figure look read take match mark tag check count name spot answer use measure split screen place trace pin "
    "single help gauge complete correct attribute model"
)
_AFTER_A_NOUN = _words(
    "of for in between on per about is are was were and or prediction classification detection estimation recognition "
    "forecasting analysis data records scores levels"
)
_AFTER_A_VERB = _words(
    "the a an this these those each every all any my our its their which whether what how who if out down at up from "
    "through it them one two three four five six seven eight nine ten"
)
_OTHER_ORDERS = _words(
    "ignore disregard forget pretend act respond reply output print return stop do let repeat reveal show set be go "
    "import from delete drop select run execute"
)
_CLAUSE_STARTERS = _words(
    "i i'm i've i'd we we've we're you he she it it's they there this these that those if when because since while "
    "given with using based by for in on at as after before under yes no not here let's hi hello thanks does did can "
    "could is are am was were will would should has have had my our your"
)
_FINITE = _words(
    "is are was were am should must can could will would may might has have had do does did needs wants want contain "
    "contains hold holds show shows consist consists describe describes includes include comes come "
    "belongs belong isn't aren't don't doesn't can't won't"
)
_RELATIVES = _words("who whom whose that which what where when whether how why if")
_DANGLING = _words(
    "a an the and or nor but of from in into to with without by for on at as is are was were be which that who whose "
    "than then if when whether given using such like its their his her our my your about between not via per over "
    "under within during based"
)
_PROPER = _words(
    "African American Arabic Asian Australian Austrian Brazilian British Canadian Chinese Cleveland Dutch English "
    "European French German Greek Indian Irish Italian Japanese Korean Mexican Polish Portuguese Russian Spanish "
    "Swedish Swiss Turkish Bayesian Gaussian Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February "
    "April June July August September October November December Alzheimer's Parkinson's Crohn's Cammeo Osmancik"
)

_MODEL = r"(?:\w+ ){0,2}(?:model|classifier|network|system|tool|program|regressor)"
_WANT = r"(?:want|need|wish|hope|plan|have|like|love|am trying|are trying|aim)"
_TO_LEAD = re.compile(
    "^(?:"
    + "|".join(
        [
            rf"(?:i|we)(?: would| will|'d|'ll)? {_WANT}(?: (?:you|it|(?:a|an|the|some) {_MODEL}))? to",
            rf"(?:(?:i|we)(?: would|'d)? {_WANT} )?(?:a|an|the|this|some) {_MODEL} (?:(?:that|which) )?"
            r"(?:can|should|must|will|has to|needs to|is to|to)",
            r"(?:can|could|would|will) you(?: please| kindly)?",
            r"you (?:should|must|can|will|have to|need to|are to)",
            r"help (?:me|us)(?: to)?",
            r"(?:my|our|the|this)(?: \w+)? (?:goal|aim|task|job|purpose|idea|objective|point|problem)(?: here)? is to",
        ]
    )
    + r") (?=[a-z])",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"^(?:(?:please|kindly|hi|hello|hey|dear (?:sir|madam|all|team))\b[,;:]?|"
    r"(?:the )?(?:task|goal|aim|problem|description|objective)\s*:)\s*",
    re.IGNORECASE,
)


def one_line(text: str) -> str:
    """One printable line: no control characters, quotes, brackets or sentence ends; "" if no word is left.

    >>> one_line('  Sort "irises"\\n(all 3 kinds). My laptop is old!!! ')
    'Sort irises, all 3 kinds; My laptop is old'
    """
    text = unicodedata.normalize("NFKC", text.strip()[:MAX_CHARS])
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    text = text.replace("\u2019", "'").replace("\u2018", "'")
    text = re.sub(r"(?<!\w)'([^']*)'(?!\w)", r"\1", text)
    text = re.sub(r"(?<!\w)'|'(?!\w)(?<!s')", "", text)  # what stays: "don't", "customers' income"
    text = re.sub(r"[\"\u201c-\u201f\u00ab\u00bb\u2039\u203a\u300c-\u300f`\u00b4\\|*#~^_]", " ", text)
    text = re.sub(r"\be\.\s?g\.,?", "for example", text)
    text = re.sub(r"\bi\.\s?e\.,?", "that is", text)
    text = re.sub(r"\betc\.?(?=\W|$)", "and so on", text)
    text = re.sub(r"\b(Dr|Mr|Mrs|Ms|Prof|St|vs|approx)\.(?=\s)", r"\1", text)
    text = re.sub(r"\b(?:[A-Za-z]\.){2,}", lambda m: m[0].replace(".", ""), text)
    for sign, words in ((">=", "at least"), ("<=", "at most"), (">", "over"), ("<", "under")):
        text = re.sub(rf"{sign}(?=\s*\$?\d)", f" {words} ", text)
    text = re.sub(r"[()\[\]{}<>]", " , ", text)
    text = re.sub(r"\.{2,}|[!?\u3002\uff61\u0964\u061f\u203c\u2047-\u2049\u0589\u06d4]+|\.(?=\s|$)", " ; ", text)
    text = re.sub(r"\s*[,;:](?:\s*[,;:])+", lambda m: ";" if ";" in m[0] else ",", text)
    text = re.sub(r"\s+([,;:])", r"\1", " ".join(text.split()))
    text = re.sub(r";(?=\S)", "; ", text)
    return trim(" ".join(_shorten(t) for t in text.split()))


def trim(text: str) -> str:
    """Take punctuation off both ends; "" if no letter or digit is left."""
    start, end = 0, len(text)
    while start < end and not (text[start].isalnum() or unicodedata.category(text[start]) == "Sc"):
        start += 1
    while end > start and text[end - 1] != "%" and unicodedata.category(text[end - 1])[0] in "PZ":
        end -= 1
    return text[start:end] if any(c.isalnum() for c in text[start:end]) else ""


def _shorten(token: str) -> str:
    return token if len(token) <= MAX_TOKEN_CHARS else token[:MAX_TOKEN_CHARS].rstrip(".,;:-'")


def cut(text: str, n_words: int) -> str:
    """At most `n_words` words, cut at a word border and not after a word that calls for another one.

    >>> cut("tell irises from the size of the petals", 7)
    'tell irises from the size'
    """
    words = text.split()
    if len(words) <= n_words:
        return text
    kept = words[:n_words]
    while len(kept) > 1 and kept[-1].strip(",;:").lower() in _DANGLING:
        kept.pop()
    return trim(" ".join(kept)) or trim(text.split()[0])


def clean_name(name: str) -> str:
    """A column name as words, at most three; "" for names that say nothing (`x1`, `Unnamed: 0`, `17`).

    >>> clean_name("MajorAxisLength"), clean_name("free sulfur_dioxide"), clean_name("pH"), clean_name("col_3")
    ('major axis length', 'free sulfur dioxide', 'pH', '')
    """
    name = unicodedata.normalize("NFKC", name.strip()[:MAX_CHARS])
    name = re.sub(r"(?<=[a-z]{2})(?=[A-Z][a-z])", " ", name)
    name = re.sub(r"(?<!\d)\.|\.(?!\d)", " ", name)
    name = "".join(c if unicodedata.category(c)[0] in "LMN" or c in "%/+-'." else " " for c in name)
    words = [_shorten(w) for w in (t.strip("-'/+.") for t in name.split()) if any(c.isalnum() for c in w)][:3]
    if all(_is_titled(w) for w in words):
        words = [w.lower() for w in words]
    elif _is_titled(words[0]):
        words[0] = words[0].lower()
    name = " ".join(words)
    generic = (
        r"[xvfcz][ -]*\d+|(?:col|column|feature|feat|attr|attribute|var|variable|unnamed|input|field|dim)?[ -]*\d*"
    )
    return "" if not re.search(r"[^\W\d_]", name) or re.fullmatch(generic, name, re.IGNORECASE) else name


def _is_titled(word: str) -> bool:
    return len(word) > 1 and word[0].isupper() and word[1:] == word[1:].lower() and word[1] != "-"


def lower_first(text: str) -> str:
    """Lower the first letter of a sentence that moves inside another, unless it is a name, an acronym or "I".

    >>> lower_first("Heart disease"), lower_first("ECG traces"), lower_first("Italian wines"), lower_first("A bean")
    ('heart disease', 'ECG traces', 'Italian wines', 'a bean')
    """
    first = text.split(" ", 1)[0]
    bare = first.strip(",;:")
    if bare == "A" or (_is_titled(bare) and bare not in _PROPER and not re.match(r"I'(?:m|ve|d|ll)$", bare)):
        return first.lower() + text[len(first) :]
    return text


def goal_from_description(description: str) -> Goal | None:
    """How a description joins a sentence; None if it holds no word.

    >>> goal_from_description("Please tell three irises apart.")
    Goal(kind='verb', text='tell three irises apart')
    >>> goal_from_description("Heart disease in patients")
    Goal(kind='noun', text='heart disease in patients')
    >>> goal_from_description("My flowers should be sorted.")
    Goal(kind='quoted', text='my flowers should be sorted')
    """
    parts = one_line(re.sub(r"^\s*\d+[.)]\s", "", description)).split("; ")
    text = "; ".join([parts[0], *map(lower_first, parts[1:])])
    for _ in range(3):
        text = trim(_POLITE.sub("", text))
    if not text:
        return None
    rest = _TO_LEAD.sub("", text)
    led = rest != text
    if not led and re.match(r"to [a-z]+", rest, re.IGNORECASE) and _starts_with_order(rest[3:]):
        rest, led = rest[3:], True
    if led:
        rest = _POLITE.sub("", rest)
    if rest.split()[0].lower() not in _OTHER_ORDERS and (led or _starts_with_order(rest)):
        return Goal("verb", lower_first(rest))
    if "?" not in unicodedata.normalize("NFKC", description[:MAX_CHARS]) and _is_noun_phrase(text):
        return Goal("noun", lower_first(text))
    return Goal("quoted", lower_first(text))


def _starts_with_order(text: str) -> bool:
    first, second = ([w.strip(",;:").lower() for w in text.split()[:2]] + [""])[:2]
    if first in _NOUNS_OR_VERBS:
        return second in _AFTER_A_VERB
    if first in _VERBS_OR_NOUNS:
        return second not in _AFTER_A_NOUN | {""}
    return first in _TASK_VERBS or (first.endswith("ly") and second in _TASK_VERBS | _VERBS_OR_NOUNS)


def _is_noun_phrase(text: str) -> bool:
    """Whether "about TEXT" is English; in doubt no, since "in the user's words: TEXT" always is."""
    words = [w.strip(",:").lower() for w in text.split(";")[0].split()]
    first = words[0]
    if not (first[0].isascii() and first[0].isalnum()) or first in _CLAUSE_STARTERS | _OTHER_ORDERS:
        return False
    if any(first == v + s or first == v[:-1] + "ies" for v in _TASK_VERBS for s in ("s", "es")):
        return False
    for word in words:
        if word in _RELATIVES:
            return True
        if word in _FINITE:
            return False
    return True
