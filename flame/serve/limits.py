"""What a service grants a request, and a client."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass, fields

from flame.errors import ConfigError

MAX_CLIENTS = 10_000
"""Clients whose rate is remembered; the one that was silent for longest is forgotten first."""


@dataclass(frozen=True)
class Limits:
    """Sizes, times and rates.

    Raises:
        ConfigError: if one is not above 0.
    """

    max_bytes: int = 4_000_000
    """Size of a request's body."""
    max_rows: int = 10_000
    """Rows of a request; of texts 1,000 at most, of pictures 64."""
    max_pixels: int = 40_000_000
    """Pixels of a picture, before it is made smaller."""
    timeout_s: float = 10.0
    """Seconds to receive a body, and again to answer it."""
    rate: float | None = None
    """Requests a second that one client (address) may send on average; None: as many as it likes."""
    burst: int = 20
    """Requests that it may send at once where there is a rate."""
    max_connections: int = 1_000
    """Connections and requests at a time; more are answered 503."""
    shutdown_s: float = 30.0
    """Seconds that requests under way get when the process is told to stop."""

    def __post_init__(self) -> None:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        bad = [f"{name}={v!r}" for name, v in values.items() if v is not None and not 0 < v < math.inf]
        if bad:
            raise ConfigError(f"limits are expected to be above 0, however: {', '.join(bad)}")


class TokenBuckets:
    """A bucket of `burst` requests per client, which fills again at `rate` a second."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = float(burst)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float | None = None) -> float:
        """Take one request out of a client's bucket: 0 if it may be answered, else the seconds until it may.

        >>> buckets = TokenBuckets(rate=2.0, burst=1)
        >>> buckets.wait("a", 0.0), buckets.wait("a", 0.0), buckets.wait("b", 0.0), buckets.wait("a", 0.5)
        (0.0, 0.5, 0.0, 0.0)
        """
        now = time.monotonic() if now is None else now
        left, since = self._clients.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - since) * self.rate)
        granted = left >= 1
        self._clients[client] = (left - granted, now)
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if granted else (1 - left) / self.rate
