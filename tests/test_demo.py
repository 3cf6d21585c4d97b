import json
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def demo():
    command = [sys.executable, "-m", "flame", "demo", "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_demo_generates_all_three_tables_through_a_task_head(demo):
    assert [r["table"] for r in demo] == ["iris", "wine", "breast_cancer", "digits", "diabetes"]
    assert all(r["route"].startswith(f"task_head '{r['table']}'") for r in demo[:3])


def test_demo_models_beat_the_majority_class_by_far_on_held_out_rows(demo):
    assert all(r["accuracy"] > r["majority_accuracy"] + 0.25 for r in demo[:3])


def test_demo_shows_requirement_metadata_and_both_kinds_of_seconds(demo):
    for record in demo[:3]:
        assert f"{record['metadata']['out_dim']}-class" in record["requirement"]
        assert record["seconds_warm"] > 0
        assert record["seconds_cold"] > 0


def test_demo_writes_models_for_tables_that_no_checkpoint_has_seen(demo):
    digits, diabetes = demo[3:]
    assert all(r["route"].startswith("any_table 'target' of any-table") for r in (digits, diabetes))
    assert digits["flame"] > 0.9 > digits["baseline"] + 0.5
    assert diabetes["flame"] > 0.2
