"""The generator of adapters and classifiers: what it does untrained, its symmetries, its solve, and its folder."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from flame.errors import CheckpointError, DataError, WeightsError
from hypernet.adapters import (
    AdapterGenerator,
    AdapterGeneratorConfig,
    load_adapter_generator,
    save_adapter_generator,
    solve_head,
)
from hypernet.adapters.objective import batch_losses
from hypernet.adapters.solve import solve_logistic_from
from hypernet.adapters.stream import AdapterBatch, AdapterStream, AdapterTask, StreamConfig, draw_batch
from targets import WeightSpec

SPECS = (WeightSpec("a.0.lora_A", (2, 8), gain=1 / 3), WeightSpec("a.0.lora_B", (8, 2), zero_init=True))
SMALL = AdapterGeneratorConfig(d_latent=6, d_head=10, d_trunk=8, chunk=4)
D = 8


@pytest.fixture
def untrained():
    return AdapterGenerator(SPECS, D, D, SMALL)


@pytest.fixture
def shaken(untrained):
    """Every parameter off its start, as after training."""
    with torch.no_grad():
        for parameter in untrained.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return untrained


def one_hot(y, k):
    return nn.functional.one_hot(y, k).float()


def logits(rows, features):
    return features @ rows[0].mT + rows[1][:, None]


# -- untrained -----------------------------------------------------------------------------------------------------


def test_untrained_adapters_change_nothing(untrained):
    weights = untrained.adapters(untrained.latent(torch.randn(3, D)))
    assert {name: tuple(value.shape) for name, value in weights.items()} == {
        "a.0.lora_A": (3, 2, 8),
        "a.0.lora_B": (3, 8, 2),
    }
    assert not weights["a.0.lora_B"].any()
    assert weights["a.0.lora_A"].any()


def test_an_untrained_row_is_the_scaled_similarity_with_the_label_words(untrained):
    labels, features = torch.randn(1, 4, D), torch.randn(1, 5, D)
    told = logits(untrained.head_rows(labels, untrained.latent(torch.randn(1, D))), features)
    cosine = nn.functional.cosine_similarity(features[0][:, None], labels[0][None], dim=-1)
    expected = SMALL.temperature * features[0].norm(dim=1, keepdim=True) * cosine
    torch.testing.assert_close(told[0], expected)


def test_features_of_another_width_than_the_words_start_at_rows_of_zero():
    generator = AdapterGenerator(SPECS, D, 5, SMALL)
    weight, bias = generator.head_rows(torch.randn(1, 3, D), generator.latent(torch.randn(1, D)))
    assert weight.shape == (1, 3, 5)
    assert not weight.any()
    assert not bias.any()


def test_an_untrained_regression_says_the_mean(untrained):
    weight, bias = untrained.number_rows(untrained.latent(torch.randn(2, D)))
    assert (weight.shape, bias.shape) == ((2, 1, D), (2, 1))
    assert not weight.any()
    assert not bias.any()


def test_words_of_another_width_are_refused(untrained):
    z = untrained.latent(torch.randn(1, D))
    with pytest.raises(WeightsError, match=r"expected descriptions \(b, d_words\) with d_words=8, however: \(1, 7\)"):
        untrained.latent(torch.randn(1, 7))
    with pytest.raises(WeightsError, match=r"expected label words \(b, k, d_words\).*however: \(3, 8\)"):
        untrained.head_rows(torch.randn(3, D), z)


# -- symmetries ----------------------------------------------------------------------------------------------------


def test_labels_in_another_order_give_the_rows_in_that_order(shaken):
    labels, z, order = torch.randn(2, 5, D), shaken.latent(torch.randn(2, D)), torch.tensor([3, 1, 4, 0, 2])
    weight, bias = shaken.head_rows(labels, z)
    moved_weight, moved_bias = shaken.head_rows(labels[:, order], z)
    torch.testing.assert_close(moved_weight, weight[:, order])
    torch.testing.assert_close(moved_bias, bias[:, order])


def test_a_solve_with_labels_in_another_order_gives_the_rows_in_that_order(shaken):
    z, order, y = shaken.latent(torch.randn(1, D)), torch.tensor([2, 0, 1]), torch.tensor([0, 1, 2, 1, 0])
    labels, features = torch.randn(1, 3, D), torch.randn(1, 5, D)
    weight, bias = solve_head(shaken, features, one_hot(y, 3)[None], shaken.head_rows(labels, z), z)
    rows = shaken.head_rows(labels[:, order], z)
    moved_weight, moved_bias = solve_head(shaken, features, one_hot(y, 3)[None][..., order], rows, z)
    torch.testing.assert_close(moved_weight, weight[:, order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(moved_bias, bias[:, order], atol=1e-4, rtol=1e-4)


def test_the_description_matters_after_training(shaken):
    z = shaken.latent(torch.randn(2, D))
    labels = torch.randn(1, 3, D).expand(2, -1, -1)
    assert not torch.allclose(*shaken.head_rows(labels, z)[0])
    assert not torch.allclose(*shaken.adapters(z)["a.0.lora_B"])


# -- the solve -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 40])
def test_the_solve_finds_the_minimum_that_a_quasi_newton_method_finds(n):
    z, y, offset = torch.randn(2, n, 9), one_hot(torch.randint(0, 3, (2, n)), 3), torch.randn(2, 3, n)
    w = torch.zeros(2, 3, 9, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=400, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -((w @ z.mT + offset).log_softmax(1) * y.mT).sum() + 0.5 * w.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(solve_logistic_from(z, y, offset), w.detach(), atol=2e-3, rtol=2e-2)


@pytest.mark.parametrize("n", [1, 3, 2000])
def test_any_number_of_rows_works_and_many_are_fitted(untrained, n):
    features = torch.randn(1, 2000, D)
    y = one_hot(features[..., :3].argmax(-1), 3)
    rows = solve_head(untrained, features[:, :n], y[:, :n], None, untrained.latent(torch.randn(1, D)))
    accuracy = (logits(rows, features).argmax(-1) == y.argmax(-1)).float().mean()
    assert accuracy > (0.95 if n == 2000 else 0.2)


def test_a_class_without_a_row_keeps_its_label_words(untrained):
    labels = 3 * torch.eye(D)[None, :4]
    z = untrained.latent(torch.randn(1, D))
    y = one_hot(torch.tensor([0, 1]), 4)[None]
    rows = solve_head(untrained, labels[:, :2], y, untrained.head_rows(labels, z), z)
    assert logits(rows, labels).argmax(-1).tolist() == [[0, 1, 2, 3]]


def test_labelled_rows_outrank_label_words_that_mislead(untrained):
    features = torch.randn(1, 200, D)
    y = (features[0, :, 0] > 0).long()
    wrong = torch.stack([torch.eye(D)[0], -torch.eye(D)[0]])[None]
    z = untrained.latent(torch.randn(1, D))
    rows = untrained.head_rows(wrong, z)
    solved = solve_head(untrained, features, one_hot(y, 2)[None], rows, z)
    assert (logits(rows, features)[0].argmax(-1) == y).float().mean() < 0.1
    assert (logits(solved, features)[0].argmax(-1) == y).float().mean() > 0.9


def test_a_regression_is_solved_in_the_unit_of_its_numbers(untrained):
    features = torch.randn(1, 300, D)
    y = 40 * features[..., :1] + 1000
    z = untrained.latent(torch.randn(1, D))
    rows = solve_head(untrained, features, y, untrained.number_rows(z), z, regression=True)
    assert (logits(rows, features) - y).abs().mean() < 1


def test_a_regression_on_one_row_or_on_equal_numbers_says_that_number(untrained):
    z = untrained.latent(torch.randn(1, D))
    for n in (1, 5):
        features, y = torch.randn(1, n, D), torch.full((1, n, 1), 7.0)
        rows = solve_head(untrained, features, y, None, z, regression=True)
        torch.testing.assert_close(logits(rows, torch.randn(1, 4, D)), torch.full((1, 4, 1), 7.0))


def test_labels_that_do_not_fit_the_rows_are_refused(untrained):
    z = untrained.latent(torch.randn(1, D))
    with pytest.raises(DataError, match=r"n of 1 or more, however: \(1, 3, 8\) and \(1, 2, 2\)"):
        solve_head(untrained, torch.randn(1, 3, D), torch.zeros(1, 2, 2), None, z)
    with pytest.raises(DataError, match="expected labelled rows"):
        solve_head(untrained, torch.randn(1, 0, D), torch.zeros(1, 0, 2), None, z)


# -- training batches ----------------------------------------------------------------------------------------------


def toy_task(n=60, k=3, share=1.0):
    """Rows lie around their label's direction."""
    y = torch.arange(n) % k
    features = torch.eye(D)[y] + 0.3 * torch.randn(n, D)
    words = tuple(torch.eye(D)[i : i + 1] for i in range(k))
    return AdapterTask("toy", share, torch.randn(2, D), words, y, torch.ones(n), (features,))


def test_a_batch_depends_on_seed_and_step_alone():
    tasks = [toy_task(), toy_task(k=8)]
    one, other = (AdapterStream(tasks, StreamConfig(), seed=s) for s in (0, 1))
    again = AdapterStream(tasks, StreamConfig(), seed=0)
    again.step = 5
    fifth = next(iter(again))
    assert torch.equal(one.batch(5).inputs[0], fifth.inputs[0])
    assert torch.equal(one.batch(5).words, fifth.words)
    assert not torch.equal(other.batch(5).description, fifth.description)


def test_classes_are_balanced_and_their_words_stand_in_the_order_of_the_labels():
    task = toy_task(n=320, k=8)
    batch = draw_batch(task, StreamConfig(rows=32, noise=0.0), torch.Generator().manual_seed(3))
    k = batch.words.shape[1]
    assert batch.y.shape == (1, 32, k)
    assert batch.y[0].sum(0).min() >= 32 // k
    told = (batch.inputs[0] @ batch.words[0].mT).argmax(1)
    assert (told == batch.y[0].argmax(1)).float().mean() > 0.8


def test_rows_of_like_length_are_read_together_and_padding_is_cut():
    lengths = torch.arange(2, 102)
    mask = (torch.arange(102) < lengths[:, None]).long()
    task = AdapterTask("t", 1.0, torch.randn(1, D), (), torch.randn(100), lengths, (mask * 7, mask))
    batch = draw_batch(task, StreamConfig(rows=4), torch.Generator().manual_seed(0))
    widths = batch.inputs[1].sum(1)
    assert widths.max() == batch.inputs[0].shape[1] < 102
    assert widths.max() - widths.min() <= 32
    assert batch.words is None


def test_both_losses_reach_every_learned_part(shaken):
    seen = []

    def encode(inputs, weights):
        seen.append(sorted(weights))
        return inputs[0] @ weights["a.0.lora_A"][0].mT @ weights["a.0.lora_B"][0].mT

    draws = torch.Generator().manual_seed(0)
    classes = draw_batch(toy_task(), StreamConfig(), draws)
    numbers = AdapterBatch(torch.randn(1, D), None, torch.randn(1, 9, 1), 4, (torch.randn(9, D),))
    for batch in (classes, numbers):
        sum(batch_losses(shaken, batch, encode)).backward()
    assert seen == [["a.0.lora_A", "a.0.lora_B"]] * 2
    assert {name for name, p in shaken.named_parameters() if p.grad is None or not p.grad.any()} == set()


def test_a_description_makes_an_adapter_faint_or_strong(shaken):
    z = shaken.latent(torch.randn(2, D))
    with torch.no_grad():
        shaken.gates.weight.zero_()
        shaken.gates.bias.zero_()
        plain = shaken.adapters(z)
        shaken.gates.bias.fill_(-0.5)
    factor = math.exp(-3.0 * math.tanh(0.5 / 3.0))
    for name, value in shaken.adapters(z).items():
        torch.testing.assert_close(value, factor * plain[name])


def test_mute_labels_leave_the_solve_to_the_labelled_rows(shaken):
    batch = draw_batch(toy_task(), StreamConfig(mute=1.0), torch.Generator().manual_seed(0))
    assert batch.mute
    other = replace(batch, words=batch.words.flip(1))
    (zero, few, _), (zero_other, few_other, _) = (batch_losses(shaken, b, None) for b in (batch, other))
    assert few == few_other
    assert zero != zero_other


def test_a_rows_change_is_nothing_where_all_labels_change_alike(untrained):
    with torch.no_grad():
        untrained.label_head.out.bias.fill_(2.0)
    z = untrained.latent(torch.randn(1, D))
    assert not untrained.row_changes(torch.randn(1, 3, D), z).any()


def test_no_task_to_train_on_is_refused():
    with pytest.raises(DataError, match="expected at least one task to train on, however: none"):
        AdapterStream([], StreamConfig())


# -- on disk -------------------------------------------------------------------------------------------------------


def test_a_saved_generator_says_the_same_and_states_base_and_tasks(shaken, tmp_path):
    shaken.base = {"name": "somebody/base", "sha256": "0" * 64}
    shaken.provenance = {"runs": [], "tasks": [{"name": "sst2", "licence": "research use"}]}
    save_adapter_generator(shaken.half().float(), tmp_path / "g")
    loaded = load_adapter_generator(tmp_path / "g")
    description, labels = torch.randn(1, D), torch.randn(1, 3, D)
    z = loaded.latent(description)
    torch.testing.assert_close(z, shaken.latent(description))
    torch.testing.assert_close(loaded.head_rows(labels, z), shaken.head_rows(labels, z))
    assert (loaded.base, loaded.provenance) == (shaken.base, shaken.provenance)
    assert len(loaded.fingerprint) == 64
    card = (tmp_path / "g" / "README.md").read_text("utf8")
    assert "sst2 (research use)" in card
    assert "somebody/base" in card


def test_a_folder_from_before_gates_writes_what_it_wrote(shaken, tmp_path):
    from safetensors.torch import load_file, save_file

    with torch.no_grad():
        for value in shaken.gates.parameters():
            value.zero_()
    save_adapter_generator(shaken.half().float(), tmp_path)
    tensors = {k: v for k, v in load_file(tmp_path / "model.safetensors").items() if not k.startswith("gates.")}
    save_file(tensors, tmp_path / "model.safetensors")
    z = shaken.latent(torch.randn(1, D))
    torch.testing.assert_close(load_adapter_generator(tmp_path).adapters(z), shaken.adapters(z))


def test_it_is_stored_in_half_precision_without_a_pickle(untrained, tmp_path):
    from safetensors.torch import load_file

    save_adapter_generator(untrained, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert {v.dtype for v in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}


def spoil(config, **values):
    config.write_text(json.dumps(json.loads(config.read_text("utf8")) | values), "utf8")


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "is no generator of adapters: it lacks config.json"),
        (lambda f: spoil(f / "config.json", format="other"), 'must say "format": "flame-adapter-generator"'),
        (lambda f: spoil(f / "config.json", d_words=9), "is truncated or foreign"),
        (lambda f: spoil(f / "config.json", specs=[{"name": 3}]), "is truncated or foreign"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "is truncated or foreign"),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(untrained, tmp_path, spoilt, message):
    save_adapter_generator(untrained, tmp_path)
    spoilt(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_adapter_generator(tmp_path)


def test_numbers_that_are_not_finite_are_refused(untrained, tmp_path):
    with torch.no_grad():
        untrained.number_head.bias[0] = torch.nan
    save_adapter_generator(untrained, tmp_path)
    with pytest.raises(CheckpointError, match="numbers that are not finite"):
        load_adapter_generator(tmp_path)
