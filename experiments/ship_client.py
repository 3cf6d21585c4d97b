"""A client that keeps a service busy: HTTP/1.1 over kept connections, counted to the last request."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

UNBROKEN = (ConnectionError, asyncio.IncompleteReadError)
"""What ends a connection."""


def prediction_request(rows: Sequence[dict[str, Any]]) -> bytes:
    """Head and body of one."""
    body = json.dumps({"rows": list(rows)}).encode()
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Client:
    """Sends the requests in turn over several connections, one at a time over each."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes]) -> None:
        self.host, self.port = host, port
        self.latencies_s: list[float] = []
        """Of the answered ones."""
        self.n_sent = self.n_refused = 0
        self.seconds = 0.0
        self._requests = cycle(requests)

    @property
    def n_answered(self) -> int:
        """Whole answers."""
        return len(self.latencies_s)

    async def run(self, connections: int, seconds: float) -> None:
        """Until the time is over, or nobody listens any more.

        Raises:
            RuntimeError: if an answer is not of status 200.
        """
        started = time.perf_counter()
        await asyncio.gather(*(self._stay(started + seconds) for _ in range(connections)))
        self.seconds = time.perf_counter() - started

    async def _stay(self, end: float) -> None:
        """Connect, and again where the service closes the connection."""
        while time.perf_counter() < end:
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port)
            except ConnectionError:
                self.n_refused += 1
                return
            try:
                await self._ask(reader, writer, end)
            except UNBROKEN:
                continue  # what was sent and not answered is counted so
            finally:
                writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, end: float) -> None:
        while (begun := time.perf_counter()) < end:
            writer.write(next(self._requests))
            self.n_sent += 1
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise RuntimeError(f"an answer is expected, however: {head[:60]!r}")
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
            self.latencies_s.append(time.perf_counter() - begun)
            if b"\r\nconnection: close" in head:
                return
