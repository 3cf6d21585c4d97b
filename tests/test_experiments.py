"""The experiments run from the command line in their quick form, and their report does its sums."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # experiments/ is not installed

from experiments.report import Row, markdown  # noqa: E402


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    output = tmp_path_factory.mktemp("experiment") / "quick"
    environment = {**os.environ, "FLAME_DATA": ""}
    command = [sys.executable, "-m", "experiments.tabular", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    rows = {r["name"]: r for r in json.loads(output.with_suffix(".json").read_text("utf8"))["runs"][0]}
    return rows, output.with_suffix(".md").read_text("utf8")


def mean(row):
    return sum(row["accuracies"]) / len(row["accuracies"])


def test_quick_experiment_prints_every_method_and_control(quick_run):
    rows, text = quick_run
    assert {"Majority class", "LoRA", "Finetune", "FLAME", "FLAME-F", "control: untrained generator"} <= set(rows)
    assert all(name in text for name in rows)


def test_quick_flame_beats_majority_and_untrained_generator(quick_run):
    rows, _ = quick_run
    assert mean(rows["FLAME"]) > max(mean(rows["Majority class"]), mean(rows["control: untrained generator"])) + 0.2


def test_quick_timed_methods_report_seconds_and_controls_do_not(quick_run):
    rows, _ = quick_run
    assert rows["FLAME"]["seconds"] > 0
    assert rows["Finetune"]["seconds"] > 0
    assert rows["control: untrained generator"]["seconds"] is None


def test_report_averages_over_seeds_and_divides_by_the_slowest():
    runs = [
        [Row("a", 20, [0.5, 1.0], 8.0), Row("b", 0, [1.0, 1.0], 2.0)],
        [Row("a", 20, [0.7, 1.0], 12.0), Row("b", 0, [1.0, 1.0], 2.0)],
    ]
    lines = markdown(runs, ["t", "u"]).splitlines()
    assert lines[2] == "| a | 60.0 | 100.0 | 80.0 ± 5.0 | 20 | 10.00 | 1.0 |"
    assert lines[3].endswith("| 0 | 2.00 | 5.0 |")
