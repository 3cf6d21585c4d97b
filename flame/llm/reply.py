"""From a question and a schema to a checked object: what is said of the schema, how replies are read, asking again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from flame.llm.budget import LanguageModelError

Message = Mapping[str, Any]
"""A chat message: `role` (system, user, assistant) and `content` (a text, or parts as in OpenAI's format)."""

T = TypeVar("T", bound=BaseModel)

TRIES = 3
MAX_STARTS = 50
"""At most so many opening braces of one reply are tried, so that a reply of braces costs nothing."""
_THOUGHTS = re.compile(r"^\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)


class ReplyFault(Exception):  # noqa: N818  (never leaves this library: asked again, or turned into a LanguageModelError)
    """What is wrong with a reply, in words that can be said to the model."""


class EmptyReply(ReplyFault):
    """There is no text in the reply."""


@dataclass(frozen=True)
class Reply:
    """The text of a reply and what the server says about it."""

    text: str
    cut_off: bool = False
    """The server stopped at the limit of tokens."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


def state_schema(messages: Sequence[Message], schema: type[BaseModel]) -> list[Message]:
    """The messages with the schema said in words, since some servers accept a `response_format` and ignore it."""
    rule = "Answer with one JSON object and nothing else. It must fit this JSON schema:\n" + json.dumps(
        schema.model_json_schema(), ensure_ascii=False
    )
    first, rest = (messages[0], messages[1:]) if messages and messages[0]["role"] == "system" else (None, messages)
    content = f"{first['content']}\n\n{rule}" if first else rule
    return [{"role": "system", "content": content}, *rest]


def converse(messages: Sequence[Message], schema: type[T], send: Callable[[Sequence[Message]], Reply]) -> T:
    """Ask; a reply that does not fit is asked for again with its fault named, three tries in all.

    Raises:
        LanguageModelError: with the fault of every try.
    """
    faults: list[str] = []
    talk = list(messages)
    for _ in range(TRIES):
        said = ""
        try:
            reply = send(talk)
            said = reply.text
            return read_object(reply.text, schema)
        except ReplyFault as error:
            faults.append(f"{error}; it was cut off at the limit of tokens" if said and reply.cut_off else str(error))
        again = f"That reply cannot be used: {faults[-1]}. Answer again, with one JSON object that fits."
        talk = [*messages, *([{"role": "assistant", "content": said[:2000]}] if said else [])]
        talk.append({"role": "user", "content": again})
    raise LanguageModelError(f"no usable reply in {TRIES} tries: " + "; then: ".join(dict.fromkeys(faults)))


def read_envelope(data: bytes) -> dict[str, Any]:
    """The JSON object that a server wraps a reply in.

    Raises:
        ReplyFault: if it is none.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReplyFault(f"the reply is not valid UTF-8 (byte {error.start})") from None
    try:
        envelope = json.loads(text)
    except (ValueError, RecursionError):
        raise ReplyFault(f"the server's reply is not complete JSON, it begins {text[:80]!r}") from None
    if not isinstance(envelope, dict):
        raise ReplyFault(f"the server's reply is no JSON object, it begins {text[:80]!r}")
    return envelope


def read_reply(envelope: dict[str, Any]) -> Reply:
    """The reply inside a chat completion, however sloppy the server.

    Raises:
        EmptyReply: if there is no text in it.
    """
    choices = envelope.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise EmptyReply("the reply holds no choices")
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):  # some servers send parts
        content = "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    cut_off = choice.get("finish_reason") == "length"
    if not isinstance(content, str) or not content.strip():
        refusal = message.get("refusal") if isinstance(message, dict) else None
        why = f"; the model refuses: {refusal[:200]!r}" if isinstance(refusal, str) and refusal else ""
        why += "; it was cut off at the limit of tokens" if cut_off else ""
        raise EmptyReply(f"the reply is empty{why}")
    usage = envelope.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(content, cut_off, _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: Any) -> int | None:
    """A server's count, if it can be one: it is booked, so nonsense must not empty or refill a budget."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000_000 else None


def read_object(text: str, schema: type[T]) -> T:
    """The first JSON object in a text that fits the schema; prose, fences and thoughts around it do not matter.

    >>> class Point(BaseModel):
    ...     x: int
    >>> read_object('Sure! As in {"y": 0}, here you are: ```json {"x": 3} ``` Anything else?', Point)
    Point(x=3)

    Raises:
        ReplyFault: naming what the first object lacks, or that there is none.
    """
    fault: ReplyFault | None = None
    for found in json_objects(_THOUGHTS.sub("", text)):
        try:
            return _validated(found, schema)
        except ReplyFault as error:
            fault = fault or error
    shown = text.strip()[:80]
    raise fault or ReplyFault(f"the reply holds no complete JSON object, it begins {shown!r}")


def _validated(found: dict[str, Any], schema: type[T]) -> T:
    try:
        try:
            json.dumps(found, ensure_ascii=False).encode()
            return schema.model_validate(found)
        except ValidationError as error:
            raise ReplyFault(describe(error)) from None
        except UnicodeEncodeError:  # such text can be neither sent, shown nor saved
            raise ReplyFault("the JSON object holds half of a surrogate pair") from None
    except RecursionError:
        raise ReplyFault("the JSON object is nested too deeply") from None


def json_objects(text: str) -> Iterator[dict[str, Any]]:
    """The balanced JSON objects of a text from left to right; those inside another are not looked for."""
    decoder = json.JSONDecoder(parse_constant=_refuse)
    start = text.find("{")
    for _ in range(MAX_STARTS):
        if start < 0:
            return
        try:
            found, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            yield found
        start = text.find("{", end)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def describe(error: ValidationError) -> str:
    """Every fault of a reply in one line: the place, what is wrong, what came.

    >>> class Point(BaseModel):
    ...     x: int
    >>> try:
    ...     Point.model_validate({"x": "much"})
    ... except ValidationError as error:
    ...     describe(error)
    "x: Input should be a valid integer, unable to parse string as an integer, however: 'much'"
    """
    faults = []
    for fault in error.errors(include_url=False)[:5]:
        place = ".".join(map(str, fault["loc"])) or "the object"
        came = "" if fault["type"] == "missing" else f", however: {repr(fault['input'])[:80]}"
        faults.append(f"{place}: {fault['msg'].removeprefix('Value error, ')}{came}")
    return "; ".join(faults)
