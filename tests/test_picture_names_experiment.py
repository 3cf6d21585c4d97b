"""The experiment on names of classes runs in its quick form, and its tables hold what it measured."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from picture_fixtures import base_fixture  # noqa: F401

from experiments.picture_names_report import summary_markdown


@pytest.mark.usefixtures("base")  # skips without torchvision and Pillow
def test_the_quick_form_scores_names_pictures_and_controls(tmp_path):
    from experiments.picture_names import main

    main(["--quick", "--output", str(tmp_path)])
    domains = json.loads((tmp_path / "picture_names.json").read_text("utf8"))["scores"]["made-up"]
    assert set(domains) == {"bright", "dark", "grey"}
    means = {row: np.mean([domain[row] for domain in domains.values()]) for row in domains["dark"]}
    assert means["nothing: majority class"] == pytest.approx(1 / 3, abs=0.01)
    assert means["5 labelled a class"] > 0.5
    lines = (tmp_path / "picture_names_summary.md").read_text("utf8").splitlines()
    assert f"| names: FLAME | {100 * means['names: FLAME']:.1f} |" in lines
    assert len([line for line in lines if "control" in line]) == 7


@pytest.mark.usefixtures("base")
def test_every_label_gets_another_labels_row_where_names_are_shuffled():
    from experiments.picture_names import _shuffles

    for order in _shuffles(7):
        assert sorted(order.tolist()) == list(range(7))
        assert not (order == torch.arange(7)).any()


def test_the_summary_says_which_sets_a_request_is_refused_for():
    scores = {"digits": {"mnist": {"names": 0.1}}, "office": {"dslr": {"names": 0.75}}}
    text = summary_markdown(scores, {"digits": 10, "office": 10}, {"digits": 10, "office": 2}, "a machine")
    assert "| names | 10.0 | 75.0 |" in text.replace("Office-Caltech", "office")
    assert "| 10 of 10: refused | 2 of 10 |" in text
