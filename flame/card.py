"""The card of a saved model: what it does, where it comes from, how good it is and where it ends; no row of anybody.

Names, labels and descriptions come from users: each stands in a code span that it cannot leave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flame.data import DataBatch

if TYPE_CHECKING:
    from flame.evaluation import Evaluation
    from flame.model import GeneratedModel

MAX_SHOWN = 40
"""Classes or columns that a card names one by one."""
_LIMITS = (
    "It was written for rows like those described above; of others it gives an answer too, and no warning.",
    "A probability is the model's own; see the calibration error above, if there is one, before relying on it.",
    "Nobody has checked it for fairness between groups of people. Do not let it decide about people alone.",
)


def card_of_model(model: GeneratedModel, usage: str = "") -> str:
    """The card as Markdown, with the front matter that model hubs read.

    Args:
        usage: how the files are used without this library.
    """
    parts = [
        _front_matter(model),
        f"# {_code(model.target)}: a model written in one forward pass",
        _use(model),
        usage,
        _section("What it does", _does(model)),
        _section("Data it was written from", _data(model)),
        _section("Where it comes from", _origin(model)),
        _section("Scores", _scores(model)),
        _section("Limits", [f"* {text}" for text in _LIMITS]),
        _section("Licence", _licence(model)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def data_profile(batch: DataBatch | None) -> dict[str, Any]:
    """Counts and sums of the rows a model is written from; no cell of them.

    A class's name is a label, which the model keeps anyway.
    """
    if batch is None:
        return {}
    profile: dict[str, Any] = {
        "n_rows": len(batch),
        "n_labelled": 0 if batch.labels is None else len(batch.labels),
        "n_columns": len(batch.columns),
        "n_missing": batch.n_missing,
    }
    if batch.labels is not None and len(batch.label_values) <= MAX_SHOWN:
        profile["rows_by_label"] = {str(k): int(n) for k, n in batch.labels.map(str).value_counts().items()}
    return {"data": profile}


def scores_for_card(evaluation: Evaluation) -> dict[str, Any]:
    """What is kept of an evaluation: scores, intervals and baseline; no row, no table."""
    measured = evaluation.measured()
    return {
        "n_rows": int(evaluation["n_rows"]),
        "scores": {name: evaluation[name] for name in measured},
        "intervals": {name: list(evaluation.intervals[name]) for name in measured if name in evaluation.intervals},
        "guessing": {name: evaluation.baseline[name] for name in measured if name in evaluation.baseline},
    }


def _front_matter(model: GeneratedModel) -> str:
    from huggingface_hub import ModelCardData

    modality = "tabular" if model.preprocessor.modality == "table" else model.preprocessor.modality
    kind = "regression" if model.is_regression else "classification"
    pipeline = "text-classification" if modality == "text" else f"{modality}-{kind}"
    base = model.provenance.get("base_model")
    hub_name = base if isinstance(base, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", base) else None
    told = ModelCardData(library_name="flame-hypernet", tags=["flame"], pipeline_tag=pipeline, base_model=hub_name)
    return f"---\n{told.to_yaml()}\n---"


def _use(model: GeneratedModel) -> str:
    rows = {"text": '["a text"]', "image": '"photos/"'}.get(model.preprocessor.modality, '"rows.csv"')
    return f"```python\nimport flame\n\nmodel = flame.load(folder)\nmodel.predict({rows})\n```"


def _does(model: GeneratedModel) -> list[str]:
    labels = _names(model.labels) if model.labels else "a number"
    return [
        f"* requirement: {_plain(model.requirement)}",
        f"* reads {len(model.preprocessor.names)} column(s): {_names(model.preprocessor.names)}",
        f"* predicts {_code(model.target)}: {labels}",
        f"* {_code(model.metadata.arch)}, {model.n_parameters():,} parameters",
        f"* metadata: {_code(json.dumps(model.metadata.model_dump(exclude_none=True)))}",
    ]


def _data(model: GeneratedModel) -> list[str]:
    told = model.provenance.get("data")
    if not isinstance(told, dict):
        return []
    lines = [f"* {name.removeprefix('n_')}: {told[name]:,}" for name in told if name.startswith("n_")]
    by_label = told.get("rows_by_label", {})
    return [*lines, *(f"* {_code(label)}: {n:,} rows" for label, n in by_label.items())]


def _origin(model: GeneratedModel) -> list[str]:
    story = model.provenance
    known = {"data", "evaluation", "finetune", "base_licence"}
    lines = [f"* route: {_plain(model.route)}", *(f"* note: {_plain(note)}" for note in model.route.notes)]
    lines += [f"* {_code(name)}: {_code(story[name])}" for name in story if name not in known]
    if "total" in model.timings:
        lines.append(f"* written in {model.timings['total']:.2f} s")
    if "finetune" in story:
        lines.append(f"* fine-tuned: {_code(json.dumps(story['finetune']))}")
    return lines


def _scores(model: GeneratedModel) -> list[str]:
    told = model.provenance.get("evaluation")
    if not isinstance(told, dict):
        return ["Not evaluated: `flame evaluate FOLDER rows.csv --card` measures them and writes them here."]
    lines = [
        f"On {told['n_rows']:,} labelled rows:",
        "",
        "| score | value | 95 % interval | guessing |",
        "|---|---|---|---|",
    ]
    for name, value in told["scores"].items():
        interval = " to ".join(f"{v:.4f}" for v in told["intervals"].get(name, ()))
        guess = told["guessing"].get(name)
        lines.append(f"| {name} | {value:.4f} | {interval} | {'' if guess is None else f'{guess:.4f}'} |")
    return lines


def _licence(model: GeneratedModel) -> list[str]:
    lines = ["* generator and code: Apache-2.0; the model's own licence is for whoever had it written to choose"]
    if "base_model" in model.provenance:
        stated = model.provenance.get("base_licence", "not stated")
        lines.append(f"* base model {_code(model.provenance['base_model'])}: {_code(stated)}")
    return lines


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"## {title}", "", *lines]) if lines else ""


def _names(values: Iterable[Any]) -> str:
    known = [*values]
    rest = f", and {len(known) - MAX_SHOWN} more" if len(known) > MAX_SHOWN else ""
    return ", ".join(_code(v) for v in known[:MAX_SHOWN]) + rest


def _code(value: Any) -> str:
    """A code span of one line, fenced by more backticks than it holds.

    >>> _code("a `b`\\n<script>")
    '`` a `b` <script> ``'
    """
    text = " ".join(str(value).split())
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def _plain(value: Any) -> str:
    """Text of one line that starts no tag, link or table cell.

    >>> _plain("<b>1 | [x](y)")
    '&lt;b>1 \\\\| \\\\[x\\\\](y)'
    """
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([|\[\]`])", r"\\\1", text)
