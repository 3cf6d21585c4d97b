"""A language model names the metadata; facts and rules put it right (the paper's Model Generator, section 3.2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from flame.llm import LanguageModel, LanguageModelError, Message
from flame.llm.prompts import MAX_DESCRIPTION
from flame.metadata import ARCHES, CLASSIFICATION, TABULAR, Arch, Scale, TaskType, parse_metadata
from flame.requirement import read_elements
from flame.resources import says_resources
from requirements_prompts import TaskFacts
from requirements_prompts.render import render_messages


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
    part of the sentence, so nothing that stands in a cell reaches it. It chooses the scale where the rules read
    nothing of resources.

    Raises:
        MetadataError: if the task type is unknown, or neither facts, sentence nor model give a number of classes or
            columns.
    """
    elements, corrections = read_elements(requirement, facts)
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
    if facts.description and not facts.scale_asked and not says_resources(facts.description):
        corrections.append(
            f"scale {reply.scale!r} is how the language model reads the description; the sentence says {known!r}"
        )
        return reply.scale
    corrections.append(_correction("scale", reply.scale, known))
    return known


def _correction(key: str, told: Any, used: Any) -> str:
    return f"the language model says {key}={told!r}, the facts say {used!r}; {used!r} is used"
