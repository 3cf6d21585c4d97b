"""Tables nobody trained for: FLAME beside ordinary learners, honest controls, and its own recipe without learning.

    python -m experiments.unseen_tables --work runs.jsonl --output tables      # reported tables, then the whole kit
    python -m experiments.unseen_tables --role select                          # the tables that may guide choices
    python -m experiments.unseen_tables --generator DIR --methods FLAME        # another generator
    python -m experiments.unseen_tables --learning-curve --cost --output tables
    python -m experiments.unseen_tables --quick                                # a few small tables, two minutes

The tables are those of a data folder (`--data`, or FLAME_DATA; see `experiments.table_kit`). Every method sees the same
70/30 splits on one thread; none is tuned. `--work` keeps every finished run, so that an interrupted one goes on and a
new generator is all that is measured again. A method that fails counts as the majority class or the mean.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from experiments import table_scores, unseen_curves, unseen_report
from experiments.report import processor
from experiments.requirements import find_folder
from experiments.table_kit import ROLES, load_kit_table, read_tasks, select_tasks
from experiments.table_methods import Method, available
from experiments.table_runs import Results, run
from flame.errors import FlameError

QUICK_METHODS = ("majority", "linear", "random forest", "recipe, 1 draw", "untrained generator", "FLAME")
N_QUICK = 6
"""Small tables of a quick run."""
GROUPS = {"evaluate": "tables for reported figures", "all": "the whole kit", "select": "tables that may guide choices",
          "seen": "the paper's tables", "named": "the tables that were named"}  # fmt: skip


def groups(tasks: dict[str, dict[str, Any]], options: argparse.Namespace) -> dict[str, list[str]]:
    """Names of tables by the group that is reported together."""
    if options.names:
        return {"named": select_tasks(tasks, names=options.names)}
    if options.quick:
        small = sorted(select_tasks(tasks, role=options.role or "select"), key=lambda n: tasks[n]["n_rows"])
        of_kind = {k: [n for n in small if tasks[n]["task"] == k] for k in unseen_report.MEASURES}
        return {"select": [n for names in of_kind.values() for n in names[: N_QUICK // 2]]}
    roles = [options.role] if options.role else ["evaluate", "all"]
    return {role: select_tasks(tasks, role=role) for role in roles}


def measure(
    names: Sequence[str], methods: Mapping[str, Method], tasks: dict[str, Any], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The records of all runs, with a progress bar on a terminal."""
    load = partial(load_kit_table, folder=options.data, tasks=tasks)
    runs = run(names, load, methods, Results(options.work), splits=options.splits, max_rows=options.max_rows)
    return list(progress(runs, len(names) * len(methods) * options.splits, options))


def progress(runs: Iterator[dict[str, Any]], total: int, options: argparse.Namespace) -> Iterable[dict[str, Any]]:
    console = Console(stderr=True)
    return track(runs, "tables", total=total, console=console, disable=not console.is_terminal or options.json)


def report(records: Sequence[dict[str, Any]], named: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """Markdown and JSON of every group of tables and kind."""
    parts, story = [], {}
    for group, names in named.items():
        for kind in unseen_report.MEASURES:
            board = unseen_report.collect(records, kind, names)
            if board is not None:
                parts.append(f"## {kind.capitalize()}, {GROUPS[group]}\n\n{unseen_report.markdown(board)}")
                story[f"{kind}, {group}"] = unseen_report.story(board)
    return "\n\n".join(parts), story


def plot_differences(records: Sequence[dict[str, Any]], names: Sequence[str], path: Path) -> list[str]:
    """One critical-difference diagram a kind; returns what was written."""
    written = []
    for kind in unseen_report.MEASURES:
        board = unseen_report.collect(records, kind, names)
        if board is None or len(board.methods) < 3 or len(board.tables) < 3:
            continue
        where = path.with_name(f"{path.stem}-{kind}.png")
        title = f"Mean ranks by {board.measure}, {kind}"
        table_scores.draw_differences(board.methods, board.grouped(board.measure), where, title=title)
        written.append(where.name)
    return written


def compare(methods: dict[str, Method], options: argparse.Namespace, story: dict[str, Any]) -> str:
    """All methods on all tables, as Markdown; figures go into the story."""
    tasks, named = find_tables(options)
    names = list(dict.fromkeys(n for group in named.values() for n in group))
    records = measure(names, methods, tasks, options)
    text, found = report(records, named)
    story |= {"splits": options.splits, "max_rows": options.max_rows, "groups": found}
    if options.output:
        size = f"{options.splits} split(s), at most {options.max_rows:,} rows a table"
        place = options.output.with_name(f"{options.output.name}_summary.md")
        place.write_text(f"{unseen_report.brief(found)}\n\n{size}\n", "utf8")
    if options.plot:
        story["figures"] = plot_differences(records, next(iter(named.values())), options.plot)
    return f"{text}\n\n{options.splits} split(s), at most {options.max_rows:,} rows a table"


def learn(methods: dict[str, Method], options: argparse.Namespace, story: dict[str, Any]) -> str:
    """Learning curves as Markdown, drawn beside the output."""
    tasks, named = find_tables(options)
    load = partial(load_kit_table, folder=options.data, tasks=tasks)
    chosen = {n: m for n, m in methods.items() if n in (options.methods or unseen_curves.CURVE_METHODS)}
    names = next(iter(named.values()))
    found = unseen_curves.learning_curves(tasks, names, load, chosen, Results(options.work), splits=options.splits)
    if not found:
        raise SystemExit("none of these tables has rows enough for a learning curve; give --role or --names")
    story["learning_curves"] = found
    if options.output:
        unseen_curves.draw_curves(found, options.output.with_name(f"{options.output.name}-rows.png"))
    most = f"{options.splits} split(s), at most {unseen_curves.CURVE_ROWS:,} rows a table"
    return f"## More rows\n\n{unseen_curves.curves_markdown(found)}\n\n{most}"


def spend(methods: dict[str, Method], options: argparse.Namespace, story: dict[str, Any]) -> str:
    """Seconds on random data as Markdown, drawn beside the output."""
    chosen = {n: m for n, m in methods.items() if n in (options.methods or unseen_curves.COST_METHODS)}
    sizes = {"rows": (100, 1000), "columns": (5, 20)} if options.quick else {}
    story["costs"] = found = unseen_curves.costs(chosen, **sizes)
    if options.output:
        unseen_curves.draw_costs(found, options.output.with_name(f"{options.output.name}-seconds.png"))
    return f"## Seconds\n\n{unseen_curves.costs_markdown(found)}"


def find_tables(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The index of the data folder, and the names of tables by group.

    Raises:
        SystemExit: if there is no data folder or no such table.
    """
    options.data = find_folder(options.data)
    tasks = read_tasks(options.data)
    named = groups(tasks, options)
    if not any(named.values()):
        raise SystemExit(f"the data folder {options.data} has no such tables; give --role or --names")
    return tasks, named


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print Markdown, and keep the figures."""
    options = parse(arguments)
    torch.set_num_threads(1)
    try:
        _main(options)
    except FlameError as error:
        raise SystemExit(str(error)) from error


def _main(options: argparse.Namespace) -> None:
    asked = options.methods or (QUICK_METHODS if options.quick and not options.cost else ())
    methods, absent = available(asked, generator=options.generator)
    story: dict[str, Any] = {"hardware": f"one thread of {processor()}, torch {torch.__version__}"}
    wanted = {learn: options.learning_curve, spend: options.cost}
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
    parts = [part(methods, options, story) for part in ([p for p, yes in wanted.items() if yes] or [compare])]
    story["left_out"] = absent
    parts.append(story["hardware"])
    if absent:
        parts.append(f"left out, not installed: {', '.join(absent)}; pip install 'flame-hypernet[experiments]'")
    text = "\n\n".join(parts)
    if options.output:
        options.output.with_name(f"{options.output.name}.json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
        options.output.with_name(f"{options.output.name}.md").write_text(text + "\n", "utf8")
    print(json.dumps(story, indent=1) if options.json else text)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line; a quick run has small tables and one split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder; FLAME_DATA if not given")
    parser.add_argument(
        "--role", choices=[*ROLES, "all"], help="tables of one role; evaluate and then all if not given"
    )
    parser.add_argument("--names", nargs="+", default=[], help="only these tables")
    parser.add_argument("--methods", nargs="+", default=[], help="only these methods")
    parser.add_argument("--generator", help="folder of a generator for tables; the shipped one if not given")
    parser.add_argument("--splits", type=int, default=2, help="splits of every table")
    parser.add_argument("--max-rows", type=int, default=3000, help="rows of a table that take part")
    parser.add_argument("--work", type=Path, help="file that keeps every finished run")
    parser.add_argument("--plot", type=Path, help="critical-difference diagrams as <plot>-<kind>.png")
    parser.add_argument("--learning-curve", action="store_true", help="by support rows instead")
    parser.add_argument("--cost", action="store_true", help="seconds on random data instead")
    parser.add_argument("--quick", action="store_true", help="a few small tables, one split, few methods")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--output", type=Path, help="write <output>.json and <output>.md")
    options = parser.parse_args(arguments)
    if options.quick:
        options.splits, options.max_rows = 1, min(options.max_rows, 600)
    return options


if __name__ == "__main__":
    main()
