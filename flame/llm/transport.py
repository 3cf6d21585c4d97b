"""One call to an OpenAI-compatible server that ends in time, reads no more than it may, and never shows the key.

The call runs in a thread of its own: a deadline on the whole call (look-up, connecting, headers that come one byte at a
time, a body that drips) cannot be kept from inside, since a client's timeouts hold for single reads. What comes back to
the caller is plain values with the key taken out; no exception that could carry the request crosses over.
"""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import logging
import math
import queue
import re
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from flame.errors import missing_extra
from flame.llm.budget import LanguageModelError

HIDDEN = "[key]"
_SHORTEST_SECRET = 8  # "none" or "ollama" is no secret, and taking it out of replies would garble them


class Secret:
    """A key that shows itself to nobody by accident: not in a repr, a log, a traceback's locals or a pickle."""

    def __init__(self, value: str) -> None:
        value = value.strip()
        if not all("!" <= c <= "~" and c not in "\"'\\" for c in value):
            raise LanguageModelError(
                "the API key must be printable ASCII without spaces and quotes, however: it holds other characters; "
                "was something copied along with it?"
            )
        self.reveal = lambda: value

    def __repr__(self) -> str:
        return HIDDEN

    def __reduce__(self) -> Any:
        raise LanguageModelError("an API key is not pickled; make the endpoint anew from OPENAI_API_KEY")

    def scrub(self, text: str) -> str:
        """The text without the key."""
        key = self.reveal()
        return text.replace(key, HIDDEN) if len(key) >= _SHORTEST_SECRET else text

    def stands_in(self, text: str) -> bool:
        """Whether a text holds the key, be it as it is or in JSON's escapes."""
        plain = re.sub(r"\\u00([0-7][0-9a-fA-F])", lambda m: chr(int(m[1], 16)), text).replace("\\/", "/")
        return self.scrub(plain) != plain


class _LogFilter(logging.Filter):
    """Takes keys out of what the HTTP libraries log: at level DEBUG they write down headers, which may echo a key."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: weakref.WeakSet[Secret] = weakref.WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage()
        if self._hide(said) != said:
            record.msg, record.args = self._hide(said), ()
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            if self._hide(trace) != trace:
                record.exc_info, record.exc_text = None, self._hide(trace)
        return True

    def _hide(self, text: str) -> str:
        for secret in list(self.secrets):
            text = secret.scrub(text)
        return text


_LOG_FILTER = _LogFilter()


def _hide_in_logs(key: Secret) -> None:
    _LOG_FILTER.secrets.add(key)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
            logging.getLogger(name).addFilter(_LOG_FILTER)


@dataclass(frozen=True)
class Outcome:
    """How a call ended."""

    kind: Literal["reply", "status", "unreachable", "timeout", "unreadable"]
    body: bytes = b""
    """What was read of the reply, or of the error's body; the key is taken out."""
    status: int = 0
    retry_after_s: float | None = None
    reason: str = ""


class _Refused(Exception):  # noqa: N818  (a messenger between two functions of this file)
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.kind)
        self.outcome = outcome


class Wire:
    """Posts chat requests to one server."""

    def __init__(self, base_url: str, key: Secret, *, reply_bytes: int) -> None:
        check_url(base_url)
        self._base_url, self._key, self._reply_bytes = base_url, key, reply_bytes
        try:
            import openai
        except ImportError as error:
            raise missing_extra("openai", "llm", "Language-model endpoints") from error
        self._openai = openai
        _hide_in_logs(key)

    def post(self, request: dict[str, Any], timeout_s: float) -> Outcome:
        """Send one request; returns within `timeout_s`, whatever the server does."""
        inbox: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        given_up = threading.Event()
        deadline = time.monotonic() + timeout_s
        work = threading.Thread(
            target=lambda: inbox.put(self._call(request, deadline, given_up)), name="flame-llm", daemon=True
        )
        work.start()
        try:
            return inbox.get(timeout=max(timeout_s, 0.001))
        except queue.Empty:
            return Outcome("timeout", reason=f"no complete reply within {timeout_s:.3g} s")
        finally:
            given_up.set()

    def _call(self, request: dict[str, Any], deadline: float, given_up: threading.Event) -> Outcome:
        """Never raises: everything a client may throw becomes an outcome without the key."""
        try:
            with self._client(deadline, given_up) as client:
                create = client.chat.completions.with_streaming_response.create
                with create(**request) as response:
                    return Outcome("reply", body=self._read(response.iter_bytes(), deadline, given_up))
        except Exception as error:  # noqa: BLE001  (which classes a client throws depends on its version)
            return self._outcome(error)

    def _client(self, deadline: float, given_up: threading.Event) -> Any:
        def on_response(response: Any) -> None:
            """Read an error's body here, since the client would read all of it."""
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _Refused(Outcome("unreadable", reason="the reply is compressed, although that was not asked for"))
            if 200 <= response.status_code < 300:
                return
            body = b""
            with contextlib.suppress(Exception):  # the status counts, whatever becomes of the body
                body = self._read(response.iter_raw(), deadline, given_up)
            wait_s = retry_after_s(response.headers.get("retry-after"))
            raise _Refused(Outcome("status", body, response.status_code, wait_s))

        timeout_s = max(deadline - time.monotonic(), 0.001)
        http = self._openai.DefaultHttpxClient(
            event_hooks={"response": [on_response]},
            follow_redirects=False,  # rows and key go where the user said, and nowhere else
            trust_env=not is_local(self._base_url),  # a proxy does not reach a server on this machine
            timeout=timeout_s,
        )
        return self._openai.OpenAI(
            api_key=self._key.reveal(),
            base_url=self._base_url,
            max_retries=0,
            timeout=timeout_s,
            default_headers={"Accept-Encoding": "identity"},
            http_client=http,
        )

    def _read(self, chunks: Any, deadline: float, given_up: threading.Event) -> bytes:
        parts, size = [], 0
        for chunk in chunks:
            size += len(chunk)
            if size > self._reply_bytes:
                raise _Refused(Outcome("unreadable", reason=f"the reply is larger than {self._reply_bytes} bytes"))
            if given_up.is_set() or time.monotonic() > deadline:
                raise _Refused(Outcome("timeout", reason="no complete reply in time"))
            parts.append(chunk)
        return self._key.scrub(b"".join(parts).decode("latin-1")).encode("latin-1")  # any bytes survive latin-1

    def _outcome(self, error: BaseException) -> Outcome:
        chain: list[BaseException] = []
        current: BaseException | None = error
        while current is not None and current not in chain:
            if isinstance(current, _Refused):
                return current.outcome
            chain.append(current)
            current = current.__cause__ or current.__context__
        if any("Timeout" in type(e).__name__ for e in chain):
            return Outcome("timeout", reason="the server did not answer in time")
        root = next((e for e in reversed(chain) if str(e)), chain[-1])
        return Outcome("unreachable", reason=self._key.scrub(f"{type(root).__name__}: {str(root)[:200]}"))


def retry_after_s(value: str | None) -> float | None:
    """The wait a server asks for, in seconds or as a date.

    >>> retry_after_s("7"), retry_after_s("soon"), retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT"), retry_after_s("nan")
    (7.0, None, 0.0, None)
    """
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value or "").timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(seconds, 0.0)


def is_local(base_url: str) -> bool:
    """Whether a server runs on this machine.

    >>> is_local("http://localhost:11434/v1"), is_local("http://127.0.0.1:8000/v1"), is_local("https://api.openai.com/v1")
    (True, True, False)
    """
    host = urlsplit(base_url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_url(base_url: str) -> None:
    """Refuse an address that is none, or that carries a secret.

    Raises:
        LanguageModelError: saying what is wrong with it.
    """
    try:
        parts = urlsplit(base_url)
        port_is_a_number = parts.port is None or parts.port > 0
    except ValueError:
        raise LanguageModelError(
            "base_url is not a valid address; expected one like 'http://localhost:11434/v1'"
        ) from None
    if parts.username or parts.password or parts.query or parts.fragment:
        raise LanguageModelError(
            "base_url must not hold a user name, a password or parameters; give the key by OPENAI_API_KEY"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_a_number:
        raise LanguageModelError(f"base_url must be like 'http://localhost:11434/v1', however: {base_url[:200]!r}")
