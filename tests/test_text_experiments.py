"""The experiments on texts run from end to end on made-up tasks, and their tables say what was measured."""

import json

import pytest
import torch
from text_toys import LABELS, toy_base_fixture, toy_data_fixture, toy_generator_fixture, write_task

from experiments import glue, nli, text_zero_shot
from experiments.text_baselines import train
from experiments.text_kit import from_rows, from_words, load_kit
from flame.errors import CheckpointError
from flame.text.tasks import read_text_rows, read_text_task

FIXTURES = (toy_base_fixture, toy_data_fixture, toy_generator_fixture)  # pytest finds them by their names


@pytest.fixture
def options(toy_data, toy_base, toy_generator):
    return ["--data", str(toy_data), "--base", toy_base, "--generator", str(toy_generator), "--quick"]


@pytest.fixture
def toy_kit(toy_generator, toy_base):
    return load_kit(toy_generator, base=toy_base)


def test_a_quick_run_on_unseen_tasks_compares_flame_with_all_controls(options, tmp_path, capsys):
    text_zero_shot.main([*options, "--output", str(tmp_path / "r")])
    text = (tmp_path / "r.md").read_text("utf8")
    assert text in capsys.readouterr().out
    assert "| topic | inference | mean of families |" in text
    records = json.loads((tmp_path / "r.json").read_text("utf8"))["records"]
    assert {r["task"] for r in records} == {"ag_news_7600", "superglue_cb"}
    words = {r["method"] for r in records if r["setting"] == "words"}
    assert {"majority class", "label-name similarity, base model", "FLAME", "FLAME, shuffled descriptions"} < words
    few = {r["method"] for r in records if r["setting"] == "16 labelled texts"}
    assert {"logistic regression, base model", "FLAME, nearest seen task's adapter"} < few
    assert all(0 <= r["accuracy"] <= 1 for r in records)


def test_spread_is_over_seeds_and_families_count_alike():
    records = [
        {"setting": "words", "method": "m", "task": t, "kind": kind, "seed": seed, "accuracy": value + 0.1 * seed}
        for t, kind, value in (("a", "x", 0.2), ("b", "x", 0.4), ("c", "y", 0.9))
        for seed in (0, 1)
    ]
    assert "| m | 35.0 | 95.0 | 65.0 ± 5.0 |" in text_zero_shot.table(records, "words")


def test_only_classes_that_were_seen_are_told_by_logistic_regression():
    features, y = torch.randn(6, 3), torch.tensor([0, 0, 2, 2, 2, 2])
    logits = text_zero_shot.logistic_regression(features, y, torch.randn(9, 3), 4)
    assert set(logits.argmax(1).tolist()) <= {0, 2}
    alone = text_zero_shot.logistic_regression(features[:2], y[:2], torch.randn(9, 3), 4)
    assert alone.argmax(1).tolist() == [0] * 9


@torch.inference_mode()
def test_predictions_are_those_of_the_classifier_that_is_written(toy_kit, toy_data):
    task = read_text_task(toy_data, "ag_news_7600")
    rows = read_text_rows(toy_data, task, "test")
    z, labels = toy_kit.latent(task.descriptions[0]), toy_kit.labels(task)
    features = toy_kit.features(rows)
    weight, bias = toy_kit.generator.head_rows(labels, z)
    torch.testing.assert_close(from_words(toy_kit.generator, z, labels, features), features @ weight[0].mT + bias[0])
    fitted = from_rows(toy_kit.generator, z, labels, features, rows.y, features)
    assert fitted.shape == (24, 4)


def test_a_generator_for_another_base_is_refused(toy_generator, tmp_path):
    from text_fixtures import tiny_base
    from transformers import AutoModel

    other = tiny_base(tmp_path / "other", "bert-mean")
    model = AutoModel.from_pretrained(other)
    model.embeddings.word_embeddings.weight.data.add_(1)
    model.save_pretrained(other)
    with pytest.raises(CheckpointError, match="holds a generator for"):
        load_kit(toy_generator, base=str(other))


@pytest.mark.parametrize("way", ["LoRA", "finetune"])
def test_the_ordinary_way_learns_and_leaves_the_encoder_as_it_was(toy_kit, toy_data, way):
    task = read_text_task(toy_data, "glue_sst2")
    rows = read_text_rows(toy_data, task, "train")
    before = toy_kit.encoder.encode(rows.texts)
    made = train(toy_kit.encoder, [(task, rows)], way=way, epochs=10)
    assert (made.predict(task, rows).argmax(1) == rows.y).float().mean() > 0.8
    assert made.n_seen == 600
    torch.testing.assert_close(toy_kit.encoder.encode(rows.texts), before)


def test_a_quick_run_of_glue_reports_every_method_and_resumes(toy_data, toy_base, tmp_path, capsys):
    options = ["--data", str(toy_data), "--base", toy_base, "--quick", "--work", str(tmp_path / "w"), "--rank", "2"]
    glue.main([*options, "--methods", "LoRA"])
    assert capsys.readouterr().out.count("\n| ") == 2  # the head of the table, and one method
    glue.main([*options, "--output", str(tmp_path / "g")])
    assert "| LoRA" not in capsys.readouterr().err
    text = (tmp_path / "g.md").read_text("utf8")
    assert "|  | sst2 | stsb | rte | mean | seconds | seconds at 20 epochs | relative efficiency |" in text
    records = json.loads((tmp_path / "g.json").read_text("utf8"))["records"]
    assert len({r["method"] for r in records}) == 10
    assert {tuple(r["scores"]) for r in records} == {("accuracy",), ("pearson", "spearman")}
    assert all(r["seconds"] > 0 for r in records if r["method"] in ("FLAME", "LoRA", "Finetune"))


def test_what_a_trained_task_is_written_by_is_where_training_goes_on_from(toy_data, toy_base, tmp_path):
    options = glue.arguments(["--data", str(toy_data), "--base", toy_base, "--quick", "--rank", "2"])
    tasks, splits = glue.read(options)
    kit = glue.trained_kit(options, tmp_path, splits)
    start = glue.Bench(kit, tasks, splits, epochs=0.1).write("glue_rte", tasks["glue_rte"].descriptions[0])
    start = {name: value.detach() + 1 for name, value in start.items()}
    made = train(kit.encoder, [(tasks["glue_rte"], splits["glue_rte"][0])], way="LoRA", epochs=1e-9, start=start)
    trained = {name: value for name, value in made.weights.items() if name in start}
    trained["classifier.weight"] = made.heads["glue_rte"].weight[None]
    for name, value in trained.items():  # after a single step of Adam
        assert 0 < (value - start[name]).abs().max() < 0.02, name


def test_measures_are_those_of_glue(toy_data):
    y = torch.tensor([0, 1, 1, 1])
    task = read_text_task(toy_data, "glue_sst2")
    perfect = torch.nn.functional.one_hot(y, 2).float()
    assert glue.scores(task, perfect, y) == {"accuracy": 1.0}
    assert glue.scores(task.__class__(**{**vars(task), "metric": "mcc"}), perfect, y) == {"mcc": 1.0}
    assert glue.scores(task.__class__(**{**vars(task), "metric": "f1"}), 1 - perfect, y) == {"f1": 0.0, "accuracy": 0.0}
    numbers = task.__class__(**{**vars(task), "labels": ()})
    assert glue.scores(numbers, torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([1.0, 2.0, 3.0]))["spearman"] == 1.0
    assert glue.scores(numbers, torch.ones(3, 1), torch.tensor([1.0, 2.0, 3.0]))["pearson"] == 0.0


THREE = ["entailment", "neutral", "contradiction"]


@pytest.fixture
def inference(tmp_path, monkeypatch):
    """Folder of two sets to train on and two that stay unseen."""
    for name in ("snli", "glue_mnli"):
        monkeypatch.setitem(LABELS, name, THREE)
    folder = tmp_path / "inference"
    write_task(folder, "glue_rte", {"train": 60, "dev": 24})
    write_task(folder, "superglue_cb", {"train": 30, "dev": 24})
    write_task(folder, "snli", {"train": 60, "dev": 24, "test": 24})
    write_task(folder, "glue_mnli", {"train": 30, "dev": 24, "test_matched": 24, "test_mismatched": 12})
    return folder


def test_a_quick_run_of_inference_keeps_seen_and_unseen_sets_apart(inference, toy_base, tmp_path, capsys):
    options = ["--data", str(inference), "--base", toy_base, "--rank", "2", "--batch", "8", "--quick"]
    work = ["--work", str(tmp_path / "w"), "--output", str(tmp_path / "n")]
    nli.main([*options, *work])
    text = (tmp_path / "n.md").read_text("utf8")
    assert text in capsys.readouterr().out
    unseen, seen = text.split("Seen:")
    assert "|  | cb | mnli | mnli mismatched | Average |" in unseen
    assert "|  | snli | rte | Average |" in seen
    records = json.loads((tmp_path / "n.json").read_text("utf8"))["records"]
    assert len({r["method"] for r in records}) == 8
    assert len(records) == 8 * 5
    story = json.loads((tmp_path / "w" / "nli-0" / "config.json").read_text("utf8"))["provenance"]
    assert [t["name"] for t in story["tasks"]] == ["snli", "glue_rte"]  # nothing of what is called unseen
    assert story["runs"][0]["updates"] == 6


def test_an_unseen_set_is_answered_by_the_head_of_a_set_with_its_answers(inference, tmp_path):
    sets = nli.read(nli.arguments(["--data", str(inference)]))
    assert [sets.head(n) for n in sets.tasks] == ["snli", "glue_rte", "snli", "snli", "snli"]
    assert len(sets.test["glue_mnli mismatched"]) == 12
