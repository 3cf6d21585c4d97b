"""Where the time goes: one warm `generate_model` on Iris, stage by stage, and its neighbours.

    python -m experiments.bench        # or: make bench

Medians and spread (10th to 90th percentile) over many runs, one thread, after a warm-up; milliseconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

import flame
from flame.tables import TABLES, load_table, split_table

DESCRIPTION = "Tell three iris species apart from petal and sepal sizes."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[tuple[str, np.ndarray]] = []
    for name, description in (("iris", DESCRIPTION), ("breast_cancer", None)):
        rows += _table(name, description, options.runs)
    for statement in ("pass", "import flame", "import flame; flame.generate_model"):
        rows.append((f"python -c {statement!r}", _repeat(lambda s=statement: _python(s), 5)))  # type: ignore[misc]
    rows.append(
        (
            "flame --help",
            _repeat(
                lambda: _python("import sys; sys.argv = ['flame', '--help']; from flame.cli import main; main()"), 5
            ),
        )
    )
    print(
        f"{options.runs} runs, one thread, torch {torch.__version__}\n\n"
        "| what | median ms | 10 % | 90 % |\n|---|---|---|---|"
    )
    for label, seconds in rows:
        low, middle, high = np.percentile(seconds * 1000, [10, 50, 90])
        print(f"| {label} | {middle:.2f} | {low:.2f} | {high:.2f} |")


def _table(name: str, description: str | None, runs: int) -> list[tuple[str, np.ndarray]]:
    """Warm generation from the labelled training rows, stage by stage, and prediction of the test rows."""
    target = TABLES[name].target
    split = split_table(load_table(name, source="sklearn"), target)

    def generate() -> flame.GeneratedModel:
        return flame.generate_model(description, split.train, target=target)

    model = generate()
    seconds = _repeat(lambda: model.predict(split.test), runs)
    return [*_stages(generate, runs, name), (f"{name}: predict {len(split.test)} rows", seconds)]


def _stages(call: Callable[[], flame.GeneratedModel], runs: int, name: str) -> list[tuple[str, np.ndarray]]:
    for _ in range(5):
        call()
    timings = [call().timings for _ in range(runs)]
    return [(f"{name}: generate_model, {stage}", np.array([t[stage] for t in timings])) for stage in timings[0]]


def _repeat(call: Callable[[], object], runs: int) -> np.ndarray:
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def _python(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)


if __name__ == "__main__":
    main()
