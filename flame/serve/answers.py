"""From a request's body to the body of the answer; nothing here knows of a web framework."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import numpy as np

from flame.export.runner import Columns, RowError, Runner, columns_of, read_csv

KINDS = ("application/json", "text/csv", "multipart/form-data")
"""Media types of a body with rows."""


class RefusedError(Exception):
    """A request that gets no prediction: an HTTP status, a message, and the faults of its rows if there are some."""

    def __init__(
        self,
        status: int,
        message: str,
        faults: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.content = {"detail": message} | ({"faults": [dict(f) for f in faults]} if faults else {})


def predict(runner: Runner, body: bytes, content_type: str, *, max_rows: int) -> tuple[bytes, int]:
    """The answer as JSON, and the number of rows.

    Raises:
        RefusedError: if the body cannot be read, its rows are at fault, or there are too many.
    """
    try:
        n_rows, columns = read_rows(runner, body, content_type, max_rows=max_rows)
        outputs = runner.outputs(columns)
    except RowError as error:
        raise RefusedError(422, str(error), error.faults) from error
    return json.dumps(answer(runner, outputs), ensure_ascii=False, allow_nan=False).encode(), n_rows


def read_rows(runner: Runner, body: bytes, content_type: str, *, max_rows: int) -> tuple[int, Columns]:
    """How many rows there are, and their cells by column.

    Raises:
        RefusedError: if they cannot be read, or there are none or too many.
        RowError: if a column is missing, or a row is no object.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in KINDS:
        raise RefusedError(415, f"a body of type {', '.join(KINDS)} is expected, however: {kind or 'none'!r}")
    if kind == "application/json":
        rows = _json_rows(body)
        n_rows = len(rows)
        _refuse_number(n_rows, max_rows)
        return n_rows, columns_of(rows, runner.reader.names)
    text = _decoded(body if kind == "text/csv" else _file_of(body, content_type))
    first = next(read_csv(io.StringIO(text, newline=""), runner.reader, chunk=max_rows + 1), None)
    n_rows = 0 if first is None else len(first[1][runner.reader.names[0]])
    _refuse_number(n_rows, max_rows)
    assert first is not None
    return n_rows, first[1]


def answer(runner: Runner, outputs: np.ndarray) -> dict[str, Any]:
    """What a client gets: the prediction of every row, and the probabilities of its labels."""
    found, values = runner.answers(outputs), outputs.tolist()
    if not runner.labels:
        return {"target": runner.card["target"], "predictions": [{"prediction": v} for v in found]}
    names = [str(label) for label in runner.labels]
    rows = [
        {"prediction": v, "probabilities": dict(zip(names, p, strict=True))} for v, p in zip(found, values, strict=True)
    ]
    return {"target": runner.card["target"], "predictions": rows}


def _json_rows(body: bytes) -> list[Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise RefusedError(400, f"the body is no JSON: {why}") from error
    rows = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise RefusedError(422, 'an object {"rows": [{column: value, ...}, ...]} is expected in the body')
    return rows


def _refuse_number(n_rows: int, max_rows: int) -> None:
    if n_rows == 0:
        raise RefusedError(422, "at least one row is expected, however: none")
    if n_rows > max_rows:
        raise RefusedError(
            413, f"at most {max_rows} rows are accepted in one request, however more came: send them in parts"
        )


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(400, f"the CSV is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _file_of(body: bytes, content_type: str) -> bytes:
    """The first file of a form."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_filename() is not None:
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) else b""
    raise RefusedError(400, "a form with a CSV file is expected, as of: curl -F file=@rows.csv")
