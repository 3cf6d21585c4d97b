"""The runner of whatever is to be served."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from flame.errors import CheckpointError, missing_extra
from flame.export.runner import Runner

if TYPE_CHECKING:
    from flame.model import GeneratedModel


def runner_of(source: str | Path | GeneratedModel, *, threads: int = 1) -> Runner:
    """A packaged or saved model's folder, an exported file, or a model, ready to answer.

    Raises:
        CheckpointError: if there is none, or it was changed.
        MissingExtraError: if onnxruntime is not installed, or onnx where a model must be exported first.
    """
    if not isinstance(source, str | os.PathLike):
        return _exported(source, threads)
    place = Path(source)
    if (place / "model.onnx").is_file():
        place = place / "model.onnx"
    if place.is_file() and place.suffix == ".onnx":
        return _opened(place, threads)
    if not (place / "flame.json").is_file():
        raise CheckpointError(
            f"no model at {place}: a folder of `flame package` or of a saved model is expected, or an .onnx file"
        )
    from flame.saving import load_model

    return _exported(load_model(place), threads)


def _exported(model: GeneratedModel, threads: int) -> Runner:
    from flame.export.exporting import export_model

    with tempfile.TemporaryDirectory(prefix="flame-serve-") as folder:
        place = Path(folder) / "model.onnx"
        export_model(model, place)
        return _opened(place, threads)


def _opened(place: Path, threads: int) -> Runner:
    try:
        return Runner(place, threads=threads)
    except ImportError as error:
        extra = "vision" if error.name == "PIL" else "serve"
        raise missing_extra(error.name or "onnxruntime", extra, "HTTP services") from error
    except Exception as error:  # onnxruntime's errors have no base but Exception
        raise CheckpointError(f"{place} cannot be served: {error}") from error
