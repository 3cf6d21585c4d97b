"""From the bytes of a picture to upright pixels in RGB. Needs Pillow and numpy alone: packages ship this file.

Files are untrusted: only raster formats are decoded, and what is too large is refused before it is.
"""

from __future__ import annotations

import io
import math
import re
from contextlib import suppress
from typing import Any

import numpy as np

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
"""What is decoded, whatever the suffix says."""
MAX_PIXELS = 200_000_000
"""More pixels to decode than this are refused."""
LARGEST_SIDE = 4096
"""Pixels; no model reads more, and larger pictures come smaller."""
FINER = 2
"""Large files are decoded at this many times the size that is wanted, or more, and made small then."""


def open_encoded(stream: io.BufferedIOBase, name: str = "") -> Any:
    """A picture of which only the header is read yet.

    `Image.open` would do, but for its limit on pixels: that is a setting of the whole process, counts pixels that a
    JPEG need not decode, and warns below it.

    Raises:
        ValueError: if it is no picture of a known format, or its header is broken.
    """
    image = _pillow()
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
            except Exception as error:  # decoders raise many kinds on broken files
                raise ValueError("its header is broken or cut short") from error
    raise ValueError(f"it is no picture of a known format ({', '.join(FORMATS)})" if start else "it is empty")


def upright(opened: Any, side: int) -> Any:
    """A decoded picture in RGB of at most `side` pixels, turned as its EXIF data say, transparent parts white."""
    return _turned(_rgb(_fitted(opened, side)), opened)


def draft(opened: Any, side: int) -> None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8 of its size where that is still no smaller than asked for."""
    # A progressive one keeps all of its coefficients in memory, whatever is asked for.
    held = getattr(opened, "fp", None)  # None: decoded already
    if held is not None and opened.format in ("JPEG", "MPO") and not opened.info.get("progressive"):
        opened.draft(None, (side, side))


def refuse_bomb(size: tuple[int, int], most_pixels: int = MAX_PIXELS) -> None:
    """Refuse to decode more than some pixels.

    Raises:
        ValueError: says how many there are.
    """
    width, height = size
    if width * height > most_pixels:
        most = f"at most {most_pixels / 10**6:g} megapixels are expected"
        raise ValueError(f"{most}, however: {width} by {height} pixels; make it smaller first")


def fine_side(size: tuple[int, int], resize: int) -> int:
    """The side at which a picture of this size is decoded, whose shorter side shall have `resize` pixels."""
    wanted = FINER * resize * max(size) / max(1, min(size))
    return min(LARGEST_SIDE, math.ceil(wanted))


def middle(picture: Any) -> Any:
    """Without the ends of a strip, which are cut off anyway: resized first, they could fill the memory."""
    width, height = picture.size
    most = 2 * min(width, height)
    if max(width, height) <= most:
        return picture
    left, top = max(0, (width - most) // 2), max(0, (height - most) // 2)
    return picture.crop((left, top, left + min(width, most), top + min(height, most)))


def _fitted(opened: Any, side: int) -> Any:
    """No larger than `side`."""
    longest = max(opened.size)
    if longest <= side:
        return opened
    width, height = (max(1, round(n * side / longest)) for n in opened.size)
    if opened.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"):
        return opened.resize((width, height), reducing_gap=2.0)
    return opened.resize((width, height), _pillow().Resampling.NEAREST)  # palettes cannot be averaged


def _rgb(opened: Any) -> Any:
    if re.fullmatch(r"I|I;16.*|F", opened.mode):
        return _deep(opened).convert("RGB")
    if ("a" in opened.mode.lower() and opened.mode != "LAB") or "transparency" in opened.info:
        seen = opened.convert("RGBA")
        ground = _pillow().new("RGBA", seen.size, (255, 255, 255, 255))
        return _pillow().alpha_composite(ground, seen).convert("RGB")
    return opened if opened.mode == "RGB" else opened.convert("RGB")


def _deep(opened: Any) -> Any:
    """16 bits, 32 bits or floats as 8 bits; Pillow would cut them off at 255."""
    cells = np.nan_to_num(np.asarray(opened).astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(cells.max(initial=0.0))
    full = next((f for f in (1.0, 255.0, 65_535.0) if top <= f and (f > 1.0 or opened.mode == "F")), top)
    full = 65_535.0 if opened.mode.startswith("I;16") else full
    return _pillow().fromarray(np.clip(np.rint(cells * (255.0 / full)), 0, 255).astype(np.uint8))


def _turned(made: Any, opened: Any) -> Any:
    """Upright; asked of the decoded picture, because TIFFs are turned while decoding."""
    place = 1
    with suppress(Exception):  # broken EXIF data spoil no picture
        place = opened.getexif().get(0x0112, 1)
    turn = _pillow().Transpose
    turns = [turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_270]
    turns += [turn.TRANSVERSE, turn.ROTATE_90]
    return made.transpose(turns[place - 2]) if place in range(2, 9) else made


def _pillow() -> Any:
    from PIL import Image

    return Image
