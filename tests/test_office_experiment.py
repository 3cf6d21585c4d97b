"""The experiment on described domains, on made-up pictures and a small random network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flame.errors import MissingExtraError
from targets.vision_networks import new_network

try:
    new_network("resnet18")
except MissingExtraError:
    pytest.skip("needs torchvision", allow_module_level=True)

from experiments import office, office_models
from experiments.office_models import Kit, Setting, SharedGenerator, held_out_models, untrained
from experiments.office_quick import WRITTEN, quick_embedding, quick_encoder, quick_set
from experiments.office_report import PAIRS, zero_shot_markdown
from experiments.office_scores import POOLED, READS, held_out_scores, top_scores, write_labelled_model
from experiments.office_seen import Curve, finetune, lora, parts_of, plain_start
from experiments.office_tables import FRESH, kept_story, start_table
from flame.picture.training import read_group
from flame.picture.writing import domain_logits, write_model
from hypernet.adapters.pictures import FeatureScale

ROOT = Path(__file__).parents[1]


@pytest.fixture
def kit(tmp_path):
    return Kit(quick_embedding, WRITTEN, tmp_path, tmp_path)


def test_the_quick_run_prints_every_control_and_keeps_its_figures(tmp_path):
    environment = {**os.environ, "FLAME_DATA": "", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "experiments.office", "--quick", "--output", str(tmp_path / "office")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr
    for method in (
        "pooled model (Zero-Shot)",
        "untrained generator",
        "domains that do not exist",
        "another domain's words and pictures",
    ):
        assert method in run.stdout
    cases = json.loads((tmp_path / "office.json").read_text("utf8"))["cases"]
    assert [c["held"] for c in cases] == ["bright", "dark", "grey"]
    assert str(tmp_path) not in (tmp_path / "office.md").read_text("utf8")


@pytest.mark.parametrize("stage", ["seen", "start"])
def test_the_other_stages_run(stage, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    office.main(["--quick", "--stage", stage, "--work", str(tmp_path), "--output", str(tmp_path / stage)])
    shown = capsys.readouterr().out
    assert ("Relative" if stage == "seen" else "fresh classifier") in shown
    assert (tmp_path / f"{stage}.json").is_file()
    assert (tmp_path / "start.png").is_file() == (stage == "start")


def test_a_held_out_domain_is_never_trained_on(kit, monkeypatch):
    seen = []
    original = office_models._trained

    def watched(name, case, group, *rest):
        seen.extend(t.name for t in group.tasks)
        return original(name, case, group, *rest)

    monkeypatch.setattr(office_models, "_trained", watched)
    held_out_scores(quick_set(), "dark", quick_encoder(), Setting(steps=1), kit)
    assert seen
    assert not any("dark" in name for name in seen)


def test_the_pooled_model_ignores_descriptions_and_starts_from_the_same_head(kit):
    found, encoder = quick_set(), quick_encoder()
    group, models = held_out_models(found, "dark", encoder, Setting(steps=2), kit, ("pooled",))
    pooled = models["pooled"]
    assert isinstance(pooled, SharedGenerator)
    one, other = (write_model(pooled, encoder, d, group.words) for d in group.tasks[0].descriptions[:2])
    for name, value in one.items():
        torch.testing.assert_close(value, other[name])


def test_rows_on_another_scale_give_the_same_logits():
    draws = torch.Generator().manual_seed(0)
    features, rows = torch.randn(30, 6, generator=draws), torch.randn(4, 7, generator=draws)
    old, new = (FeatureScale.of(k * torch.randn(30, 6, generator=draws) + k) for k in (1.0, 5.0))

    def logits(rows, scale):
        return scale.standard(features) @ rows[:, :-1].mT + rows[:, -1]

    moved = office_models._on_scale(rows, old, new)
    torch.testing.assert_close(logits(moved, new), logits(rows, old), atol=1e-4, rtol=1e-4)


def test_labelled_pictures_speak_louder_than_what_is_remembered(kit):
    found, encoder = quick_set(), quick_encoder()
    group = read_group(found, encoder, kit.embed, cache=kit.cache)
    generator, task, turn = untrained(encoder, group, Setting()), group.tasks[0], torch.tensor([1, 2, 0])
    x, y = task.inputs[0], turn[task.y]
    model = write_labelled_model(generator, encoder, task.descriptions[0], group.words, x, y)
    assert float((domain_logits(encoder, x, model).argmax(1) == y).float().mean()) > 0.6
    model = write_model(generator, encoder, task.descriptions[0], group.words, x)
    assert float((domain_logits(encoder, x, model).argmax(1) == y).float().mean()) < 0.4


def test_a_trained_model_is_read_back(kit):
    found, encoder = quick_set(), quick_encoder()
    _, first = held_out_models(found, "dark", encoder, Setting(steps=2), kit, ("flame",))
    _, again = held_out_models(found, "dark", encoder, Setting(steps=2), kit, ("flame",))
    for one, other in zip(first["flame"].state_dict().values(), again["flame"].state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_ordinary_training_learns_its_domain(kit, tmp_path):
    found, encoder = quick_set(), quick_encoder()
    parts = parts_of(encoder, found, found.domains["bright"], tmp_path)
    tuned = finetune(encoder, plain_start(encoder, 3, 0), parts, epochs=6, learning_rate=1e-3, seed=0)
    adapted = lora(encoder, 3, parts, epochs=6, learning_rate=1e-2, seed=0)
    for curve in (tuned, adapted):
        assert max(curve.validation) > 0.5
        assert len(curve.validation) == len(curve.test) == 7
        assert curve.validation[curve.best] == max(curve.validation)


def test_a_curve_tells_when_a_score_is_first_reached():
    curve = Curve([0.2, 0.5, 0.4, 0.7, 0.7], [(0.0, 0.0, 0.0)] * 5, [2.0, 1.0, 1.0, 0.8, 0.7])
    assert (curve.best, curve.reaches(0.5), curve.reaches(0.7), curve.reaches(0.8)) == (4, 1, 3, None)


def test_the_start_table_counts_epochs_to_the_best_of_ordinary_training():
    fresh = {"validation": [0.1, 0.4, 0.4, 0.5, 0.5, 0.5, 0.8], "test": [0.1, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7]}
    losses = {"losses": [1.0] * 7}
    ours = {"validation": [0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9], "test": [0.6, 0.7, 0.75, 0.7, 0.7, 0.7, 0.7]}
    worse = {"validation": [0.7] * 7, "test": [0.6] * 7}
    first = {FRESH: fresh | losses, "FLAME": ours | losses, "pooled": worse | losses}
    later = first | {"FLAME": {"validation": [0.7, 0.7, 0.8], "losses": [1.0] * 3, "test": [0.5, 0.5, 0.55]}}
    text = start_table({"0": {"made-up/dark": first}, "1": {"made-up/dark": later}})
    assert "| made-up/dark | FLAME | 1, 2 | 2, 2 | 65.0 | 55.0 |" in text
    assert "| made-up/dark | pooled | never, never | 0, 0 | 60.0 | 60.0 |" in text
    assert "| FLAME | 2 of 2 | 1.5 | 6.0 | 1 of 2 | 65.0 | 55.0 |" in text
    assert "| pooled | 0 of 2 | nan | nan | 0 of 2 | 60.0 | 60.0 |" in text


def test_a_stage_goes_on_from_its_file_only_with_the_same_settings(tmp_path):
    (tmp_path / "seen.json").write_text(json.dumps({"epochs": 2, "sets": {"pacs": {}}}))
    assert kept_story(tmp_path / "seen", {"epochs": 2}, "sets")["sets"] == {"pacs": {}}
    assert kept_story(tmp_path / "seen", {"epochs": 3}, "sets") == {"epochs": 3, "sets": {}}


def test_top_scores_count_the_first_three_and_five():
    logits = torch.tensor([[5.0, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0]])
    assert top_scores(logits, torch.tensor([0, 2, 5])) == pytest.approx((1 / 3, 2 / 3, 2 / 3))


def test_the_report_says_what_the_description_adds():
    scores = {method: [0.5, 0.7, 0.9] for pair in PAIRS for method in pair}
    cases = [
        {"set": "made-up", "held": held, "setting": "lora, seed 0", "scores": {**scores, READS: [0.6, 0.8, 1.0]}}
        for held in ("bright", "dark")
    ]
    text = zero_shot_markdown(cases, [quick_set()])
    assert f"| {READS} | {POOLED} | +10.0 | 0.0 | 2 of 2 |" in text
    assert f"| {READS} | 60.0 | 60.0 | 60.0 | 80.0 | 100.0 |" in text


def test_kinds_are_compared_on_the_seeds_that_both_have():
    def case(kind, seed, held, accuracy):
        scores = {method: [accuracy, 1.0, 1.0] for pair in PAIRS for method in pair}
        return {"set": "made-up", "held": held, "setting": f"{kind}, seed {seed}", "scores": scores}

    cases = [case("lora", 0, "bright", 0.5), case("lora", 1, "bright", 0.0), case("lora", 0, "dark", 0.5)]
    assert "## Kinds" not in zero_shot_markdown(cases, [quick_set()])
    text = zero_shot_markdown([*cases, case("film", 0, "bright", 0.7), case("film", 0, "dark", 0.4)], [quick_set()])
    assert f"| {READS} | film less lora | +5.0 | 15.0 | 1 of 2 |" in text
