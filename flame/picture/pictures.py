"""Pictures: what is one, a cheap look at its header, and the one way to open it.

Files are untrusted: only raster formats are decoded (Pillow's EPS reader would start Ghostscript), what is too large is
refused before it is decoded, and every fault is an error of the data that names the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flame.columns import shorten
from flame.errors import DataError, missing_extra
from flame.picture.opening import LARGEST_SIDE, draft, open_encoded, refuse_bomb, upright

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif", ".jp2")
"""Suffixes by which a path is taken for that of a picture."""


def open_picture(cell: Any, *, side: int = LARGEST_SIDE) -> Image.Image:
    """A picture in RGB, turned as its EXIF data say, on white where it was transparent.

    Args:
        cell: a path, a Pillow image or an array of uint8 (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); it stays as it is.
        side: the largest width and height; what is larger comes smaller, and JPEGs are then decoded in part only.

    Raises:
        DataError: if it is missing, broken, of an unknown format or of more than 200 megapixels; names the file.
        MissingExtraError: if Pillow is not installed.
    """
    from_pillow()
    try:
        opened = _opened(cell)
        with nullcontext() if opened is cell else opened:
            if opened is not cell:
                draft(opened, side)
            refuse_bomb(opened.size)
            opened.load()
            made = upright(opened, side)
            return made.copy() if made is opened else made  # a copy is decoded, and holds no file
    except Exception as error:  # decoders raise many kinds on broken files
        raise DataError(f"a picture cannot be read: {name_of(cell)}: {_why(error)}") from error


def header_fault(cell: Any) -> str:
    """Why `open_picture` would refuse a picture, as far as a file's first bytes tell; "" if they tell nothing.

    Raises:
        MissingExtraError: if Pillow is not installed.
    """
    try:
        picture_size(cell)
    except DataError as error:
        return fault_of(error)
    return ""


def fault_of(error: DataError) -> str:
    """What is wrong with a picture, without its name: out of the error of this module that says both."""
    return _why(error.__cause__ or error)


def picture_size(cell: Any) -> tuple[int, int]:
    """Width and height as stored; nothing is decoded.

    Raises:
        DataError: if the header cannot be read, or says that there are more than 200 megapixels to decode.
        MissingExtraError: if Pillow is not installed.
    """
    from_pillow()
    try:
        opened = _opened(cell)
        with nullcontext() if opened is cell else opened:
            size: tuple[int, int] = opened.size
            if opened is not cell:
                draft(opened, LARGEST_SIDE)
            refuse_bomb(opened.size)
    except Exception as error:  # as above
        raise DataError(f"a picture cannot be read: {name_of(cell)}: {_why(error)}") from error
    return size


def is_picture(cell: Any) -> bool:
    """Whether a cell is a picture by its type, or a path with a picture's suffix.

    >>> is_picture("cats/1.JPG"), is_picture("a cat."), is_picture(np.zeros((2, 2, 3), dtype="uint8"))
    (True, False, True)
    """
    return is_picture_path(cell) or holds_picture(cell)


def is_picture_path(cell: Any) -> bool:
    """Whether a cell is a path with the suffix of a picture."""
    # A sentence may end in the name of a file: a path is of one line, and no longer than systems allow.
    path = os.fspath(cell) if isinstance(cell, str | os.PathLike) else None
    return isinstance(path, str) and path.lower().endswith(SUFFIXES) and len(path) < 4096 and "\n" not in path


def holds_picture(cell: Any) -> bool:
    """Whether a cell is a Pillow image, an array of a picture's shape, or a Hugging Face mapping of bytes and path."""
    if isinstance(cell, Mapping):
        return "bytes" in cell and set(cell) <= {"bytes", "path"}
    if isinstance(cell, np.ndarray):
        return cell.ndim == 3 or (cell.ndim == 2 and cell.dtype == np.uint8)
    return any(t.__module__ == "PIL.Image" and t.__name__ == "Image" for t in type(cell).__mro__)


def from_pillow() -> Any:
    """The module `PIL.Image`, imported when the first picture is read.

    Raises:
        MissingExtraError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("Pillow", "vision", "Pictures") from error
    return Image


def name_of(cell: Any) -> str:
    """How a message names a picture."""
    if isinstance(cell, str | os.PathLike):
        return shorten(os.fspath(cell), width=200)
    given = getattr(cell, "filename", "")
    return shorten(str(given), width=200) if given else f"a picture of type {type(cell).__name__}"


def _why(error: BaseException) -> str:
    """What was wrong, without the file's name."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:200] or type(error).__name__


# --- opening ----------------------------------------------------------------------------------------------------------


def _opened(cell: Any) -> Any:
    """A Pillow image; the caller's own where there is nothing it could be opened from anew."""
    if isinstance(cell, str | os.PathLike):
        return _from_file(cell)
    if isinstance(cell, np.ndarray):
        return _from_array(cell)
    if not holds_picture(cell) or isinstance(cell, Mapping):
        raise ValueError(f"a path, a Pillow image or an array is expected, however: {type(cell).__name__}")
    # Opened from bytes and not decoded yet: read anew, or every picture that was looked at would stay decoded.
    held = getattr(cell, "fp", None)
    if isinstance(held, io.BytesIO) and not held.closed and cell.tell() == 0:
        with suppress(ValueError):  # the caller may know more formats
            return open_encoded(io.BytesIO(held.getvalue()))
    return cell


def _from_file(path: str | os.PathLike[str]) -> Any:
    if os.path.isdir(path):
        raise ValueError("it is a folder")
    stream = Path(path).open("rb")  # noqa: SIM115 - read on when the picture is decoded, and closed then
    try:
        opened: Any = open_encoded(stream, str(path))
    except BaseException:
        stream.close()
        raise
    opened._exclusive_fp = True  # as Image.open does: the file is closed with the picture
    return opened


def _from_array(array: np.ndarray) -> Any:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    coloured = array.ndim == 3 and array.shape[2] in (3, 4)
    if array.dtype != np.uint8 or not (array.ndim == 2 or coloured) or 0 in array.shape:
        raise ValueError(
            "an array of uint8 and of shape (h, w), (h, w, 3) or (h, w, 4) is expected, however: "
            f"{array.dtype} {array.shape}; scale it to 0..255 and give array.astype('uint8')"
        )
    refuse_bomb((array.shape[1], array.shape[0]))
    return from_pillow().fromarray(array)
