"""What a specification changes in `generate_model` and on the command line."""

from __future__ import annotations

import json
import sys

import pytest
from flame_fixtures import labelled, tiny_fixture  # noqa: F401

from flame import generate_model, understand
from flame.cli import main
from flame.errors import MetadataError


def test_a_broken_limit_is_reported_with_its_measured_value(tiny):
    spec = understand("Build a classifier for a table of irises with fewer than 100 parameters.")
    model = generate_model("irises", labelled("iris"), target="class", checkpoint=tiny, spec=spec)
    assert any("100" in n and str(model.n_parameters()) in n for n in model.route.notes)


def test_a_limit_that_holds_is_not_reported_and_one_that_is_not_measured_is(tiny):
    spec = understand("Build a table classifier for irises with under 5 million parameters and at least 90 % accuracy.")
    model = generate_model("irises", labelled("iris"), target="class", checkpoint=tiny, spec=spec)
    assert not any("parameters" in n for n in model.route.notes)
    assert any("accuracy" in n and "not measured" in n for n in model.route.notes)


def test_a_request_for_advice_generates_nothing(tiny):
    spec = understand("What is the difference between precision and recall?")
    with pytest.raises(MetadataError, match="intent 'build' is expected"):
        generate_model("irises", labelled("iris"), target="class", checkpoint=tiny, spec=spec)


def test_the_command_prints_a_specification_as_json(monkeypatch, capsys):
    request = "Classify customers in a table with at least 90 % accuracy."
    monkeypatch.setattr(sys, "argv", ["flame", "understand", request, "--json"])
    with pytest.raises(SystemExit):
        main()
    spec = json.loads(capsys.readouterr().out)
    assert (spec["intent"], spec["task"]) == ("build", "classification")
    assert [(c["name"], c["si_value"]) for c in spec["constraints"]] == [("accuracy", 0.9)]
