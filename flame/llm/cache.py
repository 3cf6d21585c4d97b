"""Replies kept on disk, so that the same question costs nothing the second time."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

R = TypeVar("R")


def cache_path() -> Path:
    """Where replies are kept: beside the tables, in `$FLAME_CACHE` or `~/.cache/flame`."""
    from flame.table.tables import cache_folder

    return cache_folder().parent / "llm.sqlite"


def request_key(**request: Any) -> str:
    """The SHA-256 of a whole request: server, model, messages, schema and parameters.

    >>> request_key(model="a", messages=[]) == request_key(messages=[], model="a")
    True
    """
    text = json.dumps(request, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class ReplyCache:
    """A table of checked replies: the request's hash, the reply as JSON text, the time. No question, no key, no pickle.

    A cache that cannot be read or written is warned of once and done without.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_path()
        self._broken = False

    def get(self, key: str) -> Any:
        """The JSON value kept for a request; None if there is none that can be read."""
        rows = self._with(lambda db: db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchall())
        try:
            return json.loads(rows[0][0]) if rows else None
        except (ValueError, TypeError, RecursionError):
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        text = json.dumps(value)
        self._with(lambda db: db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", (key, text, time.time())))

    def _with(self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        if self._broken:
            return None
        try:
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch(mode=0o600)
            with closing(sqlite3.connect(self.path, timeout=5)) as db, db:
                db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT, time REAL)")
                return work(db)
        except (sqlite3.Error, OSError) as error:
            self._broken = True
            warnings.warn(
                f"the cache of replies {self.path} is not used: {error}; delete it to start anew", stacklevel=4
            )
            return None
