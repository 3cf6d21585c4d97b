"""Training: which pairs are seen, that it learns, and that a kill changes nothing."""

import csv
import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from test_encoder import foreign_tokenizer
from torch.nn.functional import cross_entropy
from toys import GENERATOR, toy_config, toy_task, toy_tasks
from waiting import within_seconds

from flame.errors import CheckpointError, ConfigError
from flame.table import training
from flame.table.training import fit_generator, train
from hypernet.config import ExperimentConfig, TrainConfig
from hypernet.generator import GeneratorConfig, build_generator
from hypernet.module import GeneratorModule, SiblingCheckpointIO
from hypernet.pairs import IGNORE, Pair, PairCollator, PairDataset
from targets import get_target

N_ROWS = {"small": 160, "wide": 184}


def pairs_of(tasks, *, seed=1, epoch=0, batch_size=32):
    return PairDataset(tasks, batch_size=batch_size, seed=seed, epoch=epoch)


def story(pairs):
    return [(p.task, p.requirement, p.rows.tolist()) for p in pairs]


# -- pairs ---------------------------------------------------------------------------------------------------------


def test_order_of_pairs_is_the_same_for_the_same_seed_and_epoch(tasks):
    first = story(pairs_of(tasks))
    torch.rand(3)
    assert story(pairs_of(tasks)) == first


@pytest.mark.parametrize("other", [{"seed": 2}, {"epoch": 1}])
def test_order_of_pairs_changes_with_seed_and_with_epoch(tasks, other):
    assert story(pairs_of(tasks, **other)) != story(pairs_of(tasks))


def test_making_pairs_draws_nothing_from_the_global_generator(tasks):
    before = torch.get_rng_state()
    pairs_of(tasks)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_row_of_a_task_is_seen_once_per_repeat(tasks):
    pairs = pairs_of(tasks)
    for index, task in enumerate(tasks):
        seen = torch.cat([p.rows for p in pairs if p.task == index])
        assert seen.bincount().tolist() == [task.upweight] * len(task.x_train)


def test_tasks_of_one_epoch_are_mixed(tasks):
    order = [p.task for p in pairs_of(tasks)]
    assert order not in (sorted(order), sorted(order, reverse=True))


def test_every_requirement_of_every_task_is_drawn(tasks):
    seen = {(p.task, p.requirement) for epoch in range(5) for p in pairs_of(tasks, epoch=epoch)}
    assert seen == {(task, r) for task in range(2) for r in range(3)}


def test_collator_pads_rows_with_no_label_and_columns_with_zero(tasks):
    batch = PairCollator(tasks)([Pair(0, 2, torch.tensor([5, 3])), Pair(1, 0, torch.tensor([9, 1, 0]))])
    assert (batch["x"].shape, batch["y"].shape) == ((2, 3, 6), (2, 3))
    assert (batch["task"].tolist(), batch["requirement"].tolist()) == ([0, 1], [2, 0])
    assert torch.equal(batch["x"][0, :2, :4], tasks[0].x_train[[5, 3]])
    assert torch.equal(batch["x"][1], tasks[1].x_train[[9, 1, 0]])
    assert batch["x"][0, 2:].abs().sum() == batch["x"][0, :, 4:].abs().sum() == 0
    assert batch["y"][0].tolist() == [*tasks[0].y_train[[5, 3]].tolist(), IGNORE]


def test_collator_of_the_validation_part_takes_no_training_row(tasks):
    batch = PairCollator(tasks, part="validation")([Pair(1, 0, torch.arange(7))])
    assert torch.equal(batch["x"][0], tasks[1].x_validation[:7])


# -- the module ----------------------------------------------------------------------------------------------------


def score(generator, task, sentence):
    """Loss and accuracy on the validation rows of the model that one sentence generates."""
    target = get_target("mlp_small")
    model = target.merge(target.build(task.record.metadata), generator.generate(sentence, task.record.name))
    logits = model(task.x_validation)
    hits = logits.argmax(1) == task.y_validation
    return cross_entropy(logits, task.y_validation).item(), hits.float().mean().item()


def module_of(generator, **train):
    return GeneratorModule(generator, TrainConfig(**train), n_rows=N_ROWS)


def seen_ids(module, batch, dropout):
    """Token ids that the encoder reads."""
    seen = []
    hook = module.generator.encoder.register_forward_pre_hook(lambda encoder, arguments: seen.append(arguments[0]))
    module._weights(batch, dropout=dropout)
    hook.remove()
    return seen[0]


@pytest.fixture
def batch(tasks):
    return PairCollator(tasks)([Pair(1, 0, torch.arange(3)), Pair(0, 1, torch.arange(3)), Pair(1, 0, torch.arange(2))])


def test_a_sentence_that_pairs_share_is_read_once(generator, batch):
    assert len(seen_ids(module_of(generator), batch, 0.0)) == 2


@pytest.mark.parametrize("vocabulary", ["own", "pretrained"])
def test_token_dropout_hides_words_and_never_the_marks(generator, batch, tasks, vocabulary):
    if vocabulary == "pretrained":
        generator = build_generator(GENERATOR, tokenizer=foreign_tokenizer()[0], tasks=[t.record for t in tasks])
    tokenizer, module = generator.tokenizer, module_of(generator)
    before = seen_ids(module, batch, 0.0).repeat(100, 1)
    after = torch.cat([seen_ids(module, batch, 0.3) for _ in range(100)])
    marks = torch.tensor([tokenizer.token_to_id(t) for t in ("[PAD]", "[CLS]", "[SEP]")])
    is_mark = torch.isin(before, marks)
    assert torch.equal(before[is_mark], after[is_mark])
    assert set(after[after != before].tolist()) == {tokenizer.token_to_id("[UNK]")}
    is_word = ~is_mark & (before != tokenizer.token_to_id("[UNK]"))
    assert 0.25 < (after != before)[is_word].float().mean() < 0.35


def test_a_step_draws_its_masks_from_seed_and_step_alone(generator, batch, monkeypatch):
    module = module_of(generator, token_dropout=0.5).train()
    module.log = lambda *args, **options: None
    first = module.training_step(batch, 0)
    torch.rand(5)
    state = torch.get_rng_state()
    assert torch.equal(module.training_step(batch, 0), first)
    assert torch.equal(torch.get_rng_state(), state)
    other = module_of(generator, token_dropout=0.5, seed=7).train()
    other.log = module.log
    assert not torch.equal(other.training_step(batch, 0), first)
    monkeypatch.setattr(GeneratorModule, "global_step", 1)
    assert not torch.equal(module.training_step(batch, 0), first)


def test_validation_scores_are_means_over_sentences_and_then_over_tasks(generator, tasks):
    module, logged = module_of(generator).eval(), {}
    module.log_dict = lambda values, **options: logged.update(values)
    module.all_gather = lambda totals: torch.stack([totals, totals])  # two processes that saw the same
    pairs = [Pair(i, r, torch.arange(len(t.x_validation))) for i, t in enumerate(tasks) for r in range(3)]
    module.on_validation_epoch_start()
    with torch.no_grad():
        module.validation_step(PairCollator(tasks, part="validation")(pairs), 0)  # both tasks at once: padded
    module.on_validation_epoch_end()
    means = []
    for task in tasks:
        scores = [score(generator, task, sentence) for sentence in task.record.requirements]
        means.append(torch.tensor(scores).mean(0))
        given = [logged[f"{task.record.name}/{kind}"] for kind in ("loss", "accuracy")]
        torch.testing.assert_close(torch.tensor(given), means[-1], rtol=1e-3, atol=0)
    both = torch.tensor([logged["validation/loss"], logged["validation/accuracy"]])
    torch.testing.assert_close(both, torch.stack(means).mean(0), rtol=1e-3, atol=0)


def test_the_checkpoint_writer_renames_within_the_folder_and_keeps_the_old_file(tmp_path, monkeypatch):
    renamed, real = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (renamed.append((Path(a), Path(b))), real(a, b)))
    writer, path = SiblingCheckpointIO(), tmp_path / "last.ckpt"
    writer.save_checkpoint({"epoch": 1}, path)
    assert [(a.parent, b) for a, b in renamed] == [(tmp_path, path)]

    def full(value, where):
        Path(where).write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        writer.save_checkpoint({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]


# -- learning ------------------------------------------------------------------------------------------------------


def accuracy(generator, task, sentence):
    return score(generator, task, sentence)[1]


def majority(task):
    return task.y_validation.bincount().max().item() / len(task.y_validation)


def test_training_learns_the_toy_tasks(trained, tasks):
    for task in tasks:
        assert accuracy(trained, task, task.record.requirements[0]) > majority(task) + 0.25


def test_an_untrained_generator_has_learnt_nothing(generator, tasks):
    for task in tasks:
        assert accuracy(generator, task, task.record.requirements[0]) < majority(task) + 0.2


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "delta"},
        {"precision": "bf16-mixed"},
        {"generator": dataclasses.replace(GENERATOR, decoder="shared"), "learning_rate": 3e-3, "epochs": 12},
    ],
    ids=["delta", "bf16", "shared"],
)
def test_every_way_of_training_learns(tasks, tmp_path, settings):
    generator = fit_generator(tasks, toy_config(**settings), work=tmp_path)
    for task in tasks:
        assert accuracy(generator, task, task.record.requirements[0]) > majority(task) + 0.2


def test_recorded_score_is_the_accuracy_over_all_sentences(trained, tasks):
    for task in tasks:
        scores = [accuracy(trained, task, sentence) for sentence in task.record.requirements]
        recorded = trained.tasks[task.record.name].scores["validation_accuracy"]
        assert recorded == pytest.approx(sum(scores) / len(scores), abs=1e-4)


def test_the_epoch_with_the_best_validation_loss_is_kept(tasks, tmp_path, monkeypatch):
    def second_is_best(module):
        loss = {0: 3.0, 1: 1.0}.get(module.current_epoch, 2.0)
        module.log_dict({"validation/loss": loss, "small/accuracy": 0.5, "wide/accuracy": 0.5}, batch_size=1)

    monkeypatch.setattr(GeneratorModule, "on_validation_epoch_end", second_is_best)
    generator = fit_generator(tasks, toy_config(epochs=4), work=tmp_path)
    kept, best, last = (
        {name: value for name, value in state.items() if name.startswith("generator.")}
        for state in (
            {f"generator.{name}": value for name, value in generator.state_dict().items()},
            *(torch.load(tmp_path / f"{n}.ckpt", weights_only=True)["state_dict"] for n in ("best", "last")),
        )
    )
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 1
    assert all(torch.equal(kept[name], value) for name, value in best.items())
    assert not all(torch.equal(kept[name], value) for name, value in last.items())


def test_every_epoch_trains_on_the_pairs_of_its_own_number(tasks, tmp_path, monkeypatch):
    seen, step = {}, GeneratorModule.training_step

    def recorded(module, batch, batch_index):
        pairs = zip(batch["task"].tolist(), batch["requirement"].tolist(), strict=True)
        seen.setdefault(module.current_epoch, []).extend(pairs)
        return step(module, batch, batch_index)

    monkeypatch.setattr(GeneratorModule, "training_step", recorded)
    fit_generator(tasks, toy_config(epochs=3), work=tmp_path)
    for epoch in range(3):
        expected = pairs_of(tasks, seed=2024, epoch=epoch)
        assert seen[epoch] == [(p.task, p.requirement) for p in expected]
    assert seen[0] != seen[1]


def test_training_depends_on_the_seed_of_the_configuration_alone(tasks, tmp_path):
    first = fit_generator(tasks, toy_config(epochs=1), work=tmp_path / "a")
    torch.manual_seed(99)
    assert same(fit_generator(tasks, toy_config(epochs=1), work=tmp_path / "b"), first)
    assert not same(fit_generator(tasks, toy_config(epochs=1, seed=3), work=tmp_path / "c"), first)


def test_training_without_tasks_says_where_to_name_some(tmp_path):
    with pytest.raises(ConfigError, match=r"at least one task .* name some under 'tables:'"):
        fit_generator([], toy_config(), work=tmp_path)


# -- taking up again -----------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
from pathlib import Path
import torch
from toys import toy_config, toy_tasks
from flame.table.training import fit_generator
from hypernet.module import GeneratorModule

torch.set_num_threads(1)
start = GeneratorModule.on_validation_epoch_start

def slowly(self):
    time.sleep(0.25)  # leaves the test time for its kill; changes no number
    start(self)

GeneratorModule.on_validation_epoch_start = slowly
fit_generator(toy_tasks(), toy_config(), work=Path(sys.argv[1]))
"""


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def finished_epochs(work):
    path = work / "last.ckpt"
    return torch.load(path, weights_only=True)["epoch"] + 1 if path.is_file() else 0


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of a run that was killed after two epochs at least."""
    work = tmp_path_factory.mktemp("killed")
    tests = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(work)], env=environment)
    try:
        within_seconds(60, lambda: finished_epochs(work) >= 2 or process.poll() is not None)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 2 <= finished_epochs(work) < 6
    return work


@pytest.fixture(scope="module")
def resumed(killed):
    return fit_generator(toy_tasks(), toy_config(), work=killed)


def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(resumed, trained):
    assert resumed.tokenizer.to_str() == trained.tokenizer.to_str()
    assert same(resumed, trained)


def test_a_killed_run_ends_with_the_scores_of_an_unbroken_one(resumed, trained):
    assert resumed.tasks == trained.tasks


def test_a_killed_run_does_not_begin_anew(resumed, killed):
    with (killed / "log-2" / "metrics.csv").open() as file:
        epochs = {int(row["epoch"]) for row in csv.DictReader(file) if row["train/loss"]}
    assert min(epochs) >= 2
    assert max(epochs) == 5


def test_the_log_before_the_kill_is_kept(resumed, killed):
    with (killed / "log-1" / "metrics.csv").open() as file:
        assert {int(row["epoch"]) for row in csv.DictReader(file)} >= {0}


def test_starting_a_finished_run_again_gives_its_weights(resumed, killed):
    assert same(fit_generator(toy_tasks(), toy_config(), work=killed), resumed)


def test_a_folder_with_a_run_of_another_configuration_is_refused(resumed, killed):
    with pytest.raises(ConfigError, match="holds a run of another configuration; delete it or give another folder"):
        fit_generator(toy_tasks(), toy_config(epochs=7), work=killed)


# -- from a configuration to a folder ------------------------------------------------------------------------------


def no_training(monkeypatch):
    def never(*args, **options):
        raise AssertionError("training began")

    monkeypatch.setattr(training, "fit_generator", never)
    monkeypatch.setattr(training, "prepare_task", never)


@pytest.mark.parametrize("change", [{"tables": ("iris", "wnie")}, {"tables": ("iris",), "upweight": {"wnie": 2}}])
def test_an_unknown_table_is_refused_before_anything_is_loaded(tmp_path, monkeypatch, change):
    no_training(monkeypatch)
    with pytest.raises(ConfigError, match=r"no table 'wnie'; known are .* Did you mean 'wine'\?"):
        train(ExperimentConfig("x", **change), tmp_path / "out")


@pytest.mark.parametrize("other", ["mine.txt", "config.json"])
def test_a_folder_of_another_program_is_refused_before_training(tmp_path, monkeypatch, other):
    no_training(monkeypatch)
    (tmp_path / other).write_text("{}")
    with pytest.raises(CheckpointError, match="was not written by this library"):
        train(ExperimentConfig("x", ("iris",)), tmp_path)
    assert (tmp_path / other).read_text() == "{}"


def test_a_configuration_becomes_a_checkpoint_that_knows_how_it_was_made(tmp_path):
    settings = toy_config(epochs=2, generator=GeneratorConfig("mlp_small", encoder=GENERATOR.encoder)).train
    config = ExperimentConfig("iris only", ("iris",), GeneratorConfig("mlp_small", encoder=GENERATOR.encoder), settings)
    made = train(config, tmp_path / "out", work=tmp_path / "work", progress=False, command="the command")
    loaded = type(made).from_pretrained(tmp_path / "out")
    assert same(loaded, made)
    assert loaded.provenance["name"] == "iris only"
    assert loaded.provenance["command"] == "the command"
    assert loaded.provenance["training"]["epochs"] == 2
    assert loaded.provenance["data"]["iris"]["n_train"] > 90
    assert set(loaded.tasks["iris"].scores) == {"validation_accuracy", "test_accuracy"}


def test_upweight_of_a_task_repeats_its_rows():
    pairs = pairs_of([toy_task("small", 4, 2, upweight=3)])
    assert sum(len(p.rows) for p in pairs) == 3 * 160
