"""A language model writes the requirement sentence, facts check it, offline rules stand by (paper, section 3.1)."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from pydantic import BaseModel, Field

from flame.data import DataBatch
from flame.errors import MetadataError
from flame.llm import LanguageModel, LanguageModelError, Message, state_schema
from flame.llm.metadata import ask_metadata
from flame.llm.prompts import MAX_DESCRIPTION, pictures, profile, sample, shown_facts
from flame.metadata import CLASSIFICATION
from flame.requirement import OfflineWriter
from requirements_prompts import ParsedRequirement, TaskFacts, parse_requirement
from requirements_prompts.render import render_messages
from requirements_prompts.sentences import TYPE_WORDS

__all__ = ["LLMWriter", "RequirementReply", "ask_metadata", "sentence_faults", "tidy"]

TRIES = 3
MAX_WORDS, MAX_CHARS = 80, 700
MAX_CLASSES, MAX_FEATURES = 10_000, 100_000
"""Beyond these, a number that nobody but the model names is not believed."""


class RequirementReply(BaseModel):
    """The requirement sentence."""

    sentence: str = Field(description="exactly one English sentence with the elements asked for")


class LLMWriter:
    """Lets a language model write the sentence, and the offline rules where it cannot (a `RequirementWriter`).

    Args:
        model: who is asked.
        rows: how many rows are shown, at most.
        send_rows: False sends the profile only: column names, kinds and counts.

    Example:
        >>> from flame.llm import Replay
        >>> sentence = "This is a task of 3-class and base-scaled text classification of letters to an editor."
        >>> LLMWriter(Replay([{"sentence": sentence}])).write(TaskFacts("seq_cls", n_classes=3), None) == sentence
        True
    """

    def __init__(self, model: LanguageModel, *, rows: int = 8, send_rows: bool = True) -> None:
        self.model, self.rows, self.send_rows = model, rows, send_rows
        self.name = model.name
        """Who wrote the last sentence, for its provenance."""
        self.notes: list[str] = []
        """What the user should know of the last sentence."""

    def write(self, facts: TaskFacts, batch: DataBatch | None) -> str:
        """One sentence that agrees with the facts; the offline one, with a note, if three tries give none.

        Raises:
            MetadataError: if the task type is unknown, or the model fails and the facts do not suffice offline.
        """
        messages = self._messages(facts, batch)
        self.name, self.notes = self.model.name, []
        talk, why = messages, ""
        for _ in range(TRIES):
            try:
                reply, _ = self.model.ask(talk, RequirementReply)
            except LanguageModelError as error:
                return self._offline(facts, batch, f"{error}" + (f"; before that: {why}" if why else ""))
            sentence = tidy(reply.sentence)
            why = "; ".join(sentence_faults(sentence, facts, batch))
            if not why:
                self.notes += _unproven(sentence, facts)
                return sentence
            talk = [*messages, {"role": "assistant", "content": reply.model_dump_json()}]
            talk.append({"role": "user", "content": f"That sentence cannot be used: {why}. Write it again."})
        return self._offline(facts, batch, f"{TRIES} sentences were refused, the last one because: {why}")

    def prompt_for(self, facts: TaskFacts, batch: DataBatch | None) -> str:
        """Exactly what would be sent first; pictures are named by their size."""
        messages = state_schema(self._messages(facts, batch), RequirementReply)
        return "\n\n".join(f"--- {message['role']} ---\n{_as_text(message['content'])}" for message in messages)

    def _messages(self, facts: TaskFacts, batch: DataBatch | None) -> list[Message]:
        if facts.task_type not in TYPE_WORDS:
            raise MetadataError(f"task_type must be one of {list(TYPE_WORDS)}, however: {facts.task_type!r}")
        messages: list[Message] = list(
            render_messages(
                "requirement",
                facts=shown_facts(facts),
                description=facts.description[:MAX_DESCRIPTION] if facts.description else None,
                profile=profile(facts, batch),
                rows=sample(batch, self.rows) if self.send_rows else [],
            )
        )
        if self.send_rows and (shown := pictures(batch, self.rows)):
            parts = [{"type": "image_url", "image_url": {"url": url}} for url in shown]
            messages[-1] = {"role": "user", "content": [{"type": "text", "text": messages[-1]["content"]}, *parts]}
        return messages

    def _offline(self, facts: TaskFacts, batch: DataBatch | None, why: str) -> str:
        self.name = f"offline, in place of {self.model.name}"
        self.notes.append(
            f"the language model {self.model.name} wrote no usable sentence, the offline one is used: {why}"
        )
        try:
            return OfflineWriter().write(facts, batch)
        except ValueError as error:
            raise MetadataError(
                f"neither the language model nor the rules can write a sentence: {why}; {error}"
            ) from None


def _as_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(
        p["text"] if "text" in p else f"[picture, {len(p['image_url']['url'])} characters]" for p in content
    )


def tidy(sentence: str) -> str:
    """One line, without quotation marks around it, with its full stop.

    >>> tidy(' "This is\\n a task" ')
    'This is a task.'
    """
    text = " ".join(sentence.split()).strip("\"'`\u201c\u201d\u2018\u2019 ")
    return text + "." if text and (text[-1].isalnum() or text[-1] in ")%") else text


_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|etc|vs|approx|cf|al|[A-Z](?:\.[A-Z])+)\.(?=\s[a-z0-9(])"
    r"|\b[Nn]o\.(?=\s[0-9])"
    r"|\b(?:Dr|Mr|Mrs|Ms|St|Prof)\.(?=\s)"
)
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]+(?=\s)")
_ONCE = {
    "numbers of classes": re.compile(r"\b[0-9]+(?=-class\b)"),
    "numbers of features": re.compile(r"\b[0-9]+(?=-feature\b)"),
    "scales": re.compile(r"\b(?:small|base|large)(?=-scaled\b)"),
}


def sentence_faults(sentence: str, facts: TaskFacts, batch: DataBatch | None = None) -> list[str]:
    """Everything that is wrong with a sentence, in words that can be said to the model; [] if it can be used.

    The scale is a fact as well (it was read from the user's own words): what stands in a cell cannot change it.
    """
    words = len(sentence.split())
    if words > MAX_WORDS or len(sentence) > MAX_CHARS:
        return [f"it must have at most {MAX_WORDS} words, however: {words} words and {len(sentence)} characters"]
    faults = []
    if any(unicodedata.category(c)[0] == "C" or c in "{}<>`|\\=" for c in sentence):
        faults.append("it must be plain words, without markup, code, assignments or control characters")
    if not sentence.endswith(".") or _SENTENCE_END.search(_ABBREVIATION.sub("", sentence)):
        faults.append("it must be exactly one sentence that ends with a full stop")
    for what, pattern in _ONCE.items():
        if len(named := sorted(set(pattern.findall(sentence)))) > 1:
            faults.append(f"it names several {what}: {', '.join(named)}")
    try:
        said = parse_requirement(sentence)
    except ValueError as error:
        return [*faults, str(error).split("; however:")[0].replace("requirement sentence", "it")]
    return faults + _contradictions(said, facts) + _labels_named(said.goal, facts, batch)


def _contradictions(said: ParsedRequirement, facts: TaskFacts) -> list[str]:
    faults = []
    for what, word, fact, most in (
        ("task type", TYPE_WORDS[said.task_type], TYPE_WORDS[facts.task_type], 0),
        ("number of classes", said.n_classes, facts.n_classes, MAX_CLASSES),
        ("number of features", said.n_features, facts.n_features, MAX_FEATURES),
        ("scale", said.scale, facts.scale, 0),
    ):
        if fact is None and isinstance(word, int) and not (2 if "classes" in what else 1) <= word <= most:
            faults.append(f"the {what} cannot be {word}")
        elif fact is not None and word is not None and word != fact:
            faults.append(f"the {what} is {fact}, however: it says {word}")
    return faults


def _labels_named(goal: str, facts: TaskFacts, batch: DataBatch | None) -> list[str]:
    """Labels that the pattern gives away, unless the user's own words or the columns hold them."""
    if batch is None or facts.task_type not in CLASSIFICATION:
        return []
    known = " ".join([facts.description or "", batch.target or "", *(c.name for c in batch.columns)]).casefold()
    labels = [v for v in batch.label_values if isinstance(v, str) and sum(map(str.isalpha, v)) >= 3]
    named = [
        v
        for v in labels
        if v.casefold() not in known and re.search(rf"(?<!\w){re.escape(v.casefold())}(?!\w)", goal.casefold())
    ]
    return [f"it must describe the inputs and not name labels, however: it names {named[:5]}"] if named else []


def _unproven(sentence: str, facts: TaskFacts) -> list[str]:
    said = parse_requirement(sentence)
    return [
        f"the number of {what} ({number}) is the language model's word; neither description nor data were read so"
        for what, number, fact in (
            ("classes", said.n_classes, facts.n_classes),
            ("features", said.n_features, facts.n_features),
        )
        if fact is None and number is not None
    ]
