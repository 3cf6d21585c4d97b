"""The checked JSON that says which model to write (the paper's Metadata, section 3.2.1 and appendix D).

A leaf: nothing but the standard library and pydantic is imported here, so every folder may use it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from flame.errors import MetadataError

TaskType = Literal["img_cls", "seq_cls", "seq_reg", "tabular_cls", "tabular_reg", "s2s_gen"]
Scale = Literal["small", "base", "large"]
Arch = Literal[
    "mlp_small",
    "mlp_base",
    "mlp_large",
    "mlp_paper",
    "mlp_steps",
    "mobilenet_v3_small",
    "resnet50",
    "resnet152",
    "mobilenet_v2",
    "distilbert-base-uncased",
    "bert-base-uncased",
    "minilm",
    "distilbert",
    "bert",
]
"""`minilm` is all-MiniLM-L6-v2; `distilbert` and `bert` are any other base model of that shape."""
TABULAR: tuple[str, ...] = ("tabular_cls", "tabular_reg")
CLASSIFICATION: tuple[str, ...] = ("img_cls", "seq_cls", "tabular_cls")

_TABLES: dict[Scale, Arch] = {"small": "mlp_small", "base": "mlp_base", "large": "mlp_large"}
_IMAGES: dict[Scale, Arch] = {"small": "mobilenet_v3_small", "base": "resnet50", "large": "resnet152"}
_TEXTS: dict[Scale, Arch] = {
    "small": "distilbert-base-uncased",
    "base": "distilbert-base-uncased",
    "large": "bert-base-uncased",
}
ARCHES: dict[str, dict[Scale, Arch]] = {
    "tabular_cls": _TABLES,
    "tabular_reg": _TABLES,
    "img_cls": _IMAGES,
    "seq_cls": _TEXTS,
    "seq_reg": _TEXTS,
    "s2s_gen": _TEXTS,
}
"""The architecture of each task type and scale, smallest first; the prompt `metadata.md` shows the same table."""
ANY_SCALE: tuple[str, ...] = ("mlp_steps",)
"""Architectures that come in every scale; they are written for tables that no head was trained for."""


class Metadata(BaseModel):
    """What model a task needs. `task` is the wire name of the task *type*, as in the paper's JSON.

    >>> Metadata(task="tabular_cls", out_dim=3, in_dim=4).arch
    'mlp_base'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskType
    out_dim: int = Field(ge=1)
    """Number of classes; 1 for regression."""
    in_dim: int | None = Field(default=None, ge=1)
    """Number of input columns; tables only."""
    scale: Scale = "base"
    arch: Arch
    d_input: int | None = Field(default=None, ge=1)
    """Width of the model's input after preprocessing (one-hot columns widen it); `in_dim` if not given."""
    widths: tuple[Annotated[int, Field(ge=0)], ...] | None = None
    """Sizes of the layers where the architecture does not fix them; `mlp_steps`: steps, units, conjunctions."""

    @model_validator(mode="before")
    @classmethod
    def _arch_follows_scale(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("arch") is None and value.get("task") in TABULAR:
            return {**value, "arch": f"mlp_{value.get('scale') or 'base'}"}
        return value

    @model_validator(mode="after")
    def _dimensions_fit_the_type(self) -> Metadata:
        if self.task in TABULAR and self.in_dim is None:
            raise ValueError("in_dim is required for tables")
        if self.task in CLASSIFICATION and self.out_dim < 2:
            raise ValueError(f"out_dim must be at least 2 for classification, however: out_dim={self.out_dim}")
        if self.task in TABULAR and not self.arch.startswith("mlp_"):
            raise ValueError(f"arch must be one of the MLPs for tables, however: arch={self.arch!r}")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_widths(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = handler(self)
        return {key: item for key, item in value.items() if key != "widths" or item is not None}

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(key, item) for key, item in super().__repr_args__() if key != "widths" or item is not None]

    @property
    def input_width(self) -> int:
        """Units the first layer of a table's model reads."""
        width = self.d_input or self.in_dim
        if width is None:
            raise MetadataError(f"metadata of type {self.task!r} has no input width; only tables have one")
        return width


def parse_metadata(value: dict[str, Any]) -> Metadata:
    """Check a JSON object and name all of its faults at once.

    Raises:
        MetadataError: with one line that lists every fault, the value that came and the choices there are.
    """
    try:
        return Metadata.model_validate(value)
    except ValidationError as error:
        faults = []
        for e in error.errors():
            where = ".".join(str(p) for p in e["loc"])
            got = f", however: {where}={e['input']!r}" if where and e["type"] != "missing" else ""
            faults.append(f"{where} {e['msg'].removeprefix('Value error, ')}{got}".strip())
        raise MetadataError("metadata: " + "; ".join(faults)) from None
