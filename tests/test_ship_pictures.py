"""Picture models answer alike in every engine, in a package and behind HTTP, for pictures of any size and kind."""

from __future__ import annotations

import base64
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_fixtures import picture, put_classes
from ship_fixtures import client_fixture, client_of, need, package_fixture, run_package, toy_picture_model  # noqa: F401

from flame import GeneratedModel
from flame.errors import DataError, MissingExtraError
from flame.export import ExportError, export_model
from flame.export.picture_form import card_of, encoded
from flame.export.picture_reader import PictureReader
from flame.export.rows import RowError
from flame.export.runner import Runner
from flame.picture.preprocessing import PicturePreprocessor
from flame.serve import Limits, make_app
from targets.vision_weights import PictureScale

pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
for _package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_package, reason=f"needs the extra 'export', which brings {_package}")


@pytest.fixture(scope="module", name="photos")
def photos_fixture(tmp_path_factory) -> Path:
    return put_classes(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module", name="model")
def model_fixture() -> GeneratedModel:
    return toy_picture_model()


def png(label: str, seed: int, **options: Any) -> bytes:
    return encoded(picture(label, seed, **options))


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "package"),
    [(".pt2", "torch"), (".onnx", "onnxruntime"), (".xml", "openvino"), (".ncnn.param", "pnnx")],
)
def test_an_export_agrees_on_pictures_of_all_sizes(tmp_path, model, suffix, package):
    need(package)
    report = export_model(model, tmp_path / f"toy{suffix}")
    assert max(report.relative_difference, report.logit_difference or 1.0) < 1e-5
    assert (report.class_agreement, report.preprocessing_identical, report.rows) == (1.0, True, "made up")


def test_eight_bits_keep_nearly_all_classes(tmp_path, model, photos):
    report = export_model(model, tmp_path / "toy.int8.onnx", rows=photos)
    assert (report.class_agreement or 0.0) >= 0.95
    assert report.relative_difference > 1e-5


def test_any_number_of_pictures_goes_through_onnx(package, model):
    runner = Runner(package / "model.onnx")
    for n in (1, 3, 17):
        cells = [picture(("dark", "light")[i % 2], i, size=(30 + i, 50)) for i in range(n)]
        found = runner.outputs({"image": [encoded(c) for c in cells]})
        np.testing.assert_allclose(found, model.predict_proba(cells), atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_shipped_reader_makes_the_pixels_that_the_model_reads(model, interpolation, tmp_path):
    from PIL import Image

    scale = PictureScale(resize=72, side=64, interpolation=interpolation)
    preprocessor = PicturePreprocessor(scale)
    reader = PictureReader({**card_of(model), **preprocessor.to_json()})
    whole = picture("red", 1, size=(900, 700))
    whole.save(tmp_path / "large.jpg", quality=90)
    turned = whole.getexif()
    turned[0x0112] = 6
    whole.save(tmp_path / "turned.jpg", exif=turned)
    whole.convert("L").resize((31, 400)).save(tmp_path / "strip.png")
    whole.quantize(16).save(tmp_path / "palette.gif")
    whole.convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(np.arange(60 * 50, dtype=np.uint16).reshape(60, 50) * 20).save(tmp_path / "deep.png")
    whole.convert("RGBA").rotate(30).save(tmp_path / "clear.webp")
    for place in sorted(tmp_path.iterdir()):
        expected = preprocessor.encode(preprocessor.read([str(place)])).take(slice(0, 1))[0].numpy()
        found = reader.inputs({"image": [place.read_bytes()]})["x"]
        assert (found.shape, found.dtype) == (expected.shape, np.float32)
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=place.name)


def test_a_reader_that_scales_otherwise_is_found_out(tmp_path, model, monkeypatch):
    import flame.export.picture_reader as picture_reader

    resizing = picture_reader._resizing
    monkeypatch.setattr(picture_reader, "_resizing", lambda n_in, n_out, cubic: resizing(n_in, n_out, not cubic))
    with pytest.raises(ExportError, match="other inputs"):
        export_model(model, tmp_path / "toy.pt2")
    assert list(tmp_path.iterdir()) == []


def test_no_pictures_to_compare_on_are_refused(tmp_path, model):
    with pytest.raises(DataError, match="leave them out"):
        export_model(model, tmp_path / "toy.onnx", rows=[])


# --- the package ------------------------------------------------------------------------------------------------------


def test_a_package_answers_for_files_and_folders_without_torch(package, model, photos, tmp_path):
    done = run_package(package, photos / "dark", photos / "light" / "0.png", "--proba", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = csv.reader(done.stdout.splitlines())
    paths = [*sorted(map(str, (photos / "dark").iterdir())), str(photos / "light" / "0.png")]
    assert header == ["file", model.target, "p(dark)", "p(light)"]
    assert [line[:2] for line in lines] == [[p, label] for p, label in zip(paths, model.predict(paths), strict=True)]
    found = np.array([line[2:] for line in lines], dtype="float64")
    np.testing.assert_allclose(found, model.predict_proba(paths), atol=1e-5)


def test_a_package_says_what_it_needs_and_its_example_can_be_read(package, tmp_path):
    needed = (package / "requirements.txt").read_text("utf8").split()
    assert [line.split("==")[0] for line in needed] == ["numpy", "onnxruntime", "pillow"]
    done = run_package(package, package / "example.ppm", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


def broken() -> dict[str, bytes]:
    whole = png("dark", 1, size=(200, 200))
    return {
        "cut short": whole[:500],
        "header alone": whole[:20],
        "empty": b"",
        "text": b"no picture at all",
        "a bomb": b"P6 60000 60000 255\n" + b"\0" * 100,
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n",
    }


@pytest.mark.parametrize("name", broken())
def test_broken_pictures_end_with_code_2_and_one_line(package, tmp_path, name):
    (tmp_path / "bad.png").write_bytes(broken()[name])
    with pytest.raises(RowError, match="row 2, column 'image': a picture cannot be read"):
        Runner(package / "model.onnx").outputs({"image": [png("dark", 1), broken()[name]]})
    if name == "cut short":
        done = run_package(package, "bad.png", cwd=tmp_path)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)


# --- the service ------------------------------------------------------------------------------------------------------


def test_pictures_are_answered_as_files_of_a_form_as_a_body_and_in_base64(client, model):
    cells = [picture("dark", 1), picture("light", 2), picture("red", 3, size=(300, 200))]
    contents = [encoded(c) for c in cells]
    texts = [base64.b64encode(c).decode() for c in contents]
    files = [("file", (f"{i}.png", c, "image/png")) for i, c in enumerate(contents)]
    as_form = client.post("/predict", files=files).json()
    as_rows = client.post("/predict", json={"rows": [{"image": t} for t in texts]}).json()
    as_list = client.post("/predict", json={"images": [f"data:image/png;base64,{t}" for t in texts]}).json()
    assert as_form == as_rows == as_list
    assert [p["prediction"] for p in as_form["predictions"]] == model.predict(cells).tolist()
    found = [[p["probabilities"][label] for label in model.labels] for p in as_form["predictions"]]
    np.testing.assert_allclose(found, model.predict_proba(cells), atol=1e-5)
    alone = client.post("/predict", content=contents[2], headers={"content-type": "image/png"}).json()
    assert alone["predictions"][0] == as_form["predictions"][2]


@pytest.mark.parametrize("name", broken())
def test_broken_and_hostile_pictures_are_refused_with_their_row(client, name):
    files = [("file", ("a.png", png("dark", 1), "image/png")), ("file", ("b.png", broken()[name], "image/png"))]
    text = base64.b64encode(broken()[name]).decode()
    for answered in (
        client.post("/predict", files=files),
        client.post("/predict", json={"images": [base64.b64encode(png("dark", 1)).decode(), text]}),
    ):
        assert answered.status_code == 422, answered.text
        assert [(f["row"], f["column"]) for f in answered.json()["faults"]] == [(2, "image")]


def test_large_pictures_are_refused_before_they_are_decoded(package):
    client = client_of(make_app(package, limits=Limits(max_pixels=1000)))
    head = {"content-type": "image/png"}
    assert client.post("/predict", content=png("dark", 1), headers=head).status_code == 200
    answered = client.post("/predict", content=png("dark", 1, size=(40, 30)), headers=head)
    assert answered.status_code == 422
    assert "at most 0.001 megapixels" in answered.json()["detail"]


def test_a_service_without_pillow_says_so_at_its_start(package, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"'PIL'; .* pip install 'flame-hypernet\[vision\]'"):
        make_app(package)


@pytest.mark.parametrize(
    ("options", "status", "why"),
    [
        ({"json": {"images": []}}, 422, "at least one row"),
        ({"json": {"images": ["/etc/passwd"]}}, 422, "a picture in base64 is expected, however: '/etc/passwd'"),
        ({"json": {"images": [["a"], None, "ü"]}}, 422, "row 1, column 'image'"),
        ({"json": {"rows": [{"picture": "aaaa"}]}}, 422, "column 'image': it is missing"),
        ({"json": {"images": ["aaaa"] * 65}}, 413, "at most 64 rows"),
        ({"files": [("file", ("a.png", b"x", "image/png"))] * 65}, 413, "at most 64 rows"),
        ({"data": {"file": "no file"}}, 415, "image/*"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "curl -F file=@cat.jpg"),
    ],
)
def test_bodies_that_hold_no_pictures_are_refused_with_a_reason(client, options, status, why):
    answered = client.post("/predict", **options)
    assert answered.status_code == status, answered.text
    assert why in answered.json()["detail"]


def test_examples_of_the_documentation_are_answered(client):
    said = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    asked = client.post("/predict", json=said["requestBody"]["content"]["application/json"]["example"])
    assert asked.json() == said["responses"]["200"]["content"]["application/json"]["example"]
    assert {"image/jpeg", "image/png", "multipart/form-data"} <= set(said["requestBody"]["content"])
    spec = client.get("/spec").json()
    assert (spec["columns"], spec["max_rows"]) == ([{"name": "image", "kind": "image"}], 64)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM"]),
    rest=st.binary(max_size=60),
)
def test_no_bytes_whatever_bring_the_service_down(client, start, rest):
    answered = client.post("/predict", content=start + rest, headers={"content-type": "image/png"})
    assert answered.status_code in (200, 422), answered.text
