"""Folders and files are there as a whole or not at all."""

import errno
import os
import threading
from pathlib import Path

import pytest

from flame import files
from flame.errors import CheckpointError
from flame.files import atomic_folder, atomic_text, check_place

EXCHANGES = pytest.mark.parametrize("swap_in_one_step", [True, False])


def put(folder, text, *, marker="mark", fault=None):
    with atomic_folder(folder, marker=marker) as fresh:
        (fresh / "mark").write_text(text)
        if fault is not None:
            raise fault


def content(folder):
    return {p.name: p.read_text() for p in folder.iterdir()}


@pytest.fixture
def swap_in_one_step():
    return True


@pytest.fixture
def place(tmp_path, monkeypatch, swap_in_one_step):
    """A folder that was written once; `swap_in_one_step=False` stands for a system that cannot exchange folders."""
    if not swap_in_one_step:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    put(tmp_path / "deep" / "place", "old")
    return tmp_path / "deep" / "place"


@EXCHANGES
def test_a_folder_is_replaced_by_what_was_written_and_nothing_else_is_left(place):
    put(place, "new")
    assert content(place) == {"mark": "new"}
    assert [p.name for p in place.parent.iterdir()] == ["place"]


@EXCHANGES
@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_writing_that_fails_half_way_leaves_the_old_folder_and_no_litter(place, fault):
    expected = CheckpointError if isinstance(fault, OSError) else type(fault)
    with pytest.raises(expected):
        put(place, "half", fault=fault)
    assert content(place) == {"mark": "old"}
    assert [p.name for p in place.parent.iterdir()] == ["place"]


def test_a_full_disk_is_named_in_the_error(place):
    with pytest.raises(CheckpointError, match=f"cannot write {place}: .*No space left.*; what stood there is kept"):
        put(place, "half", fault=OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("swap_in_one_step", [False])
@pytest.mark.parametrize("fault", [OSError("refused"), KeyboardInterrupt()])
def test_a_rename_that_fails_puts_the_old_folder_back(place, monkeypatch, fault):
    real = os.replace

    def broken(source, target):
        if Path(target) == place and not Path(source).name.endswith(".old"):
            raise fault
        real(source, target)

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises((CheckpointError, KeyboardInterrupt)):
        put(place, "new")
    assert content(place) == {"mark": "old"}
    assert [p.name for p in place.parent.iterdir()] == ["place"]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only Linux swaps two folders in one step")
def test_a_reader_finds_the_old_or_the_new_folder_at_every_moment(place):
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            try:
                seen.add((place / "mark").read_text())
            except OSError as error:
                seen.add(type(error).__name__)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(100):
        put(place, str(i))
    done.set()
    reader.join()
    assert seen <= {"old", *map(str, range(100))}
    assert len(seen) > 1


@pytest.mark.parametrize("marker", ["", "other"])
def test_a_folder_of_somebody_else_is_refused_and_kept(place, marker):
    with pytest.raises(CheckpointError, match="was not written by this library; give another folder or remove it"):
        put(place, "new", marker=marker)
    assert content(place) == {"mark": "old"}


def test_an_empty_folder_and_a_missing_one_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        put(tmp_path / name, "new")
        assert content(tmp_path / name) == {"mark": "new"}


def test_a_file_in_the_place_is_refused_and_kept(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="is a file; give the name of a folder"):
        put(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_place_below_a_file_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot write"):
        put(tmp_path / "file" / "below", "new")


def test_a_link_to_a_folder_stays_a_link_and_its_folder_is_replaced(place, tmp_path):
    (tmp_path / "link").symlink_to(place)
    put(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert content(place) == {"mark": "new"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "link"]


def test_a_place_can_be_checked_before_the_work_begins(place):
    assert check_place(place, marker="mark") == place
    with pytest.raises(CheckpointError, match="give another folder"):
        check_place(place, marker="other")


def test_text_replaces_text_and_leaves_nothing_else(tmp_path):
    for text in ("old", "neu ü"):
        atomic_text(tmp_path / "a.txt", text)
        assert content(tmp_path) == {"a.txt": text}


def test_text_that_cannot_be_written_leaves_the_old_one_and_no_litter(tmp_path, monkeypatch):
    atomic_text(tmp_path / "a.txt", "old")

    def full(self, text, encoding):
        self.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(CheckpointError, match=r"cannot write .*a.txt: .*No space left"):
            atomic_text(tmp_path / "a.txt", "new")
    assert content(tmp_path) == {"a.txt": "old"}


def test_text_that_no_file_can_hold_leaves_no_litter(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        atomic_text(tmp_path / "a.txt", "\ud800")
    assert content(tmp_path) == {}


def test_text_below_a_file_or_in_place_of_a_folder_is_an_error_of_ours(tmp_path):
    atomic_text(tmp_path / "a.txt", "old")
    for path in (tmp_path / "a.txt" / "b.txt", tmp_path):
        with pytest.raises(CheckpointError, match="cannot write"):
            atomic_text(path, "new")
    assert content(tmp_path) == {"a.txt": "old"}
