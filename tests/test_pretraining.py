"""Pre-training of the generator for any table: it learns, resumes, continues, and never ships something worse."""

import json

import pytest
import torch
from typer.testing import CliRunner

from flame.cli import app
from flame.errors import CheckpointError, ConfigError
from flame.table.pretraining import pretrain, reference_scores, scores_of
from hypernet.prior import PriorConfig
from hypernet.tables import TableGenerator
from hypernet.tables.checkpoint import load_table_generator
from hypernet.tables.module import PretrainConfig, validation_tasks

PRIOR = PriorConfig(rows=(60, 90), columns=(2, 4))
SHORT = PretrainConfig(minutes=5, steps=6, n_tasks=2, learning_rate=5e-3, prior=PRIOR)


def run(place, config=SHORT, **options):
    return pretrain(place, config, n_validation=6, progress=False, **options)


def test_a_run_leaves_a_checkpoint_with_its_story_and_the_references(tmp_path):
    model = run(tmp_path / "g", command="the command")
    story = model.provenance
    assert story["runs"][0]["command"] == "the command"
    assert story["runs"][0]["tables"] == 12
    assert set(story["validation"]) == {"untrained", "linear", "random forest", "gradient boosting", "this checkpoint"}
    assert all({"accuracy", "log_loss"} <= set(scores) for scores in story["validation"].values())
    assert (tmp_path / "g" / "model.safetensors").stat().st_size < 16 * 2**20
    assert "synthetic tables only" in (tmp_path / "g" / "README.md").read_text("utf8")


def test_a_run_in_the_same_folder_goes_on_and_another_configuration_is_refused(tmp_path):
    first = run(tmp_path / "g")
    work = tmp_path / "g.work"
    assert (work / "last.ckpt").is_file()
    state = torch.load(work / "last.ckpt", weights_only=True)
    assert state["run"]["batches"] == 6
    again = run(tmp_path / "g")  # it is over already: nothing more is read
    assert again.provenance["runs"][0]["tables"] == 12
    assert again.fingerprint == first.fingerprint
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        run(tmp_path / "g", PretrainConfig(minutes=5, steps=7, n_tasks=2, prior=PRIOR))


def test_a_run_continues_from_a_checkpoint_and_keeps_the_better_weights(tmp_path):
    first = run(tmp_path / "a")
    # A learning rate that ruins the weights: what was there before is kept, and that is said.
    ruinous = PretrainConfig(minutes=5, steps=6, n_tasks=2, learning_rate=1.0, seed=1, prior=PRIOR)
    second = run(tmp_path / "b", ruinous, start=tmp_path / "a")
    assert [r["seed"] for r in second.provenance["runs"]] == [0, 1]
    assert second.provenance["runs"][1]["weights_kept"] == "those before the run"
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(CheckpointError, match="is no generator for tables"):
        run(tmp_path / "c", start=tmp_path)


def test_validation_tables_are_held_out_and_scored_alike():
    tasks = validation_tasks(PRIOR, 8)
    again = validation_tasks(PRIOR, 8)
    assert all(torch.equal(a.x, b.x) for a, b in zip(tasks, again, strict=True))
    scores = reference_scores(tasks)
    assert scores["untrained"] == scores_of(TableGenerator().eval(), tasks)
    assert 0.5 < scores["random forest"]["accuracy"] <= 1.0


def test_the_command_trains_for_a_stated_time(tmp_path, monkeypatch):
    monkeypatch.setattr("flame.table.pretraining.N_VALIDATION", 4)
    place = str(tmp_path / "g")
    result = CliRunner().invoke(app, ["pretrain", place, "--minutes", "0.02", "--tables", "1", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["saved_to"] == place
    command = load_table_generator(place).provenance["runs"][0]["command"]
    assert command == f"flame pretrain {place} --minutes 0.02 --seed 0 --learning-rate 0.002 --tables 1 --temper 0.25"
