"""The encoder and its words: requirement sentence in, latent of unit variance out."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from toys import SENTENCES
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, PreTrainedTokenizerFast

from flame.errors import CheckpointError, ConfigError
from flame.table.training import untrained_generator
from hypernet.encoder import EncoderConfig, RequirementEncoder, build_encoder, pretrained_tokenizer
from hypernet.generator import GeneratorConfig, ParameterGenerator
from hypernet.tokenizer import SPECIAL_TOKENS, tokenize, train_tokenizer

TEXTS = [text for texts in SENTENCES.values() for text in texts]
BACKBONE = "encoder.backbone."


class Recorded(nn.Module):
    """Stands for DistilBERT; gives back the states it was given."""

    def __init__(self, states):
        super().__init__()
        self.states = states

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.states)


def latent_of(states):
    torch.manual_seed(0)
    encoder = RequirementEncoder(Recorded(states), d_backbone=6, d_latent=5, dropout=0.0)
    return encoder(torch.zeros(2, 4, dtype=torch.long), torch.ones(2, 4, dtype=torch.long))


def test_latent_reads_the_first_token_and_no_other():
    states = torch.randn(2, 4, 6)
    others, first = states.clone(), states.clone()
    others[:, 1:] += 1
    first[:, 0] += torch.randn(6)
    assert torch.equal(latent_of(states), latent_of(others))
    assert not torch.allclose(latent_of(states), latent_of(first))


def test_latent_has_mean_zero_and_unit_variance(generator):
    z = generator.encoder(*generator.tokenize(TEXTS))
    torch.testing.assert_close(z.mean(1), torch.zeros(len(TEXTS)), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(1, unbiased=False), torch.ones(len(TEXTS)), atol=1e-2, rtol=0)


def test_untrained_latents_of_different_sentences_are_far_apart(generator):
    z = generator.encoder(*generator.tokenize(TEXTS))
    assert torch.pdist(z).median() > 1  # of a length of about 2.8


def test_spreading_centres_and_scales_every_latent_dimension_before_it_is_normalised(generator):
    *layers, _ = generator.encoder.feed_forward
    ids, mask = generator.tokenize(TEXTS)
    latents = nn.Sequential(*layers)(generator.encoder.backbone(input_ids=ids, attention_mask=mask)[0][:, 0])
    torch.testing.assert_close(latents.mean(0), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.std(0), torch.ones(8), atol=1e-2, rtol=0)


def test_padding_in_a_batch_changes_no_latent(generator):
    encoder = generator.encoder.double()
    together = encoder(*generator.tokenize([*TEXTS, " ".join(TEXTS)]))
    for i, text in enumerate(TEXTS):
        torch.testing.assert_close(together[i], encoder(*generator.tokenize([text]))[0], atol=1e-5, rtol=0)


def test_a_sentence_that_is_too_long_is_cut_and_keeps_its_end_mark():
    tokenizer = train_tokenizer(TEXTS)
    ids, mask = tokenize(tokenizer, [" ".join(TEXTS), "hot"], max_tokens=8)
    assert ids.shape == mask.shape == (2, 8)
    assert [tokenizer.id_to_token(int(i)) for i in ids[0, [0, -1]]] == ["[CLS]", "[SEP]"]
    whole, _ = tokenize(tokenizer, [" ".join(TEXTS)], max_tokens=10_000)
    assert torch.equal(ids[0, :7], whole[0, :7])


def test_shorter_sentences_are_padded_and_masked():
    ids, mask = tokenize(train_tokenizer(TEXTS), ["hot", "Is it hot or is it cold?"], max_tokens=64)
    assert mask[0].sum() < mask[1].sum() == ids.shape[1]
    assert (ids[0][mask[0] == 0] == 0).all()
    assert (ids[0][mask[0] == 1] != 0).all()


def test_special_tokens_have_the_numbers_of_bert():
    tokenizer = train_tokenizer(TEXTS)
    assert [tokenizer.token_to_id(t) for t in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]


def test_the_same_sentences_give_the_same_vocabulary_in_every_process():
    code = (
        "import json, sys; from hypernet.tokenizer import *; print(train_tokenizer(json.load(sys.stdin), 200).to_str())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=json.dumps(TEXTS), capture_output=True, text=True, check=True)
    here = train_tokenizer(TEXTS, 200)
    assert here.to_str() == done.stdout.strip()
    assert here.get_vocab_size() == 200, "the limit must cut the vocabulary, else ties do not matter"


def test_a_word_never_seen_is_spelled():
    tokens = train_tokenizer(TEXTS).encode("Zyx7q!").tokens
    assert "[UNK]" not in tokens
    assert "".join(t.removeprefix("##") for t in tokens[1:-1]) == "zyx7q!"


def test_words_of_the_training_sentences_become_single_pieces():
    assert train_tokenizer(TEXTS * 2).encode("engines").tokens == ["[CLS]", "engines", "[SEP]"]


# -- a pretrained DistilBERT ---------------------------------------------------------------------------------------


def foreign_tokenizer():
    """A vocabulary that has its special tokens elsewhere than the built-in one."""
    words = sorted({w.strip(".,?").lower() for text in TEXTS for w in text.split()})
    pieces = ["[PAD]", *words, "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    marks = [(t, pieces.index(t)) for t in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=marks)
    return tokenizer, len(pieces)


def save_tokenizer(folder):
    tokenizer, n_pieces = foreign_tokenizer()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    names = {f"{t.strip('[]').lower()}_token": t for t in SPECIAL_TOKENS}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    return n_pieces


@pytest.fixture
def distilbert(tmp_path):
    folder = tmp_path / "distilbert"
    n_pieces = save_tokenizer(folder)
    sizes = {"dim": 16, "hidden_dim": 24, "n_layers": 1, "n_heads": 2, "max_position_embeddings": 64}
    DistilBertModel(DistilBertConfig(vocab_size=n_pieces, **sizes)).save_pretrained(folder)
    return folder


def generator_on(folder, tasks, **encoder):
    config = EncoderConfig(pretrained=str(folder), max_tokens=64, **encoder)
    return untrained_generator([t.record for t in tasks], GeneratorConfig("mlp_small", d_latent=8, encoder=config))


def weights_of(generator):
    return generator.generate("Is it hot or is it cold?", "small")


def test_pretrained_backbone_has_the_weights_of_the_folder(distilbert, tasks):
    stored = load_file(distilbert / "model.safetensors")
    backbone = generator_on(distilbert, tasks).encoder.backbone.state_dict()
    assert all(torch.equal(backbone[name], value) for name, value in stored.items())


def test_pretrained_tokenizer_pads_and_cuts_nothing_itself(distilbert):
    tokenizer = pretrained_tokenizer(str(distilbert))
    assert tokenizer.encode("Is it hot").tokens == ["[CLS]", "is", "it", "hot", "[SEP]"]


def test_frozen_backbone_is_named_in_the_checkpoint_and_not_copied(distilbert, tasks, tmp_path):
    generator_on(distilbert, tasks, freeze=True).save_pretrained(tmp_path / "out")
    assert not [k for k in load_file(tmp_path / "out" / "model.safetensors") if k.startswith(BACKBONE)]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["encoder"]["pretrained"] == str(distilbert)


def test_frozen_backbone_comes_back_from_where_it_is_named(distilbert, tasks, tmp_path):
    generator = generator_on(distilbert, tasks, freeze=True)
    generator.save_pretrained(tmp_path / "out")
    again = weights_of(ParameterGenerator.from_pretrained(tmp_path / "out"))
    assert all(torch.equal(again[name], value) for name, value in weights_of(generator).items())


def test_checkpoint_of_a_frozen_backbone_that_is_gone_says_where_it_was(distilbert, tasks, tmp_path):
    generator_on(distilbert, tasks, freeze=True).save_pretrained(tmp_path / "out")
    shutil.rmtree(distilbert)
    with pytest.raises(CheckpointError, match=f"cannot load the encoder '{distilbert}'"):
        ParameterGenerator.from_pretrained(tmp_path / "out")


def test_trained_backbone_is_in_the_checkpoint_and_needs_its_origin_no_more(distilbert, tasks, tmp_path):
    generator = generator_on(distilbert, tasks)
    with torch.no_grad():
        generator.encoder.backbone.embeddings.word_embeddings.weight.add_(0.1)
    generator.save_pretrained(tmp_path / "out")
    shutil.rmtree(distilbert)
    again = weights_of(ParameterGenerator.from_pretrained(tmp_path / "out"))
    assert all(torch.equal(again[name], value) for name, value in weights_of(generator).items())


def test_frozen_backbone_has_neither_gradients_nor_dropout(distilbert, tasks):
    encoder = generator_on(distilbert, tasks, freeze=True).train().encoder
    assert not any(p.requires_grad for p in encoder.backbone.parameters())
    assert not any(m.training for m in encoder.backbone.modules())
    assert encoder.feed_forward.training


def test_trainable_pretrained_backbone_has_gradients_and_the_dropout_of_the_configuration(distilbert):
    encoder = build_encoder(EncoderConfig(pretrained=str(distilbert), dropout=0.3), d_latent=8, n_pieces=0)
    assert all(p.requires_grad for p in encoder.backbone.parameters())
    assert all(m.p == 0.3 and m.training for m in encoder.modules() if isinstance(m, nn.Dropout))


def test_a_missing_encoder_is_refused_with_advice_that_works(tmp_path, distilbert):
    config = EncoderConfig(pretrained=str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"Give a folder with config.json and model.safetensors, or a hub name"):
        build_encoder(config, d_latent=8, n_pieces=0)
    build_encoder(EncoderConfig(pretrained=str(distilbert)), d_latent=8, n_pieces=0)


def test_a_missing_tokenizer_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot load the tokenizer of .*nowhere"):
        pretrained_tokenizer(str(tmp_path / "nowhere"))


def test_a_bert_is_not_taken_for_a_distilbert(tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=save_tokenizer(tmp_path), **sizes)).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"is not a DistilBERT: it lacks|cannot load the encoder"):
        build_encoder(EncoderConfig(pretrained=str(tmp_path)), d_latent=8, n_pieces=0)


def test_freezing_an_untrained_backbone_is_refused():
    with pytest.raises(ConfigError, match=r"encoder.freeze=True needs encoder.pretrained"):
        EncoderConfig(freeze=True)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="multiple of n_heads, however: d_model=10, n_heads=4"):
        EncoderConfig(d_model=10, n_heads=4)


def test_all_sizes_of_the_encoder_that_are_out_of_range_are_named():
    with pytest.raises(ConfigError) as error:
        EncoderConfig(n_heads=0, n_layers="2", dropout=1.0, max_tokens=2)
    assert [
        name for name in ("n_heads", "n_layers", "dropout", "max_tokens", "d_model") if name in str(error.value)
    ] == [*("n_heads", "n_layers", "dropout", "max_tokens")]
