"""Adapters of picture classifiers: what is generated, many adapters in one pass, merging, what is computed once."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from flame.errors import ConfigError, MetadataError, MissingExtraError, WeightsError
from flame.metadata import Metadata
from targets.base import batched_forward, get_target
from targets.conv_lora import FrozenBatchNorm2d, LoRAConv2d, SameConv2d, adapters
from targets.vision import VisionTarget, forward_features, forward_logits, prefix_features, prefix_length
from targets.vision_networks import head_name, new_network, use_same_padding

try:
    new_network("resnet18")
except MissingExtraError:
    pytest.skip("needs torchvision", allow_module_level=True)

FIVE = Metadata(task="img_cls", out_dim=5, arch="resnet50")
ARCHS = ("resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small")
EVERY_ARCH = pytest.mark.parametrize("arch", ARCHS)
EVERY_KIND = pytest.mark.parametrize("kind", ["lora", "film"])


def shaken(network):
    """In double precision and with normalisations that do something, as a pretrained network has them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.2, 0.8)
            module.bias.data.normal_(0, 0.1)
    return network.double()


def built(arch="resnet18", **options):
    target = VisionTarget(arch, **options)
    return target, shaken(target.build(FIVE))


def random_weights(target, b=1):
    specs = (*target.static_specs(), *target.dynamic_specs(FIVE))
    return {s.name: 0.1 * torch.randn(b, *s.shape, dtype=torch.double) for s in specs}


def pictures(b=1, n=2, side=64):
    return torch.randn(b, n, 3, side, side, dtype=torch.double)


def row(weights, i):
    return {name: value[i : i + 1] for name, value in weights.items()}


def assert_near(ours, theirs):
    assert (ours - theirs).abs().max() <= 1e-9 * theirs.abs().max()


# --- what is generated ------------------------------------------------------------------------------------------------


def test_the_default_lora_of_resnet50_adapts_every_convolution_of_its_blocks():
    specs = VisionTarget("resnet50").static_specs()
    assert len(specs) == 2 * 3 * 16
    assert sum(s.size for s in specs) == 588_288
    assert {s.name: s.shape for s in specs}["layer2.0.conv2.lora_A"] == (8, 128, 3, 3)
    assert all(s.zero_init == s.name.endswith("lora_B") for s in specs)


def test_film_is_a_small_fraction_of_lora():
    sizes = [sum(s.size for s in VisionTarget("resnet50", kind=kind).static_specs()) for kind in ("lora", "film")]
    assert sizes[1] == 2 * 9216 < sizes[0] / 30


@pytest.mark.parametrize("arch", ["mobilenet_v2", "mobilenet_v3_small", "resnet50", "resnet152"])
def test_the_architectures_of_the_metadata_are_registered(arch):
    assert get_target(arch).arch == arch


def test_the_classifier_follows_the_number_of_classes():
    specs = VisionTarget("mobilenet_v3_small").dynamic_specs(FIVE)
    assert [(s.name, s.shape) for s in specs] == [("classifier.3.weight", (5, 1024)), ("classifier.3.bias", (5,))]


@EVERY_ARCH
@EVERY_KIND
def test_an_untrained_generator_leaves_the_features_exactly_as_they_are(arch, kind):
    target, model = built(arch, kind=kind)
    plain = new_network(arch, 5).double().eval()
    plain.load_state_dict(model.state_dict())
    plain.set_submodule(head_name(plain), nn.Identity())
    untrained = {s.name: torch.randn(1, *s.shape).double() * (not s.zero_init) for s in target.static_specs()}
    images = pictures()
    assert torch.equal(forward_features(model, untrained, images)[0], plain(images[0]))


# --- the functional forward -------------------------------------------------------------------------------------------


@EVERY_ARCH
@EVERY_KIND
def test_adapters_in_one_pass_compute_what_their_merged_models_compute(arch, kind):
    target, model = built(arch, kind=kind)
    weights, images = random_weights(target, 3), pictures(3)
    together = forward_logits(model, weights, images)
    for i in range(3):
        assert_near(together[i], target.merge(model, row(weights, i))(images[i]))


@EVERY_KIND
def test_single_precision_agrees_to_one_in_100_000(kind):
    target, model = built("mobilenet_v2", kind=kind)
    weights = {name: value.float() for name, value in random_weights(target, 2).items()}
    images = pictures(2).float()
    together = forward_logits(model.float(), weights, images)
    alone = torch.stack([target.merge(model, row(weights, i))(images[i]) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5 * float(alone.detach().abs().max()))


@EVERY_KIND
def test_the_forward_of_every_other_target_serves_as_well(kind):
    target, model = built("mobilenet_v3_small", kind=kind)
    weights, images = random_weights(target, 2), pictures(2)
    assert_near(batched_forward(model, weights, images), forward_logits(model, weights, images))


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(1, 1, 0, 1), (1, 2, 0, 1), (1, 1, 1, 1), (3, 1, 1, 1),
     (3, 2, 1, 1), (3, 1, 0, 2), (5, 2, 2, 1), (3, 1, "same", 1)],
)  # fmt: skip
def test_every_shape_of_a_convolution_is_adapted_as_its_merged_weight_says(kernel, stride, padding, dilation):
    conv = nn.Conv2d(4, 6, kernel, stride, padding, dilation).double()
    layer = LoRAConv2d(conv, rank=2, alpha=6)
    a, b = torch.randn(3, *layer.lora_A.shape).double(), torch.randn(3, *layer.lora_B.shape).double()
    x = torch.randn(3, 2, 4, 9, 8).double()
    together = torch.func.functional_call(layer, {"lora_A": a, "lora_B": b}, (x.flatten(0, 1),)).unflatten(0, (3, 2))
    for i in range(3):
        weight = conv.weight + 3 * torch.einsum("or,rckl->ockl", b[i].flatten(1), a[i])
        assert_near(together[i], functional.conv2d(x[i], weight, conv.bias, stride, padding, dilation))


def test_lora_on_a_convolution_padded_as_tensorflow_does_merges():
    target = VisionTarget("mobilenet_v2", pattern=r"features\.0\.0")
    network = new_network("mobilenet_v2", 5)
    use_same_padding(network)
    model = shaken(target._adapted(network))
    weights, images = random_weights(target), pictures(side=63)
    merged = target.merge(model, weights)
    assert isinstance(merged.get_submodule("features.0.0"), SameConv2d)
    assert_near(forward_logits(model, weights, images)[0], merged(images[0]))


def test_gradients_reach_every_generated_tensor_and_nothing_else():
    for kind in ("lora", "film"):
        target, model = built("resnet50", kind=kind)
        weights = {name: value.requires_grad_() for name, value in random_weights(target, 2).items()}
        forward_logits(model, weights, pictures(2)).square().mean().backward()
        assert all((value.grad.flatten(1).abs().sum(1) > 0).all() for value in weights.values())
        assert not any(p.requires_grad for p in model.parameters())


def test_the_gradient_of_a_factor_is_that_of_finite_differences():
    target, model = built("mobilenet_v3_small", pattern=r"features\.1\.block\.2\.0", rank=1)
    weights, images = random_weights(target, 2), pictures(2, side=32)
    a, b = (f"features.1.block.2.0.lora_{f}" for f in "AB")

    def loss(x, y):
        return forward_features(model, {a: x, b: y}, images).sum()

    assert torch.autograd.gradcheck(loss, (weights[a].requires_grad_(), weights[b].requires_grad_()))


def test_an_adapter_sees_only_its_own_images():
    target, model = built()
    weights, images = random_weights(target, 2), pictures(2)
    other = torch.stack([images[0], torch.randn_like(images[1])])
    assert torch.equal(forward_logits(model, weights, images)[0], forward_logits(model, weights, other)[0])


def test_adapters_may_share_their_images():
    target, model = built()
    weights, images = random_weights(target, 2), pictures(1)
    assert_near(forward_logits(model, weights, images), forward_logits(model, weights, images.repeat(2, 1, 1, 1, 1)))


@EVERY_ARCH
def test_features_are_what_the_classifier_reads(arch):
    target, model = built(arch)
    weights, images = random_weights(target, 2), pictures(2)
    head = target.dynamic_specs(FIVE)[0].name
    features = forward_features(model, {n: w for n, w in weights.items() if "lora" in n}, images)
    logits = features @ weights[head].mT + weights[head.replace("weight", "bias")][:, None]
    assert_near(forward_logits(model, weights, images), logits)


def test_tensors_of_padded_classes_may_be_wider_than_the_models_own():
    target, model = built("mobilenet_v3_small")
    weights = random_weights(target)
    weights["classifier.3.weight"], weights["classifier.3.bias"] = (
        torch.zeros(1, 9, 1024).double(),
        torch.ones(1, 9).double(),
    )
    assert torch.equal(forward_logits(model, weights, pictures()), torch.ones(1, 2, 9).double())


# --- the part that is computed once -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "pattern", "n"),
    [("resnet18", r"layer4.*conv.*", 10), ("resnet18", None, 4), ("mobilenet_v2", r"features\.1[78].*", 17),
     ("mobilenet_v3_small", None, 1), ("shufflenet_v2_x0_5", "stage4.*", 0)],
)  # fmt: skip
def test_going_on_from_the_frozen_part_gives_the_same_outputs(arch, pattern, n):
    target, model = built(arch, pattern=pattern)
    weights, images = random_weights(target, 2), pictures(2)
    start = torch.stack([prefix_features(model, x) for x in images])
    assert prefix_length(model) == n
    assert not start.requires_grad
    assert torch.allclose(forward_logits(model, weights, start, skip=n), forward_logits(model, weights, images))


def test_a_network_of_another_layout_is_adapted_by_its_pattern():
    target, model = built("shufflenet_v2_x0_5", pattern=r"stage[34].*")
    weights, images = random_weights(target, 2), pictures(2)
    together = forward_logits(model, weights, images)
    assert_near(together[1], target.merge(model, row(weights, 1))(images[1]))


# --- normalisations ---------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_statistics_stay_as_they_are_while_adapters_train(kind):
    target, model = built(kind=kind)
    weights = {name: value.requires_grad_() for name, value in random_weights(target, 2).items()}
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(weights.values(), lr=0.1)
    model.train()
    for _ in range(2):
        forward_logits(model, weights, pictures(2)).square().mean().backward()
        optimizer.step()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_merged_model_is_fine_tuned_with_frozen_normalisations():
    target, model = built("mobilenet_v3_small")
    merged = target.merge(model, random_weights(target)).train()
    norms = [m for m in merged.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(m.training or m.weight.requires_grad for m in norms)
    assert merged.get_submodule("features.1.block.2.0").weight.requires_grad
    assert merged.get_submodule("classifier.3").weight.requires_grad


# --- merging ----------------------------------------------------------------------------------------------------------


@EVERY_KIND
def test_a_merged_model_is_torchvisions_own_network(kind):
    target, model = built("mobilenet_v3_small", kind=kind)
    merged, images = target.merge(model, random_weights(target)), pictures()[0]
    assert not list(adapters(merged))
    plain = new_network("mobilenet_v3_small", 5).double()
    plain.load_state_dict(merged.state_dict())
    assert_near(plain.eval()(images), merged(images))


@EVERY_KIND
def test_merging_leaves_the_model_as_it_was(kind):
    target, model = built(kind=kind)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merged = target.merge(model, random_weights(target))
    merged.get_submodule("conv1").weight.data.zero_()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v2"])
def test_pefts_adapters_of_the_same_factors_compute_the_same(arch):
    peft = pytest.importorskip("peft")
    target, model = built(arch, rank=4, alpha=12)
    weights, images = random_weights(target), pictures()
    plain = new_network(arch, 5).double()
    plain.load_state_dict(target.merge(model, {n: w * ("lora" not in n) for n, w in weights.items()}).state_dict())
    names = [name for name, _ in adapters(model)]
    theirs = peft.get_peft_model(plain, peft.LoraConfig(r=4, lora_alpha=12, target_modules=names)).double().eval()
    for name in names:
        layer = theirs.base_model.model.get_submodule(name)
        for part in ("lora_A", "lora_B"):
            getattr(layer, part)["default"].weight.data.copy_(weights[f"{name}.{part}"][0])
    assert_near(forward_logits(model, weights, images)[0], theirs(images[0]))
    assert_near(target.merge(model, weights)(images[0]), theirs.merge_and_unload()(images[0]))


# --- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_pattern_that_matches_nothing_is_refused_with_names_that_there_are():
    with pytest.raises(ConfigError, match=r"'layers.*' matches no convolution .* of resnet18, which has \['conv1'"):
        VisionTarget("resnet18", pattern="layers.*").static_specs()


def test_depthwise_and_grouped_convolutions_are_left_out():
    names = {s.name.rsplit(".", 1)[0] for s in VisionTarget("mobilenet_v2", pattern=r"features\.17.*").static_specs()}
    assert names == {"features.17.conv.0.0", "features.17.conv.2"}
    grouped = {s.name.split(".")[2] for s in VisionTarget("resnext50_32x4d").static_specs()}
    assert grouped == {"conv1", "conv3"}
    with pytest.raises(ConfigError, match="matches no convolution of one group"):
        VisionTarget("mobilenet_v2", pattern=r"features\.17\.conv\.1\.0").build(FIVE)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kind": "loar"}, "Did you mean 'lora'"), ({"rank": 0}, "rank of adapters must be a positive integer"),
     ({"pattern": "layer("}, "a regular expression of layer names is expected"),
     ({"arch": "densenet121"}, "give a pattern of their names")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        VisionTarget("resnet18", **options)


def test_a_network_unknown_to_torchvision_is_refused_with_the_nearest():
    with pytest.raises(MetadataError, match=r"no classifier 'resnet51'.*Did you mean 'resnet50'"):
        VisionTarget("resnet51").build(FIVE)


def test_tensors_that_do_not_fit_are_named():
    target, model = built("mobilenet_v3_small", kind="film")
    weights = random_weights(target, 2)
    with pytest.raises(WeightsError, match="merge takes the weights of one model, however: 2"):
        target.merge(model, weights)
    with pytest.raises(WeightsError, match=r"inputs .* of 2 adapters are expected"):
        forward_logits(model, weights, pictures(3))
    with pytest.raises(WeightsError, match=r"missing generated tensors \['classifier.3.bias'\]"):
        forward_logits(model, {n: w for n, w in weights.items() if n != "classifier.3.bias"}, pictures(2))
    with pytest.raises(WeightsError, match=r"missing generated tensor 'features.12.1.film_shift'"):
        forward_features(model, {n: w for n, w in weights.items() if n != "features.12.1.film_shift"}, pictures(2))
    weights["features.12.1.film_shift"] = weights["features.12.1.film_shift"][:1]
    with pytest.raises(WeightsError, match="one number b of adapters"):
        forward_features(model, weights, pictures(2))


def test_without_its_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'flame-hypernet\[vision\]'"):
        VisionTarget("resnet18").static_specs()


def test_targets_are_registered_without_loading_torchvision():
    code = "import targets.vision, sys; print('torchvision' in sys.modules, 'resnet50' in targets.target_names())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_a_frozen_normalisation_cannot_be_put_into_training_mode():
    assert not FrozenBatchNorm2d(2).train().training
