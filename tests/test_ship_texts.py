"""Text models answer alike in every engine that can hold them, in a package and behind HTTP, at any length."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ship_fixtures import client_fixture, client_of, need, package_fixture, run_package  # noqa: F401
from text_fixtures import BAD, GOOD, LABELS, TEXTS, base_fixture, bases_fixture, stirred_generator  # noqa: F401

from flame import GeneratedModel, generate_model
from flame.errors import DataError
from flame.export import ExportError, export_model
from flame.export.rows import RowError
from flame.export.runner import Runner
from flame.serve import make_app

for _package in ("onnx", "onnxscript", "onnxruntime", "tokenizers"):
    pytest.importorskip(_package, reason=f"needs the extra 'export', which brings {_package}")

LONG = "good film " * 40
MIXED = ["", "bad", "good fine film good", LONG, " ünknown 字 words? ", "null"]
PAIRS = [(a, b) for a, b in zip(GOOD + GOOD, GOOD[::-1] + BAD, strict=True)]
ALIKE = ["yes"] * len(GOOD) + ["no"] * len(GOOD)


def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "label": LABELS})


@pytest.fixture(scope="module", name="model")
def model_fixture(base) -> GeneratedModel:
    """With an adapter that changes the encoder."""
    return generate_model("Sentiment", frame(), base_model=base, text_generator=stirred_generator(base))


@pytest.fixture(scope="module", name="pairs")
def pairs_fixture(base) -> GeneratedModel:
    rows = pd.DataFrame(PAIRS, columns=["sentence1", "sentence2"]).assign(label=ALIKE)
    return generate_model("Do the two sentences mean the same?", rows, base_model=base)


@pytest.fixture(scope="module", name="exported_pairs")
def exported_pairs_fixture(pairs, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("pairs") / "pairs.onnx"
    export_model(pairs, place, rows=PAIRS)
    return place


# --- engines ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "package"), [(".pt2", "torch"), (".onnx", "onnxruntime"), (".xml", "openvino")])
def test_an_export_agrees_on_texts_of_all_lengths(tmp_path, model, suffix, package):
    need(package)
    report = export_model(model, tmp_path / f"toy{suffix}", rows=MIXED)
    assert max(report.relative_difference, report.logit_difference or 1.0) < 1e-5
    assert (report.class_agreement, report.preprocessing_identical) == (1.0, True)
    assert report.n_rows > len(MIXED)
    assert report.rows == "given, and made up of all lengths"


@pytest.mark.parametrize("shape", ["bert-mean", "distilbert-cls"])
def test_every_family_and_pooling_goes_through_onnx(tmp_path, bases, shape):
    made = generate_model("Sentiment", frame(), base_model=bases[shape])
    export_model(made, tmp_path / "toy.onnx")
    runner = Runner(tmp_path / "toy.onnx")
    np.testing.assert_allclose(runner.outputs({"text": MIXED}), made.predict_proba(MIXED), atol=1e-6)
    for text in MIXED:  # alone: another length, and no padding
        np.testing.assert_allclose(runner.outputs({"text": [text]}), made.predict_proba([text]), atol=1e-6)


def test_pairs_are_told_apart_by_their_segments(exported_pairs, pairs):
    runner = Runner(exported_pairs)
    first, second = map(list, zip(*PAIRS, ("", "bad"), (LONG, LONG), strict=True))
    expected = pairs.predict_proba(list(zip(first, second, strict=True)))
    np.testing.assert_allclose(runner.outputs({"sentence1": first, "sentence2": second}), expected, atol=1e-6)
    turned = runner.outputs({"sentence1": second, "sentence2": first})
    assert np.abs(turned - expected).max() > 1e-4


def test_the_merged_adapter_is_exported_and_the_model_stays_as_it_is(tmp_path, package, model, base):
    before = {name: value.clone() for name, value in model.module.state_dict().items()}
    export_model(model, tmp_path / "toy.pt2")
    assert all((before[name] == value).all() for name, value in model.module.state_dict().items())
    plain = generate_model("Sentiment", frame(), base_model=base)
    found = Runner(package / "model.onnx").outputs({"text": TEXTS})
    assert np.abs(found - plain.predict_proba(TEXTS)).max() > 1e-3  # the adapter makes the difference


def test_ncnn_is_refused_with_the_reason(tmp_path, model):
    need("ncnn")
    need("pnnx")
    with pytest.raises(ExportError, match="wrongly for texts of another length"):
        export_model(model, tmp_path / "toy.ncnn.param")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_cuts_elsewhere_is_found_out(tmp_path, model, monkeypatch):
    import flame.export.text_form as text_form

    rules = text_form._rules
    monkeypatch.setattr(text_form, "_rules", lambda tokenizer, n: rules(tokenizer, n - 1))
    with pytest.raises(ExportError, match="other inputs"):
        export_model(model, tmp_path / "toy.pt2")
    assert list(tmp_path.iterdir()) == []


def test_no_texts_to_compare_on_and_a_foreign_module_are_refused(tmp_path, model):
    with pytest.raises(DataError, match="leave them out"):
        export_model(model, tmp_path / "toy.onnx", rows=[])
    with pytest.raises(ExportError, match="AdaptedText"):
        export_model(replace(model, module=model.module.merged()), tmp_path / "toy.onnx")


# --- the package ------------------------------------------------------------------------------------------------------


def test_a_package_answers_without_torch_and_transformers(package, model, tmp_path):
    pd.DataFrame({"n": range(len(MIXED)), "text": MIXED}).to_csv(tmp_path / "rows.csv", index=False)
    done = run_package(package, "rows.csv", "--proba", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = csv.reader(done.stdout.splitlines())
    assert header == ["label", *(f"p({label})" for label in model.labels)]
    assert [line[0] for line in lines] == model.predict(MIXED).tolist()
    found = np.array([line[1:] for line in lines], dtype="float64")
    np.testing.assert_allclose(found, model.predict_proba(MIXED), atol=1e-6)


def test_a_package_says_what_it_needs_and_its_example_can_be_read(package, tmp_path):
    files = {p.name for p in package.iterdir()}
    assert {"runner.py", "rows.py", "text_reader.py", "example.csv"} < files
    assert "table_reader.py" not in files
    needed = (package / "requirements.txt").read_text("utf8").split()
    assert [line.split("==")[0] for line in needed] == ["numpy", "onnxruntime", "tokenizers"]
    assert "text_reader.py" in (package / "Dockerfile").read_text("utf8")
    assert run_package(package, package / "example.csv", cwd=tmp_path).returncode == 0


def test_a_tokenizer_that_was_changed_is_refused(package, tmp_path):
    for name in ("model.onnx", "model.json"):
        (tmp_path / name).write_bytes((package / name).read_bytes())
    card = json.loads((tmp_path / "model.json").read_text("utf8"))
    card["tokenizer"]["model"]["vocab"]["good"] = 1
    (tmp_path / "model.json").write_text(json.dumps(card), "utf8")
    with pytest.raises(ValueError, match="was changed"):
        Runner(tmp_path / "model.onnx")


def test_cells_that_are_no_text_are_named(package):
    with pytest.raises(RowError, match="row 2, column 'text': a number or a text is expected"):
        Runner(package / "model.onnx").outputs({"text": ["fine", ["a", "list"], "\ud800"]})


# --- the service ------------------------------------------------------------------------------------------------------


def test_texts_are_answered_as_rows_as_a_list_and_as_csv(client, model):
    as_rows = client.post("/predict", json={"rows": [{"text": t} for t in MIXED]}).json()
    as_list = client.post("/predict", json={"texts": MIXED}).json()
    table = pd.DataFrame({"text": MIXED, "other": 1}).to_csv(index=False)
    as_csv = client.post("/predict", content=table.encode(), headers={"content-type": "text/csv"}).json()
    assert as_rows == as_list == as_csv
    assert [p["prediction"] for p in as_rows["predictions"]] == model.predict(MIXED).tolist()
    found = [[p["probabilities"][label] for label in model.labels] for p in as_rows["predictions"]]
    np.testing.assert_allclose(found, model.predict_proba(MIXED), atol=1e-6)


def test_pairs_are_answered_as_lists_of_two(pairs, exported_pairs):
    client = client_of(make_app(exported_pairs))
    answered = client.post("/predict", json={"texts": [list(p) for p in PAIRS]}).json()
    assert [p["prediction"] for p in answered["predictions"]] == pairs.predict(PAIRS).tolist()
    alone = client.post("/predict", json={"texts": ["one text"]})
    assert (alone.status_code, alone.json()["faults"][0]["row"]) == (422, 1)
    said = client.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]["content"]
    assert client.post("/predict", json=said["application/json"]["example"]).status_code == 200


def test_examples_of_the_documentation_are_answered(client):
    said = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    bodies = said["requestBody"]["content"]
    asked = client.post("/predict", json=bodies["application/json"]["example"])
    as_csv = client.post("/predict", content=bodies["text/csv"]["example"], headers={"content-type": "text/csv"})
    assert asked.json() == as_csv.json() == said["responses"]["200"]["content"]["application/json"]["example"]
    spec = client.get("/spec").json()
    assert (spec["columns"], spec["max_rows"]) == ([{"name": "text", "kind": "text"}], 1000)
    assert "tokenizer" not in spec


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"texts": []}, 422, "at least one row"),
        ({"texts": "one"}, 422, '"texts": [...]'),
        ({"texts": ["a", ["b", "c"]]}, 422, "row 2"),
        ({"texts": [{"a": 1}]}, 422, "column 'text'"),
        ({"rows": [{"words": "a"}]}, 422, "column 'text': it is missing"),
        ({"texts": ["a"] * 1001}, 413, "at most 1000 rows"),
    ],
)
def test_texts_that_cannot_be_read_are_refused_with_a_reason(client, body, status, why):
    answered = client.post("/predict", json=body)
    assert answered.status_code == status, answered.text
    assert why in answered.json()["detail"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(texts=st.lists(st.text(max_size=30) | st.none() | st.integers() | st.lists(st.text(), max_size=2), max_size=4))
def test_no_texts_whatever_bring_the_service_down(texts, client):
    body = json.dumps({"texts": texts}).encode()
    answered = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answered.status_code in (200, 422), answered.text
