"""A generated text model as files that other programs read: a PEFT adapter, or a plain transformers folder.

The head of a text model is one linear layer on the pooled vector. Transformers' classifiers have more in between:

* DistilBERT: `classifier(relu(pre_classifier(cls)))`. A linear head passes through it exactly, because
  x = relu(x) - relu(-x): `pre_classifier` computes every output and its negative, `classifier` subtracts them.
* BERT: `classifier(pooler(cls))`, with the base model's own pooler: that is pooling `pooler`. A mean, or the bare [CLS]
  state of a BERT, cannot pass through the pooler's tanh, so such models have no plain transformers folder.

Shape letters: d = width of the encoder, k = outputs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.errors import ConfigError, DataError
from flame.files import atomic_folder

if TYPE_CHECKING:
    from torch import Tensor

    from targets.base import Weights
    from targets.text import TextModel

Labels = Mapping[int, str] | Sequence[str]
CLASSIFIERS = {"distilbert": "DistilBertForSequenceClassification", "bert": "BertForSequenceClassification"}
ROUTES = (("distilbert", "cls"), ("bert", "pooler"))
"""Family and pooling of the models that transformers' own classifiers can hold."""
HEAD_FILE = "classifier.safetensors"


def save_peft_adapter(
    model: TextModel,
    weights: Weights,
    folder: str | Path,
    *,
    id2label: Labels | None = None,
    base_name: str | None = None,
) -> Path:
    """Write one generated adapter (b = 1) as a PEFT folder, with the labels in `config.json`.

    It loads on the base model:

        config = AutoConfig.from_pretrained(folder)
        base = AutoModelForSequenceClassification.from_pretrained(base_name, config=config)
        PeftModel.from_pretrained(base, folder)

    Where transformers has no classifier of this pooling, the adapter is one for `AutoModel`, and the head stands beside
    it in `classifier.safetensors`: pool, then multiply.

    Args:
        model: what `TextTarget.build` gave; unchanged.
        id2label: names of the outputs, in order; none for regression.
        base_name: hub name or folder that PEFT finds the base model under; that of the configuration if not given.

    Raises:
        WeightsError: if the weights do not fit the model, or are those of several models.
        DataError: if there are not as many names as outputs.
        CheckpointError: if the folder is taken or cannot be written.
    """
    from targets.text import check_one

    check_one(model, weights)
    one = {name: value.detach()[0] for name, value in weights.items()}
    head = one.pop("classifier.weight"), one.pop("classifier.bias")
    labels = _labels(id2label, len(head[1]))
    whole = _is_whole(model)
    prefix = f"base_model.model.{model.config.family}." if whole else "base_model.model."
    tensors = {f"{prefix}{name}.weight": value for name, value in one.items()}
    modules = _head(model, *head) if whole else {}
    tensors |= {f"base_model.model.{name}": value for name, value in modules.items()}
    saved = sorted({name.split(".")[0] for name in modules})
    with atomic_folder(folder) as fresh:
        _write_json(fresh / "adapter_config.json", _peft_config(model, saved, base_name or model.config.base))
        _write_json(fresh / "config.json", _classifier_config(model, labels))
        _write_tensors(fresh / "adapter_model.safetensors", tensors)
        if not whole:
            _write_tensors(fresh / HEAD_FILE, {"weight": head[0], "bias": head[1]})
    return Path(folder)


def save_merged(
    merged: TextModel, folder: str | Path, *, id2label: Labels | None = None, tokenizer: Any = None
) -> Path:
    """Write a merged model as a plain transformers folder, which `pipeline("text-classification", folder)` loads.

    Args:
        merged: what `TextTarget.merge` gave.
        id2label: names of the outputs, in order; none for regression.
        tokenizer: written beside the model, as the pipeline needs one.

    Raises:
        ConfigError: if transformers' classifier cannot compute this pooling; what can be saved instead is named.
        DataError: if there are not as many names as outputs.
        CheckpointError: if the folder is taken or cannot be written.
    """
    if not _is_whole(merged):
        raise ConfigError(
            f"a {merged.config.family} with pooling {merged.config.pooling!r} has no plain transformers folder: their "
            "classifier pools otherwise. Choose pooling 'pooler' (BERT) or 'cls' (DistilBERT), or save the adapter "
            "with save_peft_adapter"
        )
    head = merged.classifier
    labels = _labels(id2label, head.out_features)
    tensors = {f"{merged.config.family}.{name}": value for name, value in merged.base.state_dict().items()}
    tensors |= _head(merged, head.weight.detach(), head.bias.detach())
    with atomic_folder(folder) as fresh:
        if tokenizer is not None:
            tokenizer.save_pretrained(fresh)
        _write_json(fresh / "config.json", _classifier_config(merged, labels))
        _write_tensors(fresh / "model.safetensors", tensors)
    return Path(folder)


def _is_whole(model: TextModel) -> bool:
    """Whether transformers' own classifier computes what this model does."""
    return (model.config.family, model.config.pooling) in ROUTES


def _head(model: TextModel, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """The linear head as the layers that transformers' classifier has behind the encoder.

    Shape:
        weight (k, d), bias (k,)
    """
    import torch

    if model.config.family == "bert":
        return {"classifier.weight": weight, "classifier.bias": bias}
    k, d = weight.shape
    if 2 * k > d:
        raise ConfigError(f"a DistilBERT of width {d} holds at most {d // 2} outputs in this form, however: {k}")
    before, after = weight.new_zeros(d, d), weight.new_zeros(k, d)
    shift = weight.new_zeros(d)
    before[:k], before[k : 2 * k] = weight, -weight
    shift[:k], shift[k : 2 * k] = bias, -bias
    identity = torch.eye(k, dtype=weight.dtype, device=weight.device)
    after[:, :k], after[:, k : 2 * k] = identity, -identity
    return {
        "pre_classifier.weight": before,
        "pre_classifier.bias": shift,
        "classifier.weight": after,
        "classifier.bias": weight.new_zeros(k),
    }


def _labels(id2label: Labels | None, n_outputs: int) -> list[str]:
    if id2label is None:
        return ["score"] if n_outputs == 1 else [f"LABEL_{i}" for i in range(n_outputs)]
    names = id2label if isinstance(id2label, Mapping) else dict(enumerate(id2label))
    if sorted(names) != list(range(n_outputs)):
        raise DataError(f"expected a label for each of the outputs 0 to {n_outputs - 1}, however: {dict(names)}")
    return [names[i] for i in range(n_outputs)]


def _classifier_config(model: TextModel, labels: Sequence[str]) -> dict[str, Any]:
    """The `config.json` of transformers' classifier."""
    base: Any = model.base.config
    config = copy.deepcopy(base)
    config.architectures = [CLASSIFIERS[model.config.family]]
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
    config.problem_type = "regression" if len(labels) == 1 else "single_label_classification"
    values: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    # Where the base model lay on this machine is nobody's business.
    return {name: value for name, value in values.items() if name != "_name_or_path"}


def _peft_config(model: TextModel, modules: Sequence[str], base_name: str) -> dict[str, Any]:
    lora = model.config.lora
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if modules else "FEATURE_EXTRACTION",
        "base_model_name_or_path": base_name,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": lora.targets,
        "modules_to_save": list(modules) or None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf8")


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    # Copies, because safetensors refuses tensors that share memory.
    save_file({n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()}, path, metadata={"format": "pt"})
