"""A model behind HTTP: predictions, documentation, health and metrics, on this machine only unless told otherwise.

Neither torch nor pandas is needed to serve an exported model.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from flame.errors import missing_extra
from flame.serve.limits import Limits
from flame.serve.source import runner_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from flame.model import GeneratedModel

__all__ = ["Limits", "make_app", "serve"]


def make_app(source: str | Path | GeneratedModel, *, token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """An application that answers for one model.

    `POST /predict` takes `{"rows": [{column: value, ...}, ...]}`, a CSV body or a CSV file; of texts `{"texts": [...]}`
    too; of pictures a form with files, one picture as the body, or base64 in JSON. `GET /spec` says what the model
    reads and answers, `/health` that it is up, `/metrics` how it is used (Prometheus), `/docs` all of this.

    Args:
        source: folder of a packaged or saved model, an exported `.onnx` file, or a model; what is not exported yet is
            exported first, which takes seconds and needs the `export` extra.
        token: every request but `/health` must then carry `Authorization: Bearer TOKEN`.
        limits: sizes, times and rates.

    Raises:
        MissingExtraError: if fastapi, or onnxruntime, is not installed.
        CheckpointError: if there is no model at `source`.
        ConfigError: if the token is empty.
    """
    _require("fastapi")
    from flame.serve.app import app_of

    return app_of(runner_of(source), token=token, limits=limits or Limits())


def serve(
    source: str | Path | GeneratedModel,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    limits: Limits | None = None,
) -> None:
    """Answer until the process is told to stop (SIGTERM or Ctrl-C); requests under way are finished first.

    Raises:
        MissingExtraError: if fastapi or uvicorn is not installed.
        ConfigError: if the port cannot be taken.
    """
    _require("uvicorn")
    from flame.serve.server import run

    limits = limits or Limits()
    app = make_app(source, token=token, limits=limits)
    run(app, host=host, port=port, limits=limits, is_open=token is None)


def _require(package: str) -> None:
    try:
        importlib.import_module(package)
    except ImportError as error:
        raise missing_extra(package, "serve", "HTTP services") from error
