"""The adapter generator on disk: `config.json`, `model.safetensors` in half precision, and a card. No pickle.

The base model is named with its sha256 and never copied.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from flame.errors import CheckpointError
from hypernet.adapters.generator import AdapterGenerator, AdapterGeneratorConfig
from targets import WeightSpec

FORMAT = "flame-adapter-generator"
FORMAT_VERSION = 1
FILES = ("config.json", "model.safetensors")


def save_adapter_generator(model: AdapterGenerator, folder: str | Path) -> Path:
    """Write a folder with `model.base` and `model.provenance`; `config.json` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    config = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "config": asdict(model.config),
        "d_words": model.d_words,
        "d_feature": model.d_feature,
        "specs": [asdict(spec) for spec in model.specs],
        "base": model.base,
        "provenance": model.provenance,
    }
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").write_bytes(save(tensors))
    (folder / "README.md").write_text(_card(model), "utf8")
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf8")
    return folder


def load_adapter_generator(folder: str | Path) -> AdapterGenerator:
    """Read a folder that `save_adapter_generator` wrote; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is no generator of adapters: it lacks {', '.join(missing)}")
    try:
        raw = json.loads((folder / "config.json").read_text("utf8"))
        if not isinstance(raw, dict) or (raw.get("format"), raw.get("version")) != (FORMAT, FORMAT_VERSION):
            raise CheckpointError(
                f'{folder}/config.json must say "format": "{FORMAT}" and "version": {FORMAT_VERSION}; another program '
                "or version wrote it"
            )
        content = (folder / "model.safetensors").read_bytes()
        model = _built(raw)
        model.load_state_dict({name: value.float() for name, value in load(content).items()})
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"the generator in {folder} is truncated or foreign: {error}") from error
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise CheckpointError(f"the generator in {folder} holds numbers that are not finite")
    model.fingerprint = hashlib.sha256(content).hexdigest()
    return model.eval()


def _built(raw: dict[str, Any]) -> AdapterGenerator:
    specs = [WeightSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in raw["specs"]]
    config = AdapterGeneratorConfig(**raw["config"])
    model = AdapterGenerator(specs, int(raw["d_words"]), int(raw["d_feature"]), config)
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
