"""Table 8 of the paper without people: what a requirement sentence recalls from description, data, or both.

    python -m experiments.requirements              # the offline rules; FLAME_DATA or --data names the data folder
    python -m experiments.requirements --quick      # a few tasks, one seed, seconds
    python -m experiments.requirements --llm qwen3 --base-url http://localhost:11434/v1    # any other writer
    python -m experiments.requirements --errors     # every sentence that lacks a fact

48 tasks with descriptions and truth by hand (`requirements_data/`). A sentence is scored by the facts it says: number
of classes, number of input columns (tables), task type, and a word of the task's field of life. A seed draws the rows
that are shown. "told or shown": only facts that the description contains or the rows can show count. The second table
compares the metadata of the rules with those of a perfect and of a lying language model.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments import requirement_agreement
from experiments.report import processor
from experiments.requirement_scores import FACTS, named_labels, recalled
from experiments.requirement_tasks import MODALITIES, Task, load_tasks
from flame.data import DataBatch
from flame.errors import FlameError
from flame.requirement import OfflineWriter, RequirementWriter, gather_facts

N_ROWS = 50
"""Rows that are shown (the paper: 50 samples per domain)."""
BOTH, CONSTANT, OTHER = "description and data", "control: the same sentence always", "control: another task's sentence"
CONDITIONS = {BOTH: (True, True), "data only": (False, True), "description only": (True, False)}
CONSTANT_SENTENCE = (
    "This is a task of 2-class and base-scaled text classification to predict the label from the inputs."
)
QUICK = ("iris", "wine", "glue_sst2", "glue_rte", "glue_stsb", "sms_spam", "office_webcam", "digits_usps")


@dataclass(frozen=True)
class Scored:
    """One sentence (None: the writer refused) and what it recalls."""

    task: str
    modality: str
    condition: str
    seed: int
    sentence: str | None
    facts: dict[str, bool]
    """Every fact that applies: is it said?"""
    given: frozenset[str]
    """The facts that the description tells or the rows show."""
    labels: tuple[str, ...] = ()
    """Names of classes that the sentence gives away."""
    note: str = ""
    """Why there is no sentence, or who wrote in place of the language model."""
    outvoted: bool = field(default=False)
    """The description tells the right number of classes, and fewer stand among the rows."""

    def share(self, only: frozenset[str] = frozenset(FACTS)) -> float | None:
        """The recalled part of the facts; None if none of them applies."""
        found = [said for fact, said in self.facts.items() if fact in only]
        return sum(found) / len(found) if found else None


def score(tasks: Sequence[Task], writer: RequirementWriter, seeds: Sequence[int]) -> list[Scored]:
    """Every task under the three conditions and the two controls, for every seed.

    The other task, whose description and data a control's sentence is written from, is of the same modality: what that
    control still recalls is what tasks of one modality have in common.
    """
    scored: list[Scored] = []
    for seed in seeds:
        batches = {task.name: task.batch(N_ROWS, seed) for task in tasks}
        for condition, (with_words, with_rows) in CONDITIONS.items():
            scored += [
                _written(t, writer, condition, seed, with_words, batches[t.name] if with_rows else None) for t in tasks
            ]
        own = {s.task: s.sentence for s in scored if (s.seed, s.condition) == (seed, BOTH)}
        for task in tasks:
            group = [t.name for t in tasks if t.modality == task.modality]
            step = 1 + (len(group) // 3 + seed) % max(len(group) - 1, 1)  # never the task itself, rarely its sibling
            other = group[(group.index(task.name) + step) % len(group)]
            for condition, sentence in ((CONSTANT, CONSTANT_SENTENCE), (OTHER, own[other])):
                scored.append(_scored(task, condition, seed, sentence, "", frozenset(FACTS), [task.description]))
    return scored


def _written(
    task: Task, writer: RequirementWriter, condition: str, seed: int, with_words: bool, batch: DataBatch | None
) -> Scored:
    description, sentence = task.description if with_words else None, None
    try:
        sentence = writer.write(gather_facts(description, batch), batch)
        note = writer.name if writer.name.startswith("offline, in place of") else ""
    except (FlameError, ValueError) as error:
        note = str(error)
    shown = _shown(task, batch)
    words = [description or "", *((c.name for c in batch.columns) if batch else ()), (batch and batch.target) or ""]
    given = (task.tells if with_words else frozenset[str]()) | shown
    outvoted = bool(with_words and batch and "classes" in task.tells - shown and task.truth.n_classes)
    return _scored(task, condition, seed, sentence, note, given, words, outvoted)


def _scored(
    task: Task,
    condition: str,
    seed: int,
    sentence: str | None,
    note: str,
    given: frozenset[str],
    words: Sequence[str],
    outvoted: bool = False,
) -> Scored:
    facts, labels = recalled(sentence, task.truth), named_labels(sentence, set(task.labels.tolist()), words)
    return Scored(
        task.name, task.modality, condition, seed, sentence, facts, given, tuple(labels), note, outvoted=outvoted
    )


def _shown(task: Task, batch: DataBatch | None) -> frozenset[str]:
    """The facts that the rows can show: the number of classes only if each of them stands among the rows."""
    if batch is None or batch.labels is None:
        return frozenset()
    complete = len(set(batch.labels)) == task.truth.n_classes
    return frozenset(FACTS) - task.rows_hide - (frozenset() if complete else {"classes"})


def summary(scored: Sequence[Scored], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row per modality and condition, and rows of all tasks together."""
    rows = []
    there = [m for m in MODALITIES if any(s.modality == m for s in scored)]
    for modality in (*there, "all"):
        for condition in (*CONDITIONS, CONSTANT, OTHER):
            group = [s for s in scored if s.modality in (modality, *([s.modality] * (modality == "all")))]
            group = [s for s in group if s.condition == condition]
            controls = condition not in CONDITIONS
            rows.append(
                {
                    "modality": modality,
                    "condition": condition,
                    **{f: _count([s.facts[f] for s in group if f in s.facts]) for f in FACTS},
                    "recall": _spread(group, seeds),
                    "told or shown": None if controls else _spread(group, seeds, given=True),
                    "sentences": _count([s.sentence is not None for s in group]),
                    "labels named": None if controls else sum(bool(s.labels) for s in group),
                }
            )
    return rows


def _count(found: Sequence[bool]) -> list[int]:
    return [sum(found), len(found)]


def _spread(group: Sequence[Scored], seeds: Sequence[int], *, given: bool = False) -> list[float]:
    """Mean of the recalled share per sentence in per cent, and its standard deviation over seeds."""
    means = []
    for seed in seeds:
        shares = [s.share(s.given) if given else s.share() for s in group if s.seed == seed]
        means.append(100 * float(np.mean([share for share in shares if share is not None] or [0.0])))
    return [round(float(np.mean(means)), 2), round(float(np.std(means)), 2)]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The summary as a table; counts are sentences over all seeds."""
    header = ["", "", "classes", "features", "task type", "domain word", "recall %", "told or shown %", "sentences",
              "labels named"]  # fmt: skip
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for i, row in enumerate(rows):
        counts = ["/".join(map(str, row[f])) if row[f][1] else "-" for f in FACTS]
        means = ["{:.1f} ± {:.1f}".format(*row[k]) if row[k] else "-" for k in ("recall", "told or shown")]
        first = row["modality"] if i == 0 or rows[i - 1]["modality"] != row["modality"] else ""
        labels = "-" if row["labels named"] is None else str(row["labels named"])
        cells = [first, row["condition"], *counts, *means, "/".join(map(str, row["sentences"])), labels]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def remarks(scored: Sequence[Scored]) -> dict[str, Any]:
    """What the table does not say: numbers of classes that the rows outvote, and sentences by the rules instead."""
    outvoted = [s for s in scored if s.outvoted]
    return {
        "told classes that fewer stand among the rows": len(outvoted),
        "of these, told number kept": sum(s.facts["classes"] for s in outvoted),
        "sentences by the rules in place of the language model": sum(
            s.note.startswith("offline, in place of") for s in scored
        ),
    }


def by_task(scored: Sequence[Scored]) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Per task and condition, how often every fact was said."""
    found: dict[str, dict[str, dict[str, list[int]]]] = {}
    for s in scored:
        for fact, said in s.facts.items():
            counts = found.setdefault(s.task, {}).setdefault(s.condition, {}).setdefault(fact, [0, 0])
            counts[0] += said
            counts[1] += 1
    return found


def find_folder(given: str | None) -> Path:
    """The data folder: what was given, else FLAME_DATA.

    Raises:
        SystemExit: with a message, if there is none.
    """
    name = given or os.environ.get("FLAME_DATA")
    if not name or not Path(name).expanduser().is_dir():
        raise SystemExit(
            f"the tasks of this experiment are read from a data folder, however: {name or 'none was given'}; set "
            "FLAME_DATA or give --data DIR with tabular/tasks.json, text/*/train.jsonl.gz and vision/"
        )
    return Path(name).expanduser()


def find_writer(options: argparse.Namespace, n_sentences: int) -> RequirementWriter:
    """The writer that the options name; budgets are wide enough for the whole experiment."""
    if options.base_url and not options.llm:
        raise SystemExit("--base-url needs --llm MODEL: the name of the model to ask there")
    if not options.llm:
        return OfflineWriter()
    from flame.llm import Endpoint, Limits
    from flame.llm.writer import LLMWriter

    limits = Limits(max_calls=9 * n_sentences, max_tokens=60_000 * n_sentences, max_seconds=120.0 * n_sentences)
    endpoint = Endpoint(options.llm, base_url=options.base_url, limits=limits, cache=options.cache or False)
    return LLMWriter(endpoint, send_rows=options.rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder; FLAME_DATA if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="a few tasks and one seed")
    parser.add_argument("--llm", metavar="MODEL", help="let this language model write: its name at the endpoint")
    parser.add_argument("--base-url", help="OpenAI-compatible endpoint; OPENAI_BASE_URL or OpenAI's if not given")
    parser.add_argument("--rows", action=argparse.BooleanOptionalAction, default=True, help="show the model a few rows")
    parser.add_argument("--cache", type=Path, help="file that keeps the language model's replies")
    parser.add_argument("--errors", action="store_true", help="list every sentence that lacks a fact or names a label")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--output", type=Path, help="write <output>.json and <output>.md")
    options = parser.parse_args(arguments)
    seeds = options.seeds[:1] if options.quick else options.seeds
    with tempfile.TemporaryDirectory() as work:
        tasks, absent = load_tasks(find_folder(options.data), Path(work), QUICK if options.quick else None)
        if not tasks:
            raise SystemExit("the data folder holds none of the tasks: " + "; ".join(absent))
        writer = find_writer(options, len(tasks) * len(seeds) * len(CONDITIONS))
        named = writer.name
        scored = score(tasks, writer, seeds)
        compared = [t for t in tasks if requirement_agreement.compared(t)]
        agreed = requirement_agreement.agreement(compared, N_ROWS, seeds[0]) if compared else []
    rows = summary(scored, seeds)
    hardware = f"writer: {named}; {len(tasks)} tasks, {N_ROWS} rows, {len(seeds)} seed(s); {processor()}"
    story: dict[str, Any] = {
        "hardware": hardware,
        "seeds": list(seeds),
        "summary": rows,
        "remarks": remarks(scored),
        "metadata": agreed,
        "tasks": by_task(scored),
        "left_out": absent,
    }
    text = f"{markdown(rows)}\n\n{hardware}"
    if agreed:
        text += f"\n\n{requirement_agreement.markdown(agreed)}"
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
        options.output.with_suffix(".md").write_text(text + "\n", "utf8")
    if options.json:
        print(json.dumps(story, indent=1))
        return
    print(text + "\n")
    print("\n".join([*(f"{k}: {v}" for k, v in story["remarks"].items()), *(f"left out: {a}" for a in absent)]))
    if options.errors:
        _print_errors(scored)


def _print_errors(scored: Sequence[Scored]) -> None:
    for s in scored:
        lacking = [f for f, said in s.facts.items() if not said]
        if s.condition in CONDITIONS and (lacking or s.labels):
            why = ", ".join([*(f + " (given)" * (f in s.given) for f in lacking), *(f"names {x!r}" for x in s.labels)])
            print(f"\n{s.task}, {s.condition}, seed {s.seed}: {why}\n  {s.sentence or s.note}")


if __name__ == "__main__":
    main()
