"""What a server takes and what it says: optional parameters, strict schemas, its complaints in plain words."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from flame.llm.transport import Outcome

FORMATS = ("json_schema", "json_object", "text")


@dataclass(frozen=True)
class Dialect:
    """Which of the optional parameters a server takes."""

    format: str = FORMATS[0]
    tokens: str = "max_tokens"
    temperature: bool = True

    def after(self, complaint: str) -> Dialect | None:
        """What to try when a request was refused with these words; None when nothing is left to try."""
        complaint = complaint.lower()
        if self.tokens == "max_tokens" and "max_completion_tokens" in complaint:
            return replace(self, tokens="max_completion_tokens")
        if self.temperature and "temperature" in complaint:
            return replace(self, temperature=False)
        return self.lower()

    def lower(self) -> Dialect | None:
        """The next rung: from json_schema to json_object to plain text."""
        rung = FORMATS.index(self.format) + 1
        return replace(self, format=FORMATS[rung]) if rung < len(FORMATS) else None


def strict(schema: Any) -> Any:
    """A JSON schema as strict servers want it: every property required, no others, no defaults."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: {name: strict(item) for name, item in value.items()} if key in ("properties", "$defs") else strict(value)
        for key, value in schema.items()
        if key != "default"
    }
    return kept | (
        {"required": list(kept["properties"]), "additionalProperties": False} if "properties" in kept else {}
    )


def complaint(body: bytes) -> str:
    """What a server says is wrong, in its own words, on one line."""
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
        error = value.get("error", value) if isinstance(value, dict) else value
        message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
        text = message if isinstance(message, str) else json.dumps(message or value)
    except (ValueError, RecursionError):
        text = "" if text.lstrip().startswith("<") else text
    return " ".join(text.split())[:300]


def explain(outcome: Outcome) -> str:
    """How a call ended and what may help."""
    if outcome.kind != "status":
        return outcome.reason if outcome.kind != "unreachable" else f"the server cannot be reached: {outcome.reason}"
    words = complaint(outcome.body)
    advice = {401: "check OPENAI_API_KEY", 403: "check OPENAI_API_KEY", 404: "check the model's name and base_url"}
    advice |= dict.fromkeys((301, 302, 303, 307, 308), "it points elsewhere, which is not followed; check base_url")
    what = f"error {outcome.status}" if outcome.status != 200 else "an error"
    tail = (f": {words!r}" if words else "") + (f"; {advice[outcome.status]}" if outcome.status in advice else "")
    return f"the server answered with {what}{tail}"
