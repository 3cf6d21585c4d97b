"""Models for pictures: written from a folder, a list, arrays or a column of labelled pictures, on a random network."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
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
from test_pictures import png_header

import flame
import flame.picture.any_picture
from flame import GeneratedModel, generate_model
from flame.errors import CheckpointError, DataError, RouteError
from flame.picture.base import BASES, VARIABLE
from flame.picture.rows import PictureRows, picture_tensor
from targets.vision_weights import PictureScale


def notes_of(model: GeneratedModel) -> str:
    return "; ".join(model.route.notes)


# --- from labelled pictures -------------------------------------------------------------------------------------------


def test_a_folder_of_classes_gives_a_model_that_tells_new_pictures_apart(model, photos, base):
    assert model.predict(NEW).tolist() == EXPECTED
    assert model.evaluate(photos)["accuracy"] == 1.0
    assert (model.metadata.task, model.metadata.out_dim, model.metadata.arch) == ("img_cls", 2, ARCH)
    assert (model.route.way, model.route.checkpoint, model.labels) == ("any_picture", "no generator", ("dark", "light"))
    assert model.requirement.startswith("This is a task of 2-class and base-scaled image classification to sort cards")
    assert model.provenance["base_model"] == f"{ARCH} (random.safetensors)"
    assert str(Path(base).parent) not in json.dumps(model.provenance)


def test_the_notes_say_that_no_generator_took_part_and_that_pictures_are_few(model):
    assert "no generator for pictures is given" in notes_of(model)
    assert "the words of the description do not change it" in notes_of(model)
    assert "a class has only 3 labelled picture(s)" in notes_of(model)


@pytest.mark.parametrize("form", ["pair", "list", "arrays", "pil", "csv", "frame", "hub"])
def test_every_form_of_the_same_pictures_gives_the_same_model(form, model, photos, base, tmp_path):
    from PIL import Image

    paths = [str(p) for p in sorted(photos.rglob("*.png"))]
    labels = [Path(p).parent.name for p in paths]
    arrays = [np.array(Image.open(p)) for p in paths]
    if form == "pair":
        data: Any = (paths, labels)
    elif form == "list":
        data = [(Path(paths[0]), labels[0]), *zip(arrays[1:], labels[1:], strict=True)]
    elif form == "arrays":
        data = (np.stack(arrays), np.array(labels))
    elif form == "pil":
        data = [(Image.open(p), label) for p, label in zip(paths, labels, strict=True)]
    elif form == "csv":
        shutil.copytree(photos, tmp_path / "in")
        rows = [f"in/{Path(p).parent.name}/{Path(p).name},{label}\n" for p, label in zip(paths, labels, strict=True)]
        (tmp_path / "list.csv").write_text("file,kind\n" + "".join(rows))
        data = tmp_path / "list.csv"
    elif form == "frame":
        data = pd.DataFrame({"photo": paths, "kind": labels})
    else:

        class Hub:
            def to_pandas(self) -> pd.DataFrame:
                cells = [{"bytes": Path(p).read_bytes(), "path": None} for p in paths]
                return pd.DataFrame({"image": cells, "kind": labels})

        data = Hub()
    named = "kind" if form in ("csv", "frame", "hub") else None
    made = generate_model(WORDS, data, target=named, base_model=base)
    assert np.array_equal(made.predict_proba(NEW), model.predict_proba(NEW))
    assert made.evaluate(data)["accuracy"] == 1.0
    assert made.predict(data).tolist() == labels
    assert made.target == {"pair": "target", "list": "class", "arrays": "target", "pil": "class"}.get(form, "kind")


def test_labels_may_be_numbers_and_come_back_as_numbers(base):
    data = [(picture("dark", 1), 7), (picture("light", 2), 3), (picture("dark", 3), 7)]
    assert generate_model(WORDS, data, base_model=base).predict(NEW).tolist() == [3, 7, 7]


def test_a_picture_alone_a_list_a_folder_and_an_array_are_predicted(model, photos, tmp_path):
    NEW[0].save(tmp_path / "new.png")
    for one in (tmp_path / "new.png", str(tmp_path / "new.png"), NEW[0], np.array(NEW[0])):
        assert model.predict(one).tolist() == ["light"]
    assert model.predict(photos).tolist() == ["dark"] * 3 + ["light"] * 3
    assert model.predict(np.stack([np.array(p) for p in NEW])).tolist() == EXPECTED
    assert model.predict_proba([]).shape == (0, 2)


def test_the_head_is_the_solution_of_the_convex_problem_on_the_networks_features(model, photos):
    """Gradient of the penalised loss, worked out by automatic differentiation on the final network, is zero."""
    from flame.picture.generators import ALONE
    from hypernet.adapters.pictures import FeatureScale
    from targets.vision_networks import head_of, run_steps, steps

    rows = model.preprocessor.encode(model.preprocessor.read(photos))
    with torch.no_grad():
        features = run_steps(steps(model.module))(*rows.take(slice(0, len(rows))))
    scale, head = FeatureScale.of(features), head_of(model.module)
    x = scale.standard(features)
    x = x - x.mean(0)
    unit = float(ALONE.prior / x.square().sum(1).mean().sqrt())
    weight = (head.weight.detach() / scale.factor).requires_grad_()
    logits = features @ head.weight.detach().T + head.bias.detach()
    bias = (logits - x @ weight.detach().T)[0].requires_grad_()
    y = torch.tensor([0, 0, 0, 1, 1, 1])
    fit = torch.nn.functional.cross_entropy(x @ weight.T + bias, y, reduction="sum")
    loss = fit + 0.5 * (weight / unit).square().sum() + 0.5 * (bias / float(ALONE.bias)).square().sum()
    slope = torch.autograd.grad(loss, weight)[0] * unit
    assert float(slope.norm()) < 1e-2 * float((weight / unit).detach().norm())


def test_of_many_pictures_some_are_read_evenly_spread_over_the_classes(base, monkeypatch):
    monkeypatch.setattr(flame.picture.any_picture, "MAX_PICTURES", 4)
    data = [(picture("dark", i), "dark") for i in range(5)] + [(picture("light", i), "light") for i in range(3)]
    made = generate_model(WORDS, data, base_model=base)
    assert "4 of 8 labelled rows are read" in notes_of(made)
    assert "written from 4 labelled pictures and 2 classes" in made.route.reason


# --- pictures that are strange or broken ------------------------------------------------------------------------------


def encoded(image: Any, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def strange_files() -> dict[str, bytes]:
    """Pictures of the class `dark` that every reader should take."""
    from PIL import Image

    dark = picture("dark", 7)
    turned = Image.Exif()
    turned[0x0112] = 6
    alpha = dark.convert("RGBA")
    return {
        "cmyk.jpg": encoded(dark.convert("CMYK"), "JPEG"),
        "palette.png": encoded(dark.quantize(16), "PNG"),
        "alpha.png": encoded(alpha, "PNG"),
        "deep.png": encoded(Image.fromarray(np.full((9, 9), 6000, "uint16")), "PNG"),
        "grey.png": encoded(dark.convert("L"), "PNG"),
        "dot.png": encoded(Image.new("RGB", (1, 1), (30, 20, 60)), "PNG"),
        "strip.png": encoded(Image.new("RGB", (20_000, 1), (30, 20, 60)), "PNG"),
        "turned.jpg": encoded(dark, "JPEG", exif=turned),
    }


def broken_files() -> dict[str, bytes]:
    whole = encoded(picture("dark", 8, (300, 200)), "JPEG", quality=95)
    return {
        "cut.jpg": whole[: len(whole) // 2],
        "words.jpg": b"a text, and no picture",
        "empty.png": b"",
        "huge.png": png_header(20_000, 20_000),
    }


def test_pictures_of_every_kind_are_read_and_told(model, base, tmp_path):
    for name, content in strange_files().items():
        (tmp_path / name).write_bytes(content)
    told = dict(zip(sorted(strange_files()), model.predict(tmp_path), strict=True))
    assert {name: label for name, label in told.items() if label != "dark"} == {}
    shutil.copytree(tmp_path, tmp_path / "set" / "dark")
    put_classes(tmp_path / "set", n=2, labels=("light",))
    made = generate_model(WORDS, tmp_path / "set", base_model=base)
    assert "cannot be read" not in notes_of(made)
    assert "written from 10 labelled pictures" in made.route.reason


def test_broken_files_among_the_labelled_are_skipped_and_named(photos, base, tmp_path):
    place = shutil.copytree(photos, tmp_path / "set")
    for name, content in broken_files().items():
        (place / "dark" / name).write_bytes(content)
    made = generate_model(WORDS, place, base_model=base)
    assert "written from 6 labelled pictures" in made.route.reason
    for part in ("'dark/words.jpg' (it is no picture", "'dark/huge.png' (at most 200 megapixels", "'dark/empty.png'"):
        assert part in notes_of(made)
    assert "1 picture(s) cannot be read and are left out: 'dark/cut.jpg' (image file is truncated" in notes_of(made)
    with pytest.warns(UserWarning, match="cannot be read and are left out"):
        assert made.evaluate(place)["n_rows"] == 6


def test_one_broken_file_among_ten_thousand_is_reported_and_skipped(photos, base, tmp_path, monkeypatch):
    monkeypatch.setattr(flame.picture.any_picture, "MAX_PICTURES", 8)
    (tmp_path / "words.jpg").write_bytes(b"a text, and no picture")
    dark, light = str(photos / "dark" / "0.png"), str(photos / "light" / "0.png")
    paths = [dark] * 5000 + [light] * 4999 + [str(tmp_path / "words.jpg")]
    made = generate_model(WORDS, (paths, ["dark"] * 5000 + ["light"] * 5000), base_model=base)
    assert f"1 picture(s) cannot be read and are left out: '{tmp_path.name}/words.jpg'" in notes_of(made)
    assert made.predict(NEW).tolist() == EXPECTED


@pytest.mark.parametrize("name", broken_files())
def test_a_broken_picture_in_a_list_is_refused_by_name_and_one_in_a_folder_left_out(model, tmp_path, name):
    (tmp_path / name).write_bytes(broken_files()[name])
    NEW[0].save(tmp_path / "z.png")
    with pytest.raises(DataError, match=rf"1 of 2 pictures cannot be read: '.*{name}' .*; leave them out"):
        model.predict([tmp_path / name, NEW[0]])
    with pytest.warns(UserWarning, match=f"1 picture.s. cannot be read and are left out: .*{name}"):
        assert model.predict(tmp_path).tolist() == ["light"]


def test_a_class_whose_pictures_are_all_broken_is_an_error_that_names_one(photos, base, tmp_path):
    place = shutil.copytree(photos, tmp_path / "set")
    (place / "torn").mkdir()
    (place / "torn" / "a.jpg").write_bytes(broken_files()["cut.jpg"])
    with pytest.raises(DataError, match=r"none of class 'torn' can be read: 'torn/a.jpg' \(image file is truncated"):
        generate_model(WORDS, place, base_model=base)


def test_a_strip_is_cut_before_it_is_made_large():
    from PIL import Image

    strip = np.zeros((1, 20_000, 3), "uint8")
    strip[:, 9_000:11_000] = 255
    for cell in (strip, Image.fromarray(strip.transpose(1, 0, 2))):
        seen = picture_tensor(cell, PictureScale(mean=(0.0,) * 3, std=(1.0,) * 3))
        assert seen.shape == (3, 224, 224)
        assert float(seen.min()) > 0.9


def test_a_turned_photograph_is_read_as_the_upright_one():
    from PIL import Image

    upright = Image.fromarray(
        np.repeat(np.repeat(np.arange(0, 240, 4, dtype="uint8")[:, None], 80, 1)[..., None], 3, 2)
    )
    exif = Image.Exif()
    exif[0x0112] = 8
    turned = Image.open(io.BytesIO(encoded(upright.transpose(Image.Transpose.ROTATE_270), "PNG", exif=exif)))
    scale = PictureScale(resize=64, side=48)
    assert torch.equal(picture_tensor(turned, scale), picture_tensor(upright, scale))


def test_a_large_photograph_from_a_file_is_read_like_the_decoded_one(tmp_path):
    from PIL import Image

    ramp = np.linspace(0, 255, 3000).astype("uint8")
    large = Image.fromarray(np.stack([np.tile(ramp, (2000, 1))] * 3, -1))
    large.save(tmp_path / "large.jpg", quality=95)
    ours, whole = (picture_tensor(c, PictureScale()) for c in (tmp_path / "large.jpg", large))
    assert float((ours - whole).abs().max()) < 0.1


def test_pictures_that_stand_in_two_classes_are_named(photos, base, tmp_path):
    place = shutil.copytree(photos, tmp_path / "set")
    shutil.copy(place / "dark" / "1.png", place / "light" / "copy.png")
    made = generate_model(WORDS, place, base_model=base)
    assert "1 picture(s) stand in more than one class" in notes_of(made)
    assert "'dark/1.png' ('dark') and 'light/copy.png' ('light')" in notes_of(made)


def test_pictures_are_opened_when_their_turn_comes(photos):
    rows = PictureRows((str(photos / "dark" / "0.png"), "gone.png"), PictureScale(resize=32, side=32))
    assert rows.take(torch.tensor([0]))[0].shape == (1, 3, 32, 32)
    with pytest.raises(DataError, match=r"'gone.png': there is no such file"):
        rows.take(torch.tensor([1]))


# --- what cannot be served --------------------------------------------------------------------------------------------


def test_a_flat_folder_is_refused_and_the_advice_helps(photos, base, tmp_path):
    shutil.copytree(photos / "dark", tmp_path / "flat")
    with pytest.raises(RouteError, match=r"the pictures have no labels: .*a folder for each class"):
        generate_model(WORDS, tmp_path / "flat", base_model=base)
    assert generate_model(WORDS, photos, base_model=base).labels == ("dark", "light")


def test_one_class_is_refused(photos, base, tmp_path):
    shutil.copytree(photos / "dark", tmp_path / "set" / "dark")
    with pytest.raises(
        DataError, match=r"every picture is of class 'dark', such as 'dark/.*'; give at least two classes"
    ):
        generate_model(WORDS, tmp_path / "set", base_model=base)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"text_generator": "x"}, "the data are pictures, for which text_generator cannot be given"),
        ({"labels": ["cat", "dog"]}, r"the labels \['cat', 'dog'\] were given, however column 'class' holds"),
    ],
)
def test_options_that_do_not_fit_are_refused(photos, base, options, why):
    with pytest.raises(DataError, match=why):
        generate_model(WORDS, photos, base_model=base, **options)


def test_limits_of_a_specification_are_compared_with_the_network(photos, base):
    spec = flame.understand("Classify cards in webcam pictures with at most 10k parameters.")
    made = generate_model(None, photos, base_model=base, spec=spec)
    assert "parameters <= 10 k was asked for; measured is 1520 k" in notes_of(made)


def test_what_evaluation_cannot_score_is_refused(model, photos, tmp_path):
    with pytest.raises(DataError, match="labels are needed"):
        model.evaluate(NEW)
    other = put_classes(tmp_path, n=1, labels=("dark", "red"))
    with pytest.raises(DataError, match="column 'class' holds 'red'; the model knows the labels"):
        model.evaluate(other)


# --- base models ------------------------------------------------------------------------------------------------------


def test_the_environment_names_the_base_model(photos, base, model, monkeypatch):
    monkeypatch.setenv(VARIABLE, base)
    assert np.array_equal(generate_model(WORDS, photos).predict_proba(NEW), model.predict_proba(NEW))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        (None, "the weights DEFAULT of mobilenet_v2 cannot be fetched"),
        ("mobilenet", r"there is no such file or folder, and the networks are .*Did you mean 'mobilenet_v2'"),
    ],
)
def test_without_a_base_model_the_ways_to_get_one_are_named(photos, monkeypatch, tmp_path, name, why):
    pytest.importorskip("torchvision", reason="networks need torchvision: pip install 'flame-hypernet[vision]'")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=why) as caught:
        generate_model(WORDS, photos, base_model=name)
    for way in (*BASES, ".safetensors", "spec.json", "base_model=", "--base-model", VARIABLE):
        assert way in str(caught.value)


def test_a_file_that_fits_no_network_is_refused(photos, tmp_path):
    pytest.importorskip("torchvision", reason="networks need torchvision: pip install 'flame-hypernet[vision]'")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors holds the weights of none of"):
        generate_model(WORDS, photos, base_model=str(tmp_path / "other.safetensors"))
