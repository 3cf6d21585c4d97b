"""The decoder: which weights come out, in which order, and how they are scaled at the start."""

import pytest
import torch
from torch.nn.functional import layer_norm

from flame.errors import ConfigError, RouteError
from flame.metadata import Metadata
from hypernet.decoder import DECODERS, MultiHeadDecoder
from targets import WeightSpec, get_target

TASKS = {"small": (4, 2), "wide": (50, 7)}
KINDS = pytest.mark.parametrize("kind", DECODERS)
SEEDS = range(8)


def specs_of(arch="mlp_base"):
    target = get_target(arch)
    dynamic = {
        name: target.dynamic_specs(Metadata(task="tabular_cls", out_dim=k, in_dim=d, arch=arch))
        for name, (d, k) in TASKS.items()
    }
    return target.static_specs(), dynamic


def decoder_of(kind, *, seed=0, arch="mlp_base", d_latent=25):
    torch.manual_seed(seed)
    return MultiHeadDecoder(*specs_of(arch), d_latent=d_latent, kind=kind)


def latents(b, d=25):
    return layer_norm(torch.randn(b, d), (d,))


@KINDS
@pytest.mark.parametrize("task", TASKS)
def test_static_and_dynamic_weights_have_the_names_and_shapes_of_the_specs(kind, task):
    weights = decoder_of(kind)(latents(3), task)
    static, dynamic = specs_of()
    assert {name: tuple(v.shape) for name, v in weights.items()} == {
        s.name: (3, *s.shape) for s in (*static, *dynamic[task])
    }


@KINDS
def test_static_weights_are_the_same_for_every_task_and_dynamic_ones_are_not(kind):
    decoder, z = decoder_of(kind), latents(2)
    small, wide = decoder(z, "small"), decoder(z, "wide")
    assert torch.equal(small["inner.0.weight"], wide["inner.0.weight"])
    assert not torch.allclose(small["output.weight"], wide["output.weight"][:, :2])


@KINDS
def test_other_latents_give_other_weights(kind):
    first, second = decoder_of(kind)(latents(2), "small")["inner.0.weight"]
    assert not torch.allclose(first, second, rtol=0.01)


@KINDS
def test_a_batch_of_latents_is_decoded_as_each_alone(kind):
    decoder, z = decoder_of(kind), latents(3)
    together = decoder(z, "wide")
    for i in range(3):
        for name, value in decoder(z[i : i + 1], "wide").items():
            torch.testing.assert_close(together[name][i], value[0])


@KINDS
def test_interleaved_tasks_keep_their_rows(kind, generator):
    decoder = decoder_of(kind, arch="mlp_small", d_latent=8)
    generator.decoder = decoder
    z, tasks = latents(5, 8), ["wide", "small", "wide", "small", "small"]
    weights = generator.decode(z, tasks)
    for i, task in enumerate(tasks):
        for name, value in decoder(z[i : i + 1], task).items():
            own = tuple(slice(size) for size in value.shape[1:])
            torch.testing.assert_close(weights[name][i][own], value[0])


def test_weights_of_a_single_task_are_not_padded(generator):
    weights = generator.decode(latents(2, 8), ["small", "small"])
    assert weights["input.weight"].shape == (2, 32, 4)
    assert weights["output.weight"].shape == (2, 2, 32)


@KINDS
@pytest.mark.parametrize("task", TASKS)
def test_untrained_mlp_neither_dies_nor_explodes(kind, task):
    x = torch.randn(4, 200, TASKS[task][0])
    power = torch.zeros(3)
    for seed in SEEDS:
        weights = decoder_of(kind, seed=seed)(latents(4), task)
        h = x
        for i, layer in enumerate(("input", "inner.0", "inner.1")):
            w, bias = weights[f"{layer}.weight"], weights[f"{layer}.bias"]
            h = torch.relu(torch.einsum("bni,boi->bno", h, w) + bias[:, None])
            # With a gain of 2 before a ReLU the second moment stays that of the inputs, 1.
            power[i] += h.detach().square().mean() / len(SEEDS)
    assert all(1 / 3 < p < 3 for p in power.tolist()), power


@KINDS
def test_untrained_rows_of_a_matrix_differ(kind):
    correlations = [
        torch.corrcoef(decoder_of(kind, seed=seed)(latents(1), "small")["inner.0.weight"][0].detach()).abs().mean()
        for seed in SEEDS
    ]
    assert torch.stack(correlations).mean() < 0.5


@KINDS
def test_biases_start_at_exactly_zero_and_matrices_do_not(kind):
    for name, value in decoder_of(kind)(latents(2), "wide").items():
        assert (value.abs().sum() == 0) == name.endswith("bias"), name


@KINDS
def test_tensors_that_start_at_zero_can_leave_it(kind):
    decoder = decoder_of(kind)
    decoder(latents(2), "wide")["inner.0.bias"].sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in decoder.static_heads.parameters())
    with torch.no_grad():
        for p in decoder.parameters():
            p -= 0.1 * p.grad if p.grad is not None else 0.0
    assert decoder(latents(2), "wide")["inner.0.bias"].abs().sum() > 0


@KINDS
def test_a_step_on_one_task_leaves_the_head_of_the_other(kind):
    decoder = decoder_of(kind)
    sum(v.sum() for v in decoder(latents(1), "small").values()).backward()
    assert all(p.grad is None for p in decoder.task_heads["task:wide"].parameters())


def test_shared_trunk_stands_once_in_the_state_dict_and_writes_all_heads():
    decoder = decoder_of("shared")
    trunk = sum(p.numel() for p in decoder.trunk.parameters())
    assert sum(v.numel() for k, v in decoder.state_dict().items() if "trunk" in k) == trunk
    with torch.no_grad():
        decoder.trunk.out.weight.zero_()
    assert all(v.abs().sum() == 0 for v in decoder(latents(1), "small").values())


def test_shared_trunk_follows_to_another_type():
    assert decoder_of("shared").double()(latents(1).double(), "small")["inner.0.weight"].dtype == torch.double


def test_per_tensor_decoder_has_a_linear_map_per_number():
    total = 226_787_328  # 24 LoRA tensors of DistilBERT, r = 16, from a latent of 768: the paper's 227 million
    with torch.device("meta"):
        decoder = MultiHeadDecoder(lora_specs(), {}, d_latent=768, kind="per_tensor")
    assert sum(p.numel() for p in decoder.parameters()) == total


def test_shared_decoder_needs_a_few_million_for_the_same_tensors():
    decoder = MultiHeadDecoder(lora_specs(), {}, d_latent=768, kind="shared")
    assert sum(p.numel() for p in decoder.parameters()) < 5e6


def lora_specs():
    return [
        WeightSpec(f"transformer.layer.{i}.{module}.lora_{part}", shape, zero_init=part == "B")
        for i in range(6)
        for module in ("q_lin", "v_lin")
        for part, shape in (("A", (16, 768)), ("B", (768, 16)))
    ]


def test_shared_heads_use_one_embedding_for_a_module_of_all_layers():
    decoder = MultiHeadDecoder(lora_specs(), {}, d_latent=8, kind="shared")
    assert decoder.static_heads.module_embedding.num_embeddings == 4
    assert decoder.static_heads.layer_embedding.num_embeddings == 6


@KINDS
def test_task_names_may_hold_dots_and_stay_readable_in_errors(kind):
    static, dynamic = specs_of()
    decoder = MultiHeadDecoder(static, {"uci.iris": dynamic["small"]}, d_latent=25, kind=kind)
    assert decoder(latents(1), "uci.iris")["output.weight"].shape == (1, 2, 64)
    with pytest.raises(RouteError, match=r"no head for task 'uci.irs'; .*\['uci.iris'\]. Did you mean 'uci.iris'\?"):
        decoder(latents(1), "uci.irs")


def test_unknown_decoder_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"\['per_tensor', 'shared'\].*'shard'"):
        decoder_of("shard")


@KINDS
@pytest.mark.parametrize("name", ["keys", "type", "training", "a.b"])
def test_a_task_may_be_named_like_anything(kind, name):
    static, dynamic = specs_of()
    decoder = MultiHeadDecoder(static, {name: dynamic["small"]}, d_latent=25, kind=kind)
    assert decoder(latents(1), name)["output.weight"].shape == (1, 2, 64)
