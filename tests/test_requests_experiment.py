"""The request set is what its page says, and the scores count what they say they count."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import pytest

from experiments.request_scores import KEYS, LampScore, same_name, wrong_keys
from experiments.requests import DATA, WRITERS, Request, find_writer, load_requests, main, score
from flame.taskspec import LAMP_TASKS, TaskSpec
from flame.understanding import understand


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return load_requests()


def test_there_are_at_least_240_requests_and_half_are_written_by_hand(requests: list[Request]) -> None:
    origins = Counter(r.origin for r in requests)
    assert origins.total() >= 240
    assert origins["hand"] >= origins["template"]


def test_no_text_and_no_name_stands_twice(requests: list[Request]) -> None:
    assert len({r.text for r in requests}) == len({r.id for r in requests}) == len(requests)


def test_the_split_is_the_hash_of_the_text_and_nothing_else(requests: list[Request]) -> None:
    for r in requests:
        digest = int(hashlib.sha256(r.text.encode()).hexdigest(), 16)
        assert r.split == ("test" if digest % 3 == 0 else "dev")


def test_about_a_third_is_for_the_test(requests: list[Request]) -> None:
    share = sum(r.split == "test" for r in requests) / len(requests)
    assert 0.25 < share < 0.42


def test_every_line_names_every_key_of_the_truth() -> None:
    for name in ("hand", "template"):
        for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            assert set(json.loads(line)["truth"]) == set(KEYS)


def test_the_set_holds_builds_questions_and_small_talk_over_pictures_text_and_tables(requests: list[Request]) -> None:
    intents = Counter(r.truth.intent for r in requests)
    modalities = Counter(r.truth.inputs.modality for r in requests)
    assert min(intents["build"], intents["consult"], intents["unclear"]) >= 20
    assert min(modalities["image"], modalities["text"], modalities["table"]) >= 25


def test_the_written_si_values_agree_with_the_written_units(requests: list[Request]) -> None:
    sizes = {
        "%": 0.01,
        "percent": 0.01,
        "ms": 1e-3,
        "s": 1.0,
        "MB": 1e6,
        "GB": 1e9,
        "GFLOPs": 1e9,
        "M": 1e6,
        "million": 1e6,
    }
    for r in requests:
        for c in r.truth.constraints:
            if c.unit in sizes:
                assert c.si_value == pytest.approx(c.value * sizes[c.unit]), (r.id, str(c))


def test_the_rules_keep_their_score_and_their_time(requests: list[Request]) -> None:
    result = score([r for r in requests if r.split == "test"], understand)
    assert result["strict keys"] >= 95.0
    assert result["strict requests"] >= 78.0
    assert result["ms median"] < 20.0


def test_the_rules_are_far_above_both_controls(requests: list[Request]) -> None:
    test = [r for r in requests if r.split == "test"]
    rules, keywords, empty = (
        score(test, WRITERS[name])["strict requests"] for name in ("offline", "keywords", "empty")
    )
    assert rules > keywords + 50
    assert keywords > empty == 0.0


def test_the_truth_scores_a_hundred_against_itself(requests: list[Request]) -> None:
    truths = {r.text: r.truth for r in requests}
    result = score(requests, truths.__getitem__)
    assert result["strict keys"] == result["strict requests"] == result["lamp"]["requests"] == 100.0
    assert result["errors"] == {}


def _wrong_everywhere(truth: TaskSpec) -> TaskSpec:
    """A well-formed reading that shares no LAMP key with the truth."""
    limits: list[dict[str, Any]] = [
        {"kind": "metric", "name": "kappa", "operator": ">=", "value": 0.123, "si_value": 0.123},
        {"kind": "parameters", "operator": "<=", "value": 7, "si_value": 7},
        {"kind": "flops", "operator": "<=", "value": 7, "si_value": 7},
        {"kind": "latency", "operator": "<=", "value": 7e-9, "unit": "s", "si_value": 7e-9},
    ]
    device, engine = truth.deployment.device, truth.deployment.engine
    return TaskSpec.from_json(
        {
            "intent": "build",
            "task": next(t for t in LAMP_TASKS if t != truth.task),
            "inputs": {"objects": ["zzz"] * (len(truth.inputs.objects) + 1)},
            "constraints": limits,
            "model_family": "no such model",
            "deployment": {
                "device": "cpu" if device != "cpu" else "gpu",
                "engine": "ncnn" if engine != "ncnn" else "openvino",
            },
        }
    )


def test_a_reading_that_is_wrong_everywhere_gets_the_released_scorers_floor(requests: list[Request]) -> None:
    lamp = LampScore()
    for r in requests:
        lamp.add(_wrong_everywhere(r.truth), r.truth)
    result = lamp.percent()
    floor = [round(result[f"{group} (released)"], 2) for group in ("items", "lists", "keys")]
    assert floor == [85.71, 50.00, 77.78]
    assert [result[f"{group} (counted)"] for group in ("items", "lists", "keys")] == pytest.approx([0, 0, 0])
    assert result["requests"] == 0.0


def test_a_reading_that_lamp_cannot_hold_is_wrong_in_every_key(requests: list[Request]) -> None:
    lamp = LampScore()
    for r in requests:
        lamp.add(TaskSpec(intent="unclear"), r.truth)
    assert lamp.percent()["keys (released)"] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"task": "detection"}, "task"),
        ({"domain": "food"}, "domain"),
        ({"inputs": {"modality": "text", "objects": ["mugs"]}}, "modality"),
        ({"inputs": {"modality": "table", "objects": ["mugs", "cups"]}}, "objects"),
        ({"constraints": []}, "constraints"),
        ({"deployment": {"device": "gpu"}}, "device"),
    ],
)
def test_a_key_is_right_only_if_it_is_fully_right(change: dict[str, Any], key: str) -> None:
    limit = {"kind": "latency", "operator": "<", "value": 5, "unit": "ms", "si_value": 0.005}
    base = {
        "intent": "build",
        "task": "classification",
        "inputs": {"modality": "table", "objects": ["mugs"]},
        "constraints": [limit],
    }
    assert wrong_keys(TaskSpec.from_json({**base, **change}), TaskSpec.from_json(base)) == [key]


def test_a_limit_with_another_unit_or_operator_is_wrong() -> None:
    def spec(operator: str, unit: str) -> TaskSpec:
        limit = {"kind": "latency", "operator": operator, "value": 5, "unit": unit, "si_value": 0.005}
        return TaskSpec.from_json({"intent": "build", "constraints": [limit]})

    assert wrong_keys(spec("<=", "ms"), spec("<", "ms")) == ["constraints"]
    assert wrong_keys(spec("<", "milliseconds"), spec("<", "ms")) == ["constraints"]
    assert wrong_keys(spec("<", "MS"), spec("<", "ms")) == []


def test_names_match_as_loosely_as_in_the_released_scorer() -> None:
    assert same_name("crop", "Common crops")
    assert not same_name("cars", "cats")
    assert not same_name("", "cats")


def test_an_unknown_writer_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="known are \\['offline', 'keywords', 'empty'\\]"):
        find_writer("gpt")


def test_any_function_can_be_scored_by_name() -> None:
    assert find_writer("flame.understanding:understand") is understand


def test_the_command_prints_the_table_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--split", "test", "--writer", "keywords"])
    assert "| keywords |" in capsys.readouterr().out
    main(["--split", "test", "--writer", "empty", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["writers"]["empty"]["strict requests"] == 0.0
    assert "errors" not in printed["writers"]["empty"]
