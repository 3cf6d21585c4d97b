"""The specification refuses what it cannot hold, and becomes the benchmark's configuration exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flame.errors import MetadataError
from flame.taskspec import Constraint, TaskSpec
from flame.understanding import understand

HELMETS = "Detect helmets in photos with YOLOv8n, mAP above 0.6, under 30M params, 25 fps, on the GPU with OpenVINO."


def _check_lamp(config: dict[str, Any]) -> None:
    assert set(config) == {"data", "model", "deploy"}
    data, model, deploy = config["data"], config["model"], config["deploy"]
    assert set(data) == {"description", "scenario", "object", "modality", "specific"}
    assert all(isinstance(data[k], str) for k in ("description", "scenario", "modality"))
    assert all(isinstance(v, str) for k in ("object", "specific") for v in data[k])
    assert set(model) == {"description", "task", "specific_model", "speed", "flops", "parameters", "metrics"}
    assert model["task"] in ("classification", "detection", "segmentation", "keypoint")
    assert isinstance(model["specific_model"], str)
    for key, units in (
        ("speed", ("ms", "s", "min", "fps")),
        ("flops", ("FLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs", "EFLOPs")),
        ("parameters", ("K", "M", "B")),
    ):
        assert set(model[key]) == {"value", "unit"}
        assert model[key]["unit"] in units or model[key] == {"value": 0, "unit": "none"}
        assert isinstance(model[key]["value"], int | float)
    for metric in model["metrics"]:
        assert set(metric) == {"name", "value"}
        assert isinstance(metric["name"], str)
    assert set(deploy) == {"description", "device", "inference engine"}
    assert deploy["device"] in ("cpu", "gpu", "none")
    assert deploy["inference engine"] in ("onnxruntime", "ncnn", "openvino", "none")
    assert json.loads(json.dumps(config)) == config


def test_the_lamp_configuration_holds_what_was_said_in_its_units() -> None:
    config = understand(HELMETS).to_lamp()
    _check_lamp(config)
    assert config["model"]["metrics"] == [{"name": "mAP", "value": 0.6}]
    assert config["model"]["parameters"] == {"value": 30, "unit": "M"}
    assert config["model"]["speed"] == {"value": 25, "unit": "fps"}
    assert config["deploy"] == {"description": "gpu", "device": "gpu", "inference engine": "openvino"}


def test_the_lamp_configuration_of_a_bare_request_is_all_defaults() -> None:
    config = TaskSpec(intent="build", task="keypoints").to_lamp()
    _check_lamp(config)
    assert config["model"]["task"] == "keypoint"
    assert config["model"]["speed"] == config["model"]["flops"] == {"value": 0, "unit": "none"}


@given(
    task=st.sampled_from(["classify", "detect", "segment"]),
    flops=st.integers(1, 10**15),
    parameters=st.integers(50, 10**10),
    latency=st.floats(0.1, 10**5),
)
@settings(max_examples=60, deadline=None)
def test_every_amount_fits_the_lamp_schema(task: str, flops: int, parameters: int, latency: float) -> None:
    spec = understand(f"{task} mugs in photos, {flops} FLOPs, {parameters} parameters, latency of {latency:.3f} ms")
    config = spec.to_lamp()
    _check_lamp(config)
    unit = {"K": 1e3, "M": 1e6, "B": 1e9}[config["model"]["parameters"]["unit"]]
    assert config["model"]["parameters"]["value"] * unit == pytest.approx(parameters)


def test_a_task_that_lamp_lacks_is_refused_with_its_choices() -> None:
    with pytest.raises(MetadataError, match=r"LAMP has the tasks .*keypoint.*, however: task='regression'"):
        TaskSpec(intent="build", task="regression").to_lamp()


# --- the specification itself


def test_a_specification_survives_json() -> None:
    spec = understand(HELMETS)
    assert TaskSpec.from_json(spec.model_dump_json()) == spec
    assert TaskSpec.from_json(spec.model_dump()) == spec


def test_all_faults_of_a_specification_are_named_at_once() -> None:
    with pytest.raises(MetadataError) as raised:
        TaskSpec.from_json({"intent": "guess", "task": "sort", "colour": 1})
    assert all(word in str(raised.value) for word in ("intent='guess'", "task='sort'", "colour"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"intent": 3}'])
def test_broken_json_raises_an_error_of_ours(text: str) -> None:
    with pytest.raises(MetadataError, match="task specification"):
        TaskSpec.from_json(text)


def test_only_a_metric_has_a_name() -> None:
    limit = {"kind": "latency", "name": "f1", "operator": "<", "value": 1, "si_value": 1}
    with pytest.raises(MetadataError, match="name must be given for metrics"):
        TaskSpec.from_json({"intent": "build", "constraints": [limit]})


@pytest.mark.parametrize(
    ("operator", "met", "broken"),
    [("<", 0.9, 1.0), ("<=", 1.0, 1.1), (">", 1.1, 1.0), (">=", 1.0, 0.9), ("~", 1.05, 1.2)],
)
def test_a_limit_knows_whether_it_is_met(operator: Any, met: float, broken: float) -> None:
    limit = Constraint(kind="latency", operator=operator, value=1, unit="s", si_value=1.0)
    assert limit.is_met_by(met)
    assert not limit.is_met_by(broken)
