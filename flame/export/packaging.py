"""A model as a folder that runs where neither torch nor this library is installed."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.export import runner
from flame.export.exporting import export_model
from flame.export.kinds import kind_of
from flame.export.parity import ParityReport
from flame.files import atomic_folder, check_place

if TYPE_CHECKING:
    from flame.model import GeneratedModel

MARKER = "model.onnx.parity.json"
"""File by which a folder is known as one of ours."""
_DOCKERFILE = """FROM python:{python}-slim
WORKDIR /model
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY model.onnx model.onnx.parity.json model.json {modules} ./
USER nobody
ENTRYPOINT ["python", "/model/runner.py"]
"""
_OWN_IMPORT = re.compile(r"^( *)from flame(?:\.\w+)*\.(\w+) import", re.MULTILINE)


def package_model(model: GeneratedModel, folder: str | Path, *, rows: Any = None) -> ParityReport:
    """Write `model.onnx`, its card, `runner.py`, `requirements.txt`, `Dockerfile`, an example and `README.md`.

    `python runner.py rows.csv` there needs numpy and onnxruntime only, for texts tokenizers too, for pictures Pillow.
    An older package in that folder is replaced in one step; nothing is lost if writing fails.

    Args:
        rows: rows to compare the export with the model on; made up if not given.

    Raises:
        MissingExtraError: if onnx, onnxscript or onnxruntime are not installed.
        ExportError: if the export differs from the model; nothing is written.
        CheckpointError: if the folder cannot be written or holds something else.
    """
    check_place(folder, marker=MARKER)  # before the work
    with atomic_folder(folder, marker=MARKER) as fresh:
        report = export_model(model, fresh / "model.onnx", rows=rows)
        card = runner.read_card(fresh / "model.json")
        for name, content in _files(card, report).items():
            (fresh / name).write_bytes(content)
    return report


def _files(card: dict[str, Any], report: ParityReport) -> dict[str, bytes]:
    """All files of a package but the export's own."""
    kind = kind_of(card)
    modules = {f"{name.rpartition('.')[2]}.py": _alone(name) for name in (runner.__name__, *kind.files)}
    example, content = kind.example(card)
    python = ".".join(platform.python_version_tuple()[:2])
    texts = {
        **modules,
        "requirements.txt": "".join(f"{name}=={metadata.version(name)}\n" for name in kind.packages),
        "Dockerfile": _DOCKERFILE.format(python=python, modules=" ".join(modules)),
        "README.md": _readme(card, report, example),
    }
    return {example: content} | {name: text.encode("utf8", "backslashreplace") for name, text in texts.items()}


def _alone(module: str) -> str:
    """The source of a module of ours that imports its neighbours in one folder."""
    source = find_spec(module)
    assert source is not None
    assert source.origin is not None
    return _OWN_IMPORT.sub(r"\1from \2 import", Path(source.origin).read_text("utf8"))


def _readme(card: dict[str, Any], report: ParityReport, example: str) -> str:
    kind = kind_of(card)
    rows = kind.files_of_rows
    answer = f"one of {', '.join(f'`{v}`' for v in card['labels'])}" if card["labels"] else "a number"
    agreement = "" if report.class_agreement is None else f", the same class in {report.class_agreement:.2%} of them"
    lines = [
        f"# Predicts `{card['target']}`: {answer}",
        "",
        card["requirement"],
        "",
        "    pip install -r requirements.txt",
        f"    python runner.py {example}",
        f"    python runner.py {rows} --proba --output predictions.csv",
        "",
        "Or in a container:",
        "",
        "    docker build -t model .",
        f'    docker run --rm -v "$PWD:/data" model /data/{rows}',
        "",
        "From Python: `Runner('model.onnx')` of `runner.py`; its `outputs` and `answers`.",
        "",
        "## What it reads",
        "",
        *kind.reading(card),
        "",
        "## Files",
        "",
        "* `model.onnx`: any number of rows in, "
        + ("probabilities in the order of the labels out" if card["labels"] else "a number each out"),
        "* `model.json`: how rows become numbers, and the labels; `runner.py` refuses it if it was changed",
        f"* `{MARKER}`: the hash of `model.onnx`, by which a change of it is refused, too; it was compared with the "
        f"model it was made of on {report.n_rows} rows ({report.rows}): largest difference "
        f"{report.max_abs_difference:.2g}{agreement}",
        "",
    ]
    return "\n".join(lines)
