"""A chat-completions server on localhost that misbehaves on purpose; one scripted step per request.

    with LLMServer(status(500), say('{"n": 3}')) as server:
        Endpoint("toy", base_url=server.url).ask(...)
    assert len(server.requests) == 2

The last step is repeated for as long as requests come.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Step = Callable[["_Handler", dict[str, Any]], None]


def envelope(content: Any, *, finish: str = "stop", usage: Any = None) -> dict[str, Any]:
    """What an OpenAI-compatible server wraps a reply in."""
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "toy",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content}}],
        "usage": usage or {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }


def say(content: Any, *, finish: str = "stop", usage: Any = None) -> Step:
    """A proper reply; an object is sent as JSON text."""
    text = content if isinstance(content, str | None) else json.dumps(content)
    return lambda handler, _: handler.send(200, envelope(text, finish=finish, usage=usage))


def answer(make: Callable[[dict[str, Any]], Any]) -> Step:
    """A proper reply whose content depends on the request."""
    return lambda handler, request: say(make(request))(handler, request)


def body(value: Any, *, content_type: str = "application/json", code: int = 200) -> Step:
    """Any body whatever: bytes, text, or something to send as JSON."""
    return lambda handler, _: handler.send(code, value, {"Content-Type": content_type})


def status(code: int, message: str = "scripted fault", **headers: str) -> Step:
    """An error with its usual body; header names are written with underscores."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.send(code, {"error": {"message": message, "type": "scripted"}}, fields)


def unless(
    refused: Callable[[dict[str, Any]], bool], then: Step, code: int = 400, message: str = "unsupported"
) -> Step:
    """An error for requests that hold something, else the step."""
    return lambda handler, request: (status(code, message) if refused(request) else then)(handler, request)


def hang(handler: _Handler, _: dict[str, Any]) -> None:
    """Take the request and never answer."""
    handler.closing.wait(60)


def drip(pause_s: float, *, headers: bool = False) -> Step:
    """Send one byte at a time: the body, or already the headers."""

    def step(handler: _Handler, _: dict[str, Any]) -> None:
        text = json.dumps(envelope('{"n": 3}')).encode()
        if headers:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
            text = b"X-Slow: " + b"a" * 5000 + b"\r\nContent-Length: 0\r\n\r\n"
        else:
            handler.start(200, {"Content-Length": str(len(text))})
        for byte in text:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.closing.wait(pause_s):
                return

    return step


def flood(n_bytes: int, *, code: int = 200, valid: bool = True) -> Step:
    """A reply of that size, in pieces; valid JSON if asked for, so that only its size is wrong."""

    def pieces() -> Iterator[bytes]:
        start, end = json.dumps(envelope('{"n": 3}@')).encode().split(b"@") if valid else (b"", b"")
        yield start
        for _ in range(n_bytes // 10_000):
            yield b" " * 10_000
        yield end

    def step(handler: _Handler, _: dict[str, Any]) -> None:
        handler.start(code, {"Connection": "close"})
        for piece in pieces():
            handler.wfile.write(piece)
            handler.sent += len(piece)

    return step


def cut_short(handler: _Handler, _: dict[str, Any]) -> None:
    """Announce more bytes than come, then close."""
    handler.start(200, {"Content-Length": "5000"})
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server  # type: ignore[assignment]
    sent = 0

    @property
    def closing(self) -> threading.Event:
        return self.server.closing

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = json.loads(self.rfile.read(length))
        turn = self.server.note(
            {
                "path": self.path,
                "headers": {k.lower(): v for k, v in self.headers.items()},
                "at": time.monotonic(),
                **request,
            }
        )
        steps = self.server.steps
        try:
            steps[min(turn, len(steps) - 1)](self, request)
        except OSError:
            self.close_connection = True  # the client has hung up; some steps make it
        self.server.sent += self.sent

    def start(self, code: int, fields: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, code: int, value: Any, fields: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
        self.start(code, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(fields or {})})
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, steps: tuple[Step, ...]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.steps, self.closing, self.sent = steps, threading.Event(), 0
        self.requests: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def note(self, request: dict[str, Any]) -> int:
        with self._lock:
            self.requests.append(request)
            return len(self.requests) - 1

    def handle_error(self, *_: Any) -> None:
        pass


class LLMServer:
    """The server as a context; `requests` holds what came, with path, headers and time."""

    def __init__(self, *steps: Step) -> None:
        self._server = _Server(steps)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self._server.requests

    @property
    def sent(self) -> int:
        """Bytes that `flood` has sent."""
        return self._server.sent

    def __enter__(self) -> LLMServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
