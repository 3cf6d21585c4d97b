"""What stands between the network and the application: token, rate, size, and the counters."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flame.serve.limits import Limits, TokenBuckets
from flame.serve.metrics import Metrics
from flame.serve.refused import RefusedError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Refuse = Callable[[RefusedError], Any]
"""Makes an ASGI application of a refusal."""

OPEN_PATHS = ("/health",)
"""Answered without a token and at any rate."""


class Gate:
    """ASGI middleware. Refuses before a body is read; counts what is answered."""

    def __init__(self, app: Any, *, limits: Limits, metrics: Metrics, token: str | None, refuse: Refuse) -> None:
        self.app = app
        self.limits = limits
        self.metrics = metrics
        self.refuse = refuse
        self._token = None if token is None else token.encode()
        self._buckets = TokenBuckets(limits.rate, limits.burst) if limits.rate else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.metrics.in_flight += 1
        try:
            app = self.app
            try:
                self._check(scope)
            except RefusedError as refusal:
                app = self.refuse(refusal)
            await app(scope, receive, counted)
        finally:
            self.metrics.in_flight -= 1
            self.metrics.note(scope["path"], status, time.perf_counter() - started)

    def _check(self, scope: Message) -> None:
        if scope["path"] in OPEN_PATHS:
            return
        headers = dict(scope["headers"])
        # The rate comes first, so that a token cannot be guessed at full speed.
        wait = self._buckets.wait((scope.get("client") or ("",))[0]) if self._buckets else 0.0
        if wait:
            after = {"Retry-After": str(math.ceil(wait))}
            raise RefusedError(429, f"at most {self.limits.rate:g} requests a second are accepted", headers=after)
        if self._token is not None and not _carries(headers.get(b"authorization", b""), self._token):
            challenge = {"WWW-Authenticate": "Bearer"}
            raise RefusedError(401, "the header 'Authorization: Bearer TOKEN' is expected", headers=challenge)
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > self.limits.max_bytes:
            raise too_large(self.limits)


def too_large(limits: Limits) -> RefusedError:
    """The refusal of a body above the limit; what is left of it is not read."""
    said = f"at most {limits.max_bytes} bytes are accepted in a body: send the rows in parts"
    return RefusedError(413, said, headers={"Connection": "close"})


def _carries(header: bytes, token: bytes) -> bool:
    scheme, _, given = header.partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token)
