"""Fine-tuning: what is trained, when it ends, that a kill changes nothing, and that nothing gets worse."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from flame_fixtures import labelled, model_fixture, tiny_fixture  # noqa: F401
from sklearn.datasets import load_diabetes
from text_fixtures import LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401
from torch import nn
from waiting import within_seconds

import flame.tuning
from flame import GeneratedModel, generate_model, load
from flame.errors import ConfigError
from flame.finetune import hold_out
from flame.inputs import TensorRows
from flame.trainable import Trainable

PATIENT = 10**6


@pytest.fixture
def bad(model: GeneratedModel) -> GeneratedModel:
    """A model whose labels are in the wrong order, so that there is much to learn."""
    return replace(model, labels=("virginica", "setosa", "versicolor"))


@pytest.fixture(scope="module")
def patients() -> pd.DataFrame:
    frame: pd.DataFrame = load_diabetes(as_frame=True).frame
    return frame


@pytest.fixture(scope="module")
def regression(patients: pd.DataFrame) -> GeneratedModel:
    """Of noisy labels, so that there is something to learn on true ones."""
    noisy = patients.head(150).assign(target=np.random.default_rng(0).permutation(patients.target[:150]))
    return generate_model("Disease progression", noisy, target="target")


def changed(one: GeneratedModel, other: GeneratedModel) -> set[str]:
    a, b = one.module.state_dict(), other.module.state_dict()
    assert a.keys() == b.keys()
    return {name for name in a if not torch.equal(a[name], b[name])}


def told(model: GeneratedModel) -> dict:
    story: dict = model.provenance["finetune"]
    return story


# --- what is trained --------------------------------------------------------------------------------------------------


def test_the_head_alone_can_be_trained(bad):
    tuned = bad.finetune(labelled(), epochs=5, method="head", learning_rate=0.05)
    assert changed(bad, tuned) == {"output.weight", "output.bias"}
    assert all(p.requires_grad for p in tuned.module.parameters())
    assert tuned.evaluate(labelled())["log_loss"] < bad.evaluate(labelled())["log_loss"]


def test_adapters_become_part_of_an_ordinary_network_and_change_its_matrices_by_their_rank(model):
    net = model.module
    wrapped = Trainable(net, "lora", adapters=True)
    assert torch.equal(wrapped(torch.ones(2, 4)), net(torch.ones(2, 4)))
    with torch.no_grad():
        for factor in wrapped.factors:
            factor.normal_(generator=torch.Generator().manual_seed(1))
    assert all(p.requires_grad == (name.startswith("factors")) for name, p in wrapped.named_parameters())
    made = wrapped.ordinary()
    x = torch.randn(5, 4)
    assert torch.allclose(made(x), wrapped(x), atol=1e-3)
    difference = made.state_dict()["inner.0.weight"] - net.state_dict()["inner.0.weight"]
    assert torch.linalg.matrix_rank(difference, rtol=1e-4) == 8


def test_a_table_is_tuned_by_adapters_and_saved_as_ever(bad, tmp_path):
    tuned = bad.finetune(labelled(), epochs=10, method="lora", learning_rate=0.02)
    assert tuned.evaluate(labelled())["log_loss"] < bad.evaluate(labelled())["log_loss"]
    assert {"input.bias", "output.bias"}.isdisjoint(changed(bad, tuned))
    assert changed(load(tuned.save(tmp_path / "m")), tuned) == set()


@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_numbers_are_tuned_by_every_method(regression, patients, method):
    tuned = regression.finetune(patients, epochs=15, method=method, learning_rate=0.01)
    assert tuned.evaluate(patients)["r2"] > regression.evaluate(patients)["r2"] + 0.05


def test_the_head_of_a_text_model_is_tuned_and_its_adapter_stays(base):
    made = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    swapped = (TEXTS * 2, ["nay" if v == "yea" else "yea" for v in LABELS] * 2)
    tuned = made.finetune(swapped, epochs=6, method="head", learning_rate=0.05)
    assert changed(made, tuned) == {"model.classifier.weight", "model.classifier.bias"}
    assert tuned.module.model.base is made.module.model.base
    with pytest.raises(ConfigError, match=r"no method 'full' for bert.*; there are \['lora', 'head'\]"):
        made.finetune(swapped, method="full")


def test_a_foreign_method_is_refused(model):
    with pytest.raises(ConfigError, match=r"no method 'lroa' for mlp_small; .* Did you mean 'lora'\?"):
        model.finetune(labelled(), method="lroa")


# --- when it ends -----------------------------------------------------------------------------------------------------


def test_training_ends_when_nothing_gets_better(model):
    story = told(model.finetune(labelled(), epochs=50, learning_rate=30.0, patience=3))
    assert story["stopped"] == "patience"
    assert story["epochs"] < 50


def test_training_goes_on_while_there_is_time_and_no_longer(bad):
    bad.finetune(labelled())  # what is imported once is no part of the figures
    started = time.perf_counter()
    story = told(bad.finetune(labelled(), seconds=2.5, patience=PATIENT))
    assert (story["stopped"], story["epochs"] > 5) == ("time", True)
    assert story["seconds"] <= round(time.perf_counter() - started, 3)  # the story has milliseconds


def test_an_epoch_is_cut_short_when_the_time_is_over(bad, monkeypatch):
    step, rows = flame.tuning.TuningModule.training_step, pd.concat([labelled()] * 40)

    def slow(self, batch, index):
        time.sleep(0.05)
        return step(self, batch, index)

    monkeypatch.setattr(flame.tuning.TuningModule, "training_step", slow)
    story = told(bad.finetune(rows, seconds=1.0, learning_rate=0.02))  # an epoch would take 57 steps, 3 seconds
    assert (story["epochs"], story["best_epoch"], story["stopped"]) == (1, 1, "time")


def test_a_slow_network_is_checked_on_fewer_rows_where_time_is_short(bad, monkeypatch):
    run, rows = flame.tuning.run_module, pd.concat([labelled()] * 10)

    def slow(net, x):
        time.sleep(0.02)
        return run(net, x)

    monkeypatch.setattr(flame.tuning, "run_module", slow)  # 16 rows in 0.02 s
    hurried = told(bad.finetune(rows, seconds=1.0, epochs=1))
    assert 50 <= hurried["n_held_out"] < told(bad.finetune(rows, seconds=100.0, epochs=1))["n_held_out"] == 150


def test_no_time_at_all_leaves_the_generated_weights(bad):
    tuned = bad.finetune(labelled(), seconds=1e-6)
    assert changed(bad, tuned) == set()
    assert told(tuned)["stopped"] == "time"
    assert "generated weights are kept" in told(tuned)["note"]


@pytest.mark.parametrize("options", [{"seconds": 0.0}, {"seconds": float("nan")}, {"patience": 0}])
def test_a_time_or_patience_out_of_range_is_refused(model, options):
    with pytest.raises(ConfigError, match="a time above 0 and a patience of at least 1 epoch, however: seconds="):
        model.finetune(labelled(), **options)


# --- never worse ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["full", "lora", "head"])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 1e3])
def test_the_loss_on_held_out_rows_is_never_above_that_of_the_generated_model(model, method, rate):
    tuned = model.finetune(labelled(), epochs=3, method=method, learning_rate=rate, seed=2)
    _, y = model.labelled(labelled())
    _, rows = hold_out(torch.tensor(y), seed=2)
    losses = [m.evaluate(labelled().iloc[rows.tolist()])["log_loss"] for m in (model, tuned)]
    assert losses[1] <= losses[0] + 1e-6
    assert told(tuned)["held_out_loss"]["before"] == pytest.approx(losses[0], abs=1e-4)
    assert told(tuned)["held_out_loss"]["after"] == pytest.approx(losses[1], abs=1e-4)


def test_no_more_rows_are_held_out_than_are_needed():
    y = torch.arange(1000) % 4
    train, held = hold_out(y, most=40)
    assert (len(train), len(held)) == (960, 40)
    assert torch.bincount(y[held]).tolist() == [10] * 4


def test_training_draws_nothing_from_the_callers_random_numbers(bad):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    bad.finetune(labelled(), epochs=2)
    assert torch.equal(torch.rand(3), expected)


# --- a kill changes nothing -------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
import torch
import flame, flame.tuning
from flame_fixtures import labelled

torch.set_num_threads(1)
start = flame.tuning.TuningModule.on_validation_epoch_start

def slowly(self):
    time.sleep(0.1)  # leaves the test time for its kill; changes no number
    start(self)

flame.tuning.TuningModule.on_validation_epoch_start = slowly
flame.load(sys.argv[1]).finetune(labelled(), epochs=12, learning_rate=0.02, method=sys.argv[3], work=sys.argv[2])
"""


def finished_epochs(work: Path) -> int:
    path = work / "last.ckpt"
    return len(torch.load(path, weights_only=True)["run"]["losses"]) - 1 if path.is_file() else 0


def test_a_killed_run_goes_on_and_ends_as_an_unbroken_one(bad, tmp_path):
    method = "lora"
    folder, work = bad.save(tmp_path / "m"), tmp_path / "work"
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder), str(work), method], env=environment)
    try:
        within_seconds(60, lambda: finished_epochs(work) >= 3 or process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    before = finished_epochs(work)
    assert 3 <= before < 12

    options = {"epochs": 12, "learning_rate": 0.02, "method": method}
    started: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flame.tuning.TuningModule, "on_train_epoch_start", lambda m: started.append(m.current_epoch))
        resumed = load(folder).finetune(labelled(), work=work, **options)
    assert min(started) >= before - 1 > 0
    unbroken = load(folder).finetune(labelled(), **options)
    assert changed(resumed, unbroken) == set()
    assert told(resumed)["held_out_loss"] == told(unbroken)["held_out_loss"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flame.tuning, "_fit", lambda *a, **o: pytest.fail("a finished run was trained again"))
        assert changed(load(folder).finetune(labelled(), work=work, **options), unbroken) == set()


def test_a_folder_of_another_run_is_refused(bad, tmp_path):
    bad.finetune(labelled(), work=tmp_path / "work")
    for change in ({"seed": 3}, {"method": "head"}):
        with pytest.raises(ConfigError, match="holds a run of another configuration"):
            bad.finetune(labelled(), work=tmp_path / "work", **change)
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        bad.finetune(labelled().head(90), work=tmp_path / "work")


def test_a_resume_file_of_a_text_model_holds_no_base_model(base, tmp_path):
    made = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    made.finetune((TEXTS, LABELS), epochs=2, work=tmp_path / "work")
    state = torch.load(tmp_path / "work" / "last.ckpt", weights_only=True)["state_dict"]
    trained = {n for n, p in made.module.named_parameters() if p.requires_grad}
    assert {name.removeprefix("net.net.") for name in state} == trained


def test_a_network_that_is_one_linear_layer_can_have_adapters():
    wrapped = Trainable(nn.Linear(3, 2), "lora", adapters=True)
    assert wrapped(*TensorRows(torch.zeros(4, 3)).take(slice(0, 2))).shape == (2, 2)
