"""A service in a process of its own: started on a free port, watched (its memory in /proc: Linux), stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_S = 90.0
"""Seconds after which a service that does not answer is given up."""
Command = Callable[[Path, int], list[str]]
"""From a package's folder and a port to what starts a service."""


@dataclass(frozen=True)
class Service:
    """One that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def post(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The answer to some rows.

        Raises:
            OSError: if nobody answers.
            RuntimeError: if the answer is no prediction.
        """
        connection = HTTPConnection(HOST, self.port, timeout=30)
        try:
            body = json.dumps({"rows": rows})
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answered = connection.getresponse()
            text = answered.read()
        finally:
            connection.close()
        if answered.status != 200:
            raise RuntimeError(f"a prediction is expected, however: {answered.status} {text[:200]!r}")
        result: dict[str, Any] = json.loads(text)
        return result

    def get(self, path: str) -> Any:
        """What a path answers, as JSON."""
        connection = HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def resident_mib(self) -> float:
        """Memory of the process itself, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def said(self) -> str:
        """The end of what it wrote to its log."""
        return self.log.read_text("utf8", errors="replace")[-4000:]


def flame_service(package: Path, port: int) -> list[str]:
    """This library's own."""
    return [sys.executable, "-m", "flame", "serve", str(package), "--port", str(port)]


@contextmanager
def running(command: Command, package: Path, ready: Callable[[Service], Any]) -> Iterator[Service]:
    """A service that is ready, and with all that it started is gone at the end.

    Args:
        ready: asked until it raises neither OSError nor RuntimeError.

    Raises:
        RuntimeError: if it does not start; says what it wrote.
    """
    with tempfile.TemporaryDirectory(prefix="flame-service-") as folder:
        port, log = free_port(), Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command(package, port), stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
            )
        service = Service(process, port, log)
        try:
            _wait(service, ready)
            yield service
        finally:
            _end(process)


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as place:
        place.bind((HOST, 0))
        return int(place.getsockname()[1])


def _wait(service: Service, ready: Callable[[Service], Any]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and service.process.poll() is None:
        try:
            ready(service)
            return
        except (OSError, RuntimeError, ValueError):
            time.sleep(0.05)
    raise RuntimeError(f"the service did not start: {service.said()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop, then whatever is left of its session."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
