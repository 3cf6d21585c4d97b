"""Language models behind one seam: messages and a pydantic model in, a checked object and its usage out.

Why the bare `openai` client and not `pydantic-ai-slim[openai]` (2.68, tried against `tests/llm_server.py`, time limit
1 s): a dripping reply held it for 5.4 s, 100 MB were read whole, a server that refuses `response_format` ended the run
instead of stepping down, prose around the JSON or an envelope without an id was no reply. With deadline, size limit,
ladder, cache and reserved budgets written by us, all that is left to it is asking again, for eleven more packages.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from flame.llm.budget import BudgetError, LanguageModelError, Limits, Usage
from flame.llm.endpoint import Endpoint
from flame.llm.reply import Message, Reply, T, converse, state_schema

__all__ = [
    "BudgetError",
    "Endpoint",
    "LanguageModel",
    "LanguageModelError",
    "Limits",
    "Message",
    "Replay",
    "Usage",
    "state_schema",
]


class LanguageModel(Protocol):
    """Whatever can answer a question with an object of a given shape."""

    name: str

    def ask(self, messages: Sequence[Message], schema: type[T]) -> tuple[T, Usage]:
        """An object that fits `schema`, and what it cost.

        Raises:
            LanguageModelError: if there is none after three tries, or the budget ends (`BudgetError`).
        """
        ...


class Replay:
    """Recorded replies in their order, for tests and examples: no network, no key.

    Args:
        replies: objects or texts, or the path of a JSON file with a list of them.

    >>> import pydantic
    >>> class Point(pydantic.BaseModel):
    ...     x: int
    >>> Replay(["well ...", {"x": 3}]).ask([{"role": "user", "content": "Where?"}], Point)
    (Point(x=3), Usage(calls=2, prompt_tokens=0, completion_tokens=0, seconds=0.0, cache_hits=0))
    """

    name = "replay"

    def __init__(self, replies: Sequence[Any] | str | Path) -> None:
        self._replies = _recorded(Path(replies)) if isinstance(replies, str | Path) else list(replies)
        self.asked: list[list[Message]] = []
        """The messages of every call so far."""

    @property
    def ledger(self) -> Usage:
        """What all questions used together."""
        return Usage(calls=len(self.asked))

    def ask(self, messages: Sequence[Message], schema: type[T]) -> tuple[T, Usage]:
        before = self.ledger.calls
        found = converse(state_schema(messages, schema), schema, self._next)
        return found, Usage(calls=self.ledger.calls - before)

    def _next(self, messages: Sequence[Message]) -> Reply:
        if len(self.asked) >= len(self._replies):
            raise LanguageModelError(f"the replay holds {len(self._replies)} replies and all of them are used")
        reply = self._replies[len(self.asked)]
        self.asked.append(list(messages))
        return Reply(reply if isinstance(reply, str) else json.dumps(reply, default=str))


def _recorded(path: Path) -> list[Any]:
    try:
        replies = json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise LanguageModelError(f"cannot read recorded replies from {path}: {error}") from None
    if not isinstance(replies, list):
        raise LanguageModelError(f"{path} must hold a JSON list of replies, however: a {type(replies).__name__}")
    return replies
