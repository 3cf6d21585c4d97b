"""A packaged model is a folder that answers where neither torch, pandas nor this library is to be found."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from ship_fixtures import as_dicts, run_package, toy_model, toy_package, toy_rows

from flame.errors import CheckpointError, MissingExtraError
from flame.export import ExportError, package_model

for _package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(_package, reason=f"needs the extra 'export', which brings {_package}")

EVERY_KIND = pytest.mark.parametrize(("arch", "classes"), [("mlp_small", True), ("mlp_steps", False)])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    toy_rows().to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


@EVERY_KIND
def test_a_fresh_process_without_torch_gives_the_models_answers(tmp_path, rows, arch, classes):
    done = run_package(toy_package(arch, classes=classes), rows, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines = csv.reader(done.stdout.splitlines())
    expected = toy_model(arch, classes=classes).predict(toy_rows())
    assert header == ["answer"]
    if classes:
        assert [line[0] for line in lines] == expected.tolist()
    else:
        np.testing.assert_allclose(
            [float(line[0]) for line in lines], expected, rtol=1e-5, atol=1e-5 * abs(expected).max()
        )


def test_probabilities_are_the_models(tmp_path, rows):
    done = run_package(toy_package(), rows, "--proba", "--output", "out.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    header, *lines = csv.reader((tmp_path / "out.csv").read_text("utf8").splitlines())
    assert header == ["answer", "p(high)", "p(low)", "p(größer)"]
    found = np.array([line[1:] for line in lines], dtype="float64")
    np.testing.assert_allclose(found, toy_model().predict_proba(toy_rows()), atol=1e-6)


@EVERY_KIND
def test_the_example_of_the_package_can_be_read(tmp_path, arch, classes):
    package = toy_package(arch, classes=classes)
    done = run_package(package, package / "example.csv", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


def test_the_package_says_what_it_holds():
    files = {p.name for p in toy_package().iterdir()}
    assert files == {
        *("model.onnx", "model.json", "model.onnx.parity.json", "runner.py", "rows.py"),
        "table_reader.py",
        *("requirements.txt", "Dockerfile", "example.csv", "README.md"),
    }
    readme = (toy_package() / "README.md").read_text("utf8")
    assert "`city, town`: a category: `Bonn`, `Köln`" in readme
    assert "one of `high`, `low`, `größer`" in readme
    needed = (toy_package() / "requirements.txt").read_text("utf8").split()
    assert [line.split("==")[0] for line in needed] == ["numpy", "onnxruntime"]


def test_no_row_of_the_users_is_in_the_package(tmp_path):
    place = tmp_path / "package"
    package_model(toy_model(), place, rows=toy_rows())
    told = " ".join(p.read_text("utf8", errors="replace") for p in place.iterdir())
    incomes = [repr(row["income"]) for row in as_dicts(toy_rows())]
    assert not any(income in told for income in incomes)
    assert str(tmp_path) not in told


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age,income\n1,2\n", "column 'city, town': it is missing"),
        ('age,income,code,smoker,"city, town"\nten,2,x,True,Bonn\n', "row 1, column 'age': a number is expected"),
        ("", "it is missing"),
    ],
)
def test_rows_at_fault_end_with_code_2_and_one_line(tmp_path, text, why):
    (tmp_path / "bad.csv").write_text(text, "utf8")
    done = run_package(toy_package(), "bad.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_header_alone_gives_a_header_alone(tmp_path):
    (tmp_path / "none.csv").write_text('age,income,code,smoker,"city, town"\n', "utf8")
    assert run_package(toy_package(), "none.csv", cwd=tmp_path).stdout == "answer\n"


def test_a_package_is_replaced_and_something_else_is_not(tmp_path, monkeypatch):
    quick_export(monkeypatch)
    package_model(toy_model(), tmp_path / "package")
    package_model(toy_model(), tmp_path / "package")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.json").write_text("{}")
    with pytest.raises(CheckpointError, match="was not written by this library"):
        package_model(toy_model(), tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "package"]


def test_a_refused_export_leaves_no_package(tmp_path, monkeypatch):
    quick_export(monkeypatch, run=lambda form, place: form.expected * 0)
    with pytest.raises(ExportError):
        package_model(toy_model(), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"flame-hypernet\[export\]"):
        package_model(toy_model(), tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def quick_export(monkeypatch, run=lambda form, place: form.expected) -> None:
    from dataclasses import replace

    from flame.export.writers import FORMATS

    written = replace(FORMATS["onnx"], write=lambda form, place: place.touch(), run=run, packages=())
    monkeypatch.setitem(FORMATS, "onnx", written)


# --- the commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command():
    """The commands as the lead registers them."""
    import typer
    from typer.testing import CliRunner

    from flame.cli import shipping as shipping_cli

    app = typer.Typer()
    for function in (shipping_cli.export, shipping_cli.package, shipping_cli.serve):
        app.command()(function)
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)


def test_a_saved_model_is_exported_by_the_command(tmp_path, command, rows):
    toy_model().save(tmp_path / "saved")
    done = command("export", tmp_path / "saved", tmp_path / "toy.onnx", "--rows", rows, "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["saved_to"] == str(tmp_path / "toy.onnx")
    assert said["class_agreement"] == 1.0
    assert os.path.isfile(said["saved_to"])


def test_a_saved_model_is_packaged_by_the_command(tmp_path, command, monkeypatch):
    quick_export(monkeypatch)
    toy_model().save(tmp_path / "saved")
    done = command("package", tmp_path / "saved", tmp_path / "package", "--json")
    assert done.exit_code == 0, done.output
    assert "runner.py" in json.loads(done.stdout)["files"]


def test_an_unknown_suffix_is_told_by_the_command(tmp_path, command):
    toy_model().save(tmp_path / "saved")
    done = command("export", tmp_path / "saved", tmp_path / "toy.tflite")
    assert "suffixes" in str(done.exception)
