"""Scores of a request reader: strict, and as the LAMP benchmark's released scorer counts.

Strict: a key is right only if it is fully right, absent where the truth has none; a request only if all keys are.

LAMP: nine keys in two groups, seven items (task, model, speed, FLOPs, parameters, device, engine) and two lists
(objects, metrics). Names of objects match at a partial ratio of 95; numbers have to be equal. The released scorer
collects the *requests* with an error in any key of a group and divides by requests times keys of the group, so it
counts at most one error per request and group: a reader that is wrong everywhere scores 6/7 = 85.71 % of the items,
1/2 = 50.00 % of the lists and 7/9 = 77.78 % of the keys. `counted` counts every wrong key. A reply that cannot be
written as a LAMP configuration is wrong in all keys, in both. Only requests of LAMP's four tasks are scored so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from flame.errors import MetadataError
from flame.taskspec import LAMP_TASKS, TaskSpec

KEYS = (
    *("intent", "task", "domain", "modality", "kind", "objects", "datasets", "constraints", "model_family"),
    *("device", "engine"),
)
_ITEMS = ("task", "specific_model", "speed", "flops", "parameters", "device", "inference engine")
_LISTS = ("object", "metrics")
_SAME_METRIC = {"ap": "ap", "map": "ap", "sensitivity": "recall", "tpr": "recall", "miou": "iou", "f1-score": "f1"}


def flat(spec: TaskSpec) -> dict[str, Any]:
    """The scored keys of a specification, in a form that compares: case folded, order ignored."""
    inputs, deployment = spec.inputs, spec.deployment
    return {
        "intent": spec.intent,
        "task": spec.task,
        "domain": spec.domain,
        "modality": inputs.modality,
        "kind": inputs.kind,
        "objects": sorted(o.casefold() for o in inputs.objects),
        "datasets": sorted(d.casefold() for d in inputs.datasets),
        "constraints": sorted(
            (c.kind, c.name or "", c.operator, f"{c.value:.9g}", (c.unit or "").casefold(), f"{c.si_value:.9g}")
            for c in spec.constraints
        ),
        "model_family": (spec.model_family or "").casefold(),
        "device": deployment.device,
        "engine": deployment.engine,
    }


def truth_spec(truth: dict[str, Any]) -> TaskSpec:
    """The truth of a request as a specification."""
    inputs = {k: truth[k] for k in ("modality", "kind", "datasets", "objects")}
    return TaskSpec.from_json(
        {
            **{k: truth[k] for k in ("intent", "task", "domain", "constraints", "model_family")},
            "inputs": inputs,
            "deployment": {"device": truth["device"], "engine": truth["engine"]},
        }
    )


def wrong_keys(predicted: TaskSpec, truth: TaskSpec) -> list[str]:
    """The keys that are not fully right."""
    got, want = flat(predicted), flat(truth)
    return [key for key in KEYS if got[key] != want[key]]


@dataclass
class LampScore:
    """Errors by LAMP key; filled request by request."""

    n: int = 0
    errors: list[set[str]] = field(default_factory=list)
    """One set of wrong keys per request."""

    def add(self, predicted: TaskSpec, truth: TaskSpec) -> None:
        """Count one request; those whose truth is none of LAMP's four tasks are left out."""
        if truth.intent != "build" or truth.task not in LAMP_TASKS:
            return
        self.n += 1
        try:
            self.errors.append(_lamp_errors(predicted.to_lamp(), truth.to_lamp()))
        except MetadataError:
            self.errors.append({*_ITEMS, *_LISTS, "format"})

    def percent(self) -> dict[str, float]:
        """Released and counted scores for items, lists and keys, and whole requests."""
        result = {}
        groups = {"items": _ITEMS, "lists": _LISTS}
        lenient = {name: self._released(keys) for name, keys in groups.items()}
        counted = {name: sum(len(e & set(keys)) for e in self.errors) for name, keys in groups.items()}
        for kind, errors in (("released", lenient), ("counted", counted)):
            for name, keys in groups.items():
                result[f"{name} ({kind})"] = self._share(errors[name], len(keys))
            result[f"keys ({kind})"] = self._share(sum(errors.values()), len(_ITEMS) + len(_LISTS))
        return {**result, "requests": self._share(sum(bool(e) for e in self.errors), 1)}

    def _released(self, keys: Sequence[str]) -> int:
        """Errors of a group as the released scorer counts them: requests, but all keys where the format is wrong."""
        malformed = sum("format" in e for e in self.errors)
        return sum(bool(e & set(keys)) and "format" not in e for e in self.errors) + malformed * len(keys)

    def _share(self, errors: int, n_keys: int) -> float:
        return 100 * (1 - errors / (self.n * n_keys)) if self.n else 0.0


def _lamp_errors(got: dict[str, Any], want: dict[str, Any]) -> set[str]:
    wrong = {key for key in ("task", "speed", "flops", "parameters") if got["model"][key] != want["model"][key]}
    if got["model"]["specific_model"].lower() != want["model"]["specific_model"].lower():
        wrong.add("specific_model")
    wrong |= {key for key in ("device", "inference engine") if got["deploy"][key] != want["deploy"][key]}
    if not _same_objects(got["data"]["object"], want["data"]["object"]):
        wrong.add("object")
    if _metrics(got) != _metrics(want):
        wrong.add("metrics")
    return wrong


def _metrics(config: dict[str, Any]) -> list[tuple[str, float]]:
    pairs = ((m["name"].lower(), m["value"]) for m in config["model"]["metrics"])
    return sorted((_SAME_METRIC.get(name, name), value) for name, value in pairs)


def _same_objects(got: Sequence[str], want: Sequence[str]) -> bool:
    return len(got) == len(want) and all(same_name(a, b) for a, b in zip(sorted(got), sorted(want), strict=True))


def same_name(a: str, b: str) -> bool:
    """Whether the shorter of two names is (nearly) a part of the longer: a partial ratio of 95 or more.

    >>> same_name("crop", "common crops"), same_name("cars", "cats")
    (True, False)
    """
    short, long = sorted((a.lower().replace(" ", "_"), b.lower().replace(" ", "_")), key=len)
    if short in long:
        return bool(short) or not long
    windows = (long[i : i + len(short)] for i in range(len(long) - len(short) + 1))
    return any(SequenceMatcher(None, short, window).ratio() >= 0.95 for window in windows)
