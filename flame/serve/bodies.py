"""What a service takes in the body of a request: one `Bodies` a modality; each media type has a reader."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from flame.export.kinds import Card, kind_of
from flame.export.rows import SHOWN, Columns, Fault, Reader, RowError, columns_of, read_csv, shown
from flame.serve.limits import Limits
from flame.serve.refused import RefusedError

JSON, CSV, FORM = "application/json", "text/csv", "multipart/form-data"


@dataclass(frozen=True)
class Body:
    """What came, and for whom."""

    reader: Reader
    content: bytes
    content_type: str
    max_rows: int

    @property
    def kind(self) -> str:
        """The media type alone."""
        return self.content_type.partition(";")[0].strip().lower()


Read = Callable[[Body], tuple[int, Columns]]
"""How many rows there are, and their cells by column."""


@dataclass(frozen=True)
class Bodies:
    """What is taken for models of one modality."""

    readers: Mapping[str, Read]
    """By media type; `image/*` stands for all of them."""
    content: Callable[[Card], dict[str, Any]]
    """The same in OpenAPI's words, with examples that the model can read."""
    columns: Callable[[Card], list[dict[str, Any]]]
    """What `/spec` says of the columns."""
    said: str
    """What the documentation says of a request."""
    most_rows: int
    """Rows of a request, whatever the limits say: more would take longer than anyone waits."""
    in_loop: int = 0
    """Bodies up to this many bytes are answered in the event loop: sooner than a thread could be woken up."""

    def read(self, body: Body) -> tuple[int, Columns]:
        """Rows of a body.

        Raises:
            RefusedError: if they cannot be read, or there are none or too many.
            RowError: if a column is missing, or a row is no object.
        """
        read = self.readers.get(body.kind) or self.readers.get(f"{body.kind.partition('/')[0]}/*")
        if read is None:
            known = ", ".join(self.readers)
            raise RefusedError(415, f"a body of type {known} is expected, however: {body.kind or 'none'!r}")
        n_rows, columns = read(body)
        refuse_number(n_rows, body.max_rows)
        return n_rows, columns

    def row_limit(self, limits: Limits) -> int:
        """Rows that a request may hold."""
        return min(limits.max_rows, self.most_rows)


def bodies_of(card: Card) -> Bodies:
    """By the card's modality."""
    return BODIES[card.get("modality", "table")]


def refuse_number(n_rows: int, max_rows: int) -> None:
    """Refuse none and too many.

    Raises:
        RefusedError: says how many may come.
    """
    if n_rows == 0:
        raise RefusedError(422, "at least one row is expected, however: none")
    if n_rows > max_rows:
        raise RefusedError(
            413, f"at most {max_rows} rows are accepted in one request, however more came: send them in parts"
        )


# --- rows of cells ----------------------------------------------------------------------------------------------------


def json_rows(body: Body, short: str = "") -> list[Any]:
    """The list under "rows", or under the short name that a modality has beside it, as rows of the first column(s).

    Raises:
        RefusedError: if there is none, or too many stand in it.
    """
    try:
        value = json.loads(body.content)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"the body is no JSON: {why}") from error
    found = value if isinstance(value, dict) else {}
    rows = found.get("rows")
    if short and isinstance(found.get(short), list):
        rows = [_row_of(cell, body.reader.names) for cell in found[short]]
    if not isinstance(rows, list):
        also = f', or {{"{short}": [...]}}' if short else ""
        raise RefusedError(422, f'an object {{"rows": [{{column: value, ...}}, ...]}}{also} is expected in the body')
    refuse_number(len(rows), body.max_rows)
    return rows


def _row_of(cell: Any, names: list[str]) -> Any:
    """A cell alone, or a list of as many as there are columns."""
    cells = cell if isinstance(cell, list) else [cell]
    return dict(zip(names, cells, strict=True)) if len(cells) == len(names) else cell


def _json_cells(body: Body) -> tuple[int, Columns]:
    rows = json_rows(body)
    return len(rows), columns_of(rows, body.reader.names)


def _json_texts(body: Body) -> tuple[int, Columns]:
    rows = json_rows(body, "texts")
    return len(rows), columns_of(rows, body.reader.names)


def _csv_cells(body: Body) -> tuple[int, Columns]:
    text = _decoded(body.content if body.kind == CSV else _files_of(body, "a CSV file", "rows.csv")[0])
    first = next(read_csv(io.StringIO(text, newline=""), body.reader, chunk=body.max_rows + 1), None)
    return (0, {}) if first is None else (len(first[1][body.reader.names[0]]), first[1])


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the CSV is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _files_of(body: Body, what: str, example: str) -> list[bytes]:
    """The files of a form, at least one."""
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body.content)
    parts = list(message.iter_parts()) if message.is_multipart() else []
    found = [part.get_payload(decode=True) for part in parts if part.get_filename() is not None]
    if not found:
        raise RefusedError(400, f"a form with {what} is expected, as of: curl -F file=@{example}")
    return [content if isinstance(content, bytes) else b"" for content in found]


# --- pictures ---------------------------------------------------------------------------------------------------------


def _json_pictures(body: Body) -> tuple[int, Columns]:
    """Pictures in base64; nothing else is looked at, so that no request names a file of this machine."""
    name = body.reader.names[0]
    cells = columns_of(json_rows(body, "images"), [name])[name]
    faults: list[Fault] = []
    pictures = []
    for row, cell in enumerate(cells, 1):
        try:
            pictures.append(_from_base64(cell))
        except ValueError:
            pictures.append(b"")
            said = f"a picture in base64 is expected, however: {shown(cell)}"
            faults += [{"row": row, "column": name, "message": said}] if len(faults) <= SHOWN else []
    if faults:
        raise RowError(*faults)
    return len(pictures), {name: pictures}


def _from_base64(cell: Any) -> bytes:
    if not isinstance(cell, str):
        raise ValueError
    head, comma, rest = cell.partition(",")
    text = rest if comma and head.startswith("data:") and head.endswith(";base64") else cell
    return base64.b64decode("".join(text.split()), validate=True)


def _one_picture(body: Body) -> tuple[int, Columns]:
    return 1, {body.reader.names[0]: [body.content]}


def _form_of_pictures(body: Body) -> tuple[int, Columns]:
    found = _files_of(body, "pictures", "cat.jpg")
    return len(found), {body.reader.names[0]: found}


# --- documentation ----------------------------------------------------------------------------------------------------


def _documented(card: Card, properties: dict[str, Any], more: dict[str, Any], short: dict[str, Any]) -> dict[str, Any]:
    """JSON and forms are taken of every modality.

    Args:
        properties: schema of a row's columns.
        more: content of other media types.
        short: the schema of a short form, by its name.
    """
    row = {"type": "object", "required": list(properties), "properties": properties}
    rows = {"rows": {"type": "array", "minItems": 1, "items": row}}
    schema: dict[str, Any] = {"type": "object", "properties": rows | short}
    schema |= {"anyOf": [{"required": [name]} for name in schema["properties"]]} if short else {"required": ["rows"]}
    form = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}, "required": ["file"]}
    example = {"rows": [kind_of(card).row(card)]}
    return {JSON: {"schema": schema, "example": example}, **more, FORM: {"schema": form}}


def _csv_documented(card: Card) -> dict[str, Any]:
    return {CSV: {"schema": {"type": "string"}, "example": kind_of(card).example(card)[1].decode()}}


def _table_content(card: Card) -> dict[str, Any]:
    properties = {
        c["name"]: {
            "type": ["number" if c["kind"] == "numeric" else c["kind"].replace("categorical", "string"), "null"]
        }
        | ({"examples": list(c["categories"][:8])} if c["kind"] == "categorical" else {})
        for c in card["columns"]
    }
    return _documented(card, properties, _csv_documented(card), {})


def _text_content(card: Card) -> dict[str, Any]:
    names = [c["name"] for c in card["columns"]]
    one: dict[str, Any] = {"type": "string"}
    if len(names) > 1:
        one = {"type": "array", "items": one, "minItems": len(names), "maxItems": len(names)}
    short = {"texts": {"type": "array", "minItems": 1, "items": one}}
    return _documented(card, {name: {"type": ["string", "null"]} for name in names}, _csv_documented(card), short)


def _picture_content(card: Card) -> dict[str, Any]:
    encoded = {"type": "string", "contentEncoding": "base64"}
    more = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/jpeg", "image/png")}
    short = {"images": {"type": "array", "minItems": 1, "items": encoded}}
    return _documented(card, {card["columns"][0]["name"]: encoded}, more, short)


def _table_columns(card: Card) -> list[dict[str, Any]]:
    return [
        {"name": c["name"], "kind": c["kind"]}
        | ({"mean": c["mean"], "std": c["std"]} if c["kind"] == "numeric" else {"categories": list(c["categories"])})
        for c in card["columns"]
    ]


BODIES: dict[str, Bodies] = {
    "table": Bodies(
        readers={JSON: _json_cells, CSV: _csv_cells, FORM: _csv_cells},
        content=_table_content,
        columns=_table_columns,
        said="Predict rows: JSON, CSV in the body, or a form with a CSV file. Columns beside the model's are ignored.",
        most_rows=1_000_000,
        in_loop=8_192,
    ),
    "text": Bodies(
        readers={JSON: _json_texts, CSV: _csv_cells, FORM: _csv_cells},
        content=_text_content,
        columns=lambda card: [dict(c) for c in card["columns"]],
        said='Predict texts: JSON (rows, or {"texts": [...]}; a pair is a list of two), or CSV in the body or a form.',
        most_rows=1000,
    ),
    "image": Bodies(
        readers={JSON: _json_pictures, FORM: _form_of_pictures, "image/*": _one_picture},
        content=_picture_content,
        columns=lambda card: [dict(c) for c in card["columns"]],
        said='Predict pictures: a form with files, one in the body, or base64 in JSON (rows, or {"images": [...]}).',
        most_rows=64,
    ),
}
"""By modality."""
