"""Questions to an OpenAI-compatible server: the parameters it takes, retries, budgets, the cache."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flame.llm.budget import Bill, Budget, BudgetError, LanguageModelError, Limits, Reservation, Usage
from flame.llm.cache import ReplyCache, request_key
from flame.llm.dialect import Dialect, complaint, explain, strict
from flame.llm.reply import EmptyReply, Message, Reply, T, converse, read_envelope, read_reply, state_schema
from flame.llm.transport import Outcome, Secret, Wire

OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "no-key"
_REFUSED = (400, 415, 422, 501)
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529)
_IMAGE_TOKENS = 1500
_JITTER = random.Random()  # of its own, so that a user's seed is left alone


class Endpoint:
    """Any OpenAI-compatible server: OpenAI itself, or Ollama, vLLM, llama.cpp and the like on this machine.

    Args:
        model: its name; `FLAME_LLM_MODEL` if not given.
        base_url: as in "http://localhost:11434/v1"; `OPENAI_BASE_URL` if not given, else OpenAI.
        api_key: `OPENAI_API_KEY` if not given; many local servers want none. Sent to `base_url`, shown nowhere.
        limits: budgets, time limits and retries; the budgets hold for the life of this object.
        cache: keep replies on disk and ask nothing twice; True for the usual place, or a file.
        temperature: 0 for the likeliest reply.

    Raises:
        LanguageModelError: if the model, the key or the address is missing or broken.
        MissingExtraError: if `openai` is not installed.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        limits: Limits | None = None,
        cache: bool | Path = False,
        temperature: float = 0.0,
    ) -> None:
        self.name = model or os.environ.get("FLAME_LLM_MODEL") or ""
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")
        self.limits, self.temperature = limits or Limits(), temperature
        if not self.name:
            raise LanguageModelError("no language model is named; give model='...' or set FLAME_LLM_MODEL")
        self._key = Secret(api_key or os.environ.get("OPENAI_API_KEY") or _NO_KEY)
        if self.base_url == OPENAI_URL and self._key.reveal() == _NO_KEY:
            raise LanguageModelError(
                f"{OPENAI_URL} wants a key; set OPENAI_API_KEY, or give the base_url of a server that wants none"
            )
        self._wire = Wire(self.base_url, self._key, reply_bytes=self.limits.reply_bytes)
        self._budget = Budget(self.limits)
        self._cache = ReplyCache(cache if isinstance(cache, Path) else None) if cache else None

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, base_url={self.base_url!r})"

    @property
    def ledger(self) -> Usage:
        """What all questions so far have used together, failed ones included."""
        return self._budget.spent

    def ask(self, messages: Sequence[Message], schema: type[T]) -> tuple[T, Usage]:
        """As `flame.llm.LanguageModel.ask`."""
        talk, bill = state_schema(messages, schema), Bill(self._budget)
        key = request_key(
            base_url=self.base_url,
            model=self.name,
            messages=talk,
            schema=schema.model_json_schema(),
            parameters={"temperature": self.temperature, "reply_tokens": self.limits.reply_tokens},
        )
        if (kept := self._kept(key, schema)) is not None:
            bill.book(Usage(cache_hits=1))
            return kept, bill.used
        question = _Question(self, schema, bill)
        try:
            found = converse(talk, schema, question.send)
        except LanguageModelError as error:
            raise type(error)(self._key.scrub(f"{self.name} at {self.base_url}: {error}")) from None
        _DIALECTS[self.base_url, self.name] = question.dialect
        if self._cache:
            self._cache.put(key, found.model_dump(mode="json"))
        return found, bill.used

    def _kept(self, key: str, schema: type[T]) -> T | None:
        value = self._cache.get(key) if self._cache else None
        try:
            return None if value is None else schema.model_validate(value)
        except ValueError:  # written by other hands or another version: ask anew
            return None


_DIALECTS: dict[tuple[str, str], Dialect] = {}
"""What worked, by base URL and model, for as long as the process runs."""


@dataclass
class _Question:
    """One question to an endpoint, with all of its repeats."""

    endpoint: Endpoint
    schema: type[BaseModel]
    bill: Bill
    dialect: Dialect = field(init=False)
    reply_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        self.dialect = _DIALECTS.get((self.endpoint.base_url, self.endpoint.name), Dialect())
        self.reply_tokens = self.endpoint.limits.reply_tokens

    def send(self, messages: Sequence[Message]) -> Reply:
        """One reply: parameters that are refused are left out, passing faults are waited out."""
        limits, repeats, last = self.endpoint.limits, 0, ""
        messages = _encodable(list(messages))
        while True:
            try:
                found = self._call(messages)
            except BudgetError as error:
                raise BudgetError(f"{last}; {error}" if last else str(error)) from None
            if isinstance(found, Reply):
                return found
            last = explain(found)
            lesser = self.dialect.after(complaint(found.body)) if found.status in _REFUSED else None
            if lesser is not None:
                self.dialect = lesser
                continue
            most = min(limits.retries, {"unreachable": 2, "timeout": 1}.get(found.kind, limits.retries))
            if (
                (found.kind == "status" and found.status not in _PASSING)
                or found.kind == "unreadable"
                or repeats >= most
            ):
                raise LanguageModelError(last + (f" ({repeats + 1} times)" if repeats else ""))
            self._wait(found, repeats)
            repeats += 1

    def _call(self, messages: Sequence[Message]) -> Reply | Outcome:
        """One request, paid for beforehand; a reply without text or sense raises `ReplyFault`."""
        reserved = self.bill.reserve(estimate_tokens(messages), self.reply_tokens)
        used, start = Usage(), time.monotonic()
        try:
            outcome = self.endpoint._wire.post(self._request(messages), reserved.timeout_s)
            if outcome.kind in ("status", "unreachable"):
                return outcome
            used = _used(reserved, None)  # the server has worked, though it may not say how much
            if outcome.kind != "reply":
                return outcome
            reply = _open(outcome.body)
            if isinstance(reply, Reply):
                used = _used(reserved, reply)
                if self.endpoint._key.stands_in(reply.text):
                    raise LanguageModelError("the reply repeats the API key; it is not used")
                if reply.cut_off:
                    self.reply_tokens = 2 * self.endpoint.limits.reply_tokens
            return reply
        except EmptyReply:
            # Some servers send nothing under a schema they cannot follow.
            self.dialect = self.dialect.lower() or self.dialect
            raise
        finally:
            self.bill.settle(reserved, used + Usage(seconds=time.monotonic() - start))

    def _request(self, messages: Sequence[Message]) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self.endpoint.name, "messages": list(messages)}
        request[self.dialect.tokens] = self.reply_tokens
        if self.dialect.temperature:
            request["temperature"] = self.endpoint.temperature
        if self.dialect.format == "json_object":
            request["response_format"] = {"type": "json_object"}
        elif self.dialect.format == "json_schema":
            name = re.sub(r"[^A-Za-z0-9_-]", "_", self.schema.__name__)[:64]
            form = {"name": name, "strict": True, "schema": strict(self.schema.model_json_schema())}
            request["response_format"] = {"type": "json_schema", "json_schema": form}
        return request

    def _wait(self, outcome: Outcome, repeats: int) -> None:
        wait_s = outcome.retry_after_s
        if wait_s is None:
            wait_s = self.endpoint.limits.backoff_s * 2**repeats * _JITTER.uniform(0.5, 1.0)
        left_s = self.bill.budget.seconds_left
        if wait_s >= left_s:
            raise BudgetError(
                f"{explain(outcome)}; the next try would be in {wait_s:.3g} s, "
                f"and max_seconds={self.endpoint.limits.max_seconds} leaves {max(left_s, 0):.3g}"
            )
        time.sleep(wait_s)
        self.bill.book(Usage(seconds=wait_s))


def _open(body: bytes) -> Reply | Outcome:
    """The reply in a body; an error that a server sends with status 200 is treated as one."""
    if body.lstrip()[:1] == b"<":
        raise LanguageModelError("the server answered with a web page; is base_url right? It usually ends in /v1")
    envelope = read_envelope(body)
    error = envelope.get("error")
    if error and not envelope.get("choices"):
        code = error.get("code") if isinstance(error, dict) else None
        return Outcome("status", body, code if isinstance(code, int) and 400 <= code < 600 else 200)
    return read_reply(envelope)


def _used(reserved: Reservation, reply: Reply | None) -> Usage:
    """What the server counted; where it counts nothing, no less than it can have been."""
    if reply is None:
        return Usage(prompt_tokens=reserved.prompt_tokens, completion_tokens=reserved.reply_tokens)
    said = min(len(reply.text.encode("utf-8", "replace")), reserved.reply_tokens)
    return Usage(
        prompt_tokens=reserved.prompt_tokens if reply.prompt_tokens is None else reply.prompt_tokens,
        completion_tokens=said if reply.completion_tokens is None else reply.completion_tokens,
    )


def estimate_tokens(messages: Sequence[Message]) -> int:
    """More tokens than a prompt is likely to have: half its bytes, and a fixed number per image."""
    parts = [
        p for m in messages for p in (m["content"] if isinstance(m["content"], list) else [{"text": m["content"]}])
    ]
    texts = sum(len(p["text"].encode()) // 2 + 8 if "text" in p else _IMAGE_TOKENS for p in parts)
    return texts + 8 * len(messages)


def _encodable(value: Any) -> Any:
    """The same without lone surrogates, which no client can send; a reply may have brought them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return {key: _encodable(item) for key, item in value.items()} if isinstance(value, dict) else value
