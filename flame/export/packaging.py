"""A model as a folder that runs where neither torch nor this library is installed."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.export import runner
from flame.export.example import example_csv
from flame.export.exporting import export_model
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
COPY model.onnx model.json runner.py ./
USER nobody
ENTRYPOINT ["python", "/model/runner.py"]
"""


def package_model(model: GeneratedModel, folder: str | Path, *, rows: Any = None) -> ParityReport:
    """Write `model.onnx`, its card, `runner.py`, `requirements.txt`, `Dockerfile`, `example.csv` and `README.md`.

    `python runner.py rows.csv` there needs numpy and onnxruntime only. An older package in that folder is replaced in
    one step; nothing is lost if writing fails.

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
        texts = {
            "runner.py": Path(runner.__file__).read_text("utf8"),
            "requirements.txt": "".join(f"{name}=={metadata.version(name)}\n" for name in ("numpy", "onnxruntime")),
            "Dockerfile": _DOCKERFILE.format(python=".".join(platform.python_version_tuple()[:2])),
            "example.csv": example_csv(card),
            "README.md": _readme(card, report),
        }
        for name, text in texts.items():
            (fresh / name).write_text(text, "utf8", errors="backslashreplace")
    return report


def _readme(card: dict[str, Any], report: ParityReport) -> str:
    answer = f"one of {', '.join(f'`{v}`' for v in card['labels'])}" if card["labels"] else "a number"
    agreement = "" if report.class_agreement is None else f", the same class in {report.class_agreement:.2%} of them"
    lines = [
        f"# Predicts `{card['target']}`: {answer}",
        "",
        card["requirement"],
        "",
        "    pip install -r requirements.txt",
        "    python runner.py example.csv",
        "    python runner.py rows.csv --proba --output predictions.csv",
        "",
        "Or in a container:",
        "",
        "    docker build -t model .",
        '    docker run --rm -v "$PWD:/data" model /data/rows.csv',
        "",
        "From Python: `Runner('model.onnx').predict_csv(open('rows.csv'))` with `from runner import Runner`.",
        "",
        "## Columns",
        "",
        "Rows are a CSV in UTF-8 with these columns in any order; others are ignored. An empty cell: no value.",
        "",
        *(f"* `{c['name']}`: {_meaning(c)}" for c in card["columns"]),
        "",
        "## Files",
        "",
        "* `model.onnx`: any number of rows in, "
        + ("probabilities in the order of the labels out" if card["labels"] else "a number each out"),
        "* `model.json`: columns, scales, categories and labels; `runner.py` refuses it if it was changed",
        f"* `{MARKER}`: compared with the model it was made of on {report.n_rows} rows ({report.rows}): largest "
        f"difference {report.max_abs_difference:.2g}{agreement}",
        "",
    ]
    return "\n".join(lines)


def _meaning(column: dict[str, Any]) -> str:
    if column["kind"] == "numeric":
        return f"a number, {column['mean']:.4g} on average"
    shown = ", ".join(f"`{t}`" for t in column["categories"][:8]) + (", ..." if len(column["categories"]) > 8 else "")
    return f"{'yes or no' if column['kind'] == 'boolean' else 'a category'}: {shown}"
