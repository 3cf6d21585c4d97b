"""Language models that answer from a script: one that tells the truth, one that lies. No network, no key."""

from __future__ import annotations

import json
from typing import Any

from flame.llm import Usage
from requirements_prompts.sentences import TYPE_WORDS


class Scripted:
    """A language model that answers every question with the same sentence and the same metadata."""

    name = "scripted"

    def __init__(self, sentence: str, wire: dict[str, Any]) -> None:
        self.sentence, self.wire = sentence, wire
        self.asked: list[str] = []

    def ask(self, messages: Any, schema: Any) -> Any:
        self.asked.append(json.dumps(messages, default=str))
        wanted = {"sentence": self.sentence} if "sentence" in schema.model_fields else self.wire
        return schema.model_validate(wanted), Usage()


def metadata(task: str, out_dim: int, arch: str, scale: str = "base", in_dim: int | None = None) -> dict[str, Any]:
    """Metadata as a language model writes them."""
    return {"task": task, "out_dim": out_dim, "in_dim": in_dim, "scale": scale, "arch": arch}


LIE = metadata("img_cls", 1000, "resnet152", "large", in_dim=99)
"""Wrong of every task."""


def sentence_of(wire: dict[str, Any]) -> str:
    """The true sentence of metadata, in words of our own."""
    classes = f"{wire['out_dim']}-class, " if wire["task"].endswith("_cls") else ""
    features = f"{wire['in_dim']}-feature, " if wire["in_dim"] else ""
    return (
        f"This is a task of {classes}{features}{wire['scale']}-scaled {TYPE_WORDS[wire['task']]} on what the user has."
    )
