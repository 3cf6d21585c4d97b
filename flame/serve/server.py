"""The process that serves: uvicorn, which lets requests under way finish when it is told to stop."""

from __future__ import annotations

import logging
import socket
from typing import Any

from flame.errors import ConfigError
from flame.serve.limits import Limits

LOCAL = ("127.0.0.1", "::1", "localhost")
_log = logging.getLogger("uvicorn.error")


def run(app: Any, *, host: str, port: int, limits: Limits, is_open: bool) -> None:
    """Serve until SIGTERM or Ctrl-C.

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
    )
    try:
        place = _listen(host, port)
    except OSError as error:
        raise ConfigError(f"a free address is expected, however {host}:{port}: {error.strerror or error}") from error
    if is_open and host not in LOCAL:
        _log.warning("anyone who reaches %s may ask this service; a token would keep strangers out", host)
    uvicorn.Server(config).run(sockets=[place])


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
