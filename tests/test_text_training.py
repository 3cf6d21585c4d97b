"""Text tasks are read as their roles say, and the generator of adapters learns, resumes and never gets worse."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from text_toys import SHORT, SIGNS, row, toy_base_fixture, toy_data_fixture, toy_generator_fixture, write_task
from typer.testing import CliRunner

from flame.cli import app
from flame.errors import CheckpointError, ConfigError, DataError
from flame.text.base_models import find_base
from flame.text.derived import derived_tasks
from flame.text.encoding import TextEncoder
from flame.text.tasks import ROLES, described, read_text_rows, read_text_task, text_task_names
from flame.text.training import (
    adapter_task,
    check_batches,
    encode_with,
    scores_of,
    shuffled,
    train_texts,
    training_tasks,
)
from hypernet.adapters import load_adapter_generator
from hypernet.adapters.objective import batch_losses
from hypernet.adapters.stream import AdapterStream, AdapterTask, StreamConfig

WORDS = json.loads((Path(__file__).parents[1] / "requirements_prompts" / "texts.json").read_text("utf8"))
FIXTURES = (toy_base_fixture, toy_data_fixture, toy_generator_fixture)  # pytest finds them by their names


@pytest.fixture
def encoder(toy_base):
    return TextEncoder(find_base(toy_base), rank=2)


def run(place, data, base, config=SHORT, **options):
    return train_texts(place, config, data=data, base=base, rank=2, bf16=False, progress=False, **options)


# -- tasks ---------------------------------------------------------------------------------------------------------


def test_every_task_has_five_descriptions_and_words_for_every_label():
    for name in text_task_names():
        words = described(
            json.loads(json.dumps(__import__("flame.text.tasks", fromlist=["x"])._words()["tasks"][name]))
        )
        assert len(set(words["descriptions"])) == 5, name
        assert words["role"] in ROLES
        assert "{domain}" not in json.dumps(words), name
        firsts = [w[0] for w in (words["labels"] or {}).values()]
        assert len(set(firsts)) == len(firsts), name


def test_no_product_domain_is_split_over_roles():
    of_domain = {}
    for name in text_task_names():
        collection, _, domain = name.partition("_")
        if collection in ("fdumtl", "blitzer"):
            domain = domain.removesuffix("_housewares")
            of_domain.setdefault(domain, set()).update(r for r in ROLES if name in text_task_names(r))
    assert all(len(roles) == 1 for roles in of_domain.values()), of_domain
    assert of_domain["books"] == of_domain["kitchen"] == {"held_out"}


def test_no_description_of_a_held_out_task_is_trained_on(kit):
    trained = {d for n in text_task_names("train", folder=kit) for d in read_text_task(kit, n).descriptions}
    held_out = {d for n in text_task_names("held_out", folder=kit) for d in read_text_task(kit, n).descriptions}
    assert not trained & held_out


def test_every_label_of_the_data_folder_has_words(kit):
    for name in text_task_names(folder=kit):
        stated = json.loads((kit / "text" / name / "task.json").read_text("utf8"))["labels"] or []
        task = read_text_task(kit, name)
        assert set(task.labels) <= set(map(str, stated)), name
        assert name == "clinc150" or set(task.labels) == set(map(str, stated)), name


def test_no_training_row_stands_in_a_development_or_test_split_of_any_task(kit):
    tests = {t for n in ("glue_sst2", "mr") for s in ("dev", "test") for t in rows_of(kit, n, s)}
    assert not tests & set(rows_of(kit, "mr", "train"))
    assert not tests & set(rows_of(kit, "fdumtl_mr", "train"))


def rows_of(folder, name, split):
    return read_text_rows(folder, read_text_task(folder, name), split).texts


def test_a_row_that_another_task_tests_is_not_trained_on(tmp_path):
    told = row("glue_sst2", "test", 3)["a"].upper() + " !"
    write_task(tmp_path, "glue_sst2", {"train": 9, "dev": 4, "test": 8})
    write_task(tmp_path, "mr", {"train": 9, "dev": 4, "test": 8}, lambda rows: [*rows, {"a": told, "y": "1"}])
    assert len(rows_of(tmp_path, "mr", "train")) == 9


def test_without_test_labels_the_dev_rows_are_the_test_and_every_tenth_training_row_is_for_choices(toy_data):
    sizes = {split: len(rows_of(toy_data, "glue_rte", split)) for split in ("train", "dev", "test")}
    assert sizes == {"train": 54, "dev": 6, "test": 24}
    assert not set(rows_of(toy_data, "glue_rte", "train")) & set(rows_of(toy_data, "glue_rte", "dev"))


def test_a_limit_draws_the_same_rows_each_time(toy_data):
    task = read_text_task(toy_data, "ag_news_7600")
    few = read_text_rows(toy_data, task, "train", limit=9)
    assert len(few) == 9
    assert few.texts == read_text_rows(toy_data, task, "train", limit=9).texts
    assert all(text.startswith(SIGNS[y]) for text, y in zip(few.texts, few.y.tolist(), strict=True))


def test_numbers_and_pairs_are_read(toy_data):
    rows = read_text_rows(toy_data, read_text_task(toy_data, "glue_stsb"), "dev")
    assert rows.y.dtype == torch.float32
    assert rows.pairs is not None
    assert len(rows.take([0, 2]).pairs) == 2


def test_faults_of_a_data_folder_are_told(tmp_path, toy_data):
    with pytest.raises(
        DataError, match=r"no words for the text task 'glue_sst'; there are .* Did you mean 'glue_sst2'"
    ):
        read_text_task(toy_data, "glue_sst")
    with pytest.raises(DataError, match="give the data folder that holds text/mr"):
        read_text_task(tmp_path, "mr")
    with pytest.raises(DataError, match=r"split must be one of .*However: 'validation'"):
        read_text_rows(toy_data, read_text_task(toy_data, "mr"), "validation")
    write_task(tmp_path, "mr", {"train": 3, "dev": 3})
    with gzip.open(tmp_path / "text" / "mr" / "train.jsonl.gz", "wt") as file:
        file.write("{")
    with pytest.raises(DataError, match="cannot read"):
        rows_of(tmp_path, "mr", "train")


# -- encoding ------------------------------------------------------------------------------------------------------


def test_texts_sorted_by_length_come_back_in_their_order(encoder):
    texts = ["good film", "a very bad book in the film was not it", "sad", "the phone"]
    one_by_one = torch.cat([encoder.encode([t]) for t in texts])
    torch.testing.assert_close(encoder.encode(texts), one_by_one)


def test_features_of_tokens_equal_those_of_texts_and_bfloat16_is_close(encoder, toy_base):
    texts = ["good film", "a very bad book"]
    encode = encode_with(encoder)
    tokens = encoder.tokens(texts).take(slice(None))
    specs = encoder.target.static_specs()
    nothing = {s.name: torch.zeros(1, *s.shape) for s in specs}
    exact = encode(tokens, nothing)
    torch.testing.assert_close(exact, encoder.encode(texts))
    rough = TextEncoder(find_base(toy_base), rank=2, bf16=True).encode(texts)
    assert rough.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(rough, exact).min() > 0.98


def test_as_many_second_texts_as_first_ones_are_needed(encoder):
    with pytest.raises(DataError, match="however: 2 texts and 1 second texts"):
        encoder.tokens(["a", "b"], ["c"])
    with pytest.raises(DataError, match="however: 0 texts"):
        encoder.tokens([])


# -- derived questions ---------------------------------------------------------------------------------------------


def many_labels(task, made):
    """A task of eight subjects, and another one whose texts come from elsewhere."""
    topics = tuple((f"topic {i}",) for i in range(8))
    eight = replace(task, name="clinc150", kind="intent", labels=tuple("abcdefgh"), words=topics)
    rows = AdapterTask(**{**vars(made), "name": "clinc150", "y": torch.arange(len(made.y)) % 8})
    return [eight, task], [rows, made]


@pytest.fixture
def questions(encoder, toy_data):
    task = read_text_task(toy_data, "mr")
    made = adapter_task(toy_data, task, "train", encoder, 60, frozen=False)
    tasks, rows = many_labels(task, made)
    # As often as the rows of this toy allow.
    more = [AdapterTask(**{**vars(r), "y": r.y.repeat(4), "lengths": r.lengths.repeat(4),
            "inputs": tuple(v.repeat(4, 1) for v in r.inputs)}) for r in rows]  # fmt: skip
    return more, {t.name: t for t in derived_tasks(tasks, more, encoder, part=0.4)}


def test_derived_questions_get_their_part_of_the_batches(questions):
    rows, found = questions
    total = sum(t.share for t in found.values())
    assert total / (total + sum(t.share for t in rows)) == pytest.approx(0.4)


def test_a_subject_is_asked_against_all_others_on_the_same_rows(questions):
    rows, found = questions
    asked = found["clinc150: topic 3"]
    assert torch.equal(asked.y == 1, rows[0].y == 3)
    assert asked.inputs[0].data_ptr() == rows[0].inputs[0].data_ptr()
    assert len(asked.descriptions) == 4


def test_a_subset_of_labels_leaves_the_other_rows_out(questions):
    rows, found = questions
    asked = found["clinc150: subset 0"]
    k = len(asked.words)
    assert 2 <= k <= 6
    assert len(rows[0].y[asked.y >= 0].unique()) == k
    batch = AdapterStream([asked], StreamConfig(rows=8, support=(2, 4))).batch(0)
    assert batch.words.shape[1] == k


def test_one_opinion_is_asked_from_both_sides_where_it_is_known(questions):
    rows, found = questions
    good, bad = found["pool: Is the review positive?"], found["pool: Is the review negative?"]
    assert (good.y[240:] == -1).all()  # requests to an assistant have no sentiment
    assert torch.equal(good.y[:240], rows[1].y)
    assert torch.equal(good.y[:240], 1 - bad.y[:240])
    assert torch.equal(good.words[1], bad.words[1])


# -- training ------------------------------------------------------------------------------------------------------


def test_shuffled_descriptions_are_those_of_other_batches_and_nothing_else_changes(toy_data, encoder):
    batches = check_batches(toy_data, encoder, ["mr", "glue_rte"], frozen=True)
    wrong = shuffled(batches)
    assert torch.equal(wrong[0].description, batches[2].description)
    assert not torch.equal(wrong[0].description, batches[0].description)
    assert torch.equal(wrong[0].inputs[0], batches[0].inputs[0])


def test_a_run_on_some_tasks_looks_at_no_others(tmp_path, toy_data, toy_base):
    made = run(tmp_path / "g", toy_data, toy_base, only=["mr"], derived=0.0)
    assert [t["name"] for t in made.provenance["tasks"]] == ["mr"]
    assert set(made.provenance["runs"][0]["development_rows"]["after"]) == {"train"}


def test_small_kinds_of_tasks_get_more_batches_than_their_rows_ask_for(encoder, toy_data):
    tasks = [read_text_task(toy_data, name) for name in text_task_names("train", folder=toy_data)]
    shares = {t.name: t.share for t in training_tasks(toy_data, tasks, encoder, frozen=True)}
    assert shares["glue_stsb"] == pytest.approx(3**0.5)  # alone of its kind, factor 3
    assert shares["mr"] + shares["glue_sst2"] == pytest.approx(2**0.5)


@pytest.mark.parametrize("frozen", [True, False])
def test_the_loss_of_seen_tasks_falls(encoder, toy_data, frozen):
    from hypernet.adapters import AdapterGenerator

    task = adapter_task(toy_data, read_text_task(toy_data, "mr"), "train", encoder, 60, frozen=frozen)
    stream = AdapterStream([task], StreamConfig(rows=16, support=(2, 4)))
    generator = AdapterGenerator(encoder.target.static_specs(), 32, 32)
    optimizer = torch.optim.Adam(generator.parameters(), lr=5e-3)
    encode, losses = None if frozen else encode_with(encoder), []
    for step in range(30):
        optimizer.zero_grad()
        zero, few, change = batch_losses(generator, stream.batch(step), encode)
        (zero + few + 1e-3 * change).backward()
        optimizer.step()
        losses.append(float(zero.detach() + few.detach()))
    assert sum(losses[-8:]) < 0.7 * sum(losses[:8])
    written = generator.adapters(generator.latent(task.descriptions[:1]))
    assert any(v.any() for name, v in written.items() if name.endswith("lora_B")) != frozen


def test_a_run_leaves_a_checkpoint_with_its_story(toy_generator, toy_base):
    generator = load_adapter_generator(toy_generator)
    story = generator.provenance
    assert {t["name"] for t in story["tasks"]} == {"mr", "glue_sst2", "glue_rte", "glue_stsb"}
    assert {t["licence"] for t in story["tasks"]} == {"CC0 (made up)"}
    assert story["runs"][0]["updates"] == 4
    scores = story["runs"][0]["development_rows"]
    assert set(scores["after"]) == set(scores["after, shuffled descriptions"]) == {"train", "select"}
    assert generator.base["sha256"] == find_base(toy_base).sha256
    assert (generator.base["rank"], generator.base["pooling"]) == (2, "mean")
    assert sum(p.stat().st_size for p in toy_generator.iterdir()) < 5 * 2**20


def test_a_run_in_the_same_folder_goes_on_and_another_configuration_is_refused(tmp_path, toy_data, toy_base):
    first = run(tmp_path / "g", toy_data, toy_base)
    state = torch.load(tmp_path / "g.work" / "last.ckpt", weights_only=True)
    assert state["run"]["batches"] == 8  # four updates of two tasks
    again = run(tmp_path / "g", toy_data, toy_base)  # it is over already
    assert again.fingerprint == first.fingerprint
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        run(tmp_path / "g", toy_data, toy_base, replace(SHORT, steps=5))


def test_a_run_continues_from_a_checkpoint_and_keeps_the_better_weights(tmp_path, toy_data, toy_base, toy_generator):
    ruinous = replace(SHORT, learning_rate=30.0, seed=1, frozen=True)
    second = run(tmp_path / "b", toy_data, toy_base, ruinous, start=toy_generator)
    assert [r["seed"] for r in second.provenance["runs"]] == [0, 1]
    assert second.provenance["runs"][1]["weights_kept"] == "those before the run"
    first = load_adapter_generator(toy_generator)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_checkpoint_for_another_base_or_rank_is_not_continued(tmp_path, toy_data, toy_base, toy_generator):
    with pytest.raises(CheckpointError, match="however the base here is"):
        train_texts(tmp_path / "c", SHORT, data=toy_data, base=toy_base, rank=3, start=toy_generator, progress=False)


def test_a_folder_without_training_tasks_is_refused(tmp_path, toy_base):
    with pytest.raises(DataError, match="holds no training task"):
        run(tmp_path / "g", tmp_path, toy_base)


def test_development_rows_are_scored_alike_each_time(encoder, toy_data, toy_generator):
    generator = load_adapter_generator(toy_generator)
    scores = [scores_of(generator, check_batches(toy_data, encoder, ["cr"], frozen=True), None) for _ in range(2)]
    assert scores[0] == scores[1]
    assert 0 <= scores[0]["words"] <= 1


def test_the_command_trains_for_a_stated_time(tmp_path, toy_data, toy_base):
    place = tmp_path / "g"
    options = ["--data", str(toy_data), "--base", toy_base, "--minutes", "0.02", "--rows", "8", "--frozen", "--json"]
    result = CliRunner().invoke(app, ["train-texts", str(place), *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["saved_to"] == str(place)
    command = load_adapter_generator(place).provenance["runs"][0]["command"]
    assert command.startswith("flame train-texts g --data DATA --minutes 0.02 --frozen --seed 0")
    assert str(tmp_path) not in command


def test_labels_without_any_text_are_left_out_of_a_batch(toy_data, encoder):
    task = adapter_task(toy_data, read_text_task(toy_data, "ag_news_7600"), "train", encoder, 60, frozen=True)
    few = AdapterTask(**{**vars(task), "y": task.y.clamp(max=1)})
    batch = AdapterStream([few], StreamConfig(rows=8, support=(2, 4))).batch(0)
    assert batch.words.shape[1] == 2
