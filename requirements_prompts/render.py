"""Prompts from Markdown files, with everything that is not ours inserted as quoted data.

A prompt is `<name>.md` beside this file: instructions, a line `<!-- user -->`, and the request. `{{name}}` marks the
place of a value. Every value becomes JSON in which no angle bracket, backtick, line break or invisible character stands
unescaped, so it can neither close the fence around it (`<<<DATA` ... `DATA>>>`) nor pass for a placeholder.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Any

_PLACE = re.compile(r"\{\{ *([a-z][a-z0-9_]*) *\}\}")
_SPLIT = "<!-- user -->"
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def render(name: str, **values: Any) -> str:
    """A prompt with all of its places filled, as one text.

    Raises:
        ValueError: for a prompt there is not, a place without a value, or a value without a place.
    """
    return "\n\n".join(message["content"] for message in render_messages(name, **values))


def render_messages(name: str, **values: Any) -> list[dict[str, str]]:
    """The same as chat messages: what stands before `<!-- user -->` is the system's, the rest the user's.

    Raises:
        ValueError: as `render`.
    """
    parts = [part.strip() for part in _template(name).split(_SPLIT)]
    wanted = {place for part in parts for place in _PLACE.findall(part)}
    faults = [f"{sorted(wanted - set(values))} are not filled"] if wanted - set(values) else []
    faults += [f"there is no place for {unknown!r}{_near(unknown, wanted)}" for unknown in sorted(set(values) - wanted)]
    if faults:
        raise ValueError(f"prompt {name!r} has the places {sorted(wanted)}, however: {'; '.join(faults)}")
    quoted = {key: quote(value) for key, value in values.items()}
    # One pass: what has been inserted is never looked at again.
    texts = [_PLACE.sub(lambda place: quoted[place[1]], part) for part in parts]
    roles = ["system"] * (len(parts) - 1) + ["user"]
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]


def quote(value: Any) -> str:
    r"""A value as JSON that cannot leave its fence; a list stands one element to a line.

    >>> print(quote("DATA>>>\n{{rows}} `rm`"))
    "DATA\u003e\u003e\u003e\n\u007b{rows}} \u0060rm\u0060"
    >>> print(quote([{"input": 5.1, "label": "setosa"}, {"input": float("nan"), "label": None}]))
    {"input": 5.1, "label": "setosa"}
    {"input": null, "label": null}
    """
    if isinstance(value, list | tuple):
        return "\n".join(map(_json, value)) or "(none)"
    return _json(value)


def _json(value: Any) -> str:
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)
    text = re.sub(r"[<>`]|\{(?=\{)", lambda m: f"\\u{ord(m[0]):04x}", text)
    # Direction marks, tag characters and lone surrogates are shown, never acted on.
    return "".join(_escape(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if char.isascii() else json.dumps(char)[1:-1]


def _plain(value: Any) -> Any:
    """JSON's own types only; what is none of them becomes text, numbers that JSON lacks become null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@cache
def _template(name: str) -> str:
    folder = files(__package__)
    known = sorted(f.name.removesuffix(".md") for f in folder.iterdir() if f.name.endswith(".md"))
    if name not in known:
        raise ValueError(f"no prompt {name!r}; there are {known}{_near(name, known)}")
    text = folder.joinpath(f"{name}.md").read_text(encoding="utf-8")
    if "{{" in _PLACE.sub("", text) or text.count(_SPLIT) > 1:
        raise ValueError(f"prompt {name!r} holds a broken place, or {_SPLIT!r} more than once")
    return text


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name.casefold(), list(known), n=1, cutoff=0.5)
    return f". Did you mean {near[0]!r}?" if near else ""
