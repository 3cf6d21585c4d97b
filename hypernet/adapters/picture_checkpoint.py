"""The generator for pictures on disk: the folder of an adapter generator, with remembered labels in its tensors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from flame.errors import CheckpointError
from hypernet.adapters.checkpoint import FILES, FORMAT, FORMAT_VERSION, save_adapter_generator
from hypernet.adapters.generator import AdapterGeneratorConfig
from hypernet.adapters.pictures import PictureGenerator
from targets import WeightSpec


def save_picture_generator(model: PictureGenerator, folder: str | Path) -> Path:
    """Write a folder: half-precision tensors, `config.json`, and a card. The base model is named, not copied."""
    return save_adapter_generator(model, folder)


def load_picture_generator(folder: str | Path) -> PictureGenerator:
    """Read a folder that `save_picture_generator` wrote; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is no generator of adapters: it lacks {', '.join(missing)}")
    try:
        raw = json.loads((folder / "config.json").read_text("utf8"))
        if (raw["format"], raw["version"], raw["base"].get("family")) != (FORMAT, FORMAT_VERSION, "pictures"):
            raise CheckpointError(f"{folder} holds no generator of adapters for pictures of version {FORMAT_VERSION}")
        content = (folder / "model.safetensors").read_bytes()
        tensors = {name: value.float() for name, value in load(content).items()}
        model = _built(raw, tensors)
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"the generator in {folder} is truncated or foreign: {error}") from error
    if not all(value.isfinite().all() for value in tensors.values()):
        raise CheckpointError(f"the generator in {folder} holds numbers that are not finite")
    model.fingerprint = hashlib.sha256(content).hexdigest()
    return model.eval()


def _built(raw: dict[str, Any], tensors: dict[str, Tensor]) -> PictureGenerator:
    specs = [WeightSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in raw["specs"]]
    config = AdapterGeneratorConfig(**raw["config"])
    n_labels = len(tensors["label_words"])
    model = PictureGenerator(specs, int(raw["d_words"]), int(raw["d_feature"]), config, n_labels=n_labels)
    model.load_state_dict(tensors)
    model.base, model.provenance = dict(raw["base"]), dict(raw.get("provenance", {}))
    return model
