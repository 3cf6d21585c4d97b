"""Synthetic tables: that they repeat, hold what was asked for, and can be learnt where they should."""

from __future__ import annotations

import builtins
import json
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from flame.cli import main
from flame.errors import ConfigError, MissingExtraError
from hypernet.prior import FAMILIES, PriorConfig, TablePrior, sample_tables
from hypernet.prior.columns import Inputs, draw_inputs
from hypernet.prior.draws import Draws, best_of
from hypernet.prior.families import FUNCTIONS
from hypernet.prior.filter import learnable_skill, least_skill

SMALL = PriorConfig(rows=(40, 120), columns=(2, 8))


def draw(config=SMALL, seed=0, n_tasks=12):
    return sample_tables(config, torch.Generator().manual_seed(seed), n_tasks=n_tasks)


def same(one, other):
    pairs = [(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)]
    return all(
        a.shape == b.shape and a.nan_to_num(9e9).equal(b.nan_to_num(9e9)) if torch.is_tensor(a) else a == b
        for a, b in pairs
    )


def test_a_seed_gives_the_same_tables_bit_for_bit():
    assert same(draw(seed=3), draw(seed=3))
    assert not same(draw(seed=3), draw(seed=4))


def test_the_global_random_state_is_neither_read_nor_moved():
    torch.manual_seed(1)
    one, state = draw(), torch.get_rng_state()
    torch.manual_seed(2)
    assert same(one, draw())
    torch.manual_seed(1)
    assert torch.get_rng_state().equal(state)


def test_a_resumed_stream_goes_on_with_the_tables_of_an_uninterrupted_one():
    whole = iter(TablePrior(SMALL, seed=5, n_tasks=2))
    expected = [next(whole) for _ in range(5)]
    first = TablePrior(SMALL, seed=5, n_tasks=2)
    stopped = iter(first)
    seen = [next(stopped) for _ in range(2)]
    second = TablePrior(SMALL, n_tasks=2)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    rest = iter(second)
    seen += [next(rest) for _ in range(3)]
    assert all(same(a, b) for a, b in zip(expected, seen, strict=True))


def test_workers_of_a_loader_hand_out_the_tables_of_the_plain_stream():
    plain = iter(TablePrior(SMALL, seed=5, n_tasks=1))
    loader = torch.utils.data.DataLoader(TablePrior(SMALL, seed=5, n_tasks=1), batch_size=None, num_workers=2)
    shared = iter(loader)
    assert all(same(next(plain), next(shared)) for _ in range(5))


def test_a_stream_refuses_the_state_of_something_else():
    with pytest.raises(ConfigError, match="'seed' and 'step', however"):
        TablePrior(SMALL).load_state_dict({"epoch": 1})


@pytest.mark.parametrize("seed", range(8))
def test_shapes_and_ranges_are_those_asked_for(seed):
    batch = draw(seed=seed)
    b, n, d = batch.x.shape
    assert (b, batch.x.dtype, batch.y.dtype) == (12, torch.float32, torch.float32)
    assert 40 <= n <= 120
    assert 2 <= d <= 8
    assert batch.y.shape == (b, n)
    assert batch.categorical.shape == batch.relevant.shape == (b, d)
    assert batch.relevant.any(1).all()
    assert len(batch.family) == b
    assert set(batch.family) <= set(FAMILIES)
    assert 0.2 * n <= batch.n_support < n
    assert batch.y.isfinite().all()
    assert not batch.x.isinf().any()


def test_max_cells_bounds_every_table():
    config = PriorConfig(max_cells=3000, margin=None)
    sizes = [draw(config, seed, n_tasks=1).x[0].numel() for seed in range(20)]
    assert max(sizes) <= 3000


@pytest.mark.parametrize("seed", range(8))
def test_every_class_occurs_in_the_support_rows(seed):
    batch = draw(replace(SMALL, p_regression=0.3, mixed=True, classes=(2, 9), imbalance=3.0), seed)
    for y, k in zip(batch.y, batch.n_classes, strict=True):
        if k:
            assert y[: batch.n_support].unique().tolist() == list(range(k))
            assert y.max() < k


def test_numeric_targets_are_standardised_on_the_support_rows():
    batch = draw(replace(SMALL, p_regression=1.0, label_noise=0.0))
    support = batch.y[:, : batch.n_support]
    assert (batch.n_classes == 0).all()
    assert support.mean(1).abs().max() < 0.3
    assert (support.std(1) - 1).abs().max() < 0.3


def test_cells_are_missing_only_where_asked():
    assert not draw(replace(SMALL, p_missing=0.0)).x.isnan().any()
    gaps = draw(replace(SMALL, p_missing=1.0), n_tasks=40).x.isnan().float().mean((1, 2))
    assert 0.005 < gaps.mean() < 0.3


def test_categorical_columns_hold_whole_codes_from_zero():
    batch = draw(replace(SMALL, p_categorical=1.0, cardinality=(2, 7), p_constant=0.0), n_tasks=30)
    codes = batch.x.mT[batch.categorical].nan_to_num(0)
    assert len(codes) > 30
    assert codes.equal(codes.round())
    assert codes.min() == 0
    assert codes.max() == 6
    assert not draw(replace(SMALL, p_categorical=0.0)).categorical.any()


def test_the_order_of_codes_says_nothing_about_their_frequency():
    batch = draw(replace(SMALL, p_categorical=1.0, cardinality=(4, 4), rows=(100, 100)), n_tasks=60)
    codes = batch.x.mT[batch.categorical]
    shares = torch.stack([(codes == i).float().mean() for i in range(4)])
    assert (shares - 0.25).abs().max() < 0.08


@pytest.mark.parametrize("family", FAMILIES)
def test_a_simple_model_beats_the_majority_on_each_family_alone(family):
    config = PriorConfig(rows=(200, 200), columns=(3, 6), classes=(2, 3), families={family: 1.0}, p_regression=0.0)
    batch = draw(config, seed=1, n_tasks=8)
    gains = []
    for x, y in zip(batch.x.nan_to_num(0).numpy(), batch.y.numpy(), strict=True):
        s = batch.n_support
        forest = RandomForestClassifier(15, random_state=0).fit(x[:s], y[:s])
        gains.append(forest.score(x[s:], y[s:]) - np.bincount(y[s:].astype(int)).max() / len(y[s:]))
    assert set(batch.family) == {family}
    assert np.mean(gains) > 0.04


@pytest.mark.parametrize("family", FUNCTIONS)
def test_shuffling_irrelevant_columns_leaves_the_target_and_shuffling_relevant_ones_does_not(family):
    draws = Draws(torch.Generator().manual_seed(0))
    inputs = draw_inputs(draws, SMALL, 16, 6, 80)
    score, relevant = FUNCTIONS[family](Draws(torch.Generator().manual_seed(1)), inputs, 2)
    shuffled = inputs.values[..., torch.randperm(80)]

    def again(values):
        changed = Inputs(values, inputs.nodes, inputs.loadings, inputs.relevant)
        return FUNCTIONS[family](Draws(torch.Generator().manual_seed(1)), changed, 2)[0]

    # Thresholds and prototypes are rows of the table, so it is the irrelevant ones only that must not matter.
    keep = relevant[..., None]
    assert (~relevant).any()
    torch.testing.assert_close(again(torch.where(keep, inputs.values, shuffled)), score)
    assert (again(torch.where(keep, shuffled, inputs.values)) - score).abs().amax((1, 2)).min() > 0


def test_pure_noise_is_dropped_and_a_plain_rule_is_kept():
    draws = Draws(torch.Generator().manual_seed(0))
    values, relevant, n_classes = draws.normal(200, 4, 80), torch.ones(200, 4, dtype=torch.bool), torch.full((200,), 2)
    noise = learnable_skill(draws, values, relevant, draws.integers(2, 200, 80).float(), n_classes)
    rule = learnable_skill(draws, values, relevant, (values[:, 0] > 0).float(), n_classes)
    least = least_skill(0.02, 80)
    assert (noise > least).float().mean() < 0.05
    assert (rule > least).float().mean() > 0.95


def test_the_leave_one_out_error_is_that_of_fits_without_the_row():
    from hypernet.prior import filter as module

    draws = Draws(torch.Generator().manual_seed(0))
    values, relevant = draws.normal(1, 3, 30), torch.ones(1, 3, dtype=torch.bool)
    y = values[:, 0] + 0.1 * draws.normal(1, 30)
    skill = learnable_skill(Draws(torch.Generator().manual_seed(7)), values, relevant, y, torch.tensor([0]))
    units = module._units(Draws(torch.Generator().manual_seed(7)), values, relevant, 10)[0].double().T.numpy()
    target, errors = (y - y.mean())[0].double().numpy(), []
    for row in range(30):
        rest = np.arange(30) != row
        design = np.c_[units, np.ones(30)][rest]
        penalty = np.diag([*[30 * (0.1 + 10 / 30)] * 10, 0.0])
        weights = np.linalg.solve(design.T @ design + penalty, design.T @ target[rest])
        errors.append(target[row] - units[row] @ weights[:-1] - weights[-1])
    constant = sum((target[row] - np.delete(target, row).mean()) ** 2 for row in range(30))
    assert float(skill[0]) == pytest.approx(1 - np.square(errors).sum() / constant, abs=1e-4)


def test_a_prior_that_cannot_be_learnt_says_so():
    config = replace(SMALL, margin=0.99)
    with pytest.raises(ConfigError, match=r"expected 12 tables that can be learnt, however: 0 .*lower margin"):
        draw(config)


def test_best_of_is_the_argmax():
    scores = torch.randn(3, 5, 40)
    assert best_of(scores).equal(scores.argmax(1))


def test_a_generator_on_another_device_is_refused():
    with pytest.raises(ConfigError, match=r"torch.Generator\('cuda'\)"):
        sample_tables(SMALL, torch.Generator(), n_tasks=1, device="cuda")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": (10, 50)}, r"rows must be .* whole numbers from 20, however: \(10, 50\)"),
        ({"columns": (5, 2)}, r"columns must be .* however: \(5, 2\)"),
        ({"classes": (1, 3)}, r"classes must be .* from 2"),
        ({"irrelevant": (0.0, 1.5)}, r"irrelevant must be .* within \[0, 1\]"),
        ({"support_share": (0.0, 1.0)}, r"support_share must lie within \[0.2, 0.95\]"),
        ({"max_cells": 10}, "max_cells must hold the smallest table, however: 10"),
        ({"p_missing": 2}, r"p_missing must lie in \[0, 1\], however: 2"),
        ({"noise": -1.0}, "noise must be zero or a positive number"),
        ({"margin": 1.0}, "margin must be None or a number below 1"),
        ({"families": {"tre": 1.0}}, "unknown family 'tre'.*Did you mean 'tree'"),
        ({"families": {"tree": 0.0}}, "families must have weights >= 0, one of them positive"),
    ],
)
def test_a_configuration_out_of_range_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        PriorConfig(**change)


def test_all_faults_of_a_configuration_are_named_at_once():
    with pytest.raises(ConfigError, match=r"noise.*; margin"):
        PriorConfig(noise=-1, margin=3)


@pytest.fixture
def flame(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["flame", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_the_command_describes_tables_and_repeats_itself(flame):
    code, out, _ = flame("prior", "--n", 3, "--seed", 1, "--json")
    tables = json.loads(out)["tables"]
    assert (code, len(tables)) == (0, 3)
    assert {"family", "rows", "columns", "categorical", "missing", "classes", "majority"} <= set(tables[0])
    assert flame("prior", "--n", 3, "--seed", 1, "--json")[1] == out
    assert tables[0]["family"] in flame("prior", "--n", 1, "--seed", 1)[1]


def test_the_command_writes_a_picture(flame, tmp_path):
    pytest.importorskip("matplotlib")
    place = tmp_path / "prior.png"
    assert flame("prior", "--n", 4, "--plot", place)[0] == 0
    assert place.read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_is_one_message(flame, tmp_path):
    pytest.importorskip("matplotlib")
    code, _, err = flame("prior", "--n", 1, "--plot", tmp_path / "no" / "prior.png")
    assert code == 2
    assert "expected a picture that can be written" in err


def test_without_matplotlib_the_command_names_the_extra(monkeypatch, tmp_path):
    from flame.cli.prior import draw as picture

    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"flame-hypernet\[plot\]"):
        picture([draw(n_tasks=1)], tmp_path / "prior.png")
