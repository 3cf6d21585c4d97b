"""The command line with texts."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from text_fixtures import (  # noqa: F401
    BAD,
    GOOD,
    LABELS,
    TEXTS,
    base_fixture,
    bases_fixture,
    frame,
    minilm_fixture,
    model_fixture,
    stirred_generator,
)

from flame.cli import main


@pytest.fixture(name="flame_command")
def flame_command_fixture(monkeypatch, capsys):
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flame", *arguments])
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return run


def test_the_commands_serve_texts(flame_command, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame().to_csv("texts.csv", index=False)
    code, out, _ = flame_command(
        "generate", "texts.csv", "-d", "Sentiment", "-t", "label", "-o", "m", "--base-model", base, "--json"
    )
    assert code == 0
    assert json.loads(out)["route"]["way"] == "any_text"
    code, out, _ = flame_command("predict", "m", "texts.csv", "--json")
    assert [row["label"] for row in json.loads(out)] == LABELS
    code, out, err = flame_command("predict", "m", "--text", GOOD[0], "--text", "bad " * 100, "--json")
    assert [row["label"] for row in json.loads(out)] == ["yea", "nay"]
    assert "note: 1 of 2 texts have more than 24 tokens" in err
    code, out, _ = flame_command("evaluate", "m", "texts.csv", "--json")
    assert json.loads(out)["accuracy"] == 1.0
    code, out, _ = flame_command("finetune", "m", "texts.csv", "--json")
    assert (code, json.loads(out)["saved_to"]) == (0, "m-finetuned")
    code, out, _ = flame_command("info", "m", "--json")
    assert json.loads(out)["provenance"]["base_model"] == base


def test_the_command_writes_a_model_from_names_and_predicts_pairs(flame_command, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "Compare two sentences"
    code, out, _ = flame_command(
        "generate", "-d", words, "--labels", "same, different", "--base-model", base, "-o", "m"
    )
    assert code == 0
    assert "any_text" in out
    code, out, _ = flame_command("predict", "m", "--text", "a", "--second", "b")
    assert code == 0, out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["m"], "give either a file of rows, or texts"),
        (["m", "a.csv", "--text", "a"], "give either a file of rows, or texts"),
        (["m", "--text", "a", "--text", "b", "--second", "c"], "one for each --text is expected, however: 2 and 1"),
    ],
)
def test_wrong_texts_on_the_command_line_are_refused(flame_command, arguments, why):
    code, _, err = flame_command("predict", *arguments)
    assert code == 2
    assert why in " ".join(err.replace("│", " ").split())
