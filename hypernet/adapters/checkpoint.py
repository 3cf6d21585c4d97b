"""Generators of adapters on disk, in half precision; see `hypernet.folders`.

The base model is named with its sha256 and never copied.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from flame.errors import CheckpointError
from hypernet.adapters.generator import AdapterGenerator, AdapterGeneratorConfig
from hypernet.adapters.pictures import PictureGenerator, PictureGeneratorConfig
from hypernet.folders import read_folder, write_folder
from hypernet.tasks import TaskRecord
from targets import WeightSpec

FORMAT = "flame-adapter-generator"
WHAT = "generator of adapters"
Made = TypeVar("Made", bound=AdapterGenerator)


def save_adapter_generator(model: AdapterGenerator, folder: str | Path) -> Path:
    """Write a folder with `model.base` and `model.provenance`."""
    config = {
        "config": asdict(model.config),
        "d_words": model.d_words,
        "d_feature": model.d_feature,
        "specs": [asdict(spec) for spec in model.specs],
        "heads": [task.to_json() for task in model.tasks.values()],
        "base": model.base,
        "provenance": model.provenance,
    }
    tensors = {name: value.half() for name, value in model.state_dict().items()}
    return write_folder(folder, tensors, kind=FORMAT, config=config, card=_card(model))


def load_adapter_generator(folder: str | Path) -> AdapterGenerator:
    """Read a folder that `save_adapter_generator` wrote; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    return read_folder(folder, _built, kind=FORMAT, what=WHAT)


def load_picture_generator(folder: str | Path) -> PictureGenerator:
    """The same for a generator for pictures, with the labels that it remembers.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    return read_folder(folder, _built_for_pictures, kind=FORMAT, what=WHAT)


def _built(raw: dict[str, Any], tensors: dict[str, Tensor]) -> AdapterGenerator:
    tasks = [TaskRecord.from_json(task) for task in raw.get("heads", [])]
    config = AdapterGeneratorConfig(**raw["config"])
    return _filled(AdapterGenerator(*_sizes(raw), config, tasks), raw, tensors)


def _built_for_pictures(raw: dict[str, Any], tensors: dict[str, Tensor]) -> PictureGenerator:
    if raw["base"].get("family") != "pictures":
        raise CheckpointError("the folder holds no generator of adapters for pictures")
    config = PictureGeneratorConfig(**raw["config"])
    n_sentences, n_domains = (len(tensors[f"domains.{name}"]) for name in ("sentences", "means"))
    n_labels = len(tensors["label_words"])
    model = PictureGenerator(*_sizes(raw), config, n_labels=n_labels, n_sentences=n_sentences, n_domains=n_domains)
    return _filled(model, raw, tensors)


def _sizes(raw: dict[str, Any]) -> tuple[list[WeightSpec], int, int]:
    specs = [WeightSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in raw["specs"]]
    return specs, int(raw["d_words"]), int(raw["d_feature"])


def _filled(model: Made, raw: dict[str, Any], tensors: dict[str, Tensor]) -> Made:
    # Folders from before there were gates: closed to change, they do what was done then.
    gates = {f"gates.{name}": torch.zeros_like(value) for name, value in model.gates.named_parameters()}
    model.load_state_dict({**gates, **tensors})
    model.base, model.provenance = dict(raw.get("base", {})), dict(raw.get("provenance", {}))
    return model


def _card(model: AdapterGenerator) -> str:
    n = sum(p.numel() for p in model.parameters())
    story = dict(model.provenance)
    tasks = story.pop("tasks", [])
    lines = [
        "# A generator of adapters and classifiers",
        "",
        f"{n:,} learned parameters. It reads a description and label words and writes adapters and classifier rows",
        "for the base model named below, whose own weights are not part of this folder.",
        "",
        *(f"* base {key}: {value}" for key, value in model.base.items()),
        *(f"* {key}: {value}" for key, value in story.items()),
        "",
        "Trained on:",
        "",
        *(f"* {task['name']} ({task['licence']})" for task in tasks),
        "",
    ]
    return "\n".join(lines)
