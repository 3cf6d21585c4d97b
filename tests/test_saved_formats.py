"""Folders that earlier versions wrote are read, and a folder that anybody changed is refused or answers the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flame import GeneratedModel, load
from flame.errors import FlameError
from flame.saving import FORMAT_VERSION, WEIGHTS

PLACE = Path(__file__).with_name("saved_models")
FOLDERS = sorted(p.name for p in PLACE.glob("[0-9]*"))
EVERY_FOLDER = pytest.mark.parametrize("name", FOLDERS)
READ = ("flame.json", *WEIGHTS)


def opened(folder: Path) -> GeneratedModel:
    return load(folder, base_model=str(PLACE / "base") if "text" in folder.name else None)


def rows_of(folder: Path) -> object:
    rows = json.loads((PLACE / folder.name / "expected.json").read_text("utf8"))["rows"]
    return rows if isinstance(rows[0], str) else pd.DataFrame(rows)


def answers(model: GeneratedModel, folder: Path) -> np.ndarray:
    rows = rows_of(folder)
    return model.predict(rows) if model.is_regression else model.predict_proba(rows)


def test_every_version_of_the_format_has_a_folder():
    assert {int(name.split("-")[0]) for name in FOLDERS} == set(range(1, FORMAT_VERSION + 1))
    assert len(FOLDERS) >= 3


@EVERY_FOLDER
def test_a_folder_of_an_earlier_version_answers_as_it_did_then(name):
    expected = json.loads((PLACE / name / "expected.json").read_text("utf8"))
    then = expected["numbers"] if "numbers" in expected else expected["probabilities"]
    assert answers(opened(PLACE / name), PLACE / name) == pytest.approx(np.array(then), abs=1e-5)


@EVERY_FOLDER
def test_a_folder_of_an_earlier_version_can_be_saved_anew(name, tmp_path):
    again = opened(PLACE / name).save(tmp_path / name)
    assert np.array_equal(answers(opened(again), again), answers(opened(PLACE / name), PLACE / name))


def refused_or_the_same(folder: Path, expected: np.ndarray) -> bool:
    """Whether the folder is refused; if it is not, it answers as ever."""
    try:
        found = answers(opened(folder), folder)
    except FlameError:
        return True
    assert np.array_equal(found, expected)
    return False


@pytest.mark.parametrize(("name", "file"), [(n, f) for n in FOLDERS for f in READ if (PLACE / n / f).is_file()])
@pytest.mark.parametrize("how", ["flipped", "cut", "removed"])
def test_a_change_of_any_byte_is_refused_or_changes_nothing(name, file, how, tmp_path, monkeypatch):
    folder = tmp_path / name
    shutil.copytree(PLACE / name, folder)
    story = json.loads((folder / "flame.json").read_text("utf8"))
    (folder / "flame.json").write_text(json.dumps(story, separators=(",", ":")), "utf8")  # blanks mean nothing
    whole, expected = (folder / file).read_bytes(), answers(opened(folder), folder)
    rng, n_refused = np.random.default_rng(0), 0
    read, changed = Path.read_bytes, {}
    # Served instead of written: ten thousand files are slow on some disks.
    monkeypatch.setattr(Path, "read_bytes", lambda path: changed[path] if path in changed else read(path))
    for place in range(len(whole)):
        flipped = bytes([whole[place] ^ int(rng.integers(1, 256))])
        instead = {"flipped": flipped + whole[place + 1 :], "cut": b"", "removed": whole[place + 1 :]}[how]
        changed[folder / file] = whole[:place] + instead
        n_refused += refused_or_the_same(folder, expected)
    assert n_refused > 0.99 * len(whole)  # an e of a number may become an E


@EVERY_FOLDER
def test_files_that_are_never_read_can_change_nothing(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(PLACE / name, folder)
    expected = answers(opened(folder), folder)
    for path in folder.iterdir():
        if path.name not in READ:
            path.write_bytes(b"\x80\x04 anything at all")
    assert np.array_equal(answers(opened(folder), folder), expected)


@EVERY_FOLDER
def test_a_surplus_file_of_weights_is_refused(name, tmp_path):
    folder = tmp_path / name
    shutil.copytree(PLACE / name, folder)
    surplus = next(f for f in WEIGHTS if not (folder / f).is_file())
    (folder / surplus).write_bytes(b"x")
    with pytest.raises(FlameError, match="truncated or was changed"):
        opened(folder)
