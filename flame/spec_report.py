"""A specification for people, and what a finished model makes of its limits."""

from __future__ import annotations

from collections.abc import Mapping

from flame.taskspec import TaskSpec


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


def broken_constraints(spec: TaskSpec, measured: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Which limits a result breaks, and which were not measured.

    Args:
        spec: the request.
        measured: SI values by kind ("parameters", "model_size", "latency", ...) or, for metrics, by name ("accuracy").

    >>> from flame.taskspec import Constraint
    >>> limit = Constraint(kind="parameters", operator="<", value=5, unit="k", si_value=5000)
    >>> broken_constraints(TaskSpec(intent="build", constraints=(limit,)), {"parameters": 6000})
    (['parameters < 5 k was asked for; measured is 6000'], [])
    """
    broken, unknown = [], []
    for constraint in spec.constraints:
        value = measured.get(constraint.name or constraint.kind)
        if value is None:
            unknown.append(str(constraint))
        elif not constraint.is_met_by(value):
            broken.append(f"{constraint} was asked for; measured is {value:g}")
    return broken, unknown
