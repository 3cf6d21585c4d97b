"""A model is graded by what was measured, limit by limit, and never better than that."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from flame_fixtures import labelled, model_fixture, parts, tiny_fixture  # noqa: F401
from test_cli import flame  # noqa: F401  (runs a command)
from text_fixtures import LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401
from torch import nn

from flame import GeneratedModel, generate_model, understand
from flame.errors import DataError
from flame.evaluation import cost
from flame.evaluation.cost import count_flops, measure_cost
from flame.inputs import TensorRows
from flame.taskspec import Constraint, TaskSpec

WORDS = "A classifier for a table with at least 90 % accuracy, at most 50k parameters, less than 5 MB, within 100 s."


def asked(**limits: float) -> TaskSpec:
    """Upper limits by kind, in SI units."""
    made = [Constraint(kind=k, operator="<=", value=v, si_value=v) for k, v in limits.items()]  # type: ignore[arg-type]
    return TaskSpec(intent="build", constraints=tuple(made))


def test_a_model_that_meets_everything_is_graded_p(model):
    found = model.verify(parts("iris").test, understand(WORDS))
    assert found.grade == "P"
    assert {c.required.split()[0] for c in found.checks} >= {"task", "accuracy", "parameters", "model"}
    assert all(c.kept and c.measured for c in found.checks)


def test_a_broken_limit_makes_it_w_and_stands_beside_what_was_measured(model):
    found = model.verify(parts("iris").test, asked(parameters=100, latency=60))
    assert found.grade == "W"
    broken = found.checks[0]
    assert (broken.kept, broken.verdict, broken.measured) == (False, "broken", f"{model.n_parameters():.4g}")
    assert found.checks[1].kept


def test_what_cannot_be_measured_is_open_and_not_taken_for_kept(model):
    found = model.verify(parts("iris").test, asked(memory=1e12))
    assert found.grade == "W"
    assert (found.checks[0].measured, found.checks[0].verdict) == ("", "open")


def test_another_task_than_was_asked_for_is_no_p(model):
    found = model.verify(labelled(), TaskSpec(intent="build", task="regression"))
    assert (found.grade, found.checks[0].measured) == ("W", "classification")


@pytest.mark.parametrize("fault", ["raises", "not a number"])
def test_a_network_that_does_not_run_is_graded_f_and_says_why(model, fault):
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if fault == "raises":
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
            return torch.full((len(x), 3), torch.nan)

    found = replace(model, module=Broken()).verify(labelled(), understand(WORDS))
    assert found.grade == "F"
    assert found.fault
    assert [c.verdict for c in found.checks] == ["open"] * len(found.checks)
    assert found.fault in str(found)


def test_rows_that_cannot_be_scored_are_the_users_fault_and_no_grade(model):
    with pytest.raises(DataError, match="labels are needed"):
        model.verify(labelled().drop(columns="class"), understand(WORDS))


def test_scores_are_found_under_the_names_that_requests_use(model):
    names = {"f1": "f1_macro", "logloss": "log_loss", "recall": "balanced_accuracy"}
    limits = [Constraint(kind="metric", name=n, operator=">", value=0, si_value=0) for n in names]
    rows = parts("iris").test
    found = model.verify(rows, TaskSpec(intent="build", constraints=tuple(limits)))
    scores = model.evaluate(rows)
    assert [float(c.measured) for c in found.checks] == pytest.approx([scores[n] for n in names.values()], rel=1e-3)


def test_operations_of_a_linear_layer_are_two_a_weight_and_row():
    rows = TensorRows(torch.zeros(1, 7))
    assert count_flops(nn.Sequential(nn.Linear(7, 11), nn.ReLU(), nn.Linear(11, 3)), rows) == 2 * (7 * 11 + 11 * 3)


def test_a_text_model_counts_its_base_and_its_attention(base):
    made = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    cost = measure_cost(made, made.preprocessor.read(TEXTS))
    encoded = made.preprocessor.encode(made.preprocessor.read(TEXTS))
    t, d, layers, inner = max(map(len, encoded.ids)), 32, 2, 32
    linears = layers * 2 * t * (4 * d * d + 2 * d * inner)
    attention = layers * 2 * 2 * t * t * d
    assert cost.flops >= linears + attention
    assert cost.flops < 1.5 * (linears + attention)
    assert cost.n_bytes > 4 * made.n_parameters()
    assert 0 < cost.latency_p50_s <= cost.latency_p95_s


def test_the_command_tells_the_grade_by_its_exit_code(flame, model, tmp_path):  # noqa: F811
    parts("iris").test.to_csv(tmp_path / "rows.csv", index=False)
    folder = model.save(tmp_path / "m")
    code, out, _ = flame("verify", folder, tmp_path / "rows.csv", WORDS, "--json")
    told = json.loads(out)
    assert (code, told["grade"]) == (0, "P")
    assert np.isclose(told["scores"]["accuracy"], model.evaluate(parts("iris").test)["accuracy"])
    (tmp_path / "spec.json").write_text(asked(parameters=1).model_dump_json())
    code, out, _ = flame("verify", folder, tmp_path / "rows.csv", "--spec", tmp_path / "spec.json")
    assert (code, out.splitlines()[0]) == (1, "W: runs, misses something")


def test_the_command_needs_words_or_a_readable_file(flame, model, tmp_path):  # noqa: F811
    folder = model.save(tmp_path / "m")
    assert flame("verify", folder, "rows.csv")[0] == 2
    code, _, err = flame("verify", folder, "rows.csv", "--spec", tmp_path / "none.json")
    assert code == 2
    assert "none.json cannot be read" in err


def test_a_slow_model_is_timed_on_fewer_rows(model, monkeypatch):
    sizes, predict, rows = [], GeneratedModel.predict, parts("iris").test.drop(columns="class")
    monkeypatch.setattr(GeneratedModel, "predict", lambda self, rows: (sizes.append(len(rows)), predict(self, rows))[1])

    def most_rows(most_s: float) -> int:
        monkeypatch.setattr(cost, "MOST_S", most_s)
        sizes.clear()
        measure_cost(model, rows)
        return max(sizes)

    assert (most_rows(cost.MOST_S), most_rows(1e-9)) == (len(rows), 1)
