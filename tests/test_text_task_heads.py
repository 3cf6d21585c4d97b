"""Text tasks that a generator was trained on with heads of their own: trained, kept, found by description alone."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from text_toys import SHORT, toy_base_fixture, toy_data_fixture
from typer.testing import CliRunner

from flame import generate_model, load
from flame.api import any_text_way
from flame.cli import app
from flame.errors import CheckpointError, ConfigError, DataError, RouteError
from flame.text.generators import TextWriter
from flame.text.task_heads import seen_task
from flame.text.tasks import read_text_rows, read_text_task, text_task_names
from flame.text.training import train_texts
from hypernet.adapters import AdapterGenerator, AdapterGeneratorConfig, load_adapter_generator
from hypernet.adapters.latents import tell_apart
from targets import WeightSpec

FIXTURES = (toy_base_fixture, toy_data_fixture)  # pytest finds them by their names
SPECS = (WeightSpec("a.0.lora_A", (2, 8), gain=1 / 3), WeightSpec("a.0.lora_B", (8, 2), zero_init=True))
ONLY = ["glue_sst2", "glue_stsb", "glue_rte"]


@pytest.fixture(scope="module", params=["shared", "per_tensor"])
def place(request, toy_data, toy_base, tmp_path_factory):
    """Folder of a generator with three heads, after four updates on the command line."""
    folder = tmp_path_factory.mktemp("heads") / "g"
    options = ["--data", toy_data, "--base", toy_base, "--rows", 8, "--minutes", 0.05, "--decoder", request.param]
    only = [word for name in ONLY for word in ("--only", name)]
    done = CliRunner().invoke(app, ["train-texts", *map(str, [folder, *options]), *only, "--heads", "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)) == {"saved_to", "train"}
    return folder


def sentences(data, name):
    return read_text_task(data, name).descriptions


def test_a_description_alone_finds_the_head_of_its_task(place, toy_data, toy_base, tmp_path):
    model = generate_model(sentences(toy_data, "glue_sst2")[0], text_generator=place, base_model=toy_base)
    assert (model.route.way, model.route.task) == ("task_head", "glue_sst2")
    assert "cosine 1.00" in model.route.reason
    rows = read_text_rows(toy_data, read_text_task(toy_data, "glue_sst2"), "test")
    assert (
        set(model.predict(rows.texts))
        <= set(model.labels)
        == set(load_adapter_generator(place).tasks["glue_sst2"].labels)
    )
    again = load(model.save(tmp_path / "m"))
    assert np.array_equal(again.predict_proba(rows.texts), model.predict_proba(rows.texts))


def test_the_model_is_what_the_generator_writes(place, toy_data, toy_base):
    made = any_text_way(generator=place, base_model=toy_base).writer()
    told = sentences(toy_data, "glue_sst2")[1]
    model = generate_model(told, text_generator=place, base_model=toy_base)
    with torch.inference_mode():
        z = made.generator.latent(made.embed([told]))
        weight, bias = made.generator.task_rows("glue_sst2", z)
    head = model.module.model.classifier
    assert torch.equal(head.weight, weight[0])
    assert torch.equal(head.bias, bias[0])


def test_a_number_comes_in_the_unit_of_the_training_rows(place, toy_data, toy_base):
    rows = pd.DataFrame({"text1": ["a book", "the film"], "text2": ["a book", "one phone"]})
    model = generate_model(sentences(toy_data, "glue_stsb")[0], rows, text_generator=place, base_model=toy_base)
    assert (model.metadata.task, model.route.task) == ("seq_reg", "glue_stsb")
    known = load_adapter_generator(place).tasks["glue_stsb"].preprocessing
    y = read_text_rows(toy_data, read_text_task(toy_data, "glue_stsb"), "train").y
    assert (known["mean"], known["pairs"]) == (pytest.approx(float(y.mean())), True)
    assert abs(model.predict(rows) - known["mean"]).max() < 3 * known["std"]


def test_the_unit_of_a_number_is_that_of_the_rows_that_are_read(toy_data, toy_base, tmp_path, monkeypatch):
    monkeypatch.setattr("flame.text.training.MOST_ROWS", 10)
    options = {"data": toy_data, "base": toy_base, "bf16": False, "progress": False}
    made = train_texts(tmp_path / "g", replace(SHORT, steps=1), only=["glue_stsb"], heads=True, **options)
    y = read_text_rows(toy_data, read_text_task(toy_data, "glue_stsb"), "train", limit=10).y
    known = made.tasks["glue_stsb"].preprocessing
    assert (known["mean"], known["std"]) == (pytest.approx(float(y.mean())), pytest.approx(float(y.std())))


def test_the_sentences_of_tasks_are_embedded_once(place, toy_data, toy_base, monkeypatch):
    told, asked = sentences(toy_data, "glue_sst2")[0], []
    way = any_text_way(generator=place, base_model=toy_base)
    way.propose(told, None)
    embed = TextWriter.embed
    monkeypatch.setattr(TextWriter, "embed", lambda self, words: (asked.append(words), embed(self, words))[1])
    assert way.propose(told, None).seen.record.name == "glue_sst2"
    assert asked == [[told]]


def test_classes_may_be_named_in_another_order_and_others_are_not_the_tasks(place, toy_data, toy_base):
    told, record = sentences(toy_data, "glue_sst2")[0], load_adapter_generator(place).tasks["glue_sst2"]
    backwards = [name.upper() for name in record.labels[::-1]]
    model = generate_model(told, labels=backwards, text_generator=place, base_model=toy_base)
    assert (model.route.way, model.labels) == ("task_head", tuple(backwards[::-1]))
    other = generate_model(told, labels=["dull", "gripping"], text_generator=place, base_model=toy_base)
    assert (other.route.way, other.labels) == ("any_text", ("dull", "gripping"))


def test_labelled_texts_and_rows_of_another_kind_do_not_take_the_head(place, toy_data, toy_base):
    told = sentences(toy_data, "glue_rte")[0]
    rows = read_text_rows(toy_data, read_text_task(toy_data, "glue_sst2"), "train")
    labelled = pd.DataFrame({"text": rows.texts, "label": rows.y.numpy()})
    model = generate_model(told, labelled, target="label", text_generator=place, base_model=toy_base)
    assert model.route.way == "any_text"
    with pytest.raises(RouteError, match="name no classes"):  # single texts, and the task is about pairs
        generate_model(told, rows.texts, text_generator=place, base_model=toy_base)


def test_a_task_of_ones_own_says_its_words_itself(toy_data, toy_base, tmp_path):
    shutil.copytree(toy_data / "text" / "mr", tmp_path / "text" / "mails", ignore=shutil.ignore_patterns("[dt]e*.gz"))
    story = tmp_path / "text" / "mails" / "task.json"
    facts = {**json.loads(story.read_text("utf8")), "sizes": {"train": 60}}  # no rows to choose or to test with
    with pytest.raises(DataError, match=r"task of your own.*says under 'words'"):
        train_texts(tmp_path / "g", SHORT, data=tmp_path, base=toy_base, only=["mails"], heads=True)
    story.write_text(json.dumps(facts | {"words": {"descriptions": ["Sort mails"]}}), "utf8")
    with pytest.raises(DataError, match=r"is not complete.*KeyError: 'labels'"):
        read_text_task(tmp_path, "mails")
    words = {"descriptions": ["Sort mails by mood"], "labels": {"0": ["angry"], "1": ["calm"]}}
    story.write_text(json.dumps(facts | {"words": words}), "utf8")
    assert text_task_names("train", folder=tmp_path) == ["mails"]
    train_texts(tmp_path / "g", SHORT, data=tmp_path, base=toy_base, heads=True, bf16=False, progress=False)
    made = load_adapter_generator(tmp_path / "g")
    assert made.provenance["runs"][0]["weights_kept"] == "those after the run"
    model = generate_model("Sort mails by mood", text_generator=tmp_path / "g", base_model=toy_base)
    assert (model.route.task, model.labels) == ("mails", ("angry", "calm"))


def test_training_goes_on_with_the_same_heads_only(place, toy_data, toy_base, tmp_path):
    options = {"data": toy_data, "base": toy_base, "bf16": False, "progress": False, "start": place}
    more = train_texts(tmp_path / "more", SHORT, only=ONLY, heads=True, **options)
    assert list(more.tasks) == ONLY
    assert len(more.provenance["runs"]) == 2
    with pytest.raises(CheckpointError, match=r"has heads for .*, however \['glue_rte'\] are to be trained"):
        train_texts(tmp_path / "other", SHORT, only=["glue_rte"], heads=True, **options)


def test_wordings_of_a_task_get_one_latent_and_tasks_their_own(place):
    record = load_adapter_generator(place).tasks["glue_sst2"]
    made = AdapterGenerator(SPECS, 8, 5, AdapterGeneratorConfig(d_latent=6, d_trunk=8, chunk=4), [record])
    draws = torch.Generator().manual_seed(0)
    told = [torch.randn(4, 8, generator=draws) for _ in range(3)]  # as unlike within a task as between tasks

    def likeness():
        z = torch.nn.functional.normalize(made.latent(torch.cat(told)), dim=-1).detach()
        same = torch.arange(3).repeat_interleave(4)[:, None] == torch.arange(3).repeat_interleave(4)
        return float((z @ z.T)[same].mean()), float((z @ z.T)[~same].mean())

    before = likeness()
    tell_apart(made, told, noise=0.1)
    within, between = likeness()
    assert before[0] - before[1] < 0.6
    assert within > 0.75
    assert between < 0.3
    assert all(p.grad is None for p in made.parameters())


@pytest.mark.parametrize(
    ("other", "degrees", "found"),
    [(90, 10, "first"), (90, 80, "other"), (90, 45, None), (90, -60, None), (20, 3, "first"), (20, 9.8, None)],
    ids=[
        "near",
        "near the other",
        "far from both",
        "far, the nearest though",
        "of like tasks the nearer",
        "in between",
    ],
)
def test_a_description_must_be_close_to_one_task_and_clearly_closer_than_to_others(other, degrees, found):
    angles = {"a sentence": 0, "another sentence": other, "asked": degrees}

    class Known:
        tasks = {
            name: SimpleNamespace(name=name, requirements=(text,), labels=("a", "b"), preprocessing={"pairs": False})
            for name, text in (("first", "a sentence"), ("other", "another sentence"))
        }

    def embed(texts):
        turns = torch.tensor([angles[text] for text in texts]).float().deg2rad()
        return torch.stack([turns.cos(), turns.sin()], -1)

    seen = seen_task(SimpleNamespace(generator=Known(), embed=embed), "asked")
    assert (seen and seen.record.name) == found


def test_heads_start_at_zero_and_unknown_ones_are_named(place):
    record = load_adapter_generator(place).tasks["glue_sst2"]
    for decoder in ("shared", "per_tensor"):
        config = AdapterGeneratorConfig(d_latent=6, d_trunk=8, chunk=4, decoder=decoder)
        made = AdapterGenerator(SPECS, 8, 5, config, [record])
        z = made.latent(torch.randn(3, 8))
        assert not made.adapters(z)["a.0.lora_B"].any()
        weight, bias = made.task_rows("glue_sst2", z)
        assert (weight.shape, bias.shape) == ((3, 2, 5), (3, 2))
        assert not weight.any()
        with pytest.raises(RouteError, match=r"no head for task 'glue_sst'.*glue_sst2"):
            made.task_rows("glue_sst", z)
    with pytest.raises(ConfigError, match="decoder must be one of"):
        AdapterGeneratorConfig(decoder="linear")
