"""The experiment on labelled pictures runs in its quick form and writes tables of what it measured."""

from __future__ import annotations

import json

import pytest
from picture_fixtures import base_fixture  # noqa: F401


@pytest.mark.usefixtures("base")  # skips without torchvision and Pillow
def test_the_quick_form_writes_scores_seconds_and_the_choice_of_the_strength(tmp_path):
    from experiments.pictures import STRENGTHS, main

    main(["--quick", "--output", str(tmp_path)])
    (outcome,) = json.loads((tmp_path / "pictures.json").read_text("utf8"))["outcomes"]
    assert outcome["n_labelled"] + outcome["n_test"] == 36
    assert outcome["accuracy"]["majority class"] == pytest.approx(1 / 3, abs=0.01)
    assert outcome["accuracy"]["FLAME, all labelled"] > 0.5
    lines = (tmp_path / "pictures.md").read_text("utf8").splitlines()
    shown = next(line for line in lines if line.startswith("| FLAME, all labelled"))
    assert f"{100 * outcome['accuracy']['FLAME, all labelled']:.1f}" in shown
    chosen = next(line for line in lines if line.startswith("| log-loss, 5 a class"))
    assert chosen.count("|") == len(STRENGTHS) + 2
