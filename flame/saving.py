"""Generated models on disk: safetensors and JSON, written in one step, checked when read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from flame.errors import CheckpointError, FlameError
from flame.files import atomic_folder
from flame.metadata import parse_metadata
from flame.preprocessing import TablePreprocessor
from flame.route import Route
from targets import get_target

if TYPE_CHECKING:
    from flame.model import GeneratedModel

FORMAT = "flame-model"
FORMAT_VERSION = 1


def save_model(model: GeneratedModel, folder: str | Path) -> Path:
    """Write `model` to a folder; see `GeneratedModel.save`."""
    tensors = save({name: value.contiguous() for name, value in model.module.state_dict().items()})
    story = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "requirement": model.requirement,
        "metadata": model.metadata.model_dump(),
        "labels": list(model.labels),
        "target": model.target,
        "preprocessing": model.preprocessor.to_json(),
        "route": model.route.to_json(),
        "timings": model.timings,
        "provenance": model.provenance,
    }
    story["sha256"] = _hash(story, tensors)
    with atomic_folder(folder, marker="flame.json") as fresh:
        (fresh / "model.safetensors").write_bytes(tensors)
        # Half a surrogate pair, as in a name of broken bytes, becomes the escape that JSON has for it.
        text = json.dumps(story, indent=1, ensure_ascii=False)
        (fresh / "flame.json").write_text(text, "utf8", errors="backslashreplace")
        (fresh / "README.md").write_text(_card(model), "utf8", errors="backslashreplace")
    return Path(folder)


def load_model(folder: str | Path) -> GeneratedModel:
    """Read a folder that `save_model` wrote.

    Raises:
        CheckpointError: if it is missing, truncated, changed, foreign, or of a later version.
    """
    from flame.model import GeneratedModel

    folder = Path(folder)
    story, tensors = _read(folder)
    try:
        metadata = parse_metadata(story["metadata"])
        route = Route(**{**story["route"], "notes": tuple(story["route"].get("notes", ()))})
        target = get_target(metadata.arch)
        weights = {name: value[None] for name, value in load(tensors).items()}
        module = target.merge(target.build(metadata), weights).eval()
        preprocessor = TablePreprocessor.from_json(story["preprocessing"])
        labels, width = tuple(story["labels"]), preprocessor.width
        n_labels = 0 if metadata.task == "tabular_reg" else metadata.out_dim
        if width != metadata.input_width or len(labels) != n_labels:
            raise ValueError(f"preprocessing of width {width} and {len(labels)} labels do not fit the metadata")
        return GeneratedModel(
            module=module,
            preprocessor=preprocessor,
            labels=labels,
            target=str(story["target"]),
            requirement=str(story["requirement"]),
            metadata=metadata,
            route=route,
            timings=dict(story["timings"]),
            provenance=dict(story["provenance"]),
        )
    except (FlameError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is not a readable model: {error}") from error


def _read(folder: Path) -> tuple[dict[str, Any], bytes]:
    if not folder.is_dir():
        raise CheckpointError(f"no model folder at {folder}")
    missing = [n for n in ("flame.json", "model.safetensors") if not (folder / n).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is not a saved model: it lacks {', '.join(missing)}")
    try:
        story = json.loads((folder / "flame.json").read_text("utf8"))
        tensors = (folder / "model.safetensors").read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} is not a readable model: {error}") from error
    if not isinstance(story, dict) or story.get("format") != FORMAT:
        raise CheckpointError(f"{folder}/flame.json was not written by this library")
    if story.get("version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has format {story.get('version')!r}; this version reads {FORMAT_VERSION}: update flame-hypernet"
        )
    if story.pop("sha256", None) != _hash(story, tensors):
        raise CheckpointError(
            f"{folder} is truncated or was changed: its content has not the hash that flame.json says"
        )
    return story, tensors


def _hash(story: dict[str, Any], tensors: bytes) -> str:
    """Of the weights and of all that flame.json says but the hash itself."""
    words = json.dumps(story, sort_keys=True).encode()  # escaped, so the same for every text
    return hashlib.sha256(hashlib.sha256(tensors).digest() + words).hexdigest()


def _card(model: GeneratedModel) -> str:
    columns = ", ".join(f"`{n}`" for n in model.preprocessor.names)
    lines = [
        f"# {model.route.task}: a model written in one forward pass",
        "",
        f"* requirement: {model.requirement}",
        f"* metadata: `{json.dumps(model.metadata.model_dump())}`",
        f"* route: {model.route}",
        f"* columns: {columns}",
        f"* predicts `{model.target}`: {', '.join(f'`{v}`' for v in model.labels) or 'a number'}",
        f"* parameters: {model.n_parameters():,}",
        *(f"* {key}: {value}" for key, value in model.provenance.items()),
        "",
        "Load it with `flame.load(folder)` or `flame predict folder rows.csv`.",
        "",
    ]
    return "\n".join(lines)
