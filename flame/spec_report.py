"""A specification for people, and what a finished model makes of its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flame.taskspec import Constraint, TaskSpec


def report(spec: TaskSpec) -> str:
    """A specification in a few lines.

    >>> print(report(TaskSpec(intent="build", task="classification", model_family="MLP")))
    intent      build
    task        classification
    model       MLP
    confidence  1.00
    """
    inputs = spec.inputs
    modality = f"{inputs.modality} ({inputs.kind})" if inputs.kind else inputs.modality
    built = "" if spec.buildable else " (this version cannot build it)"
    rows = {
        "intent": spec.intent,
        "task": f"{spec.task}{built}" if spec.task else "",
        "domain": spec.domain,
        "input": modality,
        "about": ", ".join(inputs.objects),
        "data sets": ", ".join(inputs.datasets),
        "limits": "; ".join(map(str, spec.constraints)),
        "model": spec.model_family,
        "runs on": ", ".join(p for p in (spec.deployment.device, spec.deployment.engine) if p),
        "missing": ", ".join(spec.missing),
        "confidence": f"{spec.confidence:.2f}",
    }
    lines = [f"{title:11} {value}" for title, value in rows.items() if value]
    return "\n".join([*lines, *(f"note: {n}" for n in spec.notes), *(f"? {q}" for q in spec.questions)])


@dataclass(frozen=True)
class Check:
    """One limit and what was measured."""

    required: str
    """As it was asked for."""
    measured: str = ""
    """In the unit of the request; empty if nothing was measured."""
    kept: bool = False
    """False too where nothing was measured: nobody knows."""

    @property
    def verdict(self) -> str:
        """A word for people."""
        return "kept" if self.kept else ("broken" if self.measured else "open")


def check_constraints(spec: TaskSpec, measured: Mapping[str, float]) -> tuple[Check, ...]:
    """Compare every limit with what was measured.

    Args:
        spec: the request.
        measured: SI values by kind ("parameters", "model_size", "latency", ...) or, for metrics, by name ("accuracy").

    >>> from flame.taskspec import Constraint
    >>> limit = Constraint(kind="latency", operator="<", value=20, unit="ms", si_value=0.02)
    >>> check_constraints(TaskSpec(intent="build", constraints=(limit,)), {"latency": 0.0075})
    (Check(required='latency < 20 ms', measured='7.5 ms', kept=True),)
    """
    return tuple(_checked(c, measured.get(c.name or c.kind)) for c in spec.constraints)


def _checked(constraint: Constraint, value: float | None) -> Check:
    required = str(constraint).replace("_", " ")
    if value is None:
        return Check(required)
    size = constraint.si_value / constraint.value if constraint.value else 1.0
    return Check(required, f"{value / size:.4g}" + f" {constraint.unit or ''}".rstrip(), constraint.is_met_by(value))
