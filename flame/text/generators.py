"""Who writes text models: a trained generator for its base model, or an untrained one for any other.

Shape letters: k = labels, d = width of the encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame.errors import CheckpointError
from flame.text.base import TextBase, load_text_base
from hypernet.adapters import AdapterGenerator, load_adapter_generator
from targets.lora import LoRAConfig
from targets.text import TextConfig, text_config

CHECKPOINT = "texts-minilm"
"""Built-in checkpoint for texts."""
DEFAULT_BASE = "minilm"
UNTRAINED = "untrained"
"""What a route says in the place of a checkpoint's name."""


@dataclass(frozen=True, eq=False)
class TextWriter:
    """A generator of adapters and heads, and the base model they are for."""

    base: TextBase
    generator: AdapterGenerator
    checkpoint: str
    """Name of the generator's checkpoint, or `untrained`."""
    notes: tuple[str, ...] = ()

    def embed(self, words: list[str]) -> Tensor:
        """Descriptions or label names as the generator reads them: features of the base model.

        Shape:
            -> (k, d)
        """
        return self.base.words(words)


def text_writer(
    base_model: str | None = None, generator: AdapterGenerator | str | Path | None = None, *, built_in: Path
) -> TextWriter:
    """The generator and base model that a request asks for; the built-in checkpoint where it fits, if none is named.

    Args:
        base_model: name or folder; that of the generator, else `minilm`, if not given.
        generator: loaded, or its folder.
        built_in: folder of the built-in checkpoint; it need not exist.

    Raises:
        CheckpointError: if the base model is not there, or is not the one that a named generator was trained for.
        ConfigError: if the base is of an architecture that is not adapted.
    """
    if generator is not None:
        made = generator if isinstance(generator, AdapterGenerator) else _cached(str(generator))
        name = made.provenance.get("name", "own") if isinstance(generator, AdapterGenerator) else Path(generator).name
        return TextWriter(_base_of(made, base_model), made, str(name))
    if (built_in / "config.json").is_file():
        made = _cached(str(built_in))
        if base_model is None or _fits(made, load_text_base(base_model)):
            return TextWriter(_base_of(made, base_model), made, CHECKPOINT)
        why = f"the checkpoint {CHECKPOINT!r} is for {made.base.get('name')} and not for {base_model}"
    else:
        why = "no trained generator for texts is installed"
    base = load_text_base(base_model or DEFAULT_BASE)
    note = f"{why}: an untrained one is used, which leaves the base model as it is"
    return TextWriter(base, _untrained(base), UNTRAINED, (note,))


@lru_cache(maxsize=2)
def _cached(folder: str) -> AdapterGenerator:
    return load_adapter_generator(folder)


@lru_cache(maxsize=4)
def _untrained(base: TextBase) -> AdapterGenerator:
    """The same for every process: its start is drawn from a seed of its own."""
    width = base.base.hidden_size
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False):
        torch.manual_seed(0)
        return AdapterGenerator(base.target.static_specs(), d_words=width, d_feature=width).eval()


def _fits(generator: AdapterGenerator, base: TextBase) -> bool:
    return generator.base.get("sha256") in (None, base.base.sha256) and generator.d_feature == base.base.hidden_size


def _base_of(generator: AdapterGenerator, base_model: str | None) -> TextBase:
    """The base model that a generator was trained for, adapted as it was then.

    Raises:
        CheckpointError: if it is not there, is another, or has other layers.
    """
    told = generator.base
    name = base_model or str(told.get("name", DEFAULT_BASE))
    found = load_text_base(name, sha256=told.get("sha256"))
    base = load_text_base(name, config=_config(found, generator))
    if [(s.name, s.shape) for s in base.target.static_specs()] != [(s.name, s.shape) for s in generator.specs]:
        raise CheckpointError(
            f"the generator {generator.provenance.get('name', 'given')!r} writes {len(generator.specs)} tensors of "
            f"other layers than the base model {name!r} has; name the base it was trained for: {told.get('name')}"
        )
    return base


def _config(base: TextBase, generator: AdapterGenerator) -> TextConfig:
    """As the generator's checkpoint says; what it does not say is as the base has it."""
    told: dict[str, Any] = generator.base
    rank = next((s.shape[0] for s in generator.specs if s.name.endswith("lora_A")), base.config.lora.rank)
    lora = LoRAConfig(str(told.get("targets", base.config.lora.targets)), rank, float(told.get("alpha", 2.0 * rank)))
    pooling = str(told.get("pooling", base.config.pooling))
    return replace(text_config(base.base.name, folder=base.base.folder, pooling=pooling), lora=lora)
