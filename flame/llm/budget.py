"""What asking a language model may cost, and what it has cost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

from flame.errors import FlameError


class LanguageModelError(FlameError, RuntimeError):
    """A language model gave no usable answer; the message says what it did instead and what would help."""


class BudgetError(LanguageModelError):
    """The next call to a language model would go beyond its budget of calls, tokens or seconds."""


@dataclass(frozen=True)
class Usage:
    """What was used: by one question, or, added up, by a whole run (the ledger).

    >>> Usage(calls=1, prompt_tokens=20) + Usage(calls=2, completion_tokens=5)
    Usage(calls=3, prompt_tokens=20, completion_tokens=5, seconds=0.0, cache_hits=0)
    """

    calls: int = 0
    """Requests that were sent, answered or not."""
    prompt_tokens: int = 0
    """As the server counts them; estimated where it does not say."""
    completion_tokens: int = 0
    seconds: float = 0.0
    """Wall-clock seconds, waiting between retries included."""
    cache_hits: int = 0
    """Questions answered without a call."""

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Limits:
    """How far an endpoint may go. The first three hold for all of its questions together."""

    max_calls: int = 30
    max_tokens: int = 100_000
    """Prompt and reply tokens."""
    max_seconds: float = 180.0
    timeout_s: float = 60.0
    """Seconds for one call, from connecting to the last byte."""
    reply_tokens: int = 2048
    """Tokens asked for in one reply; doubled once if a reply was cut off there."""
    reply_bytes: int = 1_000_000
    """Bytes of one reply; what is larger is cut off while it is read, and refused."""
    retries: int = 4
    """Repeats of one call after 429, 5xx, a timeout or a broken connection."""
    backoff_s: float = 0.5
    """Wait before the first repeat; doubled each time, with jitter."""

    def __post_init__(self) -> None:
        faults = []
        for name, value in vars(self).items():
            may_be_0 = name in ("retries", "backoff_s")
            if not (value > 0 or (may_be_0 and value == 0)):
                faults.append(f"{name} must be {'0 or more' if may_be_0 else 'above 0'}, however: {value!r}")
        if faults:
            raise BudgetError("limits: " + "; ".join(faults))


@dataclass(frozen=True)
class Reservation:
    """Tokens and seconds set aside for one call."""

    prompt_tokens: int
    reply_tokens: int
    timeout_s: float


class Budget:
    """Sets aside what a call may cost before it is made, and books what it did cost afterwards; safe to share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._spent = Usage()
        self._open_tokens = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Usage:
        """The ledger: everything booked so far."""
        return self._spent

    @property
    def seconds_left(self) -> float:
        return self.limits.max_seconds - self._spent.seconds

    def reserve(self, prompt_tokens: int, reply_tokens: int) -> Reservation:
        """Book a call and set its tokens aside.

        Raises:
            BudgetError: naming what is left and what the call needs.
        """
        with self._lock:
            need = prompt_tokens + reply_tokens
            left = {
                "max_calls": (self.limits.max_calls - self._spent.calls, 1),
                "max_tokens": (self.limits.max_tokens - self._spent.tokens - self._open_tokens, need),
                "max_seconds": (round(self.seconds_left, 3), 0.001),
            }
            faults = [
                f"{name}={getattr(self.limits, name)} leaves {max(has, 0)}, the next call may need {needs}"
                for name, (has, needs) in left.items()
                if has < needs
            ]
            if faults:
                raise BudgetError(
                    f"the budget for the language model is used up: {'; '.join(faults)}; allow more with Limits"
                )
            self._spent += Usage(calls=1)
            self._open_tokens += need
            return Reservation(prompt_tokens, reply_tokens, min(self.limits.timeout_s, self.seconds_left))

    def settle(self, reserved: Reservation, used: Usage) -> None:
        """Give the reservation back and book what was used; the call itself is booked already."""
        with self._lock:
            self._open_tokens -= reserved.prompt_tokens + reserved.reply_tokens
            self._spent += used

    def book(self, used: Usage) -> None:
        """Book what needed no reservation: waiting, or an answer out of the cache."""
        with self._lock:
            self._spent += used


class Bill:
    """What one question costs: everything goes to the run's budget and is added up here as well."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.used = budget, Usage()

    def reserve(self, prompt_tokens: int, reply_tokens: int) -> Reservation:
        """As `Budget.reserve`."""
        reserved = self.budget.reserve(prompt_tokens, reply_tokens)
        self.used += Usage(calls=1)
        return reserved

    def settle(self, reserved: Reservation, used: Usage) -> None:
        """As `Budget.settle`."""
        self.budget.settle(reserved, used)
        self.used += used

    def book(self, used: Usage) -> None:
        """As `Budget.book`."""
        self.budget.book(used)
        self.used += used
