"""Generated models on disk: safetensors and JSON, written in one step, checked when read.

A network for a table or for pictures is written whole; a text model as what it adds to its base model. `flame.json`
says which of them (`modality`, absent for tables), and what the files have in common stands here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from flame.card import card_of_model
from flame.errors import CheckpointError, ConfigError, FlameError
from flame.files import atomic_folder
from flame.inputs import Preprocessor
from flame.metadata import Metadata, parse_metadata
from flame.route import Route
from flame.table.preprocessing import TablePreprocessor
from targets import get_target

if TYPE_CHECKING:
    from flame.model import GeneratedModel

FORMAT = "flame-model"
FORMAT_VERSION = 1
"""`tests/saved_models` holds a folder of every version up to this one; all of them are read."""
WEIGHTS = ("model.safetensors", "adapter_model.safetensors", "classifier.safetensors")
"""Files of weights that a folder may hold; the hash is over those that it does."""

FILES = (*WEIGHTS, "flame.json", "README.md", "adapter_config.json", "config.json")
"""All that `save_model` may write: the last two are for programs that load adapters."""

Files = dict[str, bytes]
"""Content of the files of weights, by name."""
Read = tuple[nn.Module, Preprocessor]


@dataclass(frozen=True)
class Form:
    """How models of one kind are written and read."""

    file: str
    """File of weights that must be there besides `flame.json`."""
    write: Callable[[GeneratedModel, Path], dict[str, Any]]
    """Fills an empty folder; gives what `flame.json` says besides the common story."""
    read: Callable[[Files, dict[str, Any], Metadata, str | None], Read]
    """Module and preprocessing from the weights, the story, the metadata and the base model that the user names."""
    usage: Callable[[GeneratedModel], str] = lambda _: ""
    """What the card says of using the files without this library."""


def save_model(model: GeneratedModel, folder: str | Path) -> Path:
    """Write `model` to a folder; see `GeneratedModel.save`."""
    with atomic_folder(folder, marker="flame.json") as fresh:
        form = _forms()[model.preprocessor.modality]
        extra = form.write(model, fresh)
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
            **extra,
        }
        story["sha256"] = _hash(story, b"".join(_weights(fresh).values()))
        # Half a surrogate pair, as in a name of broken bytes, becomes the escape that JSON has for it.
        text = json.dumps(story, indent=1, ensure_ascii=False)
        (fresh / "flame.json").write_text(text, "utf8", errors="backslashreplace")
        (fresh / "README.md").write_text(card_of_model(model, form.usage(model)), "utf8", errors="backslashreplace")
    return Path(folder)


def save_whole(model: GeneratedModel, folder: str | Path) -> Path:
    """Write a text model, base included, as a plain transformers folder; see `GeneratedModel.save`.

    Raises:
        ConfigError: for other models, which are saved whole anyway, and where transformers has no form for it.
    """
    if model.preprocessor.modality != "text":
        raise ConfigError(
            f"merged=True is for models that adapt a base model, however: {model.metadata.arch}, which is always saved "
            "whole; leave it out"
        )
    from flame.text.model_saving import write_merged

    return write_merged(model, folder)


def load_model(folder: str | Path, *, base_model: str | None = None) -> GeneratedModel:
    """Read a folder that `save_model` wrote.

    Args:
        base_model: where the base of a text model is, if not where `flame.json` says.

    Raises:
        CheckpointError: if it is missing, truncated, changed, foreign, or of a later version, or its base model is not
            there.
    """
    from flame.model import GeneratedModel

    folder = Path(folder)
    story, files, form = _read(folder)
    try:
        metadata = parse_metadata(story["metadata"])
        route = Route(**{**story["route"], "notes": tuple(story["route"].get("notes", ()))})
        module, preprocessor = form.read(files, story, metadata, base_model)
        labels = tuple(story["labels"])
        n_labels = 0 if metadata.task.endswith("_reg") else metadata.out_dim
        if len(labels) != n_labels:
            raise ValueError(f"{len(labels)} labels do not fit the metadata")
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
    except (FlameError, KeyError, TypeError, ValueError, AttributeError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{folder} is not a readable model: {error}") from error


def _write_table(model: GeneratedModel, fresh: Path) -> dict[str, Any]:
    tensors = {name: value.contiguous() for name, value in model.module.state_dict().items()}
    (fresh / "model.safetensors").write_bytes(save(tensors))
    return {}


def _read_table(files: Files, story: dict[str, Any], metadata: Metadata, base_model: str | None) -> Read:
    if base_model is not None:
        raise ValueError(f"base_model={base_model!r} was given, however a table's model has no base; leave it out")
    target = get_target(metadata.arch)
    weights = {name: value[None] for name, value in load(files["model.safetensors"]).items()}
    module = target.merge(target.build(metadata), weights).eval()
    preprocessor = TablePreprocessor.from_json(story["preprocessing"])
    if preprocessor.width != metadata.input_width:
        raise ValueError(f"preprocessing of width {preprocessor.width} does not fit the metadata")
    return module, preprocessor


def _forms() -> dict[str, Form]:
    from flame.picture import model_saving as picture
    from flame.text.model_saving import FILE, read_text, write_text

    return {
        "table": Form("model.safetensors", _write_table, _read_table),
        "text": Form(FILE, write_text, read_text),
        "image": Form(picture.FILE, picture.write_picture, picture.read_picture, picture.usage),
    }


def _read(folder: Path) -> tuple[dict[str, Any], Files, Form]:
    """The story of a folder whose content is what it says, and its weights."""
    if not folder.is_dir():
        raise CheckpointError(f"no model folder at {folder}")
    if not (folder / "flame.json").is_file():
        held = any((folder / name).is_file() for name in WEIGHTS)
        raise CheckpointError(f"{folder} is not a saved model: it lacks flame.json{'' if held else ', ' + WEIGHTS[0]}")
    try:
        story = json.loads((folder / "flame.json").read_bytes().decode("utf8"))
        files = _weights(folder)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder} is not a readable model: {error}") from error
    if not isinstance(story, dict) or story.get("format") != FORMAT:
        raise CheckpointError(f"{folder}/flame.json was not written by this library")
    modality, forms = str(story.get("modality", "table")), _forms()
    if story.get("version") != FORMAT_VERSION or modality not in forms:
        raise CheckpointError(
            f"{folder} has format {story.get('version')!r}; this version reads {FORMAT_VERSION}: update flame-hypernet"
            if modality in forms
            else f"{folder} holds a model for {modality!r}; this version reads {sorted(forms)}: update flame-hypernet"
        )
    form = forms[modality]
    if form.file not in files:
        raise CheckpointError(f"{folder} is not a saved model: it lacks {form.file}")
    if story.pop("sha256", None) != _hash(story, b"".join(files.values())):
        raise CheckpointError(
            f"{folder} is truncated or was changed: its content has not the hash that flame.json says"
        )
    return story, files, form


def _weights(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in WEIGHTS if (folder / name).is_file()}


def _hash(story: dict[str, Any], tensors: bytes) -> str:
    """Of the weights and of all that flame.json says but the hash itself."""
    words = json.dumps(story, sort_keys=True).encode()  # escaped, so the same for every text
    return hashlib.sha256(hashlib.sha256(tensors).digest() + words).hexdigest()
