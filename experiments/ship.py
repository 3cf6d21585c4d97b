"""The life of generated models: written, checked against a request, tuned, exported, served.

    python -m experiments.ship --output experiments/results/ship    # every format, ten minutes of load
    python -m experiments.ship --quick                              # small, in a minute

Models are written from one part of the rows and checked on the others, before and after one epoch of fine-tuning. The
tuned model is exported to every format whose packages are installed; each export answers the held-out rows in a fresh
process, from a CSV or from files, without torch (but .pt2), transformers, pandas or flame. Difference: of a
probability, or of a number in units of the largest one, against torch in this process. Cold start: from starting the
process to its first answer. Latency: one row, from cells or a file's bytes to the answer. Then the service of the first
table is put under load, beside the same file behind a minimal FastAPI application and behind LitServe:
`experiments.ship_load`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import flame
from experiments import ship_engines
from experiments.report import processor, write_results
from experiments.ship_load import Plan, load_markdown, measure_load
from experiments.ship_subjects import TABLES, Subject, subjects
from flame.errors import FlameError, MissingExtraError
from flame.evaluation.verification import Verification
from flame.export import ExportError, export_model, package_model
from flame.export.writers import FORMATS
from flame.spec_report import Check

if TYPE_CHECKING:
    from flame.export import ParityReport


@dataclass(frozen=True)
class Life:
    """One model before and after fine-tuning, checked on held-out rows."""

    name: str
    arch: str
    n_train: int
    n_held_out: int
    generation_s: float
    finetune_s: float
    score: str
    """Name of the score that is compared."""
    before: float
    after: float
    grades: tuple[str, str]
    checks: tuple[tuple[Check, Check], ...]
    """One pair a limit of the request."""
    note: str
    """What the fine-tuning says of itself."""


@dataclass(frozen=True)
class Shipped:
    """One export of one model."""

    name: str
    arch: str
    format: str
    n_rows: int
    difference: float
    """Largest one of the fresh process against torch here."""
    same_class: float | None
    kib: float
    cold_start_s: float
    p50_ms: float
    p95_ms: float


def live(subject: Subject) -> tuple[Life, flame.GeneratedModel]:
    """Generate, verify, fine-tune, verify again."""
    model = flame.generate_model(subject.asked, subject.train, **subject.options)
    spec = flame.understand(subject.request)
    before = model.verify(subject.held_out, spec, target=subject.target)
    tuned = model.finetune(subject.train, epochs=1, target=subject.target)
    after = tuned.verify(subject.held_out, spec, target=subject.target)
    story, score = tuned.provenance["finetune"], "r2" if model.is_regression else "accuracy"
    life = Life(
        name=subject.name,
        arch=model.metadata.arch,
        n_train=len(subject.train),
        n_held_out=len(subject.held_out),
        generation_s=model.timings["total"],
        finetune_s=story["seconds"],
        score=score,
        before=_score(before, score),
        after=_score(after, score),
        grades=(before.grade, after.grade),
        checks=tuple(zip(before.checks, after.checks, strict=True)),
        note=story.get("note", ""),
    )
    return life, tuned


def _score(found: Verification, name: str) -> float:
    assert found.evaluation is not None, found.fault
    return found.evaluation[name]


def ship(
    subject: Subject, model: flame.GeneratedModel, formats: Sequence[str], folder: Path, runs: int
) -> Iterator[Shipped | str]:
    """Package a model and run every export of it; of one that is refused, what was said."""
    whole = package_model(model, folder, rows=subject.rows)
    for name in formats:
        try:
            place = folder / "model"
            report = whole if name == "onnx" else export_model(model, place, format=name, rows=subject.rows)
        except ExportError as error:
            yield f"{subject.name}: {error}"
        else:
            yield _shipped(subject, model, folder / report.file, report, runs)


def _shipped(subject: Subject, model: flame.GeneratedModel, place: Path, report: ParityReport, runs: int) -> Shipped:
    rows = subject.rows
    command = [sys.executable, "-I", ship_engines.__file__, place, subject.file, report.format]
    done = subprocess.run([*map(str, command), str(time.time()), str(runs)], capture_output=True, text=True, check=True)
    found = np.load(place.with_name("outputs.npy"))
    expected = model.predict(rows)[:, None] if model.is_regression else model.predict_proba(rows)
    scale = np.abs(expected).max() if model.is_regression else 1.0
    same = None if model.is_regression else float((expected.argmax(1) == found.argmax(1)).mean())
    difference, size = float(np.abs(expected - found).max() / scale), report.n_bytes / 1024
    told = json.loads(done.stdout)
    return Shipped(subject.name, model.metadata.arch, report.format, len(expected), difference, same, size, **told)


def available() -> list[str]:
    """Formats whose packages are installed; the others are named on the way."""
    names = []
    for name, kind in FORMATS.items():
        try:
            kind.require()
            names.append(name)
        except MissingExtraError as error:
            print(f"left out: {error}", file=sys.stderr)
    return names


# --- the report -------------------------------------------------------------------------------------------------------


def life_markdown(lives: Sequence[Life]) -> str:
    """Grades and scores, then every limit with what was measured."""
    lines = [
        "| model | arch | rows, held out | s to write | grade | score | s to tune | tuned: grade | score |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in lives:
        cells = (
            f"{one.n_train}, {one.n_held_out} | {one.generation_s:.2f} | {one.grades[0]} | {one.score} {one.before:.3f}"
        )
        tuned = f"{one.finetune_s:.2f} | {one.grades[1]} | {one.after:.3f}{' (kept as written)' if one.note else ''}"
        lines.append(f"| {one.name} | {one.arch} | {cells} | {tuned} |")
    lines += ["", "| model | asked for | written | tuned | |", "|---|---|---|---|---|"]
    for one in lives:
        for first, last in one.checks:
            cells = f"{first.required} | {first.measured or '-'} | {last.measured or '-'} | {last.verdict}"
            lines.append(f"| {one.name} | {cells} |")
    return "\n".join(lines)


def shipped_markdown(exports: Sequence[Shipped], refused: Sequence[str]) -> str:
    """A line an export, and what was refused."""
    lines = [
        "| model | arch | format | rows | difference | same class | KiB | cold start s | p50 ms | p95 ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for s in exports:
        same = "-" if s.same_class is None else f"{s.same_class:.4f}"
        cells = f"{s.n_rows} | {s.difference:.1e} | {same} | {s.kib:.1f} | {s.cold_start_s:.2f}"
        lines.append(f"| {s.name} | {s.arch} | {s.format} | {cells} | {s.p50_ms:.3f} | {s.p95_ms:.3f} |")
    return "\n".join([*lines, *(f"\nrefused: {said}" for said in refused)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two tables, made-up texts and pictures; ONNX; few runs")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--text-base", default="minilm", help="as for flame generate")
    parser.add_argument("--picture-base", help="as for flame generate; of the data folder if not given")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load on every service that is compared")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load while memory is watched")
    parser.add_argument("--output", type=Path, help="write <output>.md and <output>.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tables = ["iris", "diabetes"] if options.quick else options.tables
    formats, runs = (["onnx"], 20) if options.quick else (available(), 500)
    plan = Plan(0.3, 0.02, 4) if options.quick else Plan(options.seconds, options.minutes)
    lives: list[Life] = []
    exports: list[Shipped] = []
    refused: list[str] = []
    with tempfile.TemporaryDirectory(prefix="flame-ship-") as name:
        folder = Path(name)
        for i, subject in enumerate(
            subjects(tables, options.text_base, options.picture_base, folder, quick=options.quick)
        ):
            try:
                life, model = live(subject)
            except FlameError as error:
                refused.append(f"{subject.name}: {error}")
                continue
            lives.append(life)
            _tell(f"{life.name}: {life.score} {life.before:.3f}, tuned {life.after:.3f}")
            for found in ship(subject, model, formats, folder / str(i) / "package", runs):
                if isinstance(found, Shipped):
                    exports.append(found)
                    _tell(f"{found.name}, {found.format}: {found.difference:.1e}")
                else:
                    refused.append(found)
                    _tell(f"refused: {found}")
        load = measure_load(folder / "0" / "package", folder / "0" / "rows.csv", plan, tell=_tell)
    hardware = f"{processor()}, one thread, torch {torch.__version__}, {runs} runs a latency."
    text = "\n\n".join([life_markdown(lives), shipped_markdown(exports, refused), load_markdown(load), hardware])
    print(text)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        story = {"lives": [asdict(x) for x in lives], "exports": [asdict(x) for x in exports], "refused": refused}
        write_results(options.output, text + "\n", {**story, "load": asdict(load), "hardware": hardware})


def _tell(said: str) -> None:
    print(said, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
