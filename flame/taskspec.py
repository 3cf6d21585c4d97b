"""What a user asked for, checked: task, inputs, constraints, deployment, and what is still open (`TaskSpec`).

A leaf: nothing but the standard library and pydantic is imported here, so every folder may use it.

>>> spec = TaskSpec(intent="build", task="classification", inputs=Inputs(modality="table", objects=("iris species",)))
>>> spec.buildable, spec.to_lamp()["model"]["task"]
(True, 'classification')
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flame.errors import MetadataError

Intent = Literal["build", "consult", "unclear"]
Task = Literal[
    "classification",
    "regression",
    "clustering",
    "forecasting",
    "detection",
    "segmentation",
    "keypoints",
    "generation",
    "ranking",
    "anomaly_detection",
    "translation",
    "summarization",
    "question_answering",
    "other",
]
SpecModality = Literal["table", "text", "text_pair", "image", "audio", "video", "time_series"]
ImageKind = Literal[
    "rgb", "grayscale", "infrared", "depth", "radar", "ct", "mri", "xray", "ultrasound", "multispectral"
]
ConstraintKind = Literal[
    "metric", "parameters", "flops", "latency", "throughput", "model_size", "training_time", "memory"
]
Operator = Literal[">=", "<=", ">", "<", "==", "~"]
Device = Literal["cpu", "gpu", "mobile", "edge"]
Engine = Literal["onnxruntime", "openvino", "ncnn", "torch", "tensorrt"]
Knowledge = Literal["novice", "practitioner", "expert"]

BUILDABLE: frozenset[tuple[str, str | None]] = frozenset(
    {
        ("classification", "table"),
        ("regression", "table"),
        ("classification", "text"),
        ("regression", "text"),
        ("classification", "image"),
    }
)
"""Pairs of task and modality that this library can build today; a fact apart from what can be asked for."""
LAMP_TASKS = {
    "classification": "classification",
    "detection": "detection",
    "segmentation": "segmentation",
    "keypoints": "keypoint",
}
_LAMP_UNITS = {
    "parameters": {"K": 1e3, "M": 1e6, "B": 1e9},
    "flops": {"FLOPs": 1.0, "MFLOPs": 1e6, "GFLOPs": 1e9, "TFLOPs": 1e12, "PFLOPs": 1e15, "EFLOPs": 1e18},
    "latency": {"ms": 1e-3, "s": 1.0, "min": 60.0},
}
_LAMP_ENGINES = ("onnxruntime", "ncnn", "openvino")
_SAID_UNITS = {"k": "K", "thousand": "K", "m": "M", "million": "M", "b": "B", "billion": "B"}
_SAID_UNITS |= {
    "milliseconds": "ms",
    "millisecond": "ms",
    "seconds": "s",
    "second": "s",
    "minutes": "min",
    "minute": "min",
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Constraint(_Frozen):
    """One limit the result has to keep.

    >>> latency = Constraint(kind="latency", operator="<", value=20, unit="ms", si_value=0.02)
    >>> str(latency), latency.is_met_by(0.018), latency.is_met_by(0.02)
    ('latency < 20 ms', True, False)
    """

    kind: ConstraintKind
    name: str | None = None
    """Of a metric: accuracy, f1, auc, mAP, mIoU, r2, rmse, mae, ...; None for the other kinds."""
    operator: Operator
    value: float = Field(allow_inf_nan=False)
    """As written: 90 of "90 %"."""
    unit: str | None = None
    """As written: "%", "ms", "GFLOPs", "million"; None where there is none."""
    si_value: float = Field(allow_inf_nan=False)
    """A fraction for percent; seconds, bytes, items per second; a count of parameters or operations."""

    @model_validator(mode="after")
    def _name_is_of_a_metric(self) -> Constraint:
        if (self.kind == "metric") != (self.name is not None):
            raise ValueError(f"name must be given for metrics and only there, however: {self.kind} and {self.name!r}")
        return self

    def is_met_by(self, measured: float) -> bool:
        """Whether a measured value, in SI units, keeps the limit; "~" allows a tenth either way."""
        return {
            ">=": measured >= self.si_value,
            "<=": measured <= self.si_value,
            ">": measured > self.si_value,
            "<": measured < self.si_value,
            "==": measured == self.si_value,
            "~": abs(measured - self.si_value) <= 0.1 * abs(self.si_value),
        }[self.operator]

    def __str__(self) -> str:
        return f"{self.name or self.kind} {self.operator} {self.value:g}" + (f" {self.unit}" if self.unit else "")


class Inputs(_Frozen):
    """What goes in, and what is to be found or told apart."""

    modality: SpecModality | None = None
    kind: ImageKind | None = None
    """Of images and videos."""
    datasets: tuple[str, ...] = ()
    """Data sets the user names, as written."""
    objects: tuple[str, ...] = ()
    """Target objects or classes, as written, in lower case."""


class Deployment(_Frozen):
    """Where the model has to run."""

    device: Device | None = None
    engine: Engine | None = None


class TaskSpec(_Frozen):
    """A request, read and checked; `flame.understand` writes it, `generate_model(..., spec=...)` honours it."""

    intent: Intent
    task: Task | None = None
    """None: not said."""
    domain: str | None = None
    inputs: Inputs = Inputs()
    constraints: tuple[Constraint, ...] = ()
    model_family: str | None = None
    """Model or family the user names, as written."""
    deployment: Deployment = Deployment()
    user_knowledge: Knowledge | None = None
    missing: tuple[str, ...] = ()
    """What a model cannot be built without, and nobody has said: task, target, modality."""
    questions: tuple[str, ...] = ()
    """What to ask back, in plain words; not empty exactly where the intent is unclear."""
    confidence: float = Field(default=1.0, ge=0.0, le=1.0)
    notes: tuple[str, ...] = ()
    """What was corrected by the data, or left out."""
    text: str = ""
    """The request itself."""

    @property
    def buildable(self) -> bool:
        """Whether this library can build the task from the modality today (unknown modalities count as tables)."""
        return (self.task, self.inputs.modality or "table") in BUILDABLE

    def limit(self, kind: str, name: str | None = None) -> Constraint | None:
        """The first constraint of a kind (and metric), or None."""
        return next((c for c in self.constraints if c.kind == kind and c.name == name), None)

    def to_lamp(self) -> dict[str, Any]:
        """The configuration of the LAMP benchmark: its units, 0 and "none" where nothing is said.

        Raises:
            MetadataError: if the task is none of the benchmark's four.
        """
        if self.task not in LAMP_TASKS:
            raise MetadataError(
                f"LAMP has the tasks {list(LAMP_TASKS.values())}, however: task={self.task!r}; use model_dump() instead"
            )
        device = self.deployment.device
        return {
            "data": {
                "description": _sentence(
                    self.inputs.kind or "", self.inputs.modality or "", "data of", *self.inputs.objects
                ),
                "scenario": self.domain or "none",
                "object": list(self.inputs.objects),
                "modality": self.inputs.kind or self.inputs.modality or "none",
                "specific": list(self.inputs.datasets),
            },
            "model": {
                "description": _sentence(LAMP_TASKS[self.task], "model", *map(str, self.constraints)),
                "task": LAMP_TASKS[self.task],
                "specific_model": self.model_family or "none",
                "speed": self._lamp_speed(),
                "flops": self._lamp_amount("flops"),
                "parameters": self._lamp_amount("parameters"),
                "metrics": [
                    {"name": "f1-score" if c.name == "f1" else c.name, "value": _number(c.si_value)}
                    for c in self.constraints
                    if c.kind == "metric"
                ],
            },
            "deploy": {
                "description": _sentence(device or "any device"),
                "device": device if device in ("cpu", "gpu") else "none",
                "inference engine": self.deployment.engine if self.deployment.engine in _LAMP_ENGINES else "none",
            },
        }

    def _lamp_speed(self) -> dict[str, Any]:
        throughput = self.limit("throughput")
        if throughput is not None and self.limit("latency") is None:
            return {"value": _number(throughput.si_value), "unit": "fps"}
        return self._lamp_amount("latency")

    def _lamp_amount(self, kind: str) -> dict[str, Any]:
        """The tightest upper bound of a kind, in the unit that was said or else the largest that fits."""
        bounds = [c for c in self.constraints if c.kind == kind]
        chosen = next((c for c in bounds if c.operator[0] != ">"), bounds[0] if bounds else None)
        if chosen is None:
            return {"value": 0, "unit": "none"}
        units = _LAMP_UNITS[kind]
        said = _SAID_UNITS.get((chosen.unit or "").lower(), chosen.unit)
        fitting = [u for u, size in units.items() if chosen.si_value >= size]
        unit = said if said in units else (fitting[-1] if fitting else next(iter(units)))
        return {"value": _number(chosen.si_value / units[unit]), "unit": unit}

    @classmethod
    def from_json(cls, value: str | bytes | dict[str, Any]) -> TaskSpec:
        """Read a specification from JSON text or a JSON object.

        Raises:
            MetadataError: with every fault, the value that came and the choices there are.
        """
        try:
            return cls.model_validate(value) if isinstance(value, dict) else cls.model_validate_json(value)
        except ValidationError as error:
            raise MetadataError("task specification: " + "; ".join(map(_fault, error.errors()))) from None


def _fault(error: Any) -> str:
    where = ".".join(str(p) for p in error["loc"])
    got = f", however: {where}={error['input']!r}" if where and error["type"] != "missing" else ""
    return f"{where} {error['msg'].removeprefix('Value error, ')}{got}".strip()


def _number(value: float) -> int | float:
    rounded = float(f"{value:.10g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e18 else rounded


def _sentence(*words: str) -> str:
    return " ".join(w for w in words if w)


TASKS: tuple[str, ...] = get_args(Task)
MODALITIES: tuple[str, ...] = get_args(SpecModality)
