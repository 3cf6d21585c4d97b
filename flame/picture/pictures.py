"""Pictures: what is one, a cheap look at its header, and the one way to open it.

Files are untrusted: only raster formats are decoded (Pillow's EPS reader would start Ghostscript), what is too large is
refused before it is decoded, and every fault is an error of the data that names the file.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from flame.columns import shorten
from flame.errors import DataError, missing_extra

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".avif", ".jp2")
"""Suffixes by which a path is taken for that of a picture."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""What is decoded, whatever the suffix says."""
MAX_PIXELS = 200_000_000
"""More pixels to decode than this are refused."""
LARGEST_SIDE = 4096
"""Pixels; no model reads more, and larger pictures come smaller."""


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
                _draft(opened, side)
            _refuse_bomb(opened.size)
            opened.load()
            made = _turned(_rgb(_fitted(opened, side)), opened)
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
                _draft(opened, LARGEST_SIDE)
            _refuse_bomb(opened.size)
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


def open_encoded(stream: io.BufferedIOBase, name: str = "") -> Image.Image:
    """A picture of which only the header is read yet.

    `Image.open` would do, but for its limit on pixels: that is a setting of the whole process, counts pixels that a
    JPEG need not decode, and warns below it.

    Raises:
        ValueError: if it is no picture of a known format, or its header is broken.
    """
    image = from_pillow()
    image.init()
    start = stream.read(16)
    for known in FORMATS:
        if known not in image.OPEN:
            continue
        factory, accepts = image.OPEN[known]
        accepted = accepts(start) if accepts else True
        if accepted and not isinstance(accepted, str):
            stream.seek(0)
            try:
                return factory(stream, name)
            except Exception as error:  # as above
                raise ValueError("its header is broken or cut short") from error
    raise ValueError(f"it is no picture of a known format ({', '.join(FORMATS)})" if start else "it is empty")


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
    _refuse_bomb((array.shape[1], array.shape[0]))
    return from_pillow().fromarray(array)


def _draft(opened: Any, side: int) -> None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size where that is still no smaller than asked for."""
    # A progressive one keeps all of its coefficients in memory, whatever is asked for.
    held = getattr(opened, "fp", None)  # None: decoded already
    if held is not None and opened.format in ("JPEG", "MPO") and not opened.info.get("progressive"):
        opened.draft(None, (side, side))


def _refuse_bomb(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        most = f"at most {MAX_PIXELS // 10**6} megapixels are expected"
        raise ValueError(f"{most}, however: {width} by {height} pixels; make it smaller first")


# --- size, colours, turn ----------------------------------------------------------------------------------------------


def _fitted(opened: Any, side: int) -> Any:
    """No larger than `side`."""
    longest = max(opened.size)
    if longest <= side:
        return opened
    width, height = (max(1, round(n * side / longest)) for n in opened.size)
    if opened.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        return opened.resize((width, height), reducing_gap=2.0)
    return opened.resize((width, height), from_pillow().Resampling.NEAREST)  # palettes cannot be averaged


def _rgb(opened: Any) -> Any:
    if re.fullmatch(r"I|I;16.*|F", opened.mode):
        return _deep(opened).convert("RGB")
    if ("a" in opened.mode.lower() and opened.mode != "LAB") or "transparency" in opened.info:
        seen = opened.convert("RGBA")
        ground = from_pillow().new("RGBA", seen.size, (255, 255, 255, 255))
        return from_pillow().alpha_composite(ground, seen).convert("RGB")
    return opened if opened.mode == "RGB" else opened.convert("RGB")


def _deep(opened: Any) -> Any:
    """16 bits, 32 bits or floats as 8 bits; Pillow would cut them off at 255."""
    cells = np.nan_to_num(np.asarray(opened).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(cells.max(initial=0.0))
    full = next((f for f in (1.0, 255.0, 65_535.0) if top <= f and (f > 1.0 or opened.mode == "F")), top)
    full = 65_535.0 if opened.mode.startswith("I;16") else full
    return from_pillow().fromarray(np.clip(np.rint(cells * (255.0 / full)), 0, 255).astype(np.uint8))


def _turned(made: Any, opened: Any) -> Any:
    """Upright; asked of the decoded picture, because TIFFs are turned while decoding."""
    place = 1
    with suppress(Exception):  # broken EXIF data spoil no picture
        place = opened.getexif().get(0x0112, 1)
    turn = from_pillow().Transpose
    turns = [turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_270]
    turns += [turn.TRANSVERSE, turn.ROTATE_90]
    return made.transpose(turns[place - 2]) if place in range(2, 9) else made
