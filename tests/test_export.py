"""An export gives the model's answers in its own engine, says what they mean, or is refused and leaves nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ship_fixtures import LABELS, as_dicts, need, toy_model, toy_package, toy_rows

from flame.columns import MISSING
from flame.data import read_rows
from flame.errors import CheckpointError, ConfigError, DataError, FlameError, MissingExtraError
from flame.export import ExportError, ParityReport, export_model
from flame.export.card import card_of, made_up_rows
from flame.export.parity import compare, refuse_if_different
from flame.export.rows import RowError, columns_of, read_csv
from flame.export.runner import Runner, card_hash
from flame.export.table_reader import TableReader
from flame.table.preprocessing import TablePreprocessor

for _package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_package, reason=f"needs the extra 'export', which brings {_package}")

EVERY_MODEL = pytest.mark.parametrize(
    ("arch", "classes"), [("mlp_small", True), ("mlp_small", False), ("mlp_steps", True), ("mlp_steps", False)]
)
PACKAGES = {".pt2": "torch", ".onnx": "onnxruntime", ".xml": "openvino", ".ncnn.param": "pnnx"}


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- the same answers -------------------------------------------------------------------------------------------------


@EVERY_MODEL
@pytest.mark.parametrize("suffix", PACKAGES)
def test_an_export_agrees_with_the_model_in_its_own_engine(tmp_path, arch, classes, suffix):
    need(PACKAGES[suffix])
    report = export_model(toy_model(arch, classes=classes), tmp_path / f"toy{suffix}", rows=toy_rows())
    assert report.relative_difference < 1e-5
    assert report.class_agreement == (1.0 if classes else None)
    assert (report.n_rows, report.rows, report.preprocessing_identical) == (60, "given", True)
    assert json.loads((tmp_path / f"toy{suffix}.parity.json").read_text("utf8")) == report.to_json()


@EVERY_MODEL
def test_any_number_of_rows_goes_through_onnx(arch, classes):
    import onnxruntime

    model = toy_model(arch, classes=classes)
    session = onnxruntime.InferenceSession(str(toy_package(arch, classes=classes) / "model.onnx"))
    for n in (1, 7, 1000):
        x = model.preprocessor.transform(toy_rows(n, seed=n))
        expected = model.predict_proba(toy_rows(n, seed=n)) if classes else model.predict(toy_rows(n, seed=n))[:, None]
        found = session.run(None, {"x": x})[0]
        assert found.shape == (n, 3 if classes else 1)
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


@pytest.mark.parametrize(("arch", "classes"), [("mlp_small", True), ("mlp_steps", False)])
def test_eight_bits_keep_nearly_all_answers_in_less_space(tmp_path, arch, classes):
    report = export_model(toy_model(arch, classes=classes), tmp_path / "toy.int8.onnx")
    kept = report.class_agreement if classes else report.r2
    assert kept is not None
    assert 0.95 <= kept <= 1.0
    assert report.relative_difference > 1e-5
    assert names(tmp_path) == ["toy.int8.onnx", "toy.int8.onnx.parity.json", "toy.json"]
    assert Runner(tmp_path / "toy.int8.onnx").labels == (list(LABELS) if classes else [])


def test_probabilities_sum_to_one_and_stand_in_the_order_of_the_labels():
    model, runner = toy_model(), Runner(toy_package() / "model.onnx")
    outputs = runner.outputs(columns_of(as_dicts(toy_rows()), runner.reader.names))
    np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-6)
    assert runner.answers(outputs) == model.predict(toy_rows()).tolist()


def test_an_exported_program_runs_by_torch_alone(tmp_path):
    model = toy_model("mlp_steps")
    export_model(model, tmp_path / "toy.pt2")
    x = torch.from_numpy(model.preprocessor.transform(toy_rows(5)))
    found = torch.export.load(tmp_path / "toy.pt2").module()(x)
    np.testing.assert_allclose(found.detach().numpy(), model.predict_proba(toy_rows(5)), atol=1e-6)


def test_exporting_changes_nothing_in_the_model(tmp_path):
    model = toy_model()
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    model.module.train()
    export_model(model, tmp_path / "toy.pt2")
    assert model.module.training
    model.module.eval()
    assert all(torch.equal(before[k], v) for k, v in model.module.state_dict().items())


# --- what an export says of itself ------------------------------------------------------------------------------------


def test_labels_target_and_card_stand_in_the_metadata_of_the_onnx_file():
    import onnxruntime

    told = onnxruntime.InferenceSession(str(toy_package() / "model.onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(told["flame.labels"]) == list(LABELS)
    assert (told["flame.target"], told["flame.output"]) == ("answer", "probabilities")
    assert told["flame.card"] == json.loads((toy_package() / "model.json").read_text("utf8"))["sha256"]


@pytest.mark.parametrize("suffix", PACKAGES)
def test_no_file_says_where_it_was_made(tmp_path, suffix):
    need(PACKAGES[suffix])
    export_model(toy_model("mlp_steps"), tmp_path / f"toy{suffix}")
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert b".py" not in content, path.name
        assert str(tmp_path).encode() not in content, path.name


def test_onnx_holds_its_weights_itself(tmp_path):
    report = export_model(toy_model(), tmp_path / "toy.onnx")
    assert names(tmp_path) == ["toy.json", "toy.onnx", "toy.onnx.parity.json"]
    assert report.n_bytes == (tmp_path / "toy.onnx").stat().st_size > 4 * toy_model().n_parameters()


def test_openvino_keeps_32_bits_and_sends_nothing(tmp_path):
    need("openvino")
    report = export_model(toy_model(), tmp_path / "toy.xml")
    assert (tmp_path / "toy.bin").stat().st_size >= 4 * toy_model().n_parameters()
    assert report.relative_difference < 1e-6
    assert sys.modules["openvino_telemetry"] is None


def pretend(monkeypatch, name: str = "onnx", run=lambda form, place: form.expected) -> None:
    """A format whose file is empty and whose engine answers as told."""
    from flame.export.writers import FORMATS

    written = replace(FORMATS[name], write=lambda form, place: place.touch(), run=run, packages=())
    monkeypatch.setitem(FORMATS, name, written)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_an_export_that_disagrees_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    pretend(monkeypatch, run=lambda form, place: form.expected + np.float32(2e-5))
    with pytest.raises(ExportError, match=r"toy\.onnx differs from the model by 2e-05 on 512 rows, at most 1e-05"):
        export_model(toy_model(), tmp_path / "toy.onnx")
    assert names(tmp_path) == []


def test_an_older_export_survives_a_refused_one(tmp_path, monkeypatch):
    pretend(monkeypatch)
    export_model(toy_model(), tmp_path / "toy.onnx")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert len(before) == 3
    pretend(monkeypatch, run=lambda form, place: form.expected * 0)
    with pytest.raises(ExportError):
        export_model(toy_model(), tmp_path / "toy.onnx")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_eight_bits_that_lose_the_classes_are_refused(tmp_path, monkeypatch):
    pretend(monkeypatch, "int8", run=lambda form, place: form.expected[:, ::-1].copy())
    with pytest.raises(ExportError, match=r"share of equal classes .* at least 0\.95 is accepted"):
        export_model(toy_model(), tmp_path / "toy.int8.onnx")
    assert names(tmp_path) == []


def test_a_reader_that_would_make_other_inputs_is_found_out(tmp_path, monkeypatch):
    pretend(monkeypatch)
    monkeypatch.setattr("flame.export.card.CLIP", 1.0)
    with pytest.raises(ExportError, match="makes other inputs"):
        export_model(toy_model(), tmp_path / "toy.onnx")


def test_logits_are_compared_where_probabilities_hide_them():
    sure, less = np.array([[1 - 1e-9, 1e-9]]), np.array([[1 - 1e-8, 1e-8]])
    found = compare(sure, less, classes=True)
    assert found["relative_difference"] < 1e-7
    assert found["logit_difference"] == pytest.approx(np.log(10) / np.log(1e9), rel=1e-3)
    assert compare(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]), classes=True)["logit_difference"] == 0.0


def test_two_classes_that_are_as_likely_may_change_places():
    tie = np.array([[0.5, 0.5 - 1e-7], [0.9, 0.1]])
    assert compare(tie, tie[:, ::-1], classes=True)["class_agreement"] == 0.5


def test_another_class_is_refused_even_where_the_difference_is_small():
    some = {"n_rows": 2, "rows": "given", "preprocessing_identical": True, "n_bytes": 1, "versions": {}}
    a, b = np.array([[0.5 + 6e-6, 0.5 - 6e-6]]), np.array([[0.5 - 1e-6, 0.5 + 1e-6]])
    found = {**compare(a, b, classes=True), "logit_difference": 0.0}
    assert found["relative_difference"] < 1e-5
    with pytest.raises(ExportError, match=r"toy\.onnx gives other classes than the model"):
        refuse_if_different(ParityReport(file="toy.onnx", format="onnx", **some, **found), exact=True)


def test_outputs_that_are_no_numbers_are_refused():
    good, bad = np.zeros((2, 1)), np.array([[0.0], [np.nan]])
    with pytest.raises(ExportError, match="finite outputs"):
        compare(bad, bad, classes=False)
    with pytest.raises(ExportError, match=r"shape \(2, 1\) are expected .* however: \(2, 3\)"):
        compare(good, np.zeros((2, 3)), classes=False)


@pytest.mark.parametrize(
    ("name", "format", "why"),
    [
        ("toy.bin", None, "suffixes"),
        (".onnx", None, "suffixes"),
        ("toy", "onx", "Did you mean 'onnx'"),
        ("toy.pt2", "onnx", "has the suffix '.onnx'"),
    ],
)
def test_unknown_formats_are_refused_with_the_known_ones(tmp_path, name, format, why):
    with pytest.raises(ConfigError, match=why):
        export_model(toy_model(), tmp_path / name, format=format)


def test_a_format_by_name_brings_its_suffix(tmp_path, monkeypatch):
    pretend(monkeypatch)
    assert export_model(toy_model(), tmp_path / "toy", format="onnx").file == "toy.onnx"
    assert (tmp_path / "toy.onnx").is_file()


def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch):
    for package in ("onnxscript", "ncnn", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"'onnxscript'; .* pip install 'flame-hypernet\[export\]'"):
        export_model(toy_model(), tmp_path / "toy.onnx")
    for suffix in (".ncnn.param", ".xml"):
        with pytest.raises(MissingExtraError, match=suffix):
            export_model(toy_model(), tmp_path / f"toy{suffix}")
    assert names(tmp_path) == []


def test_rows_that_lack_a_column_and_no_rows_are_refused(tmp_path):
    with pytest.raises(DataError, match="'age' missing"):
        export_model(toy_model(), tmp_path / "toy.onnx", rows=toy_rows().drop(columns="age"))
    with pytest.raises(DataError, match="however: none"):
        export_model(toy_model(), tmp_path / "toy.onnx", rows=toy_rows().iloc[:0])
    assert names(tmp_path) == []


def test_a_folder_in_the_way_is_refused(tmp_path, monkeypatch):
    pretend(monkeypatch)
    (tmp_path / "toy.onnx").mkdir()
    with pytest.raises(CheckpointError, match=r"toy\.onnx is a folder"):
        export_model(toy_model(), tmp_path / "toy.onnx")
    assert names(tmp_path) == ["toy.onnx"]


def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch):
    real = Path.write_text

    def full(self, *args, **options):
        if self.name.endswith(".parity.json"):
            raise OSError(28, "No space left on device")
        return real(self, *args, **options)

    pretend(monkeypatch)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CheckpointError, match="No space left"):
        export_model(toy_model(), tmp_path / "toy.onnx")
    assert names(tmp_path) == []


def test_a_model_that_no_exporter_knows_is_refused(tmp_path):
    with pytest.raises(ExportError, match="a model of table, text, image is expected"):
        export_model(replace(toy_model(), preprocessor=object()), tmp_path / "toy.onnx")
    assert issubclass(ExportError, FlameError)


# --- the card and its reader ------------------------------------------------------------------------------------------


def reader(preprocessor: TablePreprocessor | None = None) -> TableReader:
    return TableReader(card_of(replace(toy_model(), preprocessor=preprocessor or toy_model().preprocessor)))


CELLS = [1, -2.5, 3.0, True, False, None, "1", " 2.0 ", "2.000", "x", "Köln ", 'a "b"', "nan", "inf", 1e400, 10**400]
CELLS += ["1e3", "-0", -0.0, "٣", "1.", ".5", "+4", 1e22, 123456789012345678, np.float32(2.5), np.int64(7), *MISSING]


@pytest.mark.parametrize("cell", CELLS, ids=repr)
def test_the_shipped_reader_makes_the_same_numbers_of_every_kind_of_cell(cell):
    preprocessor = toy_model().preprocessor
    frame = toy_rows(1).astype(object)
    numbers = [c.name for c in preprocessor.columns if c.kind == "numeric"]
    for name in frame.columns:
        text_in_numbers = name in numbers and isinstance(cell, str) and not _is_number(cell)
        frame[name] = pd.Series([0 if text_in_numbers else cell], dtype=object)
    cells = {name: frame[name].tolist() for name in frame}
    np.testing.assert_array_equal(reader().matrix(cells), preprocessor.transform(frame))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.strip() in MISSING
    return True


@pytest.mark.parametrize("cell", ["1_000", "ten", "1,5", "0x10", [1], {"a": 1}, "\ud800"], ids=ascii)
def test_what_the_library_refuses_the_shipped_reader_refuses_naming_row_and_column(cell):
    frame = toy_rows(3).astype(object)
    cells = {name: frame[name].where(frame[name].notna(), None).tolist() for name in frame}
    cells["age"][1] = cell
    frame["age"] = pd.Series(cells["age"], dtype=object)
    with pytest.raises(DataError):
        toy_model().preprocessor.transform(frame)
    with pytest.raises(RowError, match="row 2, column 'age': ") as caught:
        reader().matrix(cells)
    assert caught.value.faults[0].keys() == {"row", "column", "message"}


def test_made_up_rows_reach_every_input():
    rows = made_up_rows(toy_model().preprocessor)
    assert (np.abs(toy_model().preprocessor.transform(rows)).max(0) > 0).all()


def test_a_file_and_the_library_give_the_same_matrix(tmp_path):
    for separator, decimal in ((",", "."), (";", ","), ("\t", ".")):
        suffix = "tsv" if separator == "\t" else "csv"
        place = tmp_path / f"rows.{suffix}"
        rows = toy_rows().replace({"code": {"2.0": "2"}})  # a point in the file means that no comma is decimal
        rows.to_csv(place, sep=separator, decimal=decimal, index=False)
        preprocessor = toy_model().preprocessor
        with place.open(encoding="utf8", newline="") as file:
            parts = [reader().matrix(table) for _, table in read_csv(file, reader(), chunk=7)]
        np.testing.assert_array_equal(np.concatenate(parts), preprocessor.transform(read_rows(place)))


def test_truth_values_of_files_may_be_written_small():
    header, row = 'age,income,code,smoker,"city, town"\n', "1,2,x,{},Bonn\n"
    found = [
        reader().matrix(next(read_csv([header, row.format(word)], reader()))[1]) for word in ("True", "true", "TRUE")
    ]
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["age,Income\n", "1,2\n"], r"column 'income': it is missing; is it 'Income'\?"),
        (['age,age,income,code,smoker,"city, town"\n'], "column 'age': it stands twice"),
        (['age,income,code,smoker,"city, town"\n', "1,2,x,True,Bonn\n", "1,2\n"], "row 2: 5 cells are expected"),
        ([], "column 'age': it is missing"),
    ],
)
def test_files_that_do_not_fit_are_refused_with_a_reason(lines, why):
    with pytest.raises(RowError, match=why):
        list(read_csv(lines, reader()))


def test_many_faults_are_told_in_few_words():
    rows = [{"age": 1}] * 10_000
    with pytest.raises(RowError) as caught:
        columns_of(rows, reader().names)
    assert len(caught.value.faults) == 5
    assert str(caught.value).endswith("; ...")


@pytest.mark.parametrize("key", ["labels", "clip", "target", "columns"])
def test_a_card_that_was_changed_is_refused(tmp_path, key):
    shutil.copy(toy_package() / "model.onnx", tmp_path / "toy.onnx")
    card = json.loads((toy_package() / "model.json").read_text("utf8"))
    card[key] = card[key][::-1] if isinstance(card[key], list | str) else card[key] + 1
    (tmp_path / "toy.json").write_text(json.dumps(card), "utf8")
    with pytest.raises(ValueError, match="was changed"):
        Runner(tmp_path / "toy.onnx")
    card["sha256"] = card_hash(card)  # as a forger would
    (tmp_path / "toy.json").write_text(json.dumps(card), "utf8")
    with pytest.raises(ValueError, match="belongs to another model"):
        Runner(tmp_path / "toy.onnx")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": "flame-export", "version": 2}'])
def test_what_is_no_card_is_refused(tmp_path, text):
    (tmp_path / "toy.json").write_text(text)
    with pytest.raises(ValueError, match="card"):
        Runner(tmp_path / "toy.onnx")


def test_importing_the_exporters_loads_none_of_the_engines():
    code = (
        "import flame.export, flame.serve, sys; print('numpy' in sys.modules, {'torch', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "set()"]
