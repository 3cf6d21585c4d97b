"""From a request's body to the body of the answer; nothing here knows of a web framework."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from flame.export.rows import RowError
from flame.export.runner import Runner
from flame.serve.bodies import Body, bodies_of
from flame.serve.refused import RefusedError


def predict(runner: Runner, body: bytes, content_type: str, *, max_rows: int) -> tuple[bytes, int]:
    """The answer as JSON, and the number of rows.

    Raises:
        RefusedError: if the body cannot be read, its rows are at fault, or there are too many.
    """
    try:
        n_rows, columns = bodies_of(runner.card).read(Body(runner.reader, body, content_type, max_rows))
        outputs = runner.outputs(columns)
    except RowError as error:
        raise RefusedError(422, str(error), error.faults) from error
    return json.dumps(answer(runner, outputs), ensure_ascii=False, allow_nan=False).encode(), n_rows


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
