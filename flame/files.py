"""Writing folders so that a full disk or a kill never leaves half of one, nor loses what stood there."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flame.errors import CheckpointError, ConfigError


def check_place(path: str | Path, *, marker: str = "") -> Path:
    """The folder that `path` means, if `atomic_folder` may write there; a link is followed.

    Raises:
        CheckpointError: if it is a file, or a folder that holds something but not the file `marker`.
    """
    final = Path(path)
    if final.is_symlink():
        final = final.resolve()
    if final.exists() and not final.is_dir():
        raise CheckpointError(f"{final} is a file; give the name of a folder")
    if final.is_dir() and any(final.iterdir()) and not (marker and (final / marker).is_file()):
        raise CheckpointError(f"{final} exists and was not written by this library; give another folder or remove it")
    return final


@contextmanager
def atomic_folder(path: str | Path, *, marker: str = "") -> Iterator[Path]:
    """Give a fresh folder to write into and put it in place of `path` when all went well.

    An existing folder is replaced only if it is empty or holds the file `marker` (it is one of ours); if writing
    fails it stays as it was.

    Raises:
        CheckpointError: if the place is taken by something else or cannot be written.
    """
    final = check_place(path, marker=marker)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    except OSError as error:
        raise CheckpointError(f"cannot write {final}: {error}") from error
    try:
        yield fresh
        fresh.chmod(0o755)
        _put_in_place(fresh, final)
    except OSError as error:
        raise CheckpointError(f"cannot write {final}: {error}; what stood there is kept") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _put_in_place(fresh: Path, final: Path) -> None:
    """Rename `fresh` to `final`; what stood there is left under the name of `fresh`, or removed."""
    if not final.exists():
        os.replace(fresh, final)
    elif not _exchange(fresh, final):
        old = fresh.with_name(fresh.name + ".old")
        os.replace(final, old)
        try:
            os.replace(fresh, final)
        except BaseException:
            os.replace(old, final)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step where the system can (Linux); no reader ever finds the place empty."""
    at_cwd, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0


def atomic_text(path: str | Path, text: str) -> None:
    """Write a text file in one step; an older one stays if writing fails.

    Raises:
        CheckpointError: if the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, "utf8")
        os.replace(partial, path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def claim_work(work: str | Path, run: dict[str, Any]) -> Path:
    """The folder of a run's logs and resume files; two different runs are never mixed in one.

    Raises:
        ConfigError: if it holds a run of another configuration.
    """
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    mine, path = json.dumps(run, indent=1, sort_keys=True), work / "run.json"
    if not path.is_file():
        atomic_text(path, mine)
    elif path.read_text("utf8") != mine:
        raise ConfigError(f"{work} holds a run of another configuration; delete it or give another folder")
    return work
