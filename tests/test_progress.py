"""Who waits at a terminal is told how far something is, and nobody else."""

from __future__ import annotations

import io
import sys

import pytest

from flame import progress
from flame.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("terminal", "patience", "lines"), [(True, 0.0, 1), (True, 60.0, 0), (False, 0.0, 0)])
def test_a_terminal_is_told_once_it_takes_long(monkeypatch, terminal, patience, lines):
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE_S", patience)
    told = Progress(5, "pictures are read")
    for n in (2, 3):
        told.add(n)
    assert stream.getvalue().count("\n") == lines
    assert ("2 of 5 pictures are read" in stream.getvalue()) == bool(lines)
    assert stream.getvalue().split("\r")[-1].startswith("5 of 5") == bool(lines)
