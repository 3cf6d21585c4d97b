"""What a request gets that gets no prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class RefusedError(Exception):
    """A request that gets no prediction: an HTTP status, a message, and the faults of its rows if there are some."""

    def __init__(
        self,
        status: int,
        message: str,
        faults: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.content = {"detail": message} | ({"faults": [dict(f) for f in faults]} if faults else {})
