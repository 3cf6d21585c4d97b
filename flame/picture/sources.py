"""Where pictures come from: a folder of classes, a flat folder, lists, arrays, columns of paths or of bytes."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from flame.columns import Column, is_missing, shorten
from flame.errors import DataError
from flame.picture.opening import open_encoded
from flame.picture.pictures import SUFFIXES, header_fault, holds_picture, is_picture_path, name_of

IMAGE = "image"
"""Name of the one column of pictures."""
_NO_CLASSES = ("__MACOSX",)


def as_frame(data: Any, *, target: str | None, notes: list[str]) -> tuple[pd.DataFrame, str | None] | None:
    """A frame of pictures and the name of the column with their labels; None if the data are something else.

    A list of pairs is one of pictures with their labels, if pictures stand first.

    Raises:
        DataError: if it is a folder without pictures, or one that is nested deeper than one folder per class.
    """
    if isinstance(data, str | os.PathLike):
        folder = Path(data).expanduser()
        return _from_folder(folder, target or "class", notes) if os.path.isdir(folder) else None
    if isinstance(data, np.ndarray):
        cells: list[Any] = list(data) if data.ndim == 4 or data.dtype == object else []
        if data.ndim == 3 and data.dtype == np.uint8:
            if data.shape[2] in (1, 3, 4):
                raise DataError(
                    f"pictures are expected as (n, h, w) or (n, h, w, 3), however: shape {data.shape}; one picture is "
                    "given as a list: [array]"
                )
            cells = list(data)
    else:
        listed = isinstance(data, Sequence) and not isinstance(data, bytes)
        cells = list(data) if listed else []
    if _are_labelled(cells):
        return _labelled([cell for cell, _ in cells], [label for _, label in cells], target or "class")
    return (picture_frame(cells), None) if _are_pictures(cells) else None


def read_pictures(
    values: pd.Series, *, folder: Path | None
) -> tuple[pd.DataFrame, tuple[Column, ...], np.ndarray, list[str]]:
    """Cells as paths, Pillow images or arrays, the column, which rows hold a picture (a mask), and notes.

    Args:
        values: paths, Pillow images, arrays, or mappings of bytes and path as in Hugging Face data sets.
        folder: where relative paths start; then the working folder.

    Raises:
        DataError: if none of the pictures can be read.
        MissingExtraError: if Pillow is not installed.
    """
    cells, faults = located(values, folder), {}
    for place, cell in enumerate(cells):
        if isinstance(cell, Broken):
            faults[place] = f"{cell.name} ({cell.why})"
        elif fault := header_fault(cell):
            faults[place] = f"{short_name(cell)} ({fault})"
    notes = left_out(faults, len(cells))
    kept = np.array([place not in faults for place in range(len(cells))])
    frame = picture_frame([cell for cell, keep in zip(cells, kept, strict=True) if keep])
    paths = [cell for cell in frame[IMAGE] if isinstance(cell, str)]
    n_unique = len(set(paths)) + len(frame) - len(paths)
    return frame, (Column(IMAGE, "image", 0, n_unique),), kept, notes


def located(values: pd.Series, folder: Path | None) -> list[Any]:
    """Cells in the forms of a batch, or `Broken`; see `read_pictures`."""
    return [_located(cell, folder) for cell in values]


def left_out(faults: Mapping[int, str], n: int) -> list[str]:
    """The note on pictures that cannot be read, out of `n`; none if there are no faults.

    Raises:
        DataError: if none of them can.
    """
    shown = ", ".join(list(faults.values())[:3]) + (", ..." if len(faults) > 3 else "")
    if faults and len(faults) == n:
        raise DataError(f"pictures are expected, however none of the {n} can be read: {shown}")
    return [f"{len(faults)} picture(s) cannot be read and are left out: {shown}"] if faults else []


@dataclass(frozen=True)
class Broken:
    """A cell without a picture."""

    name: str
    why: str


def _located(cell: Any, folder: Path | None) -> Any:
    """A cell in one of the forms of a batch."""
    if isinstance(cell, Mapping):
        held, path = cell.get("bytes"), cell.get("path")
        if held is None:
            return _located(path, folder)
        try:
            return open_encoded(io.BytesIO(held), str(path or ""))
        except (ValueError, TypeError) as error:
            return Broken(shorten(path) if path else "a picture without a name", str(error))
    if isinstance(cell, np.ndarray) and cell.ndim == 3 and cell.shape[2] == 1:
        return cell[:, :, 0]
    if isinstance(cell, os.PathLike):
        cell = os.fspath(cell)
    if isinstance(cell, str):
        given = os.path.expanduser(cell.strip())
        beside = os.path.join(folder, given) if folder is not None else given
        return beside if os.path.exists(beside) else given
    return cell if holds_picture(cell) else Broken(shorten(cell), "it is no picture")


def short_name(cell: Any) -> str:
    """Of a path the folder and the file: notes are stored with a model, and where its data lay is nobody's business."""
    return shorten("/".join(Path(cell).parts[-2:]), width=120) if isinstance(cell, str) else name_of(cell)


def _are_pictures(cells: Sequence[Any]) -> bool:
    """Whether a list is one of pictures; a few that are broken or missing do not change that."""
    there = [c for c in cells if not is_missing(c)]
    if not there:
        return False
    return any(map(holds_picture, there)) or all(map(is_picture_path, there))


def _are_labelled(cells: Sequence[Any]) -> bool:
    if not cells or not all(isinstance(cell, tuple | list) and len(cell) == 2 for cell in cells):
        return False
    return _are_pictures([first for first, _ in cells]) and not _are_pictures([second for _, second in cells])


def picture_frame(cells: Sequence[Any]) -> pd.DataFrame:
    """One column of pictures, whatever they are."""
    column = np.empty(len(cells), dtype=object)
    for place, cell in enumerate(cells):  # at once, numpy would look into the pictures
        column[place] = cell
    return pd.DataFrame({IMAGE: pd.Series(column, dtype=object)})


# --- folders ----------------------------------------------------------------------------------------------------------


def _from_folder(folder: Path, target: str, notes: list[str]) -> tuple[pd.DataFrame, str | None]:
    shown = str(folder)[:200]
    try:
        classes, files = _listed(folder)
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {(error.strerror or str(error)).lower()}") from error
    pictures = [f for f in files if is_picture_path(f)]
    if classes and pictures:
        raise DataError(
            f"{shown}: either pictures or one folder per class are expected, however there are both: "
            f"{shorten(pictures[0])} beside the folder {shorten(classes[0])}; put every picture into a class's folder"
        )
    if not classes:
        _note_others(files, notes)
        if pictures:
            return picture_frame([str(folder / f) for f in pictures]), None
    found = [(name, path) for name in classes for path in _of_class(folder, name, notes)]
    if not found:
        raise DataError(
            f"{shown} is a folder; a table is expected, or a folder of pictures, however it holds none "
            f"({', '.join(SUFFIXES)}), alone or in one folder per class"
        )
    return _labelled([path for _, path in found], [name for name, _ in found], target)


def _labelled(cells: Sequence[Any], labels: Sequence[Any], target: str) -> tuple[pd.DataFrame, str]:
    frame = picture_frame(cells)
    frame[IMAGE + "_" if target == IMAGE else target] = pd.Series(labels, dtype=object)
    return frame, str(frame.columns[-1])


def _of_class(folder: Path, name: str, notes: list[str]) -> list[str]:
    try:
        deeper, files = _listed(folder / name)
    except OSError as error:
        raise DataError(f"{folder / name} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if deeper:
        raise DataError(
            f"{str(folder)[:200]}: one folder per class with pictures in it is expected, however {name!r} holds the "
            f"folder {shorten(deeper[0])}; give a folder one level down, such as {str(folder / name)[-200:]!r}"
        )
    pictures = [f for f in files if is_picture_path(f)]
    _note_others([f"{name}/{f}" for f in files], notes)
    if not pictures:
        notes.append(f"the folder {name!r} holds no picture; no class is made of it")
    return [str(folder / name / f) for f in pictures]


def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, sorted, without hidden ones."""
    with os.scandir(folder) as entries:
        seen = [(e.name, e.is_dir()) for e in entries if not e.name.startswith(".") and e.name not in _NO_CLASSES]
    return sorted(n for n, is_folder in seen if is_folder), sorted(n for n, is_folder in seen if not is_folder)


def _note_others(files: Sequence[str], notes: list[str]) -> None:
    others = [f for f in files if not is_picture_path(f)]
    if others:
        shown = ", ".join(map(shorten, others[:3])) + (", ..." if len(others) > 3 else "")
        notes.append(f"{len(others)} file(s) without the suffix of a picture are not read: {shown}")
