"""The process that serves: uvicorn, told to lose no request when the process is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flame.errors import ConfigError
from flame.serve.limits import Limits

if TYPE_CHECKING:
    import uvicorn

LINGER_S = 1.0
"""Seconds that clients with a kept connection get, once the process is told to stop, to hear that they must leave."""
LOCAL = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger("uvicorn.error")


def run(app: Any, *, host: str, port: int, limits: Limits, is_open: bool) -> None:
    """Serve until SIGTERM, after which the process ends with code 0, or Ctrl-C.

    Raises:
        ConfigError: if the address cannot be taken.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="info",
        access_log=False,  # who asked what is nobody's business; /metrics counts
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(max(1, limits.shutdown_s)),
        limit_concurrency=limits.max_connections,
        ws="none",
    )
    try:
        place = _listen(host, port)
    except OSError as error:
        raise ConfigError(f"a free address is expected, however {host}:{port}: {error.strerror or error}") from error
    if is_open and host not in LOCAL:
        _log.warning("anyone who reaches %s may ask this service; a token would keep strangers out", host)
    with _term_is_no_failure():
        _server(config).run(sockets=[place])


def _server(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            """Answer what comes over open connections, with word that they close, before they are closed.

            uvicorn alone closes them between two requests; the second of them may be on its way, and is lost.
            """
            for listening in (*self.servers, *(sockets or ())):
                listening.close()
            state, end = self.server_state, time.monotonic() + LINGER_S
            state.default_headers = [*state.default_headers, (b"connection", b"close")]
            while state.connections and time.monotonic() < end and not self.force_exit:
                await asyncio.sleep(0.02)
            await super().shutdown(sockets)

    return Server(config)


@contextmanager
def _term_is_no_failure() -> Iterator[None]:
    """uvicorn sends itself the signal once more when all is done; by then it means: end, and all went well."""
    if threading.current_thread() is not threading.main_thread():  # which has no signals
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    place = socket.socket(family, kind, protocol)
    try:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(address)
    except OSError:
        place.close()
        raise
    return place
