"""A model against the request it was made for: every limit measured beside what was asked, and one grade.

The grades are those of the LAMP benchmark: F (does not run), W (runs, misses something), P (meets everything).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from flame.evaluation.cost import Cost, measure_cost
from flame.evaluation.evaluation import Evaluation
from flame.spec_report import Check, check_constraints
from flame.timed_runs import hardware

if TYPE_CHECKING:
    from flame.model import GeneratedModel
    from flame.taskspec import TaskSpec

Grade = Literal["F", "W", "P"]
MEANINGS = {"F": "does not run", "W": "runs, misses something", "P": "meets everything"}
_NAMES = {
    "f1": "f1_macro",
    "logloss": "log_loss",
    "top5_accuracy": "top_5_accuracy",
    "recall": "balanced_accuracy",  # which is the mean of the recalls
}
"""Scores that requests call otherwise."""


@dataclass(frozen=True)
class Verification:
    """What came of checking a model against a request."""

    grade: Grade
    checks: tuple[Check, ...]
    """One for every limit, in the request's order."""
    fault: str = ""
    """Why the model does not run; empty if it does."""
    evaluation: Evaluation | None = None
    """Of the rows it was checked on; None if it does not run."""
    cost: Cost | None = None
    hardware: str = ""
    """Where times were measured."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "grade": self.grade,
            "meaning": MEANINGS[self.grade],
            "fault": self.fault,
            "checks": [asdict(check) for check in self.checks],
            "scores": dict(self.evaluation or {}),
            "cost": asdict(self.cost) if self.cost else {},
            "hardware": self.hardware,
        }

    def __str__(self) -> str:
        """A line for the grade and one for every limit."""
        lines = [f"{self.grade}: {MEANINGS[self.grade]}" + f" ({self.fault})" * bool(self.fault)]
        width = max((len(c.required) for c in self.checks), default=0)
        lines += [f"  {c.required:{width}}  {c.measured or 'not measured':>14}  {c.verdict}" for c in self.checks]
        if self.cost:
            c = self.cost
            lines += [
                f"{c.n_parameters:,} parameters, {c.flops:,.0f} operations a row, {c.n_bytes:,} bytes on disk",
                f"one row: {1000 * c.latency_p50_s:.2f} ms (95 % below {1000 * c.latency_p95_s:.2f} ms), of which the "
                f"network {1000 * c.network_p50_s:.2f} ms; {c.rows_per_s:,.0f} rows a second; {self.hardware}",
            ]
        return "\n".join(lines)


def verify_model(model: GeneratedModel, data: Any, spec: TaskSpec, *, target: str | None = None) -> Verification:
    """Check a model; see `GeneratedModel.verify`."""
    features, _ = model.labelled(data, target)
    try:
        evaluation = model.evaluate(data, target=target)
        cost = measure_cost(model, features)
    except Exception as error:  # noqa: BLE001  whatever a network raises, it does not run
        return _failed(spec, f"{type(error).__name__}: {error}")
    bad = [name for name, value in evaluation.items() if not np.isfinite(value)]
    if bad:
        return _failed(spec, f"its answers are no finite numbers: {', '.join(bad)}")
    checks = (*_task_check(spec, model), *check_constraints(spec, _measured(evaluation, cost)))
    grade: Grade = "P" if all(check.kept for check in checks) else "W"
    return Verification(grade, checks, evaluation=evaluation, cost=cost, hardware=hardware())


def _failed(spec: TaskSpec, fault: str) -> Verification:
    return Verification("F", check_constraints(spec, {}), " ".join(fault.split())[:300], hardware=hardware())


def _task_check(spec: TaskSpec, model: GeneratedModel) -> tuple[Check, ...]:
    """Whether the model does what was asked, where that was said."""
    if spec.task is None:
        return ()
    does = "regression" if model.is_regression else "classification"
    return (Check(f"task = {spec.task}", does, kept=does == spec.task),)


def _measured(evaluation: Evaluation, cost: Cost) -> Mapping[str, float]:
    """SI values by kind of limit, scores by the names that requests have for them."""
    scores = dict(evaluation)
    scores |= {name: evaluation[ours] for name, ours in _NAMES.items() if ours in evaluation}
    if "accuracy" in scores:
        present = [c.precision for c in evaluation.classes if c.n_rows]
        scores |= {"error_rate": 1 - scores["accuracy"], "precision": float(np.mean(present))}
    if "rmse" in scores:
        scores["mse"] = scores["rmse"] ** 2
    return {
        **scores,
        "parameters": cost.n_parameters,
        "flops": cost.flops,
        "latency": cost.latency_p95_s,
        "throughput": cost.rows_per_s,
        "model_size": cost.n_bytes,
        "training_time": cost.generation_s,
    }
