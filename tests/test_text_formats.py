"""Folders that other libraries load: adapters for PEFT, merged models for transformers."""

import json

import pytest
import torch
from test_text_target import SHAPES, WHOLE, WORDS, bases_fixture, pooled, random_weights, target_of, task, texts  # noqa: F401

from flame.errors import ConfigError, DataError
from flame.text.formats import save_merged, save_peft_adapter
from targets.text import text_forward


@WHOLE
@pytest.mark.parametrize("out_dim", [1, 2, 3])
def test_a_saved_adapter_loads_in_peft_and_gives_the_same_outputs(bases, shape, out_dim, tmp_path):
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForSequenceClassification

    target = target_of(bases, shape)
    model, weights = target.build(task(out_dim)), random_weights(target, out_dim=out_dim)
    folder = save_peft_adapter(model, weights, tmp_path / "adapter", id2label=[f"class {i}" for i in range(out_dim)])
    config = AutoConfig.from_pretrained(folder)
    base = AutoModelForSequenceClassification.from_pretrained(bases[shape[0]], config=config)
    loaded = PeftModel.from_pretrained(base, folder).eval()
    ids, mask = texts(6)
    ours = text_forward(model, weights, ids[None], mask[None])[0]
    torch.testing.assert_close(loaded(input_ids=ids, attention_mask=mask).logits, ours, rtol=1e-5, atol=1e-5)
    assert config.id2label == {i: f"class {i}" for i in range(out_dim)}


def test_where_transformers_has_no_classifier_the_adapter_is_one_of_the_encoder_and_the_head_stands_beside(
    bases, tmp_path
):
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModel

    target = target_of(bases, ("bert", "mean"))
    model, weights = target.build(task()), random_weights(target)
    folder = save_peft_adapter(model, weights, tmp_path / "adapter")
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(bases["bert"]), folder).eval()
    head, (ids, mask) = load_file(folder / "classifier.safetensors"), texts(6)
    features = pooled(loaded(input_ids=ids, attention_mask=mask), mask, "mean")
    ours = text_forward(model, weights, ids[None], mask[None])[0]
    torch.testing.assert_close(features @ head["weight"].T + head["bias"], ours, rtol=1e-5, atol=1e-5)


def tiny_tokenizer(folder):
    from transformers import BertTokenizer

    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(WORDS), "utf8")
    return BertTokenizer.from_pretrained(folder)


@WHOLE
def test_a_merged_folder_loads_in_a_pipeline_with_its_labels(bases, shape, tmp_path):
    from transformers import pipeline

    target = target_of(bases, shape)
    merged = target.merge(target.build(task()), random_weights(target))
    tokenizer, labels = tiny_tokenizer(tmp_path / "words"), ["good", "bad", "neither"]
    folder = save_merged(merged, tmp_path / "merged", id2label=dict(enumerate(labels)), tokenizer=tokenizer)
    sentences = ["the film was very good", "bad", "a b c d"]
    rows = pipeline("text-classification", str(folder), device="cpu")(sentences, top_k=None)
    encoded = tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = merged(encoded["input_ids"], encoded["attention_mask"]).softmax(-1)
    scores = torch.tensor([[{r["label"]: r["score"] for r in row}[name] for name in labels] for row in rows])
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)


@WHOLE
@pytest.mark.parametrize("out_dim", [1, 3])
def test_a_merged_folder_has_every_tensor_and_gives_the_same_logits(bases, shape, out_dim, tmp_path):
    from transformers import AutoModelForSequenceClassification

    target = target_of(bases, shape)
    merged = target.merge(target.build(task(out_dim)), random_weights(target, out_dim=out_dim))
    folder = save_merged(merged, tmp_path / "merged")
    loaded, found = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    ids, mask = texts(6)
    logits = loaded.eval()(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(logits, merged(ids, mask), rtol=1e-5, atol=1e-5)
    assert (loaded.config.problem_type == "regression") == (out_dim == 1)


@WHOLE
def test_exported_files_do_not_say_where_the_base_model_lay(bases, shape, tmp_path):
    target = target_of(bases, shape)
    model, weights = target.build(task()), random_weights(target)
    tokenizer = tiny_tokenizer(tmp_path / "words")
    save_peft_adapter(model, weights, tmp_path / "adapter", base_name="somebody/base")
    save_merged(target.merge(model, weights), tmp_path / "merged", tokenizer=tokenizer)
    files = [p for name in ("adapter", "merged") for p in (tmp_path / name).glob("*.json")]
    places = str(bases[shape[0]]), str(tmp_path)
    assert len(files) == 5
    assert [p.name for p in files if any(place in p.read_text() for place in places)] == []
    assert (
        json.loads((tmp_path / "adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "somebody/base"
    )


@pytest.mark.parametrize(
    "shape", [s for s in SHAPES if s not in (("distilbert", "cls"), ("bert", "pooler"))], ids="-".join
)
def test_a_pooling_that_transformers_does_not_know_is_not_exported_as_if_it_did(bases, shape, tmp_path):
    target = target_of(bases, shape)
    with pytest.raises(ConfigError, match=f"pooling '{shape[1]}' has no plain transformers folder.*save_peft_adapter"):
        save_merged(target.build(task()), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_labels_must_be_as_many_as_outputs(bases, tmp_path):
    target = target_of(bases, SHAPES[0])
    with pytest.raises(DataError, match=r"each of the outputs 0 to 2, however: \{0: 'yes', 1: 'no'\}"):
        save_merged(target.build(task()), tmp_path / "merged", id2label=["yes", "no"])


def test_more_outputs_than_the_exact_form_holds_are_refused(bases, tmp_path):
    target = target_of(bases, ("distilbert", "cls"))
    with pytest.raises(ConfigError, match="width 16 holds at most 8 outputs in this form, however: 9"):
        save_merged(target.build(task(9)), tmp_path / "merged")
