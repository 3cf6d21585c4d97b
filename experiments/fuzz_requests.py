"""Random requests to a service, as the bytes that go over the network: of three sources, each of them seeded.

`schemathesis` reads the service's own OpenAPI document and makes requests that fit it, and as many that do not.
`hypothesis` makes rows of odd values. The rest, of `experiments.fuzz_bytes`, are the document's examples, broken.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Document = dict[str, Any]
Headers = list[tuple[str, str]]
PREDICT = "/predict"


@dataclass(frozen=True)
class Wire:
    """One request."""

    source: str
    method: str
    path: str
    body: bytes = b""
    headers: Headers = field(default_factory=list)
    chunks: tuple[int, ...] = ()
    """Sizes of the chunks that the body is sent in; none: whole, with its length."""
    whole: bool = True
    """Whether an answer is due: else its framing is broken, or it is cut off, and nobody waits for one."""

    def encoded(self) -> bytes:
        """Head and body."""
        framing = [] if any(k.lower() == "content-length" for k, _ in self.headers) else self._framing()
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in [*self.headers, *framing]]
        head = "\r\n".join([*lines, "", ""]).encode("utf8", "surrogatepass")
        return head + (self._in_chunks() if self.chunks else self.body)

    def _framing(self) -> Headers:
        return [("Transfer-Encoding", "chunked")] if self.chunks else [("Content-Length", str(len(self.body)))]

    def _in_chunks(self) -> bytes:
        parts, rest = [], self.body
        for size in self.chunks:
            part, rest = rest[:size], rest[size:]
            parts += [b"%x\r\n%s\r\n" % (len(part), part)] if part else []
        parts += [b"%x\r\n%s\r\n" % (len(rest), rest)] if rest else []
        return b"".join([*parts, b"0\r\n\r\n"])


Send = Callable[[Wire], None]


# --- schemathesis -----------------------------------------------------------------------------------------------------


def from_schemathesis(document: Document, n: int, start: int, send: Send) -> None:
    """About `n` requests; needs the package schemathesis, and requests, which comes with it."""
    import requests
    import schemathesis
    from schemathesis import GenerationMode

    kept = ("method", "url", "headers", "data", "json", "params", "files", "cookies")

    def sent(case: Any) -> None:
        made = case.as_transport_kwargs(base_url="http://localhost")
        request = requests.Request(**{k: v for k, v in made.items() if k in kept}).prepare()
        body, parts = request.body or b"", urlsplit(str(request.url))
        headers = [(k, str(v)) for k, v in request.headers.items() if k.lower() not in ("content-length", "connection")]
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        content = body.encode("utf8", "surrogatepass") if isinstance(body, str) else bytes(body)  # type: ignore[arg-type]
        send(Wire("schemathesis", str(request.method), path, content, headers))

    operations: Any = schemathesis.openapi.from_dict(document).get_all_operations()
    for operation in (found.ok() for found in operations):
        if operation.path == PREDICT:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                _draw(operation.as_strategy(generation_mode=mode), n // 2, start, sent)
        else:
            _draw(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), 1, start, sent)


def _draw(strategy: Any, n: int, start: int, use: Callable[[Any], None]) -> None:
    """Hand `n` examples of a strategy to a function."""

    @seed(start)
    @settings(
        max_examples=n, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def every(example: Any) -> None:
        use(example)

    every()


# --- hypothesis -------------------------------------------------------------------------------------------------------

CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=30),
    st.text(st.characters(categories=["Cs", "Cc", "Zs", "Mn"]), max_size=5),
    st.sampled_from(["nan", "inf", "-1e999", "1_000", "0x10", "NULL", "", " ", "١٢٣", "1,5", "\ufeff1", "true"]),
    st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode()),
)
FEW = st.lists(CELLS, max_size=3) | st.dictionaries(st.text(max_size=5), CELLS, max_size=3)
VALUES = CELLS | FEW | st.lists(FEW, max_size=3)


def from_hypothesis(document: Document, n: int, start: int, send: Send) -> None:
    """Rows with odd cells, and bodies that are no rows, as JSON."""
    row = example_of(document)["rows"][0]
    cells = st.fixed_dictionaries({}, optional=dict.fromkeys(row, CELLS))
    rows = st.lists(cells.map(lambda odd: {**row, **odd}) | cells | VALUES, max_size=5)
    short = st.sampled_from(["texts", "images", "rows", "row", ""])
    others = st.dictionaries(short, st.lists(VALUES, max_size=4) | VALUES)

    def sent(value: Any) -> None:
        content = json.dumps(value).encode()
        send(Wire("hypothesis", "POST", PREDICT, content, [("Content-Type", "application/json")]))

    _draw(st.fixed_dictionaries({"rows": rows}) | others | VALUES, n, start, sent)


def example_of(document: Document) -> dict[str, Any]:
    """A body that the service answers."""
    content = document["paths"][PREDICT]["post"]["requestBody"]["content"]
    example: dict[str, Any] = content["application/json"]["example"]
    return example
