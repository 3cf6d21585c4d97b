"""The generator on disk: the same weights come back, and nothing else is taken for a checkpoint."""

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from flame.errors import CheckpointError, ConfigError, RouteError
from hypernet.generator import FILES, GeneratorConfig, ParameterGenerator
from hypernet.tasks import TaskRecord

TENSORS = "model.safetensors"
BIAS = "decoder.static_heads.bias"


@pytest.fixture
def folder(generator, tmp_path):
    generator.provenance = {"name": "toy", "command": "none"}
    generator.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def load(folder):
    return ParameterGenerator.from_pretrained(folder)


def change_json(path, change):
    value = json.loads(path.read_text("utf8"))
    change(value)
    path.write_text(json.dumps(value), "utf8")


def change_tensors(folder, change):
    tensors = {name: value.clone() for name, value in load_file(folder / TENSORS).items()}
    change(tensors)
    save_file(tensors, folder / TENSORS)


# -- one forward pass ----------------------------------------------------------------------------------------------


def test_generated_weights_have_the_shapes_of_the_task_and_carry_no_graph(generator):
    weights = generator.generate("Is it hot or is it cold?", "small")
    assert weights["input.weight"].shape == (1, 32, 4)
    assert not any(w.requires_grad for w in weights.values())


def test_generation_uses_no_dropout_and_leaves_the_mode_as_it_was(generator):
    generator.train()
    first, second = (generator.generate("Is it hot?", "small")["input.weight"] for _ in range(2))
    assert torch.equal(first, second)
    assert generator.training


def test_a_head_that_was_never_trained_is_refused_with_the_nearest(generator):
    with pytest.raises(RouteError, match=r"no head for task 'smal'; .*\['small', 'wide'\]. Did you mean 'small'\?"):
        generator.generate("Is it hot?", "smal")


# -- there and back ------------------------------------------------------------------------------------------------


def test_a_loaded_generator_writes_the_same_weights_to_the_last_bit(generator, folder):
    again = load(folder)
    for task, record in generator.tasks.items():
        weights = again.generate(record.requirements[0], task)
        assert all(torch.equal(weights[k], v) for k, v in generator.generate(record.requirements[0], task).items())


def test_a_loaded_generator_has_the_records_the_story_and_the_configuration(generator, folder):
    again = load(folder)
    assert again.tasks == generator.tasks
    assert again.provenance == {"name": "toy", "command": "none"}
    assert again.config == generator.config
    assert not again.training


def test_a_loaded_generator_can_be_trained_further(folder):
    again = load(folder).train()
    sum(v.sum() for v in again(*again.tokenize(["Is it hot?"]), ["small"]).values()).backward()
    assert all(p.grad is not None for p in again.encoder.parameters())


def test_saving_what_was_loaded_writes_the_same_files(folder, tmp_path):
    load(folder).save_pretrained(tmp_path / "again")
    assert all((tmp_path / "again" / n).read_bytes() == (folder / n).read_bytes() for n in FILES)


def test_a_checkpoint_is_five_files_that_anyone_may_read_and_none_is_a_pickle(folder):
    assert sorted(p.name for p in folder.iterdir()) == sorted([*FILES, "README.md"])
    assert {p.stat().st_mode & 0o444 for p in folder.iterdir()} == {0o444}


def test_fingerprint_is_the_sha256_of_the_tensors(generator, folder):
    assert generator.fingerprint == "untrained"
    assert load(folder).fingerprint == hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()


def test_model_card_names_every_task_with_its_scores(generator, tmp_path):
    record = replace(generator.tasks["small"], scores={"validation_accuracy": 0.875})
    generator.tasks["small"] = record
    generator.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text("utf8")
    assert "| The small toy | 2 | 4 | - | 0.875 | - | - |" in card
    assert "| The wide toy | 3 | 6 |" in card


def test_a_full_disk_gives_an_error_and_leaves_no_litter(generator, folder, monkeypatch):
    def full(self, content):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*No space left"):
        generator.save_pretrained(folder)
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_a_kill_between_two_files_leaves_a_folder_that_is_refused(generator, folder, monkeypatch):
    real = os.replace

    def killed(source, target):
        if Path(target).name == TENSORS:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        generator.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"it lacks config.json"):
        load(folder)


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"is not a FLAME checkpoint: it lacks {name}"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_noise_is_refused(folder, name):
    (folder / name).write_bytes(bytes(range(256)) * 9)
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        load(folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"format": "other"}', "null"])
def test_the_configuration_of_another_program_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r'must say "format": \'flame-generator\'; another program'):
        load(folder)


@pytest.mark.parametrize("version", [2, None, "1"])
def test_another_version_of_the_format_is_refused_with_advice(folder, version):
    change_json(folder / "config.json", lambda c: c.update(version=version))
    with pytest.raises(CheckpointError, match=r"is not known to this version \(it reads 1\); update flame-hypernet"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(arch="mlp_huge"), "arch='mlp_huge' is not known.*Did you mean 'mlp_large'"),
        (lambda c: c.update(decoder="sharde"), "decoder='sharde' is not known.*Did you mean 'shared'"),
        (lambda c: c.update(d_latent="8"), "d_latent must be an integer of at least 2, however: '8'"),
        (lambda c: c.update(colour="red"), "unexpected keyword argument 'colour'"),
        (lambda c: c["encoder"].update(n_heads=0), "encoder.n_heads must be an integer of at least 1, however: 0"),
        (lambda c: c.update(encoder=[1]), "config.json is not readable"),
    ],
)
def test_a_changed_configuration_is_refused_with_the_fault(folder, change, message):
    change_json(folder / "config.json", change)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tasks: tasks[0].pop("labels"), "task record is not readable .*labels"),
        (lambda tasks: tasks[0].update(colour="red"), "task record is not readable .*colour"),
        (lambda tasks: tasks[0]["metadata"].update(out_dim=0), "task record is not readable .*out_dim=0"),
        (lambda tasks: tasks.append("iris"), "task record is not readable"),
    ],
)
def test_a_changed_task_record_is_refused_with_the_fault(folder, change, message):
    change_json(folder / "tasks.json", change)
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(BIAS), rf"missing: \['{BIAS}'\]"),
        (lambda t: t.update(extra=torch.zeros(1)), r"unexpected: \['extra'\]"),
        (lambda t: t.update({BIAS: t[BIAS][:-1]}), rf"of another shape: \['{BIAS}'\]"),
        (lambda t: t.update({BIAS: t[BIAS].double()}), rf"of another type: \['{BIAS}'\]"),
        (lambda t: t.update({BIAS: t[BIAS].int()}), rf"of another type: \['{BIAS}'\]"),
        (lambda t: t[BIAS].view(-1)[0].fill_(float("nan")), rf"not finite: \['{BIAS}'\]"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration_are_named(folder, change, message):
    change_tensors(folder, change)
    with pytest.raises(CheckpointError, match=f"do not fit its config.json: {message}"):
        load(folder)


def test_tensors_of_a_checkpoint_with_another_head_do_not_fit(folder):
    change_json(folder / "tasks.json", lambda tasks: tasks[0]["metadata"].update(out_dim=5))
    with pytest.raises(CheckpointError, match=r"of another shape: .*task_heads.task:small"):
        load(folder)


@pytest.mark.parametrize("name", ["no/such/folder", "/no/such/folder", "nobody/nothing", "nothing"])
def test_a_name_that_is_neither_a_folder_nor_on_the_hub_is_refused(name):
    with pytest.raises(CheckpointError, match=f"no checkpoint '{name}': there is no such folder, and the hub gave"):
        load(name)


def test_a_file_is_not_a_checkpoint(folder):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load(folder / TENSORS)


def test_a_hub_name_is_downloaded_without_anything_but_the_five_files(folder, monkeypatch):
    asked = {}

    def snapshot_download(name, **options):
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    generator = ParameterGenerator.from_pretrained("somebody/toy", revision="v1")
    assert asked == {"name": "somebody/toy", "revision": "v1", "allow_patterns": [*FILES, "README.md"]}
    assert set(generator.tasks) == {"small", "wide"}


def test_all_faults_of_a_generator_configuration_are_named():
    with pytest.raises(ConfigError, match=r"arch='resnet9'.*decoder='both'.*d_latent .*however: 1"):
        GeneratorConfig(arch="resnet9", decoder="both", d_latent=1)


def test_task_records_survive_json(generator):
    for record in generator.tasks.values():
        assert TaskRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
