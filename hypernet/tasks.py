"""What a generator remembers of a task it was trained on, and the rows it is trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from flame.errors import CheckpointError
from flame.metadata import Metadata, parse_metadata


@dataclass(frozen=True)
class TaskRecord:
    """A training task that owns a head: everything needed to serve it later, and no row of its data."""

    name: str
    """Short name, such as 'iris'."""
    metadata: Metadata
    """Dimensions and architecture."""
    labels: tuple[str, ...]
    """Class names in the order of the outputs; empty for regression."""
    requirements: tuple[str, ...]
    """The sentences it was trained with."""
    preprocessing: dict[str, Any]
    """Stored preprocessing (columns, scales, categories), fitted on training rows; not read by the hypernetwork."""
    title: str = ""
    """Name for people."""
    target: str = ""
    """Name of the predicted column."""
    scores: dict[str, float] = field(default_factory=dict)
    """Figures on validation and test rows, by name."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "metadata": self.metadata.model_dump()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> TaskRecord:
        """Read a JSON object back.

        Raises:
            CheckpointError: if a field is missing or unknown.
        """
        try:
            metadata = parse_metadata(value["metadata"])
            lists = {key: tuple(str(v) for v in value[key]) for key in ("labels", "requirements")}
            return cls(**{**value, **lists, "metadata": metadata})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"tasks.json: a task record is not readable ({error})") from error


@dataclass(frozen=True)
class TaskData:
    """The rows of one training task, preprocessed.

    Shape:
        x (n, d_input) float32; y (n,) int64 classes or float32 values
    """

    record: TaskRecord
    x_train: Tensor
    y_train: Tensor
    x_validation: Tensor
    y_validation: Tensor
    upweight: int = 1
    """How often its rows are repeated in an epoch (appendix A)."""
