"""A language model names the metadata; facts and rules put it right (the paper's Model Generator, section 3.2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from flame.errors import MetadataError
from flame.llm import LanguageModel, LanguageModelError, Message
from flame.llm.prompts import MAX_DESCRIPTION
from flame.metadata import CLASSIFICATION, TABULAR, Arch, Scale, TaskType, parse_metadata
from requirements_prompts import ParsedRequirement, TaskFacts, parse_requirement, read_scale
from requirements_prompts.render import render_messages
from requirements_prompts.sentences import TYPE_WORDS

_TABLES = {"small": "mlp_small", "base": "mlp_base", "large": "mlp_large"}
_IMAGES = {"small": "mobilenet_v3_small", "base": "resnet50", "large": "resnet152"}
_TEXTS = {"small": "distilbert-base-uncased", "base": "distilbert-base-uncased", "large": "bert-base-uncased"}
ARCHES: dict[str, dict[str, str]] = {
    "tabular_cls": _TABLES,
    "tabular_reg": _TABLES,
    "img_cls": _IMAGES,
    "seq_cls": _TEXTS,
    "seq_reg": _TEXTS,
    "s2s_gen": _TEXTS,
}
"""The architecture of each task type and scale, as in `metadata.md`."""


class MetadataReply(BaseModel):
    """The metadata of a model."""

    task: TaskType
    out_dim: int | None = Field(default=None, description="number of classes; 1 for a regression")
    in_dim: int | None = Field(default=None, description="number of input columns; null unless it is a table")
    scale: Scale = "base"
    arch: Arch


def ask_metadata(model: LanguageModel, requirement: str, facts: TaskFacts) -> tuple[dict[str, Any], list[str]]:
    """Metadata from a language model, put right by facts and rules; every correction is reported.

    The model is shown the checked elements of the sentence and the user's description; never rows, columns or the free
    part of the sentence, so nothing that stands in a cell reaches it. It chooses the scale where the rules read none.

    Raises:
        MetadataError: if neither facts, sentence nor model give a number of classes or columns.
    """
    corrections: list[str] = []
    elements = _elements(requirement, facts, corrections)
    reply = _ask(model, elements, facts, corrections)
    value: dict[str, Any] = {"task": facts.task_type}
    if reply and reply.task != facts.task_type:
        corrections.append(_correction("task", reply.task, facts.task_type))
    for key, known, wanted in (
        ("out_dim", elements["n_classes"] if facts.task_type in CLASSIFICATION else 1, True),
        ("in_dim", elements["n_features"], facts.task_type in TABULAR),
    ):
        told = getattr(reply, key, None)
        value[key] = known if known is not None else told if wanted else None
        if told is not None and told != value[key]:
            corrections.append(_correction(key, told, value[key]))
    value["scale"] = _scale(reply, elements["scale"], facts, corrections)
    value["arch"] = ARCHES[facts.task_type][value["scale"]]
    if reply and reply.arch != value["arch"]:
        corrections.append(_correction("arch", reply.arch, value["arch"]))
    value = {key: item for key, item in value.items() if item is not None}
    return parse_metadata(value).model_dump(exclude_none=True), corrections


def _elements(requirement: str, facts: TaskFacts, corrections: list[str]) -> dict[str, Any]:
    if facts.task_type not in ARCHES:
        raise MetadataError(f"task_type must be one of {list(ARCHES)}, however: {facts.task_type!r}")
    try:
        said: ParsedRequirement | None = parse_requirement(requirement)
    except ValueError as error:
        said = None
        corrections.append(f"the requirement sentence is incomplete ({error}); facts of the data are used")
    if said and said.task_type != facts.task_type:
        corrections.append(
            f"the sentence is of {TYPE_WORDS[said.task_type]}, the facts of {TYPE_WORDS[facts.task_type]}"
        )
        said = None
    elements: dict[str, Any] = {"task": facts.task_type}
    for key in ("n_classes", "n_features"):
        fact, told = getattr(facts, key), getattr(said, key, None)
        elements[key] = fact if fact is not None else told
        if told is not None and told != elements[key]:
            corrections.append(f"the sentence says {key}={told}, the facts say {fact}; {fact} is used")
    return elements | {"scale": said.scale if said else facts.scale}


def _ask(
    model: LanguageModel, elements: dict[str, Any], facts: TaskFacts, corrections: list[str]
) -> MetadataReply | None:
    description = facts.description[:MAX_DESCRIPTION] if facts.description else None
    messages: Sequence[Message] = render_messages("metadata", elements=elements, description=description)
    try:
        return model.ask(messages, MetadataReply)[0]
    except LanguageModelError as error:
        corrections.append(f"the language model {model.name} gave no usable metadata, the rules are used: {error}")
        return None


def _scale(reply: MetadataReply | None, known: str, facts: TaskFacts, corrections: list[str]) -> str:
    if reply is None or reply.scale == known:
        return known
    if facts.description and read_scale(facts.description) is None:
        corrections.append(
            f"scale {reply.scale!r} is how the language model reads the description; the sentence says {known!r}"
        )
        return reply.scale
    corrections.append(_correction("scale", reply.scale, known))
    return known


def _correction(key: str, told: Any, used: Any) -> str:
    return f"the language model says {key}={told!r}, the facts say {used!r}; {used!r} is used"
