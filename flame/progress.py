"""How far something is, for people who wait at a terminal."""

from __future__ import annotations

import sys
import time

PATIENCE_S = 2.0
"""Seconds after which a terminal is told."""


class Progress:
    """One line on a terminal once something takes longer than a moment; nothing where nobody looks.

    Args:
        n: how many things there are.
        doing: what happens to them, as in "texts are encoded".
    """

    def __init__(self, n: int, doing: str) -> None:
        self.n, self.doing = n, doing
        self._done, self._started, self._shown = 0, time.perf_counter(), False

    def add(self, n: int = 1) -> None:
        """So many more are done."""
        self._done += n
        seconds = time.perf_counter() - self._started
        if not sys.stderr.isatty() or (seconds < PATIENCE_S and not self._shown):
            return
        self._shown, end = True, "\n" if self._done >= self.n else ""
        line = f"\r{self._done:,} of {self.n:,} {self.doing} ({seconds:.0f} s)"
        print(line, end=end, file=sys.stderr, flush=True)
