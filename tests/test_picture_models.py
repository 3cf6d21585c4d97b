"""Picture models once they are written: saved, fine-tuned, on real photographs and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_fixtures import (  # noqa: F401
    ARCH,
    EXPECTED,
    NEW,
    WORDS,
    base_fixture,
    model_fixture,
    photos_fixture,
    picture,
    put_classes,
)

from flame import generate_model, load
from flame.cli import main
from flame.errors import CheckpointError, ConfigError

WITHOUT_FLAME = """
import json, sys, torch, torchvision
from pathlib import Path
from safetensors.torch import load_file
folder, pixels = Path(sys.argv[1]), torch.load(sys.argv[2], weights_only=True)
story = json.loads((folder / "flame.json").read_text("utf8"))
model = torchvision.models.get_model(story["metadata"]["arch"], num_classes=len(story["labels"]))
model.load_state_dict(load_file(folder / "model.safetensors"))
with torch.no_grad():
    print(json.dumps(model.eval()(pixels).softmax(1).tolist()))
assert not {"flame", "targets", "hypernet"} & set(sys.modules)
"""


def test_a_saved_model_is_the_same_without_its_base_model(model, tmp_path):
    folder = model.save(tmp_path / "m")
    assert {p.name for p in folder.iterdir()} == {"flame.json", "model.safetensors", "README.md"}
    assert all(not p.read_bytes().startswith((b"\x80", b"PK")) for p in folder.iterdir())
    loaded = load(folder)
    assert np.array_equal(loaded.predict_proba(NEW), model.predict_proba(NEW))
    for field in ("labels", "target", "requirement", "metadata", "route", "timings", "provenance", "preprocessor"):
        assert getattr(loaded, field) == getattr(model, field), field
    card = (folder / "README.md").read_text("utf8")
    assert "no generator for pictures is given" in card
    assert f'get_model("{ARCH}", num_classes=2)' in card


def test_torchvision_alone_gives_the_same_answers_from_the_folder(model, tmp_path):
    pytest.importorskip("torchvision")
    folder = model.save(tmp_path / "m")
    rows = model.preprocessor.encode(model.preprocessor.read(NEW))
    torch.save(rows.take(slice(0, 3))[0], tmp_path / "pixels.pt")
    command = [sys.executable, "-c", WITHOUT_FLAME, str(folder), str(tmp_path / "pixels.pt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "torchvision::nms" in done.stderr:
        pytest.skip("torchvision is of another build than torch")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), model.predict_proba(NEW), atol=1e-5)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda s: s["preprocessing"].update(side=10**9), "the stored preprocessing is not readable"),
        (lambda s: s["preprocessing"].update(std=[0, 1, 1]), "the stored preprocessing is not readable"),
        (lambda s: s["preprocessing"].pop("mean"), "the stored preprocessing is not readable"),
        (lambda s: s["metadata"].update(arch="resnet50"), "is not a readable model: .*state_dict"),
        (lambda s: s.pop("same_padding"), "is not a readable model"),
    ],
)
def test_a_folder_that_was_changed_is_refused(model, tmp_path, edit, why):
    from test_text_model_saving import change

    folder = model.save(tmp_path / "m")
    change(folder, edit)
    with pytest.raises(CheckpointError, match=why):
        load(folder)


def test_a_base_model_is_not_wanted_when_loading_nor_a_merged_form_when_saving(model, base, tmp_path):
    folder = model.save(tmp_path / "m")
    with pytest.raises(CheckpointError, match="a picture model is saved whole; leave it out"):
        load(folder, base_model=base)
    with pytest.raises(ConfigError, match=f"however: {ARCH}, which is always saved whole"):
        model.save(tmp_path / "other", merged=True)


def test_finetuning_trains_convolutions_and_head_and_leaves_normalisations(model, photos, tmp_path):
    swapped = [(p, {"dark": "light", "light": "dark"}[p.parent.name]) for p in sorted(photos.rglob("*.png"))]
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    tuned = model.finetune(swapped, epochs=4, learning_rate=1e-2)
    assert tuned.provenance["finetune"]["best_epoch"] > 0
    after = tuned.module.state_dict()
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert "classifier.3.weight" in moved
    assert "features.12.0.weight" in moved
    assert not any("running" in name for name in moved)
    assert all(torch.equal(value, before[name]) for name, value in model.module.state_dict().items())
    assert np.array_equal(load(tuned.save(tmp_path / "m")).predict_proba(NEW), tuned.predict_proba(NEW))


def test_real_photographs_are_told_apart_on_the_base_of_the_data_kit(kit, tmp_path):
    pytest.importorskip("torchvision", reason="needs torchvision: pip install 'flame-hypernet[vision]'")
    archive, base = kit / "vision" / "office_caltech10_256.tar", kit / "weights" / "mobilenet_v2_1.0_224"
    if not archive.is_file() or not base.is_dir():
        pytest.skip("needs vision/office_caltech10_256.tar and weights/mobilenet_v2_1.0_224 under FLAME_DATA")
    things, photos = ("bike", "keyboard", "mug"), dict[str, list[str]]()
    with tarfile.open(archive) as tar:
        for thing in things:
            named = sorted(m.name for m in tar.getmembers() if m.name.startswith(f"webcam/{thing}/"))
            photos[thing] = [named[i] for i in np.linspace(0, len(named) - 1, 6).astype(int)]
        tar.extractall(tmp_path, members=[tar.getmember(n) for found in photos.values() for n in found], filter="data")
    seen, new = ([(tmp_path / name, thing) for thing in things for name in photos[thing][first::2]] for first in (0, 1))
    made = generate_model("Sort office objects photographed by a webcam", seen, base_model=str(base))
    assert made.evaluate(new)["accuracy"] > 0.85
    folder = made.save(tmp_path / "m")
    assert json.loads((folder / "flame.json").read_text("utf8"))["same_padding"] is True
    assert "padded as TensorFlow does it" in (folder / "README.md").read_text("utf8")
    one = new[0][0]
    assert np.array_equal(load(folder).predict_proba(one), made.predict_proba(one))


def test_the_commands_work_with_folders_of_pictures(photos, base, tmp_path, monkeypatch, capsys):
    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["flame", *map(str, arguments)])
        with suppress(SystemExit):  # an error leaves standard output empty
            main()
        return capsys.readouterr().out

    story = json.loads(run("generate", photos, "-d", WORDS, "--base-model", base, "-o", tmp_path / "m", "--json"))
    assert story["route"]["way"] == "any_picture"
    (tmp_path / "new").mkdir()
    NEW[0].save(tmp_path / "new" / "a.png")
    (tmp_path / "new" / "b.png").write_bytes(b"no picture")
    rows = json.loads(run("predict", tmp_path / "m", tmp_path / "new", "--json"))
    assert [(Path(r["file"]).name, r["class"]) for r in rows] == [("a.png", "light")]
    assert run("predict", tmp_path / "m", tmp_path / "new" / "a.png").splitlines()[0] == "file,class,probability"
    assert json.loads(run("evaluate", tmp_path / "m", photos, "--json"))["accuracy"] == 1.0
    assert "any_picture" in run("info", tmp_path / "m")
