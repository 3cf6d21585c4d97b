"""What a request is about: the things its task verb takes, or the classes it names.

A shallow grammar over tokens. "detect helmets and vests on workers" gives what the verb takes; "sort tickets into
billing and sales" gives the classes; "tomato disease classifier" what stands before the task's noun; "whether a patient
has diabetes" whom the clause is about. Names are kept as written, in lower case, without articles and counts.

>>> find_things("detect helmets and safety vests on a building site").names
('helmets', 'safety vests')
>>> find_things("sort support tickets into billing, technical and sales").names
('billing', 'technical', 'sales')
>>> find_things("predict house prices from size and location").names
('house prices',)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .classes import read_classes
from .grammar import (
    ADJECTIVES,
    AND_OR,
    DETERMINERS,
    FINITE,
    PARTICIPLES,
    STOPS,
)
from .lexicon import Word, word_set, words_of
from .phrases import (
    clean,
    is_blocked,
    is_technical,
    read_item,
    read_list,
    sentence_end,
    sentence_starts,
    text_at,
)
from .verbs import FORMS, NOMINALS, PARTICLES, PAST, VERBS, WH, find_verbs, is_ambiguous

_REFERRING = word_set("it them these those this each both ones")
_WITHOUT_CLASSES = word_set(
    "regression forecasting clustering ranking translation summarization question_answering generation"
)
_ALIKE = {
    "classification": ("classification", "detection", "regression"),
    "detection": ("detection", "classification"),
    "keypoints": ("detection", "regression"),
    "anomaly_detection": ("detection", "classification"),
}
"""Whose verbs a task is said with, besides its own."""
_ATTRIBUTES = word_set("sentiment topic pose emotion mood intent object quality anomaly outlier novelty question")
"""What may be recognised *of* a thing: "sentiment classifier for hotel reviews" is about the reviews."""
_NOT_IN_COMPOUND = word_set(
    "semantic instance object image text video tabular multi-class multiclass binary real-time realtime fast small "
    "tiny simple large good accurate lightweight automatic robust new custom deep efficient mobile pixel-wise "
    "pixel-level audio document sequence is of for in on to with by from do does want need build make train create "
    "develop use using perform performs performing called about our my your this that the 2d 3d supervised "
    "unsupervised panoptic fine-grained hierarchical imbalanced neural please draw human-like quick online offline "
    "like reliable time series"
)
_NO_SERVICE = word_set(
    "me us you it free inference phone phones school project company thesis minutes hours training data dataset i we "
    "hi hello help please need want our my make build train create something model network machine learning neural "
    "thanks dear raise look watch control compare analyse analyze examine understand use take extract learn teach "
    "know deliver what's give grouping detect way task interested aim goal purpose idea plan system tool app request "
    "problem solution regards cheers sincerely greetings"
)
"""What stands behind "for" or in front of a text without being what the request is about."""
_HELPERS = word_set("does do did will would can could")
_DEGREES = word_set("long much many likely badly often well big large fast soon severe far")
_MODALS = word_set("should must can could will would shall may has have need needs ought to")
_LEAD_IN = word_set("from based by for in me us you given with")
_HEADS = word_set("model task network system problem")


@dataclass(frozen=True)
class Things:
    """The things of a request."""

    names: tuple[str, ...] = ()
    """As written, lower case."""
    are_classes: bool = False
    """Whether they are the classes, and not what is sorted or looked for."""
    clause: bool = False
    """Whether a "whether", "which" or "who" clause says what is asked, even if it names nothing."""
    refers: bool = False
    """Whether a task verb takes "them" or "it": something named elsewhere."""
    taken: tuple[str, ...] = ()
    """What the task verb takes, also where classes are named."""


def find_things(text: str, *, task: str | None = None, questions: bool = True, served: bool = True) -> Things:
    """The things named in a lower-case text.

    Args:
        text: lower case, spelling put right.
        task: once it is known; what its own verb takes goes first, and a regression has no classes.
        questions: whether a question may state the task ("how long will a delivery take?"), and not ask for advice.
        served: whether a purpose will do where no verb takes anything: "a model for clouds".
    """
    words = words_of(text)
    listed = read_classes(words) if task not in _WITHOUT_CLASSES else ()
    taken, clause = _objects(words, task, questions, served)
    refers = any(text_at(words, after) in _REFERRING for _, after in find_verbs(words))
    return Things(listed or taken, are_classes=bool(listed), clause=clause, refers=refers, taken=taken)


def _objects(words: Sequence[Word], task: str | None, questions: bool, served: bool) -> tuple[tuple[str, ...], bool]:
    """What the earliest task verb or noun takes, those of the task itself first; and whether a clause stands there."""
    clause = False
    found: list[tuple[bool, int, int, tuple[str, ...]]] = []
    alike = _ALIKE.get(task or "", (task,))
    for i, after in find_verbs(words):
        names, is_clause = _taken(words, after, told=words[i].text.startswith(("tell", "warn", "alert")))
        clause = clause or is_clause
        if names and not set(names) <= {"yes", "no"} and not all(is_blocked(n.split()) for n in names):
            found.append((task is not None and VERBS[FORMS[words[i].text]] not in alike, i, 0, names))
    for i, word in enumerate(words):
        if word.text in ("probability", "chance", "likelihood", "risk", "odds") and text_at(words, i + 1) == "that":
            names, clause = _subject(words, i + 1), True
            found += [(False, i, 0, names)] if names else []
    for i, names in _passive(words):
        found.append((task is not None and VERBS[PAST[words[i].text]] not in alike, i, 0, names))
    nominal = _nominal(words)
    if nominal:
        found.append((task is not None and nominal[2] not in alike, nominal[0], 1, nominal[1]))
    if questions and (question := _question(words)) is not None:
        clause = True
        found += [(False, 0, 2, question)] if question else []
    if found:
        return min(found)[3], clause
    return (_served(words) if served and task != "other" and not clause else ()), clause


def _taken(words: Sequence[Word], start: int, *, told: bool = False) -> tuple[tuple[str, ...], bool]:
    """The object behind a verb: a list of things, or the subject of a clause (then True)."""
    j = start
    while text_at(words, j) in PARTICLES:
        j += 1
    k = j
    while k < min(j + 5, len(words)) and words[k].text not in WH and words[k].is_name:
        k += 1
    if text_at(words, k) in WH and (k == j or words[j].text in _LEAD_IN or (told and k - j <= 2)):
        return _subject(words, k), True
    if told:  # "warn me about deer"
        j = next((m + 1 for m in range(j, min(j + 4, len(words))) if words[m].text in ("about", "of", "on")), j)
    names, _ = read_list(words, j)
    if not names:  # "predict, from age and mileage, whether a truck will need repair"
        end = min(sentence_end(words, j), j + 18)
        late = next((m for m in range(j, end) if words[m].text in ("whether", "which")), None)
        if late is not None:
            return _subject(words, late), True
    return names, False


def _passive(words: Sequence[Word]) -> list[tuple[int, tuple[str, ...]]]:
    """ "cracks and rust must be detected": the verb's place and its subject."""
    found = []
    for i, word in enumerate(words):
        if word.text not in PAST or text_at(words, i - 1) not in ("be", "get", "being"):
            continue
        modal = next((k for k in range(i - 2, max(i - 5, -1), -1) if words[k].text in _MODALS), None)
        if modal is None:
            continue
        start = max((s for s in sentence_starts(words) if s <= modal), default=0)
        names, end = read_list(words, start)
        if names and end == modal:
            found.append((i, names))
    return found


def _subject(words: Sequence[Word], i: int) -> tuple[str, ...]:
    """Whom a clause is about: "whether a tooth has caries", "how many bikes get rented"."""
    if words[i].text == "who":
        return ()
    j = i + 1
    if words[i].text == "how":
        while text_at(words, j) in _DEGREES:
            j += 1
        j += j == i + 1 and text_at(words, j + 1) in DETERMINERS  # "how formal a sentence is"
    name = clean(read_item(words, j + (text_at(words, j) == "of"), clause=True)[0])
    return (name,) if name else ()


def _question(words: Sequence[Word]) -> tuple[str, ...] | None:
    """A question that is itself the task: "how long will a delivery take?"; None if there is none."""
    for start in sentence_starts(words):
        end = sentence_end(words, start)
        if text_at(words, end) != "?" or end - start < 3:
            continue
        i = start
        while i < end and words[i].text in ("so", "and", "hi", "hello", ",", "hey"):
            i += 1
        j = i
        if text_at(words, i) in WH:
            j = i + 1
            while j < end and words[j].text in _DEGREES:
                j += 1
        elif text_at(words, i) not in FINITE:
            continue
        helper = text_at(words, j)
        item, k = read_item(words, j + (helper in FINITE or helper == "of"), clause=True)
        if helper in _HELPERS and text_at(words, k) not in FINITE and len(item) > 1 and not item[-1].endswith("s"):
            item.pop()  # "delivery take" of "will a delivery take": the verb stands behind its subject
        name = clean(item)
        return (name,) if name and not set(name.split()) & {"i", "we", "you", "there", "it"} else ()
    return None


def _nominal(words: Sequence[Word]) -> tuple[int, tuple[str, ...], str] | None:
    """ "face detection", "segmentation of roads", "image classifier for dog breeds": place, things and task."""
    for i, word in enumerate(words):
        following = text_at(words, i + 1)
        points = word.text in ("keypoints", "landmarks") or (word.text == "points" and text_at(words, i - 1) == "key")
        if points and following == "of" and (names := read_list(words, i + 2)[0]):
            return i, names, "detection"
        if word.text not in NOMINALS:
            continue
        shape = word.text.startswith(("outline", "contour"))
        if (
            (word.text == "boxes" and following != "around")
            or (shape and following != "of")
            or (not shape and is_ambiguous(word.text) and text_at(words, i - 1) in DETERMINERS)
        ):
            continue
        start, said = _compound(words, i)
        compound = clean(said.split())
        j = i + 1 + (following in NOMINALS or following in _HEADS)
        aspect = said in _ATTRIBUTES
        behind: tuple[str, ...] = ()
        if text_at(words, j) in ("of", "for", "around") or (
            aspect and text_at(words, j) in ("in", "on", "over", "about", "from")
        ):
            behind, _ = read_list(words, j + 1)
        if behind and (not compound or aspect):
            return start, behind, NOMINALS[word.text]
        if compound and compound not in ("pose", "object", "objects"):
            return start, (*_joined_before(words, start), compound), NOMINALS[word.text]
    return None


def _compound(words: Sequence[Word], i: int) -> tuple[int, str]:
    """The words in front of a task noun that belong to it, and where they start: "skin lesion" classification."""
    start = i
    while start > 0 and words[start - 1].is_name and i - start < 4 and not _ends_compound(words[start - 1].text):
        start -= 1
    while start < i and words[start].text in ADJECTIVES:
        start += 1
    return start, " ".join(w.text for w in words[start:i])


def _joined_before(words: Sequence[Word], start: int) -> tuple[str, ...]:
    """ "cat" of "cat and dog detector"."""
    if start > 1 and words[start - 1].text in AND_OR and words[start - 2].is_name:
        first = words[start - 2].text
        return () if _ends_compound(first) else (first,)
    return ()


def _ends_compound(word: str) -> bool:
    return word in _COMPOUND_ENDS or is_technical(word)


_COMPOUND_ENDS = DETERMINERS | PARTICLES | FINITE | AND_OR | STOPS | _NOT_IN_COMPOUND


def _served(words: Sequence[Word]) -> tuple[str, ...]:
    """Without a verb: what stands behind "for", else in front of everything ("clouds, segmented, please")."""
    for i, word in enumerate(words[:-1]):
        if word.text == "for":
            names, _ = read_list(words, i + 1)
            if names and not any(_serves(n.split()) for n in names):
                return names
        if word.text == "on" and words[i + 1].text in ("our", "my", "these", "their"):
            item, _ = read_item(words, i + 1)
            if len(item) > 1 and item[-1] in ("pictures", "photos", "images", "photographs", "videos"):
                return (clean(item[:-1]),)
    for start in _opening(words):
        first, end = read_item(words, start)
        verbal = any(w in FORMS or (w in PARTICIPLES and w != "next") for w in first) or text_at(words, end) in FINITE
        if first and not verbal and not _serves(first) and clean(first):
            return (clean(first),)
    return ()


def _opening(words: Sequence[Word]) -> list[int]:
    """Where the request may begin: at the start, behind a greeting, or with the second sentence."""
    greeting = text_at(words, 0) in ("hi", "hello", "hey", "dear", "please") and text_at(words, 1) == ","
    return [2] if greeting else sentence_starts(words)[:2]


def _serves(item: Sequence[str]) -> bool:
    """Whether a phrase names a purpose or a part of the request, not a thing: "for my thesis", "for inference"."""
    return is_blocked(item) or any(w.endswith("ing") or w in _NO_SERVICE or w in NOMINALS for w in item)
