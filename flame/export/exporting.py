"""Export a model, run the export in its own engine, compare, and only then put it in place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.errors import CheckpointError, FlameError
from flame.export.formats import Format, choose_format
from flame.export.parity import ExportError, ParityReport, compare, refuse_if_different

if TYPE_CHECKING:
    from flame.export.forms import Form
    from flame.model import GeneratedModel


def export_model(
    model: GeneratedModel, path: str | Path, *, format: str | None = None, rows: Any = None
) -> ParityReport:
    """Write a model for another engine, with the card that a reader of rows needs and the proof that it is the same.

    `iris.onnx` comes with `iris.json` (the card: columns, scales, categories, labels) and `iris.onnx.parity.json`.
    Classes come out as probabilities in the order of the card's labels, a number as it is; any number of rows goes in.
    Texts come in as token ids of any length (their adapter is merged), pictures as standardised pixels.

    Args:
        path: file to write; its suffix says the format: `.pt2` (torch.export), `.onnx`, `.int8.onnx`, `.xml`
            (OpenVINO), `.ncnn.param`.
        format: `pt2`, `onnx`, `int8`, `openvino` or `ncnn`, where the suffix does not say it.
        rows: rows to compare export and model on, labelled or not; made up within what the model has seen if not given.

    Raises:
        ConfigError: if there is no such format.
        MissingExtraError: if the format's packages are not installed.
        ExportError: if the model cannot be exported so, or the export differs from it; nothing is left.
        CheckpointError: if the files cannot be written.
        DataError: if the rows lack a column of the model.
    """
    place, kind = choose_format(path, format)
    versions = kind.require()
    from flame.export.forms import form_of

    form = form_of(model, rows)
    with fresh_files(place) as folder:
        report = _written(form, kind, folder / place.name, versions)
        stem = place.name.removesuffix(kind.suffix)
        _write_json(folder / f"{stem}.json", form.card)
        _write_json(folder / f"{place.name}.parity.json", report.to_json())
    return report


def _written(form: Form, kind: Format, place: Path, versions: dict[str, str]) -> ParityReport:
    import torch

    if kind.name in form.refused:
        raise ExportError(f"{place.name}: {form.refused[kind.name]}")
    try:
        kind.write(form, place)
        found = kind.run(form, place)
    except (FlameError, OSError):
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise ExportError(f"{place.name}: the model cannot be exported to this format: {why}; try another") from error
    report = ParityReport(
        file=place.name,
        format=kind.name,
        n_rows=len(found),
        rows=form.rows,
        preprocessing_identical=form.reader_agrees,
        n_bytes=sum(p.stat().st_size for p in kind.files(place)),
        versions={"torch": torch.__version__, **versions},
        sha256=hashlib.sha256(place.read_bytes()).hexdigest(),
        **compare(form.expected, found, classes=form.classes),
    )
    refuse_if_different(report, exact=kind.exact)
    return report


@contextlib.contextmanager
def fresh_files(place: Path) -> Iterator[Path]:
    """A fresh folder beside `place`, whose files replace those beside `place` when all went well.

    Raises:
        CheckpointError: if a file cannot be written there.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise CheckpointError(f"cannot write {place}: {error}") from error
    try:
        yield folder
        made = sorted(folder.iterdir())
        taken = [place.with_name(p.name) for p in made if place.with_name(p.name).is_dir()]
        if taken:
            raise CheckpointError(f"{taken[0]} is a folder; give another name")
        for path in made:
            os.replace(path, place.with_name(path.name))
    except OSError as error:
        if isinstance(error, FlameError):
            raise
        raise CheckpointError(f"cannot write {place}: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    # Half a surrogate pair, as in a name of broken bytes, becomes the escape that JSON has for it.
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False), "utf8", errors="backslashreplace")
