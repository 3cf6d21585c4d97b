"""What packages and services say of the rows that a model reads: one `Kind` a modality. Needs numpy alone."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Card = Mapping[str, Any]
SENTENCES = ("What a pleasant surprise this was.", "It was not what was promised.")


@dataclass(frozen=True)
class Kind:
    """How a model of one modality is shown to those who use it. No row of the user's is shown: cards hold none."""

    files: tuple[str, ...]
    """Modules that a package needs beside `runner.py`."""
    packages: tuple[str, ...]
    """What must be installed to run them."""
    row: Callable[[Card], dict[str, Any]]
    """A row of JSON that the model can read; a picture in base64."""
    example: Callable[[Card], tuple[str, bytes]]
    """Name and content of a file that it can read."""
    reading: Callable[[Card], list[str]]
    """Lines on what it reads."""
    files_of_rows: str = "rows.csv"
    """How a command names what is predicted."""


def kind_of(card: Card) -> Kind:
    """By the card's modality."""
    return KINDS[card.get("modality", "table")]


# --- tables -----------------------------------------------------------------------------------------------------------


def typical_row(card: Card) -> dict[str, Any]:
    """Means of numbers, the first of the categories."""
    return {c["name"]: _typical(c) for c in card["columns"]}


def _typical(column: Card) -> Any:
    if column["kind"] == "numeric":
        return float(f"{column['mean']:.4g}")
    if column["kind"] == "boolean":
        return (column["categories"] or ["True"])[0] == "True"
    return next(iter(column["categories"]), None)


def _csv_of(row: dict[str, Any]) -> tuple[str, bytes]:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([row, row.values()])
    return "example.csv", out.getvalue().encode("utf8", "backslashreplace")


def _columns(card: Card) -> list[str]:
    return [
        "Rows are a CSV in UTF-8 with these columns in any order; others are ignored. An empty cell: no value.",
        "",
        *(f"* `{c['name']}`: {_meaning(c)}" for c in card["columns"]),
    ]


def _meaning(column: Card) -> str:
    if column["kind"] == "numeric":
        return f"a number, {column['mean']:.4g} on average"
    shown = ", ".join(f"`{t}`" for t in column["categories"][:8]) + (", ..." if len(column["categories"]) > 8 else "")
    return f"{'yes or no' if column['kind'] == 'boolean' else 'a category'}: {shown}"


# --- texts ------------------------------------------------------------------------------------------------------------


def _sentences(card: Card) -> dict[str, Any]:
    return {c["name"]: text for c, text in zip(card["columns"], SENTENCES, strict=False)}


def _texts(card: Card) -> list[str]:
    return [
        "Rows are a CSV in UTF-8 with these columns; others are ignored. An empty cell is the empty text; more than "
        f"{card['max_tokens']} tokens are cut off.",
        "",
        *(f"* `{c['name']}`: a text" for c in card["columns"]),
    ]


# --- pictures ---------------------------------------------------------------------------------------------------------


def ppm(width: int = 8, height: int = 6) -> bytes:
    """A picture of a few bytes, which no library is needed for."""
    pixels = bytes(v for y in range(height) for x in range(width) for v in (30 * x, 40 * y, 120))
    return f"P6 {width} {height} 255\n".encode() + pixels


def _picture_row(card: Card) -> dict[str, Any]:
    return {card["columns"][0]["name"]: base64.b64encode(ppm(4, 3)).decode()}


def _pictures(card: Card) -> list[str]:
    side, resize = card["side"], card["resize"]
    return [
        "Files or folders of pictures (JPEG, PNG, GIF, BMP, WebP, TIFF, PPM) of any size. They are turned as their "
        f"EXIF data say, made {resize} pixels on the shorter side, the {side} by {side} in the middle are read. The "
        "answers stand beside the names of the files.",
    ]


_EVERYWHERE = ("flame.export.rows",)
KINDS: dict[str, Kind] = {
    "table": Kind(
        files=(*_EVERYWHERE, "flame.export.table_reader"),
        packages=("numpy", "onnxruntime"),
        row=typical_row,
        example=lambda card: _csv_of(typical_row(card)),
        reading=_columns,
    ),
    "text": Kind(
        files=(*_EVERYWHERE, "flame.export.text_reader"),
        packages=("numpy", "onnxruntime", "tokenizers"),
        row=_sentences,
        example=lambda card: _csv_of(_sentences(card)),
        reading=_texts,
    ),
    "image": Kind(
        files=(*_EVERYWHERE, "flame.export.picture_reader", "flame.picture.opening"),
        packages=("numpy", "onnxruntime", "pillow"),
        row=_picture_row,
        example=lambda card: ("example.ppm", ppm()),
        reading=_pictures,
        files_of_rows="pictures/",
    ),
}
"""By modality."""
