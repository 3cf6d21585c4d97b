"""Text targets: adapters of DistilBERT- and BERT-shaped encoders, against PEFT, the merged model, and one by one."""

import copy
import json
import threading

import pytest
import torch
from torch import nn

from flame.errors import CheckpointError, ConfigError, DataError, FlameError, WeightsError
from flame.metadata import Metadata
from hypernet.decoder import MultiHeadDecoder
from hypernet.generator import GeneratorConfig
from targets.lora import LoRAConfig, find_linears, live_adapters, lora_specs, merge_lora
from targets.text import TextConfig, TextTarget, load_base, text_config, text_forward

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "good", "bad", "film", "was", "the", "very"]
SHAPES = [("distilbert", "cls"), ("distilbert", "mean"), ("bert", "pooler"), ("bert", "cls"), ("bert", "mean")]
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids="-".join)
WHOLE = pytest.mark.parametrize("shape", [("distilbert", "cls"), ("bert", "pooler")], ids="-".join)
DISTILBERT = {"vocab_size": 30, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 24}
BERT = {
    "vocab_size": 30,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


def tiny_config(family):
    from transformers import BertConfig, DistilBertConfig

    return DistilBertConfig(**DISTILBERT) if family == "distilbert" else BertConfig(**BERT)


@pytest.fixture(scope="session", name="bases")
def bases_fixture(tmp_path_factory):
    """A tiny random base model of each family, in a folder."""
    from transformers import AutoModel

    torch.manual_seed(1)
    folders = {family: tmp_path_factory.mktemp(family) for family in ("distilbert", "bert")}
    for family, folder in folders.items():
        model = AutoModel.from_config(tiny_config(family))
        # Larger than a fresh model's, so that the states of texts differ by more than rounding.
        for parameter in model.parameters():
            parameter.data.mul_(4) if parameter.dim() > 1 else parameter.data.add_(0.3 * torch.randn_like(parameter))
        model.save_pretrained(folder)
    return folders


def target_of(bases, shape, rank=2, alpha=6.0):
    family, pooling = shape
    return TextTarget(text_config(str(bases[family]), pooling=pooling, rank=rank, alpha=alpha))


def task(out_dim=3):
    kind = "seq_reg" if out_dim == 1 else "seq_cls"
    return Metadata(task=kind, out_dim=out_dim, arch="distilbert-base-uncased")


def random_weights(target, b=1, out_dim=3):
    specs = (*target.static_specs(), *target.dynamic_specs(task(out_dim)))
    return {s.name: 0.5 * torch.randn(b, *s.shape) for s in specs}


def texts(*lead, t=7):
    """Random ids with masks of several lengths."""
    ids = torch.randint(5, 30, (*lead, t))
    lengths = torch.randint(3, t + 1, lead)
    mask = (torch.arange(t) < lengths[..., None]).long()
    return ids * mask, mask


def one_of(weights, i):
    return {name: value[i : i + 1] for name, value in weights.items()}


# -- specs -------------------------------------------------------------------------------------------------------


def test_the_known_bases_have_specs_without_any_file():
    distilbert = TextTarget(text_config("distilbert-base-uncased")).static_specs()
    bert = TextTarget(text_config("bert-base-uncased")).static_specs()
    assert (len(distilbert), len(bert)) == (24, 48)
    assert {s.shape for s in (*distilbert, *bert)} == {(16, 768), (768, 16)}
    assert distilbert[0].name == "transformer.layer.0.attention.q_lin.lora_A"
    assert bert[-1].name == "encoder.layer.11.attention.self.value.lora_B"


@EVERY_SHAPE
def test_specs_are_the_layers_that_peft_adapts_with_the_same_expression(bases, shape):
    from peft import LoraConfig, get_peft_model

    target = target_of(bases, shape)
    base = load_base(bases[shape[0]], pooling=shape[1])
    adapted = get_peft_model(base, LoraConfig(r=2, target_modules=target.config.lora.targets))
    theirs = {
        name.removeprefix("base_model.model.").removesuffix(".default.weight"): tuple(value.shape)
        for name, value in adapted.named_parameters()
        if "lora_" in name
    }
    assert {s.name: s.shape for s in target.static_specs()} == theirs


def test_a_starts_as_lora_and_b_at_zero(bases):
    from peft import LoraConfig, get_peft_model

    a, b = TextTarget(text_config("distilbert-base-uncased")).static_specs()[:2]
    layer = get_peft_model(nn.Sequential(nn.Linear(768, 768)), LoraConfig(r=16, target_modules=["0"]))
    theirs = layer.base_model.model[0].lora_A.default.weight
    assert a.init_std == pytest.approx(float(theirs.detach().std()), rel=0.02)
    assert (b.zero_init, b.init_std) == (True, 0.0)


def test_regression_has_one_output(bases):
    specs = target_of(bases, SHAPES[0]).dynamic_specs(task(1))
    assert {s.name: s.shape for s in specs} == {"classifier.weight": (1, 16), "classifier.bias": (1,)}


def test_the_shared_decoder_writes_a_distilbert_adapter_with_less_than_ten_million_parameters():
    target = TextTarget(text_config("distilbert-base-uncased"))
    d_latent = GeneratorConfig().d_latent
    dynamic = {"polarity": target.dynamic_specs(task(2))}
    wide = MultiHeadDecoder(target.static_specs(), dynamic, d_latent=768, kind="shared")
    decoder = MultiHeadDecoder(target.static_specs(), dynamic, d_latent=d_latent, kind="shared")
    assert sum(p.numel() for p in decoder.parameters()) < sum(p.numel() for p in wide.parameters()) < 10e6
    written = decoder(torch.randn(2, d_latent), "polarity")
    assert {name: tuple(value.shape) for name, value in written.items()} == {
        s.name: (2, *s.shape) for s in (*target.static_specs(), *dynamic["polarity"])
    }


def test_a_linear_map_per_tensor_would_take_227_million_from_a_latent_of_768():
    specs = TextTarget(text_config("distilbert-base-uncased")).static_specs()
    with torch.device("meta"):
        decoder = MultiHeadDecoder(specs, {}, d_latent=768, kind="per_tensor")
    n_parameters = sum(p.numel() for p in decoder.parameters())
    assert n_parameters == 24 * 16 * 768 * (768 + 1) == 226_787_328
    assert sum(s.size for s in specs) * (25 + 1) == 7_667_712  # the paper's latent for tables is narrower


# -- forward -----------------------------------------------------------------------------------------------------


@EVERY_SHAPE
def test_an_untrained_generator_leaves_the_base_model_exactly_as_it_is(bases, shape):
    target = target_of(bases, shape)
    model = target.build(task())
    decoder = MultiHeadDecoder(target.static_specs(), {"toy": target.dynamic_specs(task())}, d_latent=8, kind="shared")
    weights = decoder(torch.randn(2, 8), "toy")
    ids, mask = texts(2, 4)
    head = nn.functional.linear
    features = [model.features(ids[i], mask[i]) for i in range(2)]
    expected = [head(f, weights["classifier.weight"][i], weights["classifier.bias"][i]) for i, f in enumerate(features)]
    torch.testing.assert_close(text_forward(model, weights, ids, mask), torch.stack(expected), rtol=0, atol=1e-6)
    with live_adapters(model.base, weights, target.config.lora):
        adapted = model.features(ids.flatten(0, 1), mask.flatten(0, 1))
    assert torch.equal(adapted, model.features(ids.flatten(0, 1), mask.flatten(0, 1)))


def peft_model(bases, shape, target, weights):
    """PEFT's own model with the same factors, on transformers' encoder."""
    from peft import LoraConfig, get_peft_model

    lora = target.config.lora
    options = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.targets)
    adapted = get_peft_model(load_base(bases[shape[0]], pooling=shape[1]), options).eval()
    state = adapted.state_dict()
    for name, value in weights.items():
        if "lora_" in name:
            state[f"base_model.model.{name}.default.weight"].copy_(value[0])
    return adapted


def pooled(out, mask, pooling):
    if pooling == "pooler":
        return out.pooler_output
    states = out.last_hidden_state
    if pooling == "cls":
        return states[:, 0]
    return torch.stack([row[m.bool()].mean(0) for row, m in zip(states, mask, strict=True)])


@EVERY_SHAPE
def test_the_forward_pass_is_that_of_peft_and_that_of_the_merged_model(bases, shape):
    target = target_of(bases, shape)
    model, weights = target.build(task()), random_weights(target)
    ids, mask = texts(5)
    ours = text_forward(model, weights, ids[None], mask[None])[0]
    theirs = peft_model(bases, shape, target, weights)(input_ids=ids, attention_mask=mask)
    features = pooled(theirs, mask, shape[1])
    expected = features @ weights["classifier.weight"][0].T + weights["classifier.bias"][0]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(target.merge(model, weights)(ids, mask), expected, rtol=1e-5, atol=1e-5)
    assert (ours - text_forward(model, {**weights, **zeroed_b(weights)}, ids[None], mask[None])[0]).abs().max() > 0.1


def zeroed_b(weights):
    return {name: torch.zeros_like(value) for name, value in weights.items() if name.endswith("lora_B")}


@EVERY_SHAPE
def test_several_adapters_in_one_pass_are_those_one_by_one(bases, shape):
    target = target_of(bases, shape)
    model, weights = target.build(task()), random_weights(target, b=3)
    ids, mask = texts(3, 4)
    together = text_forward(model, weights, ids, mask)
    alone = [text_forward(model, one_of(weights, i), ids[i : i + 1], mask[i : i + 1])[0] for i in range(3)]
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-5, atol=1e-5)
    assert (together[0] - text_forward(model, weights, ids.roll(1, 0), mask.roll(1, 0))[1]).abs().max() > 0.1


@EVERY_SHAPE
def test_gradients_reach_every_factor_and_stay_out_of_the_frozen_base(bases, shape):
    target = target_of(bases, shape)
    model = target.build(task()).requires_grad_(False)
    weights = {name: value.requires_grad_() for name, value in random_weights(target, b=2).items()}
    text_forward(model, weights, *texts(2, 4)).square().sum().backward()
    still = [name for name, value in weights.items() if not all(g.abs().max() > 0 for g in value.grad)]
    assert still == []
    assert [name for name, p in model.named_parameters() if p.grad is not None] == []


def test_gradients_of_the_factors_are_those_of_finite_differences(bases):
    target = target_of(bases, ("distilbert", "cls"))
    model = target.build(task()).double().requires_grad_(False)
    weights = {name: value.double() for name, value in random_weights(target).items()}
    name, (ids, mask) = "transformer.layer.0.attention.v_lin.lora_A", texts(1, 3)
    forward = lambda a: text_forward(model, {**weights, name: a}, ids, mask)  # noqa: E731
    assert torch.autograd.gradcheck(forward, weights[name].requires_grad_())


@EVERY_SHAPE
def test_padding_does_not_change_the_outputs(bases, shape):
    target = target_of(bases, shape)
    model, weights = target.build(task()), random_weights(target, b=2)
    ids, mask = texts(2, 3)
    longer = torch.cat([ids, torch.full((2, 3, 5), 9)], -1), torch.cat([mask, torch.zeros(2, 3, 5).long()], -1)
    torch.testing.assert_close(
        text_forward(model, weights, *longer), text_forward(model, weights, ids, mask), rtol=1e-5, atol=1e-5
    )


@EVERY_SHAPE
def test_a_row_that_is_all_padding_is_finite_and_so_are_its_gradients(bases, shape):
    target = target_of(bases, shape)
    model = target.build(task())
    weights = {name: value.requires_grad_() for name, value in random_weights(target).items()}
    ids, mask = texts(1, 3)
    mask[0, 2] = 0
    out = text_forward(model, weights, ids, mask)
    out.sum().backward()
    assert out.isfinite().all()
    assert all(value.grad.isfinite().all() for value in weights.values())


def test_bert_tells_the_texts_of_a_pair_apart_by_their_segments(bases):
    target = target_of(bases, ("bert", "pooler"))
    model, weights = target.build(task()), random_weights(target)
    ids, mask = texts(1, 4)
    segments = torch.zeros_like(ids)
    segments[..., 3:] = 1
    assert not torch.allclose(
        text_forward(model, weights, ids, mask, segments), text_forward(model, weights, ids, mask)
    )


def test_classifiers_padded_to_the_widest_task_run_in_one_pass(bases):
    target = target_of(bases, SHAPES[0])
    model, weights = target.build(task(2)), random_weights(target, b=2, out_dim=5)
    assert text_forward(model, weights, *texts(2, 3)).shape == (2, 3, 5)


def test_another_thread_sees_the_base_model_while_adapters_are_live(bases):
    target = target_of(bases, SHAPES[0])
    model, weights, (ids, mask) = target.build(task()), random_weights(target), texts(4)
    plain, seen = model(ids, mask), []
    with live_adapters(model.base, weights, target.config.lora):
        thread = threading.Thread(target=lambda: seen.append(model(ids, mask)))
        thread.start()
        thread.join()
        assert not torch.allclose(model(ids, mask), plain)
    assert torch.equal(seen[0], plain)
    assert torch.equal(model(ids, mask), plain)


def test_a_half_precision_base_takes_factors_of_full_precision(bases):
    target = target_of(bases, SHAPES[0])
    model, weights = target.build(task()), random_weights(target, b=2)
    ids, mask = texts(2, 3)
    full = text_forward(model, weights, ids, mask)
    half = text_forward(model.bfloat16(), weights, ids, mask)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.3)


def test_merging_leaves_the_model_as_it_was_and_shares_nothing_with_it(bases):
    target = target_of(bases, SHAPES[0])
    model = target.build(task())
    before = copy.deepcopy(model.state_dict())
    merged = target.merge(model, random_weights(target))
    places = {value.data_ptr() for value in merged.state_dict().values()}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert places.isdisjoint(value.data_ptr() for value in model.state_dict().values())


# -- errors ------------------------------------------------------------------------------------------------------


def test_a_base_of_another_architecture_is_refused_with_its_kinds_of_layers(tmp_path):
    from transformers import GPT2Config

    GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=24).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"is a gpt2, made of .*Conv1D \(8\).*adapts bert and distilbert encoders"):
        text_config(str(tmp_path))


def test_a_missing_base_model_is_an_error_with_the_ways_to_get_one():
    with pytest.raises(CheckpointError, match=r"'nobody/nothing'.*folder with config.json.*flame-hypernet\[minilm\]"):
        text_config("nobody/nothing")
    with pytest.raises(FlameError, match="cannot load the base model 'bert-base-uncased'"):
        TextTarget(text_config("bert-base-uncased")).build(task())


def test_a_base_model_that_lacks_tensors_is_refused(bases, tmp_path):
    from transformers import BertModel

    BertModel(tiny_config("bert"), add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks 2 tensors.*pooler.*choose pooling 'cls' or 'mean'"):
        load_base(tmp_path, pooling="pooler")
    assert load_base(tmp_path, pooling="mean") is not None


def test_a_truncated_base_model_is_refused(bases, tmp_path):
    for file in bases["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:500] if file.suffix != ".json" else file.read_bytes())
    with pytest.raises(CheckpointError, match="cannot load the base model"):
        load_base(tmp_path, pooling="mean")


def test_a_pooling_the_family_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"a distilbert is pooled by \['cls', 'mean'\].*However: 'pooler'"):
        text_config("distilbert-base-uncased", pooling="pooler")
    with pytest.raises(ConfigError, match="no family 't5'"):
        TextConfig("t5", "t5", "cls", LoRAConfig("q"))


def test_a_sentence_transformers_folder_is_pooled_as_it_says(bases, tmp_path):
    assert text_config(str(bases["bert"])).pooling == "pooler"
    (tmp_path / "config.json").write_bytes((bases["bert"] / "config.json").read_bytes())
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    assert text_config(str(tmp_path)).pooling == "mean"
    (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    assert text_config(str(tmp_path)).pooling == "cls"
    (tmp_path / "1_Pooling" / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"is not readable.*give the pooling"):
        text_config(str(tmp_path))
    assert text_config(str(tmp_path), pooling="mean").pooling == "mean"


def test_weights_that_do_not_fit_are_named(bases):
    target = target_of(bases, SHAPES[0])
    model, weights = target.build(task()), random_weights(target, b=2)
    with pytest.raises(WeightsError, match=r"expected the weights of 3 models.*'classifier.bias': 2"):
        text_forward(model, weights, *texts(3, 4))
    with pytest.raises(WeightsError, match="expected the weights of one model"):
        target.merge(model, weights)
    weights.pop("transformer.layer.1.attention.q_lin.lora_B")
    with pytest.raises(WeightsError, match=r"missing generated tensor 'transformer.layer.1.attention.q_lin.lora_B'"):
        text_forward(model, weights, *texts(2, 4))


def test_a_text_that_is_too_long_is_refused(bases):
    target = target_of(bases, SHAPES[0])
    with pytest.raises(DataError, match="a text has 25 tokens, however the base model reads at most 24"):
        target.build(task())(*texts(2, t=25))


# -- LoRA of any linear layers -----------------------------------------------------------------------------------


def test_the_update_is_alpha_over_r_times_b_a():
    layer = nn.Sequential(nn.Linear(3, 2))
    start = layer[0].weight.detach().clone()
    a, b = torch.randn(1, 1, 3), torch.randn(1, 2, 1)
    merge_lora(layer, {"0.lora_A": a, "0.lora_B": b}, LoRAConfig("0", rank=1, alpha=5.0))
    torch.testing.assert_close(layer[0].weight.detach(), start + 5.0 * torch.outer(b[0, :, 0], a[0, 0]))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"rank": 0}, "rank"),
        ({"alpha": -1.0}, "alpha"),
        ({"targets": "("}, "regular expression"),
        ({"rank": True}, "rank"),
    ],
)
def test_a_lora_configuration_out_of_range_is_refused(options, fault):
    with pytest.raises(ConfigError, match=fault):
        LoRAConfig(**{"targets": ".*", **options})


def test_an_expression_that_matches_nothing_or_no_linear_layer_is_refused():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    with pytest.raises(ConfigError, match=r"'q' in full; the model has Conv2d \(1\), ReLU \(1\)"):
        find_linears(model, "q")
    with pytest.raises(ConfigError, match=r"also matches '0' \(Conv2d\); only linear layers"):
        find_linears(model, "0")


def test_rows_that_do_not_divide_among_the_adapters_are_refused():
    model, config = nn.Sequential(nn.Linear(3, 3)), LoRAConfig("0", rank=2)
    weights = {s.name: torch.randn(2, *s.shape) for s in lora_specs(find_linears(model, "0"), 2)}
    with live_adapters(model, weights, config), pytest.raises(WeightsError, match=r"2 equal groups.*however: 5 rows"):
        model(torch.randn(5, 3))
