"""The models being written: specs, merging, and many of them run at once."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from flame.errors import MetadataError, WeightsError
from flame.metadata import Metadata
from hypernet.objectives import pair_losses
from targets import MLP_SIZES, WeightSpec, batched_forward, check_weights, get_target, register_target, stack_weights

ARCHS = sorted(MLP_SIZES)
DIMENSIONS = ((4, 2), (6, 3), (3, 5))


def metadata_of(d_in, n_out, arch="mlp_small"):
    return Metadata(task="tabular_cls", out_dim=n_out, in_dim=d_in, arch=arch)


def specs_of(metadata):
    target = get_target(metadata.arch)
    return (*target.static_specs(), *target.dynamic_specs(metadata))


def random_weights(metadata, b=1):
    return {s.name: 0.2 * torch.randn(b, *s.shape) for s in specs_of(metadata)}


def merged(metadata, weights):
    target = get_target(metadata.arch)
    return target.merge(target.build(metadata), weights)


@pytest.mark.parametrize("arch", ARCHS)
def test_specs_name_every_tensor_of_the_built_module_with_its_shape(arch):
    metadata = metadata_of(5, 3, arch)
    built = {name: tuple(p.shape) for name, p in get_target(arch).build(metadata).state_dict().items()}
    assert {s.name: s.shape for s in specs_of(metadata)} == built


@pytest.mark.parametrize("arch", ARCHS)
def test_static_specs_are_all_that_two_tasks_share_in_shape(arch):
    one, other = ({s.name: s.shape for s in specs_of(metadata_of(*sizes, arch))} for sizes in ((5, 3), (7, 2)))
    static = {s.name for s in get_target(arch).static_specs()}
    assert static <= {name for name in one if one[name] == other[name]}
    assert {name for name in one if one[name] != other[name]} == {"input.weight", "output.weight", "output.bias"}


def test_encoded_width_and_not_the_number_of_columns_sizes_the_input():
    metadata = Metadata(task="tabular_cls", out_dim=2, in_dim=3, d_input=9, arch="mlp_small")
    assert {s.name: s.shape for s in specs_of(metadata)}["input.weight"] == (32, 9)


def test_init_std_follows_fan_in_and_gain():
    assert WeightSpec("w", (10, 50), gain=2.0).init_std == pytest.approx(0.2)
    assert WeightSpec("w", (10, 50), zero_init=True).init_std == 0.0


def test_layers_of_the_paper_follow_each_other_without_activation():
    model = get_target("mlp_paper").build(metadata_of(4, 2, "mlp_paper")).double()
    x, y = torch.randn(2, 5, 4, dtype=torch.double)
    torch.testing.assert_close(model(x + y) + model(torch.zeros_like(x)), model(x) + model(y))


def test_merge_puts_every_weight_in_and_leaves_the_base_module_alone():
    metadata = metadata_of(4, 3)
    base, weights = get_target("mlp_small").build(metadata), random_weights(metadata)
    before = copy.deepcopy(base.state_dict())
    model = get_target("mlp_small").merge(base, weights)
    assert all(torch.equal(model.state_dict()[name], value[0]) for name, value in weights.items())
    assert all(torch.equal(base.state_dict()[name], value) for name, value in before.items())


def test_merged_model_shares_no_memory_with_the_weights():
    metadata = metadata_of(4, 3)
    weights = random_weights(metadata)
    model = merged(metadata, weights)
    weights["output.bias"].zero_()
    assert model.output.bias.abs().sum() > 0


def test_merge_refuses_a_batch_of_models():
    metadata = metadata_of(4, 3)
    with pytest.raises(WeightsError, match=r"one model, however: batches of .*'output.bias': 2"):
        merged(metadata, random_weights(metadata, b=2))


def test_merge_names_missing_unexpected_and_misshapen_tensors_at_once():
    metadata = metadata_of(4, 3)
    weights = random_weights(metadata)
    weights["head"] = weights.pop("output.bias")
    weights["output.weight"] = torch.zeros(1, 2, 32)
    expected = (
        r"missing generated tensor 'output.bias'; unexpected generated tensor 'head'; "
        r"expected generated tensor 'output.weight' of shape \(b, 3, 32\), however: \(1, 2, 32\)"
    )
    with pytest.raises(WeightsError, match=expected):
        merged(metadata, weights)


def test_check_weights_accepts_any_batch():
    metadata = metadata_of(4, 3)
    check_weights(random_weights(metadata, b=7), specs_of(metadata))


def test_stacked_weights_are_zero_beyond_their_own_shape():
    small, large = random_weights(metadata_of(4, 2)), random_weights(metadata_of(6, 3), b=2)
    joined = stack_weights([small, large])
    assert joined["input.weight"].shape == (3, 32, 6)
    assert torch.equal(joined["input.weight"][0, :, :4], small["input.weight"][0])
    assert joined["input.weight"][0, :, 4:].abs().sum() == 0
    assert torch.equal(joined["output.weight"][1:], large["output.weight"])
    assert joined["output.bias"][0, 2:].abs().sum() == 0


@pytest.fixture
def padded():
    """Three tasks of other dimensions and numbers of rows: weights of each, rows of each, and all of it padded."""
    metadatas = [metadata_of(*sizes) for sizes in DIMENSIONS]
    weights = [random_weights(m) for m in metadatas]
    rows = [torch.randn(n, m.in_dim) for n, m in zip((7, 5, 9), metadatas, strict=True)]
    labels = [torch.randint(m.out_dim, (len(x),)) for x, m in zip(rows, metadatas, strict=True)]
    x, y = torch.zeros(3, 9, 6), torch.full((3, 9), -100)
    for i, (own_x, own_y) in enumerate(zip(rows, labels, strict=True)):
        x[i, : own_x.shape[0], : own_x.shape[1]], y[i, : len(own_y)] = own_x, own_y
    joined = {name: value.requires_grad_() for name, value in stack_weights(weights).items()}
    skeleton = get_target("mlp_small").build(metadata_of(6, 2))
    return metadatas, weights, rows, labels, joined, x, y, skeleton


def test_padded_batch_gives_the_outputs_of_every_merged_module(padded):
    metadatas, weights, rows, _, joined, x, _, skeleton = padded
    logits = batched_forward(skeleton, joined, x)
    for i, (metadata, own, own_x) in enumerate(zip(metadatas, weights, rows, strict=True)):
        alone = merged(metadata, own)(own_x)
        torch.testing.assert_close(logits[i, : len(own_x), : metadata.out_dim], alone)


def test_padded_batch_has_the_loss_of_every_merged_module(padded):
    metadatas, weights, rows, labels, joined, x, y, skeleton = padded
    losses = pair_losses(batched_forward(skeleton, joined, x), y, torch.tensor([m.out_dim for m in metadatas]))
    alone = [
        cross_entropy(merged(m, own)(own_x), own_y)
        for m, own, own_x, own_y in zip(metadatas, weights, rows, labels, strict=True)
    ]
    torch.testing.assert_close(losses, torch.stack(alone))


def test_padded_classes_get_no_gradient_and_own_classes_do(padded):
    metadatas, _, _, _, joined, x, y, skeleton = padded
    pair_losses(batched_forward(skeleton, joined, x), y, torch.tensor([m.out_dim for m in metadatas])).sum().backward()
    for i, metadata in enumerate(metadatas):
        assert joined["output.weight"].grad[i, metadata.out_dim :].abs().sum() == 0
        assert joined["output.bias"].grad[i, metadata.out_dim :].abs().sum() == 0
        assert (joined["output.bias"].grad[i, : metadata.out_dim] != 0).all()


def test_rows_without_a_label_change_no_loss(padded):
    metadatas, _, _, _, joined, x, y, skeleton = padded
    out_dims = torch.tensor([m.out_dim for m in metadatas])
    before = pair_losses(batched_forward(skeleton, joined, x), y, out_dims)
    x[0, 7:] = 100.0
    assert torch.equal(pair_losses(batched_forward(skeleton, joined, x), y, out_dims), before)


def test_a_pair_without_any_labelled_row_has_loss_zero():
    losses = pair_losses(torch.randn(1, 3, 2), torch.full((1, 3), -100), torch.tensor([2]))
    assert losses.tolist() == [0.0]


def test_unknown_architecture_is_refused_with_the_nearest_one():
    with pytest.raises(MetadataError, match=r"no target for arch='mlp_bse'.* Did you mean 'mlp_base'\?"):
        get_target("mlp_bse")


def test_a_different_target_under_a_taken_name_is_refused():
    with pytest.raises(ValueError, match="registered under 'mlp_base' already"):
        register_target(copy.copy(get_target("mlp_base")))


def test_registering_the_same_target_again_is_no_fault():
    register_target(get_target("mlp_base"))
