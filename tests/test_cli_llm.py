"""`flame generate` with a language model behind it, and what leaves the machine."""

from __future__ import annotations

import json
import sys

import pytest
from flame_fixtures import labelled, tiny_fixture  # noqa: F401
from llm_server import LLMServer, say

from flame.cli import main

pytest.importorskip("openai")

SENTENCE = "This is a task of 3-class, 4-feature and base-scaled tabular classification to name an iris."


@pytest.fixture
def generate(tiny, tmp_path, monkeypatch, capsys):
    """Runs `flame generate` on the iris rows; returns exit code, standard output and standard error."""
    rows = tmp_path / "iris.csv"
    labelled("iris").to_csv(rows, index=False)

    def run(*options: str) -> tuple[int, str, str]:
        arguments = ["flame", "generate", str(rows), "-c", tiny, "-d", "Which iris is it?", *options]
        monkeypatch.setattr(sys, "argv", arguments)
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


def test_the_sentence_of_the_language_model_is_used_and_named(generate, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    with LLMServer(say({"sentence": SENTENCE})) as server:
        code, out, _ = generate("--llm", "toy", "--base-url", server.url, "--json")
    story = json.loads(out)
    assert code == 0
    assert story["requirement"] == SENTENCE
    assert story["provenance"]["requirement_writer"] == "toy"
    assert story["language_model"]["calls"] == len(server.requests) == 1


def test_rows_are_sent_with_a_language_model_and_kept_back_on_request(generate, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    sent = []
    for option in ("--rows", "--no-rows"):
        with LLMServer(say({"sentence": SENTENCE})) as server:
            assert generate("--llm", "toy", "--base-url", server.url, option)[0] == 0
        sent.append(json.dumps(server.requests))
    cell = f'\\"petal_length\\": {labelled("iris")["petal_length"].iloc[0]}'
    assert cell in sent[0].replace("\\\\", "\\")
    assert cell not in sent[1].replace("\\\\", "\\")
    assert "petal_length" in sent[1]


def test_a_key_in_the_environment_alone_sends_nothing(generate, monkeypatch):
    with LLMServer(say({"sentence": SENTENCE})) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, out, _ = generate("--json")
    assert code == 0
    assert server.requests == []
    assert json.loads(out)["provenance"]["requirement_writer"] == "offline"


def test_a_failing_server_costs_the_sentence_and_is_told_in_the_notes(generate, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-a-real-key")
    with LLMServer(say({"sentence": "I will not."})) as server:
        code, out, _ = generate("--llm", "toy", "--base-url", server.url, "--json")
    story = json.loads(out)
    assert code == 0
    assert story["provenance"]["requirement_writer"] == "offline, in place of toy"
    assert any("the offline one is used" in note for note in story["route"]["notes"])


def test_show_prompt_prints_what_would_be_sent_and_needs_no_server(generate):
    code, out, _ = generate("--show-prompt")
    assert code == 0
    assert "Which iris is it?" in out
    assert str(labelled("iris")["petal_length"].iloc[0]) in out
    assert "requirement sentence" in out


def test_a_base_url_without_a_model_is_refused(generate):
    code, _, err = generate("--base-url", "http://localhost:1/v1")
    assert code == 2
    assert "--llm MODEL" in err
