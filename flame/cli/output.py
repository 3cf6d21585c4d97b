"""What the `flame` command shows: one JSON object for machines, or text for people."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from flame.errors import CheckpointError


def story(model: Any) -> dict[str, Any]:
    return {
        "requirement": model.requirement,
        "metadata": model.metadata.model_dump(exclude_none=True),
        "route": model.route.to_json(),
        "labels": list(model.labels),
        "target": model.target,
        "parameters": model.n_parameters(),
        "timings": model.timings,
        "provenance": model.provenance,
    }


def show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for key, value in values.items():
        grid.add_row(key, Text(_plain(value)))
    Console().print(grid)


def table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(show_lines=any(isinstance(v, list) for r in rows for v in r.values()))
    for key in rows[0] if rows else ():
        grid.add_column(key, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_plain(v)) for v in row.values()))
    Console().print(grid)


def show_card(folder: Path, as_json: bool) -> None:
    """The card of a checkpoint without heads, or its configuration as JSON."""
    place = folder / ("config.json" if as_json else "README.md")
    try:
        text = place.read_text("utf8")
        typer.echo(json.dumps(json.loads(text), indent=2) if as_json else text, nl=as_json)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no readable checkpoint: {error}") from error


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    if isinstance(value, dict):
        return "\n".join(f"{k}: {_plain(v)}" for k, v in value.items() if v not in (None, {}, [], ()))
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    return str(value)


def note(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Within the block, what this library warns of is said in one line a warning, without a place in its code."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(w.message) for w in seen if issubclass(w.category, UserWarning)):
        note(f"note: {text}")


def busy(text: str, *, quiet: bool) -> AbstractContextManager[Any]:
    """A spinner on a terminal while something takes longer than a moment."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)
