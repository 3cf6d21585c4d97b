"""Algorithm 1 and plain back-propagation, against loops written by hand."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from toys import GENERATOR

from flame.table.training import untrained_generator
from hypernet import objectives
from hypernet.config import TrainConfig
from hypernet.decoder import DECODERS
from hypernet.generator import GeneratorConfig
from hypernet.module import GeneratorModule
from hypernet.pairs import Pair, PairCollator
from targets import get_target

KINDS = pytest.mark.parametrize("kind", DECODERS)
# Task, requirement, rows: two tasks of other dimensions, a sentence that two pairs share, and a short batch.
PAIRS = ((1, 0, 11), (0, 2, 7), (1, 0, 4), (0, 1, 11))


def module_of(tasks, kind="per_tensor", **train):
    torch.manual_seed(0)
    config = GeneratorConfig(GENERATOR.arch, kind, GENERATOR.d_latent, GENERATOR.encoder)
    generator = untrained_generator([t.record for t in tasks], config)
    n_rows = {t.record.name: len(t.x_train) for t in tasks}
    module = GeneratorModule(generator, TrainConfig(token_dropout=0.0, **train), n_rows=n_rows).double().eval()
    module.log = lambda *args, **options: None  # nothing but a Trainer can log
    return module


def batch_of(tasks):
    batch = PairCollator(tasks)([Pair(t, r, torch.arange(n)) for t, r, n in PAIRS])
    return {**batch, "x": batch["x"].double()}


def weights_of(module, batch):
    return module._weights(batch, dropout=0.0)[0]


def gradients(module, loss):
    module.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in module.generator.named_parameters()}


@KINDS
def test_algorithm_1_with_one_sgd_step_is_plain_back_propagation_times_the_learning_rate(tasks, kind):
    module, batch, rate = module_of(tasks, kind), batch_of(tasks), 0.3
    losses = module._losses(batch)

    def sgd(leaves):
        return torch.optim.SGD(leaves, lr=rate)

    direct = gradients(module, objectives.direct(weights_of(module, batch), losses)[0])
    delta = gradients(module, objectives.delta(weights_of(module, batch), losses, sgd)[0])
    for name, expected in direct.items():
        torch.testing.assert_close(delta[name], rate * expected, rtol=1e-8, atol=1e-14)
    assert all(g.abs().sum() > 0 for name, g in direct.items() if name.startswith("decoder.static"))


def by_hand(module, tasks, step):
    """The gradient that `step` (module, loss -> change by parameter name) hands to each pair's weights, in a loop."""
    generator, total = module.generator, 0.0
    for t, r, n in PAIRS:
        record = tasks[t].record
        weights = generator(*generator.tokenize([record.requirements[r]]), [record.name])
        target = get_target("mlp_small").build(record.metadata).double()
        target.load_state_dict({name: value[0].detach() for name, value in weights.items()})
        loss = cross_entropy(target(tasks[t].x_train[:n].double()), tasks[t].y_train[:n])
        changes = step(target, loss)
        total = total + sum((changes[name] * weights[name][0]).sum() for name in weights)
    return gradients(module, total / len(PAIRS))


@KINDS
def test_training_by_algorithm_1_hands_on_the_change_of_each_targets_own_adam(tasks, kind):
    module, batch = module_of(tasks, kind, objective="delta", target_learning_rate=0.02), batch_of(tasks)

    def adam(target, loss):
        before = {name: p.detach().clone() for name, p in target.named_parameters()}
        loss.backward()
        torch.optim.Adam(target.parameters(), lr=0.02, weight_decay=1e-4).step()
        return {name: before[name] - p.detach() for name, p in target.named_parameters()}

    expected = by_hand(module, tasks, adam)
    given = gradients(module, module.training_step(batch, 0))
    for name in expected:
        torch.testing.assert_close(given[name], expected[name], rtol=1e-6, atol=1e-12)


@KINDS
def test_training_by_back_propagation_hands_on_each_targets_own_gradient(tasks, kind):
    module, batch = module_of(tasks, kind), batch_of(tasks)

    def gradient(target, loss):
        names, parameters = zip(*target.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))

    expected = by_hand(module, tasks, gradient)
    given = gradients(module, module.training_step(batch, 0))
    for name in expected:
        torch.testing.assert_close(given[name], expected[name], rtol=1e-8, atol=1e-14)


def test_algorithm_1_leaves_the_generated_weights_as_they_are(tasks):
    module, batch = module_of(tasks), batch_of(tasks)
    weights = weights_of(module, batch)
    before = {name: value.detach().clone() for name, value in weights.items()}
    objectives.delta(weights, module._losses(batch), module._target_optimizer)
    assert all(torch.equal(weights[name], value) for name, value in before.items())


def test_both_objectives_log_the_mean_loss_over_pairs_before_any_step(tasks):
    module, batch = module_of(tasks), batch_of(tasks)
    losses, weights = module._losses(batch), weights_of(module, batch)
    expected = module(batch).mean()
    assert objectives.direct(weights, losses)[1].item() == pytest.approx(expected.item())
    assert objectives.delta(weights, losses, module._target_optimizer)[1].item() == pytest.approx(expected.item())


def test_padded_weights_get_no_change_from_algorithm_1(tasks):
    module, batch = module_of(tasks), batch_of(tasks)
    weights = weights_of(module, batch)
    loss, _ = objectives.delta(weights, module._losses(batch), module._target_optimizer)
    change = torch.autograd.grad(loss, weights["output.weight"], retain_graph=True)[0]
    assert change[1, 2:].abs().sum() == 0
    assert change[1, :2].abs().sum() > 0


def test_prior_adds_half_the_squared_weight_over_its_start_variance_and_rows(tasks):
    batch = batch_of(tasks)
    without, with_prior = module_of(tasks), module_of(tasks, weight_prior=2.0)
    weights = weights_of(with_prior, batch)
    penalty = with_prior(batch) - without(batch)
    for i, (t, _, _) in enumerate(PAIRS):
        d_in, n_rows = tasks[t].x_train.shape[1], len(tasks[t].x_train)
        variances = {"input.weight": 2 / d_in, "inner.0.weight": 2 / 32, "output.weight": 1 / 32}
        expected = sum((weights[name][i] ** 2).sum() / (2 * v * n_rows) for name, v in variances.items())
        torch.testing.assert_close(penalty[i], 2.0 * expected)


def test_contrast_is_added_to_either_objective_with_its_strength(tasks):
    batch = batch_of(tasks)
    for objective in ("direct", "delta"):
        steps = [module_of(tasks, objective=objective, contrast=strength) for strength in (0.0, 0.5)]
        contrast = steps[0]._weights(batch, dropout=0.0)[1]
        without, with_contrast = (module.training_step(batch, 0) for module in steps)
        torch.testing.assert_close(with_contrast - without, 0.5 * contrast)


def test_contrast_falls_when_latents_point_to_the_direction_of_their_task():
    prototypes = torch.eye(3, 5)
    z = torch.tensor([[3.0, 0, 0, 0, 0], [0, 0, 0.1, 0, 0]])
    right = objectives.contrast(z, prototypes, torch.tensor([0, 2]))
    assert right < 0.02 < 4 < objectives.contrast(z, prototypes, torch.tensor([1, 1]))


def test_contrast_reads_directions_and_no_lengths():
    z, prototypes, owners = torch.randn(4, 5), torch.randn(3, 5), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(
        objectives.contrast(7 * z, 3 * prototypes, owners), objectives.contrast(z, prototypes, owners)
    )


def test_pair_loss_is_the_mean_over_labelled_rows_alone():
    logits, y = torch.randn(2, 4, 3), torch.tensor([[0, 1, 2, 1], [1, 0, -100, -100]])
    losses = objectives.pair_losses(logits, y, torch.tensor([3, 2]))
    torch.testing.assert_close(losses[0], cross_entropy(logits[0], y[0]))
    torch.testing.assert_close(losses[1], cross_entropy(logits[1, :2, :2], y[1, :2]))


def test_classes_a_task_does_not_have_take_no_probability():
    logits = torch.zeros(1, 1, 5)
    logits[..., 2:] = 50.0
    loss = objectives.pair_losses(logits, torch.tensor([[0]]), torch.tensor([2]))
    torch.testing.assert_close(loss, torch.tensor([2.0]).log())
