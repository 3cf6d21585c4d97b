"""The requirement sentence itself: its five elements, the forms it takes, and how it is read back (paper, section 3.1).

Every form names the elements first and the goal afterwards, so the first match is always the right one, whatever a
user's words hold further on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .words import Goal

TYPE_WORDS: dict[str, str] = {
    "tabular_cls": "tabular classification",
    "tabular_reg": "tabular regression",
    "seq_cls": "text classification",
    "seq_reg": "text regression",
    "img_cls": "image classification",
    "s2s_gen": "sequence generation",
}
"""The two words of each task type."""

CLASSIFICATION = ("tabular_cls", "seq_cls", "img_cls")
TABULAR = ("tabular_cls", "tabular_reg")
SCALES = ("small", "base", "large")


@dataclass(frozen=True)
class Elements:
    """The checked elements of a sentence, in the pieces that the forms are built from; "" where one does not apply."""

    task_type: str
    n_classes: int | None
    n_features: int | None
    scale: str

    @property
    def type(self) -> str:
        return TYPE_WORDS[self.task_type]

    @property
    def scaled(self) -> str:
        return f"{self.scale}-scaled"

    @property
    def n_class(self) -> str:
        return _around("", self.n_classes, "-class")

    @property
    def n_feature(self) -> str:
        return _around("", self.n_features, "-feature")

    @property
    def classes(self) -> str:
        return _around("", self.n_classes, " classes")

    @property
    def features(self) -> str:
        return _around("", self.n_features, " feature" if self.n_features == 1 else " features")

    @property
    def in_and_out(self) -> str:
        return listed(self.features.replace(" ", " input "), self.classes.replace(" ", " output "))


def _around(before: str, value: object, after: str = "") -> str:
    return f"{before}{value}{after}" if value else ""


def listed(*parts: str) -> str:
    """Join what is there as English does.

    >>> listed("3-class", "4-feature", "base-scaled"), listed("3-class", "", "base-scaled"), listed("", "")
    ('3-class, 4-feature and base-scaled', '3-class and base-scaled', '')
    """
    there = [p for p in parts if p]
    return " and ".join([", ".join(there[:-1]), there[-1]] if len(there) > 1 else there)


def _commas(*parts: str) -> str:
    return ", ".join(p for p in parts if p)


_QUOTED = "in the user's words: "
# How a goal follows a head, by its kind: after a noun, or after a subject that still wants its verb.
_NOUN = {"verb": " to ", "noun": " about ", "quoted": f", {_QUOTED}", "none": " with "}
_SUBJECT = {"verb": " is meant to ", "noun": " is about ", "quoted": f" is given {_QUOTED}", "none": " comes with "}
_HAS_TO = {**_SUBJECT, "verb": " has to "}
_IS_TO = {key: f", {text.strip()} " for key, text in {**_SUBJECT, "verb": "is to"}.items()}
_AIM = {
    "verb": ", the aim is to ",
    "noun": ", the data are about ",
    "quoted": f", the aim is given {_QUOTED}",
    "none": ", the data come with ",
}
_AND = {
    "verb": ", and its aim is to ",
    "noun": ", and it is about ",
    "quoted": f", and it is given {_QUOTED}",
    "none": ", and it comes with ",
}

Form = tuple[Callable[[Elements], str], Mapping[str, str]]
FORMS: tuple[Form, ...] = (
    (lambda e: f"this is a task of {listed(e.n_class, e.n_feature, e.scaled)} {e.type}", _NOUN),
    (lambda e: f"{_around('with ', e.in_and_out, ', ')}this {e.scaled} {e.type}", _SUBJECT),
    (
        lambda e: f"what is needed is {e.scaled} {e.type}{_around(' from ', e.features)}{_around(' into ', e.classes)}",
        _NOUN,
    ),
    (lambda e: f"in this {listed(e.n_feature, e.scaled, e.n_class)} {e.type}", _AIM),
    (lambda e: f"the user asks for {e.type} ({_commas(e.n_class, e.n_feature, e.scaled)})", _NOUN),
    (lambda e: f"the job at hand, {e.type} with {listed(e.classes, e.features, f'a {e.scaled} model')}", _IS_TO),
    (
        lambda e: f"this calls for a {e.scaled} model for {_around('', _commas(e.n_class, e.n_feature), ' ')}{e.type}",
        _NOUN,
    ),
    (lambda e: f"{_around('given ', e.features, ', ')}{e.scaled} {e.type}{_around(' into ', e.classes)}", _HAS_TO),
    (lambda e: f"set up a {e.scaled} {e.type} task{_around(' of ', listed(e.features, e.classes))}", _NOUN),
    (lambda e: f"{e.type} is the task, {e.scaled}{_around(' with ', listed(e.features, e.classes))}", _AND),
    (lambda e: f"there is a need for {listed(e.scaled, e.n_class, e.n_feature)} {e.type}", _NOUN),
)
"""The forms of a sentence: its head, and how each kind of goal follows; the first is the paper's."""


def start_sentence(form: Form, elements: Elements, goal: Goal) -> str:
    """Everything before the goal's own words, from a capital letter on to the joint."""
    head, joints = form
    text = head(elements)
    return text[0].upper() + text[1:] + joints[goal.kind]


@dataclass(frozen=True)
class ParsedRequirement:
    """What a requirement sentence says."""

    task_type: str
    """A key of `TYPE_WORDS`."""
    n_classes: int | None
    """Number of classes; None unless it is a classification."""
    n_features: int | None
    """Number of input columns; None unless it is about tables."""
    scale: str
    """`small`, `base` or `large`."""
    goal: str
    """The rest: what the task is for and what its data look like."""


_TYPE = re.compile(
    r"\b(?:(tabular|text|image) (classification)|(tabular|text) (regression)"
    r"|(sequence)(?:-to-sequence)? (generation))\b",
    re.IGNORECASE,
)
_CLASSES = re.compile(r"\b([0-9]+)(?:-class| (?:\w+ )?classes)\b", re.IGNORECASE)
_FEATURES = re.compile(r"\b([0-9]+)(?:-feature| (?:\w+ )?features?)\b", re.IGNORECASE)
_SCALE = re.compile(r"\b(small|base|large)-scaled?\b", re.IGNORECASE)
_JOINTS = {
    text: {"verb": "to ", "noun": "about ", "quoted": _QUOTED, "none": "with "}[kind]
    for joints in (_NOUN, _SUBJECT, _HAS_TO, _IS_TO, _AIM, _AND)
    for kind, text in joints.items()
}


def parse_requirement(sentence: str) -> ParsedRequirement:
    """Read the five elements back from a requirement sentence.

    >>> parse_requirement("This is a task of 2-class and base-scaled text classification about film reviews.")
    ParsedRequirement(task_type='seq_cls', n_classes=2, n_features=None, scale='base', goal='about film reviews')

    Raises:
        ValueError: naming every element that is missing.
    """
    kind, scale = _TYPE.search(sentence), _SCALE.search(sentence)
    classes, features = _CLASSES.search(sentence), _FEATURES.search(sentence)
    words = " ".join(w.lower() for w in kind.groups() if w) if kind else ""
    task_type = next((key for key, value in TYPE_WORDS.items() if value == words), "")
    classes = classes if task_type in CLASSIFICATION else None
    features = features if task_type in TABULAR else None
    end = max((m.end() for m in (kind, scale, classes, features) if m), default=0)
    goal = _goal_after(sentence[end:])
    missing = [
        name
        for name, lacks in (
            (f"task type (one of {list(TYPE_WORDS.values())})", not task_type),
            ("number of classes (as in '3-class')", task_type in CLASSIFICATION and not classes),
            ("number of features (as in '4-feature')", task_type in TABULAR and not features),
            ("scale ('small-scaled', 'base-scaled' or 'large-scaled')", not scale),
            ("data pattern (what the task is about)", not goal),
        )
        if lacks
    ]
    if missing or scale is None:
        raise ValueError(f"requirement sentence lacks its {', its '.join(missing)}; however: {sentence[:200]!r}")
    return ParsedRequirement(
        task_type=task_type,
        n_classes=int(classes[1]) if classes else None,
        n_features=int(features[1]) if features else None,
        scale=scale[1].lower(),
        goal=goal,
    )


def _goal_after(rest: str) -> str:
    """The goal with the joint's canonical word in front, so that every form of one sentence reads the same."""
    rest = re.sub(r"^(?:\)| task(?=[ ,])| model(?=[ ,]))+", "", rest)
    for joint in sorted(_JOINTS, key=len, reverse=True):
        if rest.startswith(joint):
            rest = _JOINTS[joint] + rest[len(joint) :]
            break
    return rest.strip().lstrip(",;: ").removesuffix(".").rstrip()
