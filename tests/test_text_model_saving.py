"""A saved text model is the same model, without its base; PEFT and transformers read it without this library."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from text_fixtures import BAD, GOOD, LABELS, SHAPES, TEXTS, base_fixture, bases_fixture, stirred_generator  # noqa: F401
from typer.testing import CliRunner

from flame import GeneratedModel, generate_model, load
from flame.cli import app
from flame.errors import CheckpointError, ConfigError

PAIRS = pd.DataFrame({"premise": GOOD + GOOD, "hypothesis": GOOD[::-1] + BAD}).assign(
    label=["same"] * 9 + ["other"] * 9
)
ADAPTER = {"README.md", "adapter_config.json", "adapter_model.safetensors", "config.json", "flame.json"}


def written(base: str, labels: Any = LABELS) -> GeneratedModel:
    """With an adapter that changes the base."""
    return generate_model("Sentiment", (TEXTS, labels), text_generator=stirred_generator(base))


@pytest.fixture(scope="module", name="model")
def model_fixture(base: str) -> GeneratedModel:
    return written(base)


@pytest.fixture
def saved(model: GeneratedModel, tmp_path: Path) -> Path:
    return model.save(tmp_path / "m")


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Edit flame.json and put the right hash to it again, as a forger would."""
    from flame.saving import _hash, _weights

    story = json.loads((folder / "flame.json").read_text("utf8"))
    story.pop("sha256")
    edit(story)
    story["sha256"] = _hash(story, b"".join(_weights(folder).values()))
    (folder / "flame.json").write_text(json.dumps(story), "utf8")


def alone(script: str, *arguments: Any) -> str:
    """Output of a script in a process of its own, which must not import this library."""
    code = script + "\nimport sys; assert not {'flame', 'targets', 'hypernet'} & set(sys.modules)\n"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the same model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loaded_model_is_the_saved_one_bit_for_bit(bases, shape, tmp_path):
    made = written(bases[shape])
    loaded = load(made.save(tmp_path / "m"))
    assert np.array_equal(loaded.predict_proba(TEXTS), made.predict_proba(TEXTS))
    for field in ("labels", "target", "requirement", "metadata", "route", "timings", "provenance"):
        assert getattr(loaded, field) == getattr(made, field), field
    assert loaded.preprocessor.to_json() == made.preprocessor.to_json()
    assert not loaded.module.training


def test_pairs_numbers_and_models_from_names_are_kept_too(base, tmp_path):
    pairs = generate_model(None, PAIRS, base_model=base)
    loaded = load(pairs.save(tmp_path / "pairs"))
    assert np.array_equal(loaded.predict_proba(PAIRS), pairs.predict_proba(PAIRS))
    numbers = generate_model("How long is it?", (TEXTS, [1.5 * len(t) + 0.1 for t in TEXTS]), base_model=base)
    assert np.array_equal(load(numbers.save(tmp_path / "numbers")).predict(TEXTS), numbers.predict(TEXTS))
    names = generate_model("Is a review positive or negative?", base_model=base)
    assert np.array_equal(load(names.save(tmp_path / "names")).predict(TEXTS), names.predict(TEXTS))


def test_a_finetuned_model_is_kept_with_its_story(model, tmp_path):
    tuned = model.finetune((TEXTS, LABELS[::-1]), epochs=3, learning_rate=0.02)
    loaded = load(tuned.save(tmp_path / "m"))
    assert loaded.provenance["finetune"] == tuned.provenance["finetune"]
    assert np.array_equal(loaded.predict_proba(TEXTS), tuned.predict_proba(TEXTS))
    again = load(loaded.finetune((TEXTS, LABELS), epochs=1).save(tmp_path / "m"))
    assert again.predict(TEXTS).shape == (len(TEXTS),)


IN_A_FRESH_PROCESS = """
import json, sys, flame
print(json.dumps(flame.load(sys.argv[1]).predict_proba(json.loads(sys.argv[2])).tolist()))
"""


def test_a_model_in_a_fresh_process_predicts_the_same(model, saved):
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(saved), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert np.array_equal(np.array(json.loads(done.stdout), dtype="float32"), model.predict_proba(TEXTS))


def test_the_folder_holds_adapter_and_head_and_names_the_base(base, saved):
    assert {p.name for p in saved.iterdir()} == ADAPTER
    story = json.loads((saved / "flame.json").read_text("utf8"))
    assert (story["modality"], story["version"], story["base"]["name"]) == ("text", 1, base)
    size = sum(p.stat().st_size for p in saved.iterdir() if p.suffix == ".safetensors")
    assert size < 0.7 * (Path(base) / "model.safetensors").stat().st_size
    assert all(not p.read_bytes().startswith((b"\x80", b"PK")) for p in saved.iterdir())
    assert "base_sha256" in (saved / "README.md").read_text("utf8")


def test_a_table_and_a_text_model_replace_each_other(model, saved):
    from sklearn.datasets import load_iris

    rows = load_iris(as_frame=True).frame
    table = generate_model(None, rows, target="target")
    table.save(saved)
    assert {p.name for p in saved.iterdir()} == {"flame.json", "model.safetensors", "README.md"}
    assert np.array_equal(load(saved).predict(rows), table.predict(rows))
    model.save(saved)
    assert {p.name for p in saved.iterdir()} == ADAPTER


# --- without this library ---------------------------------------------------------------------------------------------

WITH_PEFT = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
folder, base, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
config = AutoConfig.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
model = PeftModel.from_pretrained(model, folder).eval()
batch = AutoTokenizer.from_pretrained(base)(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    logits = model(**batch).logits
print(json.dumps([logits.tolist(), [config.id2label[i] for i in range(logits.shape[1])]]))
"""


@pytest.mark.parametrize("shape", ["bert-pooler", "distilbert-cls"])
def test_peft_alone_gives_the_same_logits_from_the_folder(bases, shape, tmp_path):
    pytest.importorskip("peft")
    made = written(bases[shape])
    found = json.loads(alone(WITH_PEFT, made.save(tmp_path / "m"), bases[shape], json.dumps(TEXTS)).splitlines()[-1])
    logits, labels = np.array(found[0]), found[1]
    assert labels == list(made.labels)
    assert np.allclose(logits, made._outputs(made.preprocessor.read(TEXTS)).numpy(), atol=2e-5)
    base_alone = generate_model("Sentiment", (TEXTS, LABELS), base_model=bases[shape])
    assert not np.allclose(base_alone.predict_proba(TEXTS), made.predict_proba(TEXTS), atol=1e-3)


WITH_MEAN = """
import json, sys, torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer
folder, base, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = PeftModel.from_pretrained(AutoModel.from_pretrained(base), folder).eval()
head = load_file(folder + "/classifier.safetensors")
batch = AutoTokenizer.from_pretrained(base)(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
    pooled = (states * mask).sum(1) / mask.sum(1)
print(json.dumps((pooled @ head["weight"].T + head["bias"]).tolist()))
"""


def test_a_mean_pooled_adapter_gives_the_same_logits_in_peft_with_its_head_beside_it(bases, tmp_path):
    pytest.importorskip("peft")
    made = written(bases["bert-mean"])
    found = json.loads(
        alone(WITH_MEAN, made.save(tmp_path / "m"), bases["bert-mean"], json.dumps(TEXTS)).splitlines()[-1]
    )
    assert np.allclose(np.array(found), made._outputs(made.preprocessor.read(TEXTS)).numpy(), atol=2e-5)


WITH_PIPELINE = """
import json, sys
from transformers import pipeline
found = pipeline("text-classification", sys.argv[1], device="cpu", top_k=None)(json.loads(sys.argv[2]))
print(json.dumps([{row["label"]: row["score"] for row in rows} for rows in found]))
"""


@pytest.mark.parametrize("shape", ["bert-pooler", "distilbert-cls"])
def test_a_merged_folder_is_an_ordinary_pipeline(bases, shape, tmp_path):
    made = written(bases[shape])
    place = made.save(tmp_path / "merged", merged=True)
    found = json.loads(alone(WITH_PIPELINE, place, json.dumps(TEXTS)).splitlines()[-1])
    scores = np.array([[row[label] for label in made.labels] for row in found])
    assert np.allclose(scores, made.predict_proba(TEXTS), atol=1e-5)
    with pytest.raises(CheckpointError, match=r"it lacks flame.json"):
        load(place)


def test_where_transformers_has_no_form_for_a_model_the_message_says_what_can_be_saved(bases, tmp_path):
    with pytest.raises(ConfigError, match=r"pooling 'mean' has no plain transformers folder: .* save the adapter"):
        written(bases["bert-mean"]).save(tmp_path / "m", merged=True)
    assert not (tmp_path / "m").exists()


def test_the_command_writes_a_merged_folder_and_wants_to_know_where(bases, tmp_path):
    rows, place = tmp_path / "rows.csv", tmp_path / "m"
    pd.DataFrame({"text": TEXTS, "label": LABELS}).to_csv(rows, index=False)
    options = ["generate", str(rows), "--target", "label", "--base-model", bases["bert-pooler"], "--merged"]
    assert CliRunner().invoke(app, [*options, "--output", str(place)]).exit_code == 0
    assert json.loads((place / "config.json").read_text("utf8"))["architectures"] == ["BertForSequenceClassification"]
    with pytest.raises(ConfigError, match="add --output FOLDER"):
        CliRunner().invoke(app, options, catch_exceptions=False)


def test_a_table_is_not_merged(tmp_path):
    table = generate_model(None, pd.DataFrame({"a": [1.0, 2, 3, 4] * 3, "y": [0, 0, 1, 1] * 3}), target="y")
    with pytest.raises(ConfigError, match="merged=True is for models that adapt a base model, however: mlp_steps"):
        table.save(tmp_path / "m", merged=True)


# --- what is no model, and bases that are elsewhere -------------------------------------------------------------------


def refused(folder: Path, why: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=why):
        load(folder, **options)


def test_a_base_that_is_gone_is_an_error_that_says_how_to_name_it(bases, tmp_path):
    place = shutil.copytree(bases["bert-pooler"], tmp_path / "base")
    made = generate_model(None, (TEXTS, LABELS), base_model=str(place))
    folder, expected = made.save(tmp_path / "m"), made.predict_proba(TEXTS)
    place.rename(tmp_path / "moved")
    refused(folder, r"the model needs its base model .*Ways to get one.*flame.load\(folder, base_model=...\)")
    moved = load(folder, base_model=str(tmp_path / "moved"))
    assert np.array_equal(moved.predict_proba(TEXTS), expected)
    assert np.array_equal(load(moved.save(tmp_path / "again")).predict_proba(TEXTS), expected)


def test_another_base_is_refused_by_its_hash(bases, saved):
    refused(saved, "expected the base model .* with sha256", base_model=bases["distilbert-cls"])


def test_a_base_that_was_changed_in_its_place_is_refused(bases, tmp_path):
    place = shutil.copytree(bases["bert-pooler"], tmp_path / "base")
    folder = generate_model(None, (TEXTS, LABELS), base_model=str(place)).save(tmp_path / "m")
    data = bytearray((place / "model.safetensors").read_bytes())
    data[-3] ^= 1
    (place / "model.safetensors").write_bytes(bytes(data))
    refused(folder, "expected the base model .* with sha256")


def test_a_table_has_no_base(tmp_path):
    table = generate_model(None, pd.DataFrame({"a": [1.0, 2, 3, 4] * 3, "y": [0, 0, 1, 1] * 3}), target="y")
    refused(table.save(tmp_path / "m"), "a table's model has no base; leave it out", base_model="minilm")


@pytest.mark.parametrize("name", ["flame.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    refused(saved, f"it lacks {name}")


@pytest.mark.parametrize("name", ["flame.json", "adapter_model.safetensors", "classifier.safetensors"])
@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_file_is_refused(bases, tmp_path, name, keep):
    folder = generate_model(None, (TEXTS, LABELS), base_model=bases["bert-mean"]).save(tmp_path / "m")
    (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    refused(folder, "is not a readable model|truncated or was changed")


def test_a_changed_weight_is_refused(saved):
    data = bytearray((saved / "adapter_model.safetensors").read_bytes())
    data[-3] ^= 1
    (saved / "adapter_model.safetensors").write_bytes(bytes(data))
    refused(saved, "truncated or was changed")


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s.pop("base"),
        lambda s: s.update(base=[]),
        lambda s: s["base"].update(rank=0),
        lambda s: s["base"].update(rank=3),
        lambda s: s["base"].update(family="distilbert"),
        lambda s: s["base"].update(pooling="max"),
        lambda s: s["base"].update(targets="("),
        lambda s: s["base"].update(sha256="0"),
        lambda s: s.update(preprocessing={"columns": []}),
        lambda s: s["preprocessing"].update(columns=["a", "b", "c"]),
        lambda s: s["preprocessing"].update(max_tokens=100_000),
        lambda s: s.update(labels=["a"]),
        lambda s: s["metadata"].update(out_dim=3),
        lambda s: s.update(modality="table"),
    ],
)
def test_a_forged_flame_json_that_does_not_fit_is_our_error(saved, edit):
    change(saved, edit)
    refused(saved, "is not a readable model|is not a saved model")


def test_a_modality_or_format_of_a_later_version_is_told_to_update(saved):
    change(saved, lambda story: story.update(modality="sound"))
    refused(saved, r"holds a model for 'sound'; this version reads \['image', 'table', 'text'\]: update flame-hypernet")
    change(saved, lambda story: story.update(modality="text", version=2))
    refused(saved, "has format 2; this version reads 1: update flame-hypernet")
