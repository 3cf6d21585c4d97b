"""The generator for any table: order changes nothing, networks collapse exactly, the head is solved, files are safe."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from flame.errors import CheckpointError, MetadataError, WeightsError
from flame.metadata import Metadata
from hypernet.prior import PriorConfig, TablePrior
from hypernet.tables import TableGenerator, Width, join
from hypernet.tables.checkpoint import load_table_generator, save_table_generator
from hypernet.tables.encoding import fit_steps
from hypernet.tables.head import solve_logistic, solve_ridge
from hypernet.tables.inputs import to_task
from hypernet.tables.look import LOOK_NOISE, anchor_scales, between, look_at
from hypernet.tables.network import draw_hidden, support_of
from hypernet.tables.objective import query_loss
from hypernet.tables.support import Support, column_gains
from targets import get_target

SMALL = Width(n_sparse=16, n_dense=16, n_conjunctions=8)


def rows(n=120, d=4, k=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=g)
    score = x[:, 0] * x[:, 1] + x[:, 0] + 0.3 * torch.randn(n, generator=g)
    if k == 1:
        return x, ((score - score.mean()) / score.std())[:, None]
    codes = torch.bucketize(score, score.quantile(torch.arange(1, k) / k))
    return x, torch.nn.functional.one_hot(codes, k).float()


def random_generator(seed=0):
    """Every learned layer speaks, the last ones too, which start at zero."""
    torch.manual_seed(seed)
    model = TableGenerator()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def write(model, x, y, seed=0, width=SMALL, **options):
    d = x.shape[1]
    with torch.inference_mode():
        return model(
            x[None],
            y[None],
            column=torch.arange(d),
            numeric=torch.ones(d, dtype=torch.bool),
            regression=y.shape[1] == 1,
            width=width,
            generator=torch.Generator().manual_seed(seed),
            **options,
        )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_written_network_collapses_to_an_ordinary_module(k):
    x, y = rows(k=k)
    parts = [write(random_generator(), x, y, seed) for seed in (0, 1)]
    whole, new = join(parts), torch.randn(50, 4)
    weights = whole.collapse(scale=3.0, shift=-1.0)
    sizes = tuple(weights[n].shape[1] for n in ("step_source", "units.bias", "conjunction_source"))
    metadata = Metadata(
        task="tabular_reg" if k == 1 else "tabular_cls", out_dim=k, in_dim=4, arch="mlp_steps", widths=sizes
    )
    target = get_target("mlp_steps")
    module = target.merge(target.build(metadata), weights)
    expected = torch.stack([part(new[None])[0] for part in parts]).mean(0) * 3.0 - 1.0
    assert torch.allclose(module(new), expected, atol=2e-4)
    assert {s.name for s in target.dynamic_specs(metadata)} == set(weights)


def test_a_source_that_is_no_input_is_refused():
    x, y = rows()
    weights = write(TableGenerator(), x, y).collapse()
    sizes = tuple(weights[n].shape[1] for n in ("step_source", "units.bias", "conjunction_source"))
    target = get_target("mlp_steps")
    model = target.build(Metadata(task="tabular_cls", out_dim=3, in_dim=4, arch="mlp_steps", widths=sizes))
    weights["step_source"] = weights["step_source"] + 4
    with pytest.raises(WeightsError, match="whole numbers from 0 to 3"):
        target.merge(model, weights)
    with pytest.raises(MetadataError, match="needs widths"):
        target.build(Metadata(task="tabular_cls", out_dim=3, in_dim=4, arch="mlp_steps"))


def scales_of(model, support):
    with torch.inference_mode():
        return model.shrinkage(support, look_at(support))


def test_the_order_of_classes_and_rows_changes_nothing_but_the_order_of_outputs():
    model, (x, y) = random_generator(), rows(k=4)
    column, numeric = torch.arange(4), torch.ones(4, dtype=torch.bool)
    draw = {"regression": False, "width": SMALL}
    hidden, features, _ = draw_hidden(
        x[None], y[None], column, numeric, generator=torch.Generator().manual_seed(0), **draw
    )
    support = support_of(hidden, features, y[None], column, regression=False)
    turned = torch.randperm(4, generator=torch.Generator().manual_seed(1))
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(2))
    other = support_of(hidden, features[:, mixed], y[None][:, mixed][..., turned], column, regression=False)
    a, b = scales_of(model, support), scales_of(model, other)
    assert a.prior.std() > 0.01  # the learned part speaks
    assert torch.allclose(a.prior, b.prior, rtol=1e-3)
    assert torch.allclose(a.temperature, b.temperature, rtol=1e-3)
    z, z_mixed = (f * a.prior[:, None] for f in (features, features[:, mixed]))
    w, bias = solve_logistic(z, y[None])
    w_turned, bias_turned = solve_logistic(z_mixed, y[None][:, mixed][..., turned])
    assert torch.allclose(w[..., turned], w_turned, atol=1e-4)
    assert torch.allclose(bias[:, turned], bias_turned, atol=1e-4)


def test_a_tempered_generator_says_less_and_at_last_nothing():
    x, y = rows()
    support = seen(x, y, regression=False)
    untrained, changes = scales_of(TableGenerator(), support).prior, []
    for factor in (1.0, 0.25, 0.0):
        model = random_generator()
        model.shrinkage.temper(factor)
        changes.append(float((scales_of(model, support).prior / untrained).log().std()))
    assert changes[0] > 1.5 * changes[1] > changes[2] == 0


def test_the_order_of_columns_permutes_what_is_said_of_them():
    model, (x, y) = random_generator(), rows(d=5)
    column, numeric = torch.arange(5), torch.ones(5, dtype=torch.bool)
    hidden, features, _ = draw_hidden(
        x[None], y[None], column, numeric, SMALL, torch.Generator().manual_seed(0), regression=False
    )
    told = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0]])
    support = support_of(hidden, features, y[None], column, regression=False, mentioned=told)
    turned = torch.tensor([3, 0, 4, 1, 2])  # new column j is old column turned[j]
    place = turned.argsort()
    other = Support(
        support.features,
        support.kind,
        support.columns[..., turned],
        place[support.column],
        support.y,
        False,
        told[:, turned],
    )
    assert torch.allclose(scales_of(model, support).prior, scales_of(model, other).prior, rtol=1e-3)
    gains = column_gains(support.first, support.column, support.y, 5)
    assert torch.allclose(gains[:, turned], column_gains(other.first, other.column, other.y, 5), atol=1e-6)


def test_mentioned_columns_change_the_weights_of_a_generator_that_listens():
    x, y = rows()
    told = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    silent = write(random_generator(), x, y)(x[None])
    assert not torch.allclose(silent, write(random_generator(), x, y, mentioned=told)(x[None]), atol=1e-4)
    untrained = TableGenerator().eval()
    assert torch.equal(write(untrained, x, y)(x[None]), write(untrained, x, y, mentioned=told)(x[None]))


def test_the_logistic_head_is_the_solution_of_scikit_learn():
    x, y = rows(k=3)
    z = torch.cat([x, x * x], 1)
    z = z - z.mean(0)
    w, b = solve_logistic(z[None], y[None], n_far=400)
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=2000).fit(z.numpy(), y.argmax(1).numpy())
    ours = (z @ w[0] + b[0]).softmax(1).detach().numpy()
    assert np.abs(ours - reference.predict_proba(z.numpy())).max() < 2e-3
    short = solve_logistic(z[None], y[None])
    assert np.abs((z @ short[0][0] + short[1][0]).softmax(1).numpy() - ours).max() < 0.02


def test_the_ridge_head_is_the_solution_of_scikit_learn():
    x, y = rows(k=1)
    z = x - x.mean(0)
    w, b = solve_ridge(z[None], y[None], noise=torch.tensor([0.5]))
    reference = Ridge(alpha=0.5).fit(z.numpy(), y[:, 0].numpy())
    assert np.abs((z @ w[0] + b[0])[:, 0].numpy() - reference.predict(z.numpy())).max() < 1e-4


def seen(x, y, *, regression):
    """What the generator reads of rows before anything is learned."""
    column = torch.arange(x.shape[1])
    numeric = torch.ones(len(column), dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    hidden, features, _ = draw_hidden(x[None], y[None], column, numeric, SMALL, generator, regression=regression)
    return support_of(hidden, features, y[None], column, regression=regression)


def test_a_look_leaves_one_row_out():
    x, y = rows(n=160, k=1)
    support = seen(x, y, regression=True)
    look = look_at(support)
    mixed = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    assert look.skill.max() > 0.5 > 0.1 > look_at(replace(support, y=mixed[None])).skill.max()
    # The residual of a row is what a ridge regression without it leaves.
    best = int(look.skill.argmax(1))
    z = (support.features * anchor_scales(support)[:, None])[0]
    z = torch.cat([z, torch.ones(len(z), 1)], 1).double()
    targets = (y[:, 0] / y[:, 0].square().mean().sqrt()).double()
    others = torch.arange(len(z)) != 7
    gram = z[others].T @ z[others] + LOOK_NOISE[best] * torch.eye(z.shape[1])
    w = torch.linalg.solve(gram, z[others].T @ targets[others])
    assert look.residual[0, 7, 0] == pytest.approx(float(targets[7] - z[7] @ w), abs=1e-3)
    # Asked for one noise only, it uses that one.
    alone = look_at(support, torch.tensor([[LOOK_NOISE[best]]]))
    assert torch.equal(alone.residual, look.residual)
    assert alone.noise.item() == pytest.approx(LOOK_NOISE[best])


def test_the_noise_that_is_found_follows_the_noise_of_the_table():
    torch.manual_seed(0)
    x = torch.randn(400, 3)
    clean = x[:, :1].sin() + x[:, 1:2]
    found = []
    for noise in (0.03, 0.3, 3.0):
        y = clean + noise * torch.randn(len(x), 1)
        found.append(float(look_at(seen(x, (y - y.mean()) / y.std(), regression=True)).noise))
    assert found[0] < 0.3 * found[1] < 0.09 * found[2]


def test_the_best_noise_may_lie_between_the_levels_and_not_beyond_them():
    noise = torch.tensor([LOOK_NOISE, LOOK_NOISE, LOOK_NOISE])
    lowest = torch.tensor([[-0.7], [-1.2], [3.0]])  # decimal logarithms
    error = (0.1 * (noise.log10() - lowest).square()).exp()
    found = between(noise, error, error.argmin(1)).log10()
    assert torch.allclose(found, torch.tensor([-0.7, -1.2, 1.0]), atol=1e-3)


def test_untrained_scales_are_those_that_the_first_look_favours():
    model = TableGenerator()
    x, y = rows(k=1)
    numbers = seen(x, y, regression=True)
    look = look_at(numbers)
    with torch.inference_mode():
        assert torch.equal(model.shrinkage(numbers, look).noise, look.noise)
        noisy = replace(look, noise=4 * look.noise)
        classes = seen(*rows(k=2), regression=False)
        ratio = model.shrinkage(classes, look).prior / model.shrinkage(classes, noisy).prior
    assert torch.allclose(ratio, torch.tensor(2.0))  # half the logits for twice the noise


@pytest.mark.parametrize(("n", "stride"), [(300, 1), (500, 2), (4000, 4), (20_000, 14)])
def test_a_look_at_a_large_table_takes_a_quarter_of_its_rows_and_never_too_many(n, stride):
    assert look_at(seen(*rows(n=n, d=2, k=1), regression=True), torch.tensor([[0.1]])).stride == stride


def test_rows_that_repeat_leave_a_finite_look():
    x = torch.ones(64, 3)
    y = torch.nn.functional.one_hot(torch.arange(64) % 2, 2).float()
    look = look_at(seen(x, y, regression=False))
    assert all(t.isfinite().all() for t in (look.skill, look.noise, look.use, look.residual))
    assert look.skill.max() <= 0


def test_steps_lie_between_quantiles_and_flat_ones_carry_nothing():
    x = torch.cat([torch.randn(500, 1), torch.zeros(500, 1)], 1)[None]
    out = fit_steps(x, torch.tensor([True, True]))(x)
    assert out.shape == (1, 500, 24)
    assert ((out >= 0) & (out <= 1)).all()
    inner = torch.arange(11, 1, -1) - 0.5  # the outer steps reach to the extremes
    assert torch.allclose(out[0, :, 1:11].mean(0), inner / 12, atol=0.02)
    assert out[..., 12:].abs().max() == 0


def test_training_lowers_the_loss_of_query_rows_and_gradients_reach_every_learned_layer():
    prior = TablePrior(PriorConfig(rows=(120, 120), columns=(4, 4), p_regression=0.0), seed=3, n_tasks=8)
    task = to_task(prior.batch(0), torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = TableGenerator()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = query_loss(model, task, torch.Generator().manual_seed(0), width=SMALL).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.005
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_query_rows_do_not_change_the_written_network():
    prior = TablePrior(PriorConfig(rows=(80, 80), columns=(3, 3)), seed=1, n_tasks=2)
    batch = prior.batch(0)
    task = to_task(batch, torch.Generator().manual_seed(0))
    batch.x[:, batch.n_support :] = 99.0
    other = to_task(batch, torch.Generator().manual_seed(0))
    assert torch.equal(task.x[:, : task.n_support], other.x[:, : task.n_support])


def test_a_checkpoint_comes_back_and_damage_is_refused(tmp_path):
    model = random_generator()
    folder = save_table_generator(model, tmp_path / "g", provenance={"runs": [{"minutes": 1}]})
    again = load_table_generator(folder)
    x, y = rows()
    assert torch.equal(write(model, x, y)(x[None]), write(again, x, y)(x[None]))
    assert again.provenance["runs"][0]["minutes"] == 1
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        load_table_generator(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="another program"):
        load_table_generator(folder)
    with pytest.raises(CheckpointError, match=r"lacks config\.json"):
        load_table_generator(tmp_path)
