"""The paper's ten tables as users would describe them: eight ways to learn from, three more that are held out.

No description names a data set file; the held-out ones say the same task in other words, not the same words anew.
"""

from __future__ import annotations

import difflib
import json
from functools import cache
from importlib.resources import files


def table_descriptions(name: str) -> list[str]:
    """The eight descriptions of a table that requirement sentences for training are made from.

    >>> len(table_descriptions("iris"))
    8

    Raises:
        ValueError: for a table that is not among the ten.
    """
    return list(_table(name)["training"])


def held_out_descriptions(name: str) -> list[str]:
    """Three descriptions of a table that no training sentence is made from.

    Raises:
        ValueError: for a table that is not among the ten.
    """
    return list(_table(name)["held_out"])


def table_names() -> list[str]:
    """The ten tables, in the paper's order."""
    return list(_tables())


@cache
def _tables() -> dict[str, dict[str, list[str]]]:
    text = files(__package__).joinpath("tables.json").read_text(encoding="utf-8")
    tables: dict[str, dict[str, list[str]]] = json.loads(text)
    return tables


def _table(name: str) -> dict[str, list[str]]:
    tables = _tables()
    if name in tables:
        return tables[name]
    near = difflib.get_close_matches(name.casefold(), list(tables), n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no descriptions of table {name!r}; there are {list(tables)}.{guess}")
