"""Text models on disk: a PEFT folder of adapter and head, with the base model named by its hash and not copied.

Shape letters: k = outputs, d = width of the encoder.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load
from torch import Tensor

from flame.errors import CheckpointError, ConfigError
from flame.metadata import Metadata
from flame.text.base import load_text_base
from flame.text.formats import HEAD_FILE, save_merged, save_peft_adapter
from flame.text.module import AdaptedText
from flame.text.preprocessing import TextPreprocessor
from targets import Weights
from targets.lora import LoRAConfig
from targets.text import TextConfig

if TYPE_CHECKING:
    from flame.model import GeneratedModel

FILE = "adapter_model.safetensors"
_FACTOR = re.compile(r"base_model\.model\.(?:(?:distil)?bert\.)?(.+\.lora_[AB])\.weight")
_OUTER = "base_model.model."


def write_text(model: GeneratedModel, fresh: Path) -> dict[str, Any]:
    """Fill an empty folder with adapter and head; what `flame.json` has to say of the base model."""
    module, preprocessor = _parts(model)
    base, config = preprocessor.base.base, module.config
    save_peft_adapter(module.model, module.weights(), fresh, id2label=_names(model), base_name=base.name)
    told = {"name": base.name, "sha256": base.sha256, "family": config.family, "pooling": config.pooling}
    lora = {"targets": config.lora.targets, "rank": config.lora.rank, "alpha": config.lora.alpha}
    return {"modality": "text", "base": {**told, **lora}}


def write_merged(model: GeneratedModel, folder: str | Path) -> Path:
    """Write the adapted encoder and the head as one plain transformers folder.

    Raises:
        ConfigError: if transformers' classifier cannot compute this pooling.
        CheckpointError: if the folder is taken or cannot be written.
    """
    module, preprocessor = _parts(model)
    tokenizer = copy.deepcopy(preprocessor.base.tokenizer)
    tokenizer.model_max_length = preprocessor.max_tokens
    return save_merged(module.merged(), folder, id2label=_names(model), tokenizer=tokenizer)


def read_text(
    files: dict[str, bytes], story: dict[str, Any], metadata: Metadata, base_model: str | None
) -> tuple[AdaptedText, TextPreprocessor]:
    """Module and preprocessing of a saved text model; the base is looked for under its name, or as the user says.

    Raises:
        CheckpointError: if the base model is not there, or is another than the one the model was written for.
        WeightsError: if the tensors do not fit it.
    """
    told = story["base"]
    name = base_model or str(told["name"])
    try:
        found = load_text_base(name, sha256=str(told["sha256"]))
    except CheckpointError as error:
        advice = "If it lies elsewhere now, name its folder: flame.load(folder, base_model=...)"
        raise CheckpointError(f"the model needs its base model {told['name']!r}: {error}. {advice}") from error
    lora = LoRAConfig(str(told["targets"]), int(told["rank"]), float(told["alpha"]))
    config = TextConfig(found.base.name, str(told["family"]), str(told["pooling"]), lora)
    base = load_text_base(name, config=config)
    weights = _weights(files, metadata.out_dim)
    return AdaptedText(base.encoder, config, weights), TextPreprocessor.from_json(story["preprocessing"], base)


def _weights(files: dict[str, bytes], k: int) -> Weights:
    """Adapter and head by the names of the target, with batch axis."""
    tensors = load(files[FILE])
    matches = {name: _FACTOR.fullmatch(name) for name in tensors}
    weights = {match.group(1): tensors[name][None] for name, match in matches.items() if match}
    weight, bias = _head(files, tensors, k)
    return {**weights, "classifier.weight": weight[None], "classifier.bias": bias[None]}


def _head(files: dict[str, bytes], tensors: dict[str, Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The linear head, out of the layers that transformers' classifier has for it; see `flame.text.formats`.

    Shape:
        -> (k, d), (k,)
    """
    if HEAD_FILE in files:
        head = load(files[HEAD_FILE])
        return head["weight"], head["bias"]
    layer = f"{_OUTER}pre_classifier" if f"{_OUTER}pre_classifier.weight" in tensors else f"{_OUTER}classifier"
    return tensors[f"{layer}.weight"][:k].clone(), tensors[f"{layer}.bias"][:k].clone()


def _parts(model: GeneratedModel) -> tuple[AdaptedText, TextPreprocessor]:
    """The parts of a text model.

    Raises:
        ConfigError: if they are none that this library made.
    """
    module, preprocessor = model.module, model.preprocessor
    if not isinstance(module, AdaptedText) or not isinstance(preprocessor, TextPreprocessor):
        kinds = f"{type(module).__name__} and {type(preprocessor).__name__}"
        raise ConfigError(f"a text model is an AdaptedText and a TextPreprocessor, however: {kinds}; save it yourself")
    return module, preprocessor


def _names(model: GeneratedModel) -> list[str] | None:
    return [str(label) for label in model.labels] or None
