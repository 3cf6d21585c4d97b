"""A saved model that anybody changed is refused or answers as before: in any byte, cut, swapped, or with code in it."""

from __future__ import annotations

import io
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from ship_fixtures import toy_model, toy_package, toy_rows
from text_fixtures import GOOD, LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401

from flame import generate_model, load
from flame.errors import FlameError
from flame.export.runner import Runner

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is not installed

N_PLACES = 25
"""Bytes of a file that are changed, of each way; every byte of small models: `test_saved_formats`."""
READ = ("flame.json", "model.safetensors", "adapter_model.safetensors", "classifier.safetensors")


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return (Path.touch, (self.place,))


@pytest.fixture(scope="module", name="saved")
def saved_fixture(bases, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Two models of every modality, of which the second was written from other rows."""
    place = tmp_path_factory.mktemp("saved")
    asked = {"text": bases["bert-pooler"], "text-mean": bases["bert-mean"]}
    for name, base in asked.items():
        for i, labels in enumerate((LABELS, LABELS[::-1])):
            generate_model(None, (TEXTS, labels), base_model=base).save(place / f"{name}-{i}")
    for i, arch in enumerate(("mlp_small", "mlp_steps")):
        toy_model(arch).save(place / f"table-{i}")
    pictures = _pictures(place)
    return {name: (place / f"{name}-0", place / f"{name}-1") for name in ("table", *asked, *pictures)}


def _pictures(place: Path) -> list[str]:
    pytest.importorskip("torchvision", reason="picture models need the extra 'vision'")
    from experiments.office_quick import random_base

    base = random_base(place)
    for i, rows in enumerate((SHADES, SHADES[1:])):
        labels = ["dark" if shade < 128 else "light" for shade in rows]
        generate_model("Is it dark?", (_shown(rows), labels), base_model=base).save(place / f"image-{i}")
    return ["image"]


SHADES = (20, 230, 40, 200, 60, 180)
KINDS = ("table", "text", "text-mean", "image")
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def _shown(shades: tuple[int, ...]) -> list[np.ndarray]:
    return [np.full((40, 50, 3), shade, dtype=np.uint8) for shade in shades]


@pytest.fixture(name="folder")
def folder_fixture(saved, kind, tmp_path) -> Path:
    """A copy that may be changed."""
    return shutil.copytree(saved[kind][0], tmp_path / kind)


def answers(folder: Path) -> np.ndarray:
    rows = {"table": toy_rows(5), "text": GOOD[:3], "text-mean": GOOD[:3], "image": _shown(SHADES[:2])}
    return load(folder).predict_proba(rows[folder.name])


def refused(folder: Path, expected: np.ndarray) -> bool:
    """Whether the folder is refused; if it is not, it must answer as ever."""
    try:
        found = answers(folder)
    except FlameError:
        return True
    assert np.array_equal(found, expected)
    return False


def changes(content: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """The content with one byte changed, cut off, without its start, and with something behind it."""
    for place in rng.integers(0, len(content), N_PLACES):
        yield content[:place] + bytes([content[place] ^ int(rng.integers(1, 256))]) + content[place + 1 :]
    for place in rng.integers(0, len(content), N_PLACES // 5):
        yield content[:place]
        yield content[place:][1:]
    yield content + b"\0"


@EVERY_KIND
def test_a_change_of_any_file_is_refused_or_changes_nothing(folder):
    expected, rng = answers(folder), np.random.default_rng(0)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        found = []
        for content in changes(whole, rng):
            file.write_bytes(content)
            # What loads it must not have read it: once is enough to see that.
            found.append(refused(folder, expected) if file.name in READ or not found else found[0])
        file.write_bytes(whole)
        # A digit beyond those that a number keeps, a blank, and what no program reads may change.
        assert np.mean(found) > 0.9 if file.name in READ else not any(found), file.name
    assert np.array_equal(answers(folder), expected)


@EVERY_KIND
def test_files_of_another_model_are_refused_or_change_nothing(folder, saved, kind):
    expected = answers(folder)
    for file in sorted(folder.iterdir()):
        whole, other = file.read_bytes(), (saved[kind][1] / file.name).read_bytes()
        file.write_bytes(other)
        assert refused(folder, expected) == (file.name in READ and other != whole), file.name
        file.write_bytes(whole)


@EVERY_KIND
def test_files_that_changed_places_are_refused_or_change_nothing(folder):
    expected, files = answers(folder), sorted(folder.iterdir())
    for one, other in zip(files, [*files[1:], files[0]], strict=True):
        contents = one.read_bytes(), other.read_bytes()
        one.write_bytes(contents[1])
        other.write_bytes(contents[0])
        assert refused(folder, expected) == (one.name in READ or other.name in READ), (one.name, other.name)
        one.write_bytes(contents[0])
        other.write_bytes(contents[1])


@EVERY_KIND
def test_missing_files_and_folders_in_their_place_are_refused_or_change_nothing(folder):
    expected = answers(folder)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        file.unlink()
        assert refused(folder, expected) == (file.name in READ), file.name
        file.mkdir()
        assert refused(folder, expected) == (file.name in READ), file.name
        file.rmdir()
        file.write_bytes(whole)


@EVERY_KIND
def test_no_code_in_any_file_is_run(folder, tmp_path):
    expected, left = answers(folder), tmp_path / "left behind"
    by_torch = io.BytesIO()
    torch.save({"weight": Bomb(left)}, by_torch)
    code = f"__import__('pathlib').Path({str(left)!r}).touch()"
    contents = [pickle.dumps(Bomb(left)), by_torch.getvalue(), code.encode(), f'{{"__class__": "{code}"}}'.encode()]
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        for content in contents:
            file.write_bytes(content)
            refused(folder, expected)
        file.write_bytes(whole)
    for name in ("__init__.py", "conftest.py", "modeling.py", "pytorch_model.bin", "tokenizer.json"):
        (folder / name).write_bytes(contents[0] if name.endswith("bin") else code.encode())
    assert not refused(folder, expected)
    assert not left.exists()
    pickle.loads(contents[0])  # what would have happened
    assert left.exists()


def test_a_package_whose_model_was_changed_is_refused(tmp_path):
    pytest.importorskip("onnxruntime", reason="packages need the extra 'export'")
    place = shutil.copytree(toy_package(), tmp_path / "package") / "model.onnx"
    whole, rng = place.read_bytes(), np.random.default_rng(0)
    Runner(place)
    for content in changes(whole, rng):
        place.write_bytes(content)
        with pytest.raises(ValueError, match="was changed"):
            Runner(place)
