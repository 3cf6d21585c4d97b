"""From the user's resources to the scale of the model, and from the scale to its architecture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flame.footprint import Footprint, footprint
from flame.metadata import ARCHES, Arch, Scale
from flame.taskspec import Constraint, TaskSpec
from requirements_prompts import read_scale
from requirements_prompts.sentences import TYPE_WORDS
from requirements_prompts.understanding.limits import read_limits
from requirements_prompts.understanding.request import normalise, read_device_of

_JUDGED = ("parameters", "flops", "model_size", "memory", "latency", "throughput")
"""Limits that follow from the architecture; accuracy and training time do not."""
_SMALL_DEVICES = ("mobile", "edge")
_WHY = {
    "small": "the description speaks of scarce resources",
    "large": "the description asks for the best result, or has hardware to spare",
}


@dataclass(frozen=True)
class Choice:
    """A scale, its architecture, and why."""

    scale: Scale
    arch: Arch
    reasons: tuple[str, ...] = ()
    """Plain sentences; empty if nothing was said of resources."""
    asked: bool = False
    """Whether words or limits led to this scale; False: it is the default, perhaps within limits that base keeps."""


def choose_scale(
    description: str | None,
    task_type: str,
    *,
    out_dim: int,
    d_input: int | None = None,
    spec: TaskSpec | None = None,
) -> Choice:
    """The scale that fits what the user says of resources, in words and in numbers.

    Of the architectures that keep all limits: the largest if accuracy is asked for, the smallest if resources are said
    to be scarce, else base or, if that is too large, the largest. If none keeps them, the smallest; the limits it
    breaks are named.

    Args:
        description: the user's words; limits are read from them unless `spec` is given.
        task_type: a key of `ARCHES`.
        out_dim: outputs of the model.
        d_input: inputs of the model, about; for tables.
        spec: the understood request, whose limits and device count.

    >>> choose_scale("It runs on a phone.", "img_cls", out_dim=5).arch
    'mobilenet_v3_small'
    >>> print(choose_scale("Sort photos with fewer than 5 million parameters.", "img_cls", out_dim=5).reasons[0])
    resnet50 would break parameters < 5 million with about 23.5 million, so the scale is small: mobilenet_v3_small
    """
    words, arches = _words(description, spec), ARCHES[task_type]
    bounds, reasons = _bounds(description, spec)
    if not bounds:
        scale: Scale = words or "base"
        why = (f"{_WHY[words]}, so the scale is {scale}: {arches[scale]}",) if words else ()
        return Choice(scale, arches[scale], (*reasons, *why), words is not None)
    costs = {s: footprint(arch, out_dim=out_dim, d_input=d_input) for s, arch in arches.items()}
    fitting = [s for s in arches if not any(b.breach(costs[s]) for b in bounds)]
    if not fitting:
        return Choice("small", arches["small"], (*reasons, *_none_fits(task_type, bounds, costs["small"])), True)
    wish: Scale = words or "base"
    scale = wish if wish in fitting else fitting[-1]
    kept = " and ".join(b.text for b in bounds)
    if words:
        reasons += (f"{_WHY[words]}, so the scale is {scale}" if scale == words else f"{_WHY[words]}, within limits",)
    if scale == wish:
        reasons += (f"{arches[scale]} keeps {kept} (estimated: {_facts(costs[scale], bounds)})",)
    else:
        broken = next(b for b in bounds if b.breach(costs[wish]))
        said = f"{broken.text} with about {broken.shown(costs[wish])}"
        reasons += (f"{arches[wish]} would break {said}, so the scale is {scale}: {arches[scale]}",)
    return Choice(scale, arches[scale], reasons, words is not None or scale != "base")


def says_resources(description: str) -> bool:
    """Whether words or numbers of a description speak of resources, so that nobody else has to guess them."""
    return read_scale(description) is not None or bool(_bounds(description, None)[0])


@dataclass(frozen=True)
class _Bound:
    """An upper bound on what a model costs."""

    kind: str
    most: float
    text: str
    """As the user said it."""

    def breach(self, cost: Footprint) -> bool:
        return self._value(cost) > self.most

    def times(self, cost: Footprint) -> float:
        return self._value(cost) / self.most

    def shown(self, cost: Footprint) -> str:
        value = self._value(cost)
        if self.kind == "time":
            return f"{1000 * value:.3g} ms on one CPU core"
        if self.kind == "bytes":
            return f"{value / 1e6:.3g} MB"
        if self.kind == "flops":
            return f"{value / 1e9:.3g} GFLOPs"
        return f"{value / 1e6:.3g} million" if value >= 1e5 else f"{value:.0f}"

    def _value(self, cost: Footprint) -> float:
        kinds = {"time": cost.cpu_s, "bytes": cost.n_bytes, "flops": cost.operations, "parameters": cost.n_parameters}
        return kinds[self.kind]


def _words(description: str | None, spec: TaskSpec | None) -> Scale | None:
    said = read_scale(description or (spec.text if spec else ""))
    if said is None and spec is not None and spec.deployment.device in _SMALL_DEVICES:
        said = "small"
    return said  # type: ignore[return-value]


def _bounds(description: str | None, spec: TaskSpec | None) -> tuple[list[_Bound], tuple[str, ...]]:
    """The limits that an architecture can break, and a remark on those that are not judged."""
    if spec is not None:
        limits, device = list(spec.constraints), spec.deployment.device
    else:
        limits = [Constraint(**vars(limit)) for limit in read_limits(normalise(description or ""))]
        device = None
    limits = [c for c in limits if c.kind in _JUDGED and c.si_value > 0]
    timed = [c for c in limits if c.kind in ("latency", "throughput")]
    if timed and spec is None:
        device = read_device_of(description or "")  # type: ignore[assignment]
    unjudged = timed if device == "gpu" else []
    bounds = [_bound(c) for c in limits if c not in unjudged]
    return [b for b in bounds if b], tuple(f"{_said(c)} is not estimated for a GPU" for c in unjudged)


def _bound(limit: Constraint) -> _Bound | None:
    rate = limit.kind == "throughput"
    if limit.operator[0] == ("<" if rate else ">"):
        return None  # no architecture is too small
    slack = 1.1 if limit.operator == "~" else 1.0
    value = 1 / limit.si_value if rate else limit.si_value
    kind = {"latency": "time", "throughput": "time", "model_size": "bytes", "memory": "bytes"}.get(
        limit.kind, limit.kind
    )
    return _Bound(kind, slack * value, _said(limit))


def _said(limit: Constraint) -> str:
    return str(limit).replace("_", " ")


def _none_fits(task_type: str, bounds: Sequence[_Bound], cost: Footprint) -> list[str]:
    name = ARCHES[task_type]["small"]
    return [
        f"no model for {TYPE_WORDS[task_type]} keeps {b.text}; the smallest, {name}, has about {b.shown(cost)}, "
        f"{b.times(cost):.3g} times as much, and is taken"
        for b in bounds
        if b.breach(cost)
    ]


def _facts(cost: Footprint, bounds: Sequence[_Bound]) -> str:
    return ", ".join(dict.fromkeys(b.shown(cost) for b in bounds))
