"""Every command of `flame`: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
from flame_fixtures import labelled, model_fixture, parts, tiny_fixture, unlabelled  # noqa: F401

from flame import GeneratedModel, load
from flame.cli import main

COMMANDS = (
    ["generate"],
    ["understand"],
    ["predict"],
    ["evaluate"],
    ["verify"],
    ["finetune"],
    ["info"],
    ["train"],
    ["demo"],
    ["plan"],
    ["prior"],
    ["pretrain"],
    ["export"],
    ["package"],
    ["push"],
    ["serve"],
    ["data"],
    ["data", "list"],
    ["data", "fetch"],
)


@pytest.fixture
def flame(monkeypatch, capsys):
    """Runs a command as the shell would; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flame", *map(str, arguments)])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def saved(model: GeneratedModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "iris")


@pytest.fixture
def train(tmp_path: Path) -> Path:
    labelled().to_csv(tmp_path / "train.csv", index=False)
    return tmp_path / "train.csv"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    unlabelled().to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


# --- generate ---------------------------------------------------------------------------------------------------------


def test_generate_saves_a_model_and_tells_its_story(flame, tiny, train, tmp_path):
    code, out, _ = flame("generate", train, "-t", "class", "-d", "Tell irises apart.", "-c", tiny, "-o", tmp_path / "m")
    assert code == 0
    for part in ("requirement", "3-class, 4-feature", "route", "all 4 columns match by name", "setosa, versicolor"):
        assert part in out
    assert load(tmp_path / "m").evaluate(parts("iris").test)["accuracy"] > 0.9


def test_generate_prints_one_json_object(flame, tiny, train, tmp_path):
    code, out, _ = flame("generate", train, "--target", "class", "--checkpoint", tiny, "-o", tmp_path / "m", "--json")
    story = json.loads(out)
    assert code == 0
    assert story["labels"] == ["setosa", "versicolor", "virginica"]
    assert story["metadata"]["out_dim"] == 3
    assert story["saved_to"] == str(tmp_path / "m")
    assert set(story) == {
        *("requirement", "metadata", "route", "labels", "target", "parameters", "timings", "provenance", "saved_to")
    }


def test_generate_from_a_description_alone(flame, tiny):
    code, out, _ = flame("generate", "-d", "Tell three iris species apart from petals and sepals", "-c", tiny, "--json")
    assert code == 0
    assert json.loads(out)["route"]["task"] == "iris"


# --- predict ----------------------------------------------------------------------------------------------------------


def test_predict_prints_a_csv_of_the_labels(flame, saved, rows, model):
    code, out, err = flame("predict", saved, rows)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "class,probability"
    assert [line.split(",")[0] for line in lines[1:]] == model.predict(unlabelled()).tolist()


def test_predict_with_proba_prints_the_probability_of_every_label(flame, saved, rows, model):
    code, out, _ = flame("predict", saved, rows, "--proba", "--json")
    assert code == 0
    found = pd.DataFrame(json.loads(out))
    assert list(found) == ["class", "probability", "p(setosa)", "p(versicolor)", "p(virginica)"]
    assert found.iloc[:, 2:].to_numpy() == pytest.approx(model.predict_proba(unlabelled()), abs=6e-5)
    assert re.search(r"\.\d{4}", out)
    assert not re.search(r"\.\d{5}", out)


def test_predict_writes_a_file(flame, saved, rows, tmp_path, model):
    code, out, err = flame("predict", saved, rows, "-o", tmp_path / "out.csv")
    assert (code, out) == (0, "")
    assert "21 predictions written to" in err
    assert pd.read_csv(tmp_path / "out.csv")["class"].tolist() == model.predict(unlabelled()).tolist()


def test_predict_writes_a_file_and_prints_json(flame, saved, rows, tmp_path):
    code, out, _ = flame("predict", saved, rows, "-o", tmp_path / "out.csv", "--json")
    assert code == 0
    assert json.loads(out) == {"n_rows": 21, "saved_to": str(tmp_path / "out.csv")}
    assert len(pd.read_csv(tmp_path / "out.csv")) == 21


def test_predict_keeps_an_older_file_if_writing_fails(flame, saved, rows, tmp_path, monkeypatch):
    (tmp_path / "out.csv").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        code, _, err = flame("predict", saved, rows, "-o", tmp_path / "out.csv")
    assert code == 2
    assert "No space left on device" in err
    assert (tmp_path / "out.csv").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["iris", "out.csv", "rows.csv"]


def test_predict_reads_a_csv_with_a_byte_order_mark(flame, saved, rows):
    expected = flame("predict", saved, rows)
    rows.write_bytes(b"\xef\xbb\xbf" + rows.read_bytes())
    assert flame("predict", saved, rows) == expected


def test_predict_of_no_rows_prints_the_header_only(flame, saved, rows):
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    assert flame("predict", saved, rows) == (0, "class,probability\n", "")
    assert flame("predict", saved, rows, "--json") == (0, "[]\n", "")


def test_predict_of_a_target_named_probability_keeps_both(flame, tiny, train, rows, tmp_path):
    labelled().rename(columns={"class": "probability"}).to_csv(train, index=False)
    flame("generate", train, "-t", "probability", "-c", tiny, "-o", tmp_path / "m")
    assert flame("predict", tmp_path / "m", rows)[1].splitlines()[0] == "probability,p"


# --- evaluate, finetune, info, data -----------------------------------------------------------------------------------


def test_evaluate_prints_the_scores(flame, saved, train, model):
    code, out, _ = flame("evaluate", saved, train, "--json")
    assert code == 0
    found, expected = json.loads(out), model.evaluate(labelled())
    assert {name: found[name] for name in expected} == dict(expected)
    assert [c["label"] for c in found["classes"]] == list(model.labels)
    code, out, _ = flame("evaluate", saved, train, "-t", "class")
    assert code == 0
    assert out == f"{expected}\n"


def test_evaluate_writes_a_page(flame, saved, train, tmp_path):
    code, _, err = flame("evaluate", saved, train, "--html", tmp_path / "page.html")
    assert code == 0
    assert f"written to {tmp_path / 'page.html'}" in err
    assert "<svg" in (tmp_path / "page.html").read_text("utf8")


def test_finetune_saves_a_new_model_beside_the_old_one(flame, saved, train, monkeypatch):
    code, out, _ = flame("finetune", saved, train, "--epochs", 2, "--json")
    assert code == 0
    story = json.loads(out)
    assert story["saved_to"] == str(saved) + "-finetuned"
    assert story["epochs"] == 2
    assert load(story["saved_to"]).provenance["finetune"]["epochs"] == 2
    assert "finetune" not in load(saved).provenance


def test_finetune_takes_method_time_and_seed_and_leaves_no_resume_file(flame, saved, train):
    code, out, _ = flame("finetune", saved, train, "--method", "head", "--seconds", 0.3, "--seed", 4, "--json")
    assert code == 0
    assert (json.loads(out)["method"], json.loads(out)["epochs"] > 0) == ("head", True)
    assert sorted(p.name for p in saved.parent.iterdir() if p.is_dir()) == ["iris", "iris-finetuned"]
    code, _, err = flame("finetune", saved, train, "--method", "all")
    assert (code, "there are ['full', 'lora', 'head']" in err) == (2, True)


@pytest.mark.parametrize("given", [".", "../iris"])
def test_finetune_names_the_new_model_after_the_folder_one_stands_in(flame, saved, train, monkeypatch, given):
    monkeypatch.chdir(saved)
    assert flame("finetune", given, train)[0] == 0
    assert (saved.parent / "iris-finetuned" / "flame.json").is_file()


def test_finetune_writes_where_it_is_told(flame, saved, train, tmp_path):
    assert flame("finetune", saved, train, "-o", tmp_path / "new")[0] == 0
    assert load(tmp_path / "new").route == load(saved).route


def test_info_of_a_checkpoint_lists_its_tasks(flame, tiny):
    code, out, _ = flame("info", tiny, "--json")
    assert code == 0
    found = json.loads(out)
    assert [t["task"] for t in found["tasks"]] == ["iris", "wine", "breast_cancer"]
    assert found["tasks"][0]["columns"] == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert len(found["sha256"]) == 64
    code, out, _ = flame("info", tiny)
    assert code == 0
    assert "breast_cancer" in out


def test_info_of_a_generator_without_heads_shows_its_card(flame, tmp_path):
    code, out, _ = flame("info", "any-table")
    assert code == 0
    assert "pre-trained on synthetic tables only" in out
    assert json.loads(flame("info", "any-table", "--json")[1])["format"] == "flame-table-generator"
    assert "any-table" in json.loads(flame("info", "--json")[1])["built_in"]
    (tmp_path / "config.json").write_text("{")
    code, _, err = flame("info", str(tmp_path), "--json")
    assert code == 2
    assert "no readable checkpoint" in err


def test_info_of_a_saved_model_tells_its_story(flame, saved, model):
    code, out, _ = flame("info", saved, "--json")
    assert code == 0
    assert json.loads(out)["requirement"] == model.requirement
    assert "requirement" in flame("info", saved)[1]


def test_data_list_shows_the_ten_tables(flame):
    code, out, _ = flame("data", "list", "--json")
    assert code == 0
    assert [t["name"] for t in json.loads(out)][:3] == ["iris", "heart_disease", "wine"]
    assert len(json.loads(out)) == 10
    assert "bank_marketing" in flame("data", "list")[1]


# --- how commands end -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_and_every_option_has_a_help_text(flame, command):
    code, out, _ = flame(*command, "--help")
    assert code == 0
    assert out.startswith(f"Usage: flame {' '.join(command)} ")
    description, _, options = out.partition("Options:")
    assert len(description.splitlines()[2].strip()) > 20
    for line in options.splitlines():
        if line.strip().startswith("-") and "  " in line.strip():
            assert len(line.strip().split("  ", 1)[1].strip()) > 3, line


def test_help_and_version(flame):
    assert flame("--version") == (0, version("flame-hypernet") + "\n", "")
    code, out, _ = flame("--help")
    assert code == 0
    assert all(name in out for name in ("generate", "predict", "evaluate", "finetune", "info", "data"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["generate", "--nonsense"],
        ["predict"],
        ["predict", "model"],
        ["finetune", "model", "rows.csv", "--epochs", "0"],
        ["finetune", "model", "rows.csv", "--epochs", "many"],
        ["data", "nonsense"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_end_with_2_and_a_usage(flame, arguments):
    code, out, err = flame(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: flame" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate"], "give a description of the task, some rows, or both"),
        (["generate", "nowhere.csv"], "no file at nowhere.csv"),
        (["generate", "Tell irises apart."], "no file at Tell irises apart.; words that describe a task are its desc"),
        (["generate", "irises", "rows.csv"], "'rows.csv' is one argument more than `flame generate` takes; words that"),
        (["plan", "irises", "rows.csv"], "'rows.csv' is one argument more than `flame plan` takes; rows, texts or pic"),
        (["generate", "rows.csv", "-t", "clas"], "the target column 'clas' is not in the data"),
        (["generate", "strange.csv"], "no model can be generated for this request"),
        (["generate", "-d", "irises", "-c", "nonsense"], "no checkpoint 'nonsense'; built in are"),
        (["predict", "nowhere", "rows.csv"], "no model folder at nowhere"),
        (["predict", "iris", "strange.csv"], "missing from"),
        (["predict", "iris", "rows.csv", "-o", "nowhere/out.csv"], "cannot write nowhere/out.csv"),
        (["evaluate", "iris", "rows.csv"], "labels are needed"),
        (["finetune", "iris", "rows.csv"], "labels are needed"),
        (["finetune", "iris", "train.csv", "-o", "rows.csv"], "rows.csv is a file"),
        (["info", "nonsense"], "no checkpoint 'nonsense'"),
        (["train", "nowhere.yaml", "-o", "x"], "no configuration file 'nowhere.yaml'"),
        (["train", "broken.yaml", "-o", "x"], "is not a readable YAML file"),
        (["data", "fetch", "irs"], "Did you mean 'iris'?"),
    ],
    ids=lambda a: " ".join(a) if isinstance(a, list) else "",
)
def test_our_errors_end_with_2_and_one_line(flame, tiny, saved, train, rows, monkeypatch, arguments, message):
    monkeypatch.chdir(saved.parent)
    Path("strange.csv").write_text('"a\nb",c\n1,2\n')
    Path("broken.yaml").write_text("name: [1, 2\ntables: }")
    if arguments[0] == "generate" and "-c" not in arguments:
        arguments = [*arguments, "-c", tiny]
    code, out, err = flame(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_command_runs_as_a_program_and_prints_errors_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "flame", "predict", str(tmp_path), str(tmp_path / "rows.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
