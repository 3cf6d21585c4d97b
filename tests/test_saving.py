"""A saved model is the same model, is written whole or not at all, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flame_fixtures import SPECIES, labelled, model_fixture, tiny_fixture, unlabelled  # noqa: F401

import flame.files
from flame import GeneratedModel, generate_model, load
from flame.errors import CheckpointError


@pytest.fixture
def saved(model: GeneratedModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "iris")


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit flame.json and put the right hash to it again, as a forger would."""
    from flame.saving import _hash

    story = json.loads((folder / "flame.json").read_text("utf8"))
    story.pop("sha256")
    edit(story)
    story["sha256"] = _hash(story, (folder / "model.safetensors").read_bytes())
    (folder / "flame.json").write_text(json.dumps(story), "utf8")


def refused(folder: Path, why: str) -> None:
    with pytest.raises(CheckpointError, match=why):
        load(folder)


# --- the same model ---------------------------------------------------------------------------------------------------


def is_the_same(one: GeneratedModel, two: GeneratedModel) -> None:
    for field in fields(GeneratedModel):
        if field.name != "module":
            assert getattr(one, field.name) == getattr(two, field.name), field.name
    assert [type(v) for v in one.labels] == [type(v) for v in two.labels]
    states = [m.module.state_dict() for m in (one, two)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_loaded_model_is_the_saved_one_bit_for_bit(model, saved):
    loaded = load(saved)
    is_the_same(loaded, model)
    assert np.array_equal(loaded.predict_proba(unlabelled()), model.predict_proba(unlabelled()))
    assert not loaded.module.training


@pytest.mark.parametrize("kind", [int, float, str])
def test_labels_keep_their_type(tiny, tmp_path, kind):
    rows = labelled().assign(**{"class": labelled()["class"].map(SPECIES).map(kind)})
    made = generate_model(None, rows, target="class", checkpoint=tiny)
    is_the_same(load(made.save(tmp_path / "m")), made)
    assert load(tmp_path / "m").predict(unlabelled()).dtype == made.predict(unlabelled()).dtype


def test_a_finetuned_model_tells_its_story_after_loading(model, tmp_path):
    tuned = model.finetune(labelled())
    is_the_same(load(tuned.save(tmp_path / "m")), tuned)


@pytest.mark.parametrize("name", ["Länge ü", "木の幅", "🙂", 'a"b\\c', "new\nline", "`code`"])
def test_strange_names_and_labels_are_kept(tiny, tmp_path, name):
    rows = labelled().rename(columns={"class": name})
    rows[name] = rows[name].map({k: f"{name} {k}" for k in SPECIES})
    made = generate_model(None, rows, target=name, checkpoint=tiny)
    assert made.target == name
    is_the_same(load(made.save(tmp_path / "m")), made)


def test_a_requirement_of_broken_characters_is_kept(model, tmp_path):
    strange = replace(model, requirement="half a pair: \ud83d")
    is_the_same(load(strange.save(tmp_path / "m")), strange)


def test_the_folder_holds_no_pickle_and_a_card(saved, model):
    assert set(content(saved)) == {"flame.json", "model.safetensors", "README.md"}
    assert all(not data.startswith((b"\x80", b"PK")) for data in content(saved).values())
    card = (saved / "README.md").read_text("utf8")
    assert model.requirement in card
    assert "`petal_width`" in card
    assert "`virginica`" in card


def test_a_folder_may_be_given_as_text_and_in_new_folders(model, tmp_path):
    place = model.save(str(tmp_path / "a" / "b"))
    is_the_same(load(str(place)), model)


# --- whole or not at all ----------------------------------------------------------------------------------------------


def test_a_model_is_replaced_by_another(model, tiny, saved):
    other = generate_model(None, unlabelled("wine"), checkpoint=tiny)
    other.save(saved)
    is_the_same(load(saved), other)
    assert [p.name for p in saved.parent.iterdir()] == ["iris"]


@pytest.mark.parametrize("place", ["write_bytes", "write_text", "replace"])
def test_a_failing_write_keeps_the_old_model_and_leaves_no_litter(model, tiny, saved, monkeypatch, place):
    before, other = content(saved), generate_model(None, unlabelled("wine"), checkpoint=tiny)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if place == "replace":
            patch.setattr(os, "replace", fail)
            patch.setattr(flame.files, "_exchange", lambda *_: False)
        else:
            patch.setattr(Path, place, fail)
        with pytest.raises(CheckpointError, match=r"cannot write .*No space left"):
            other.save(saved)
    assert content(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == ["iris"]
    is_the_same(load(saved), model)


def test_a_kill_while_writing_keeps_the_old_model_and_leaves_no_litter(model, saved, monkeypatch):
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            model.save(saved)
    is_the_same(load(saved), model)
    assert [p.name for p in saved.parent.iterdir()] == ["iris"]


def test_a_foreign_folder_is_not_overwritten(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="was not written by this library; give another folder or remove it"):
        model.save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_not_overwritten(model, tmp_path):
    (tmp_path / "file").write_text("text")
    with pytest.raises(CheckpointError, match="is a file; give the name of a folder"):
        model.save(tmp_path / "file")
    with pytest.raises(CheckpointError, match="cannot write"):
        model.save(tmp_path / "file" / "below")


def test_an_empty_folder_is_taken(model, tmp_path):
    (tmp_path / "empty").mkdir()
    is_the_same(load(model.save(tmp_path / "empty")), model)


# --- what is no model -------------------------------------------------------------------------------------------------


def test_no_folder_and_an_empty_folder_are_no_model(tmp_path):
    refused(tmp_path / "nowhere", "no model folder at")
    refused(tmp_path, r"is not a saved model: it lacks flame.json, model.safetensors")


@pytest.mark.parametrize("name", ["flame.json", "model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    refused(saved, f"it lacks {name}")


@pytest.mark.parametrize("name", ["flame.json", "model.safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(saved, name, keep):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[:keep])
    with pytest.raises(CheckpointError):
        load(saved)


def test_a_changed_weight_is_refused(saved):
    data = bytearray((saved / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (saved / "model.safetensors").write_bytes(bytes(data))
    refused(saved, "truncated or was changed")


def test_swapped_labels_are_refused(saved):
    text = (saved / "flame.json").read_text("utf8")
    swapped = text.replace('"virginica"', '"x"').replace('"setosa"', '"virginica"').replace('"x"', '"setosa"')
    (saved / "flame.json").write_text(swapped, "utf8")
    refused(saved, "truncated or was changed")


def test_a_reformatted_file_is_still_the_model(saved, model):
    story = json.loads((saved / "flame.json").read_text("utf8"))
    (saved / "flame.json").write_text(json.dumps(dict(reversed(story.items()))), "utf8")
    is_the_same(load(saved), model)


def test_a_later_version_is_refused_and_told_to_update(saved):
    change(saved, lambda story: story.update(version=2))
    refused(saved, "has format 2; this version reads 1: update flame-hypernet")


@pytest.mark.parametrize("text", ["[]", "null", "{}", '{"format": "other"}', "no json", "\udcff", '{"a": ' * 100_000])
def test_a_foreign_flame_json_is_refused(saved, text):
    (saved / "flame.json").write_bytes(text.encode("utf8", "surrogateescape"))
    with pytest.raises(CheckpointError):
        load(saved)


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.pop("labels"),
        lambda s: s.update(labels=["a", "b"]),
        lambda s: s.update(labels=None),
        lambda s: s.update(metadata={"task": "tabular_cls"}),
        lambda s: s["metadata"].update(arch="resnet50", task="img_cls"),
        lambda s: s["metadata"].update(d_input=5),
        lambda s: s["metadata"].update(arch="mlp_base"),
        lambda s: s["preprocessing"]["columns"].pop(),
        lambda s: s.update(preprocessing=[]),
        lambda s: s["preprocessing"]["columns"][0].update(std=-1.0),
        lambda s: s.update(route=[]),
        lambda s: s["route"].update(unknown=1),
        lambda s: s.update(timings=3),
    ],
)
def test_a_forged_flame_json_that_does_not_fit_is_our_error(saved, edit):
    change(saved, edit)
    refused(saved, "is not a readable model")


def test_a_checkpoint_of_the_generator_is_no_model(tiny):
    refused(Path(tiny), "it lacks flame.json")
