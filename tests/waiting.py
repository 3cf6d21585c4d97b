"""Waiting for something to happen, however busy the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable


def within_seconds(seconds: float, happened: Callable[[], bool]) -> bool:
    """Whether it happens in this time; asked every 20 ms."""
    ends = time.monotonic() + seconds
    while not (there := happened()) and time.monotonic() < ends:
        time.sleep(0.02)
    return there
