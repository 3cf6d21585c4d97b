"""Which checkpoint and which way of generating can serve a request, and why. Never a silent guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from torch import nn

from flame.data import DataBatch
from flame.errors import RouteError
from flame.inputs import Preprocessor
from flame.metadata import Metadata
from requirements_prompts import TaskFacts


@dataclass(frozen=True)
class Route:
    """The way a model was generated, for people and for the saved file."""

    way: str
    """`task_head`, `any_table`, `any_text` or `any_picture`."""
    checkpoint: str
    """Name of the checkpoint."""
    task: str
    """The training task whose head is used, or the name of the predicted column."""
    reason: str
    """Why, in a sentence."""
    columns: dict[str, str] = field(default_factory=dict)
    """Trained column -> the user's column."""
    agreement: float | None = None
    """Share of the user's labelled rows on which the generated model gives their label; None without labels."""
    notes: tuple[str, ...] = ()
    """What was assumed, left out or corrected on the way."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.way} '{self.task}' of {self.checkpoint}: {self.reason}"


@dataclass(frozen=True)
class Generated:
    """What a way hands back: a plain module and all that is needed to use it."""

    module: nn.Module
    preprocessor: Preprocessor
    labels: tuple[Any, ...]
    """The user's own label values, in the order of the outputs."""
    route: Route
    requirement: str
    """The sentence the weights were written from."""
    metadata: Metadata
    """What was written, with every size."""
    fingerprint: str
    """Hash of the generator that wrote it."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """What else should be known of its origin, such as its base model."""


class Proposal(Protocol):
    """A way that can serve the request, before any weight is written."""

    @property
    def arch(self) -> str:
        """Architecture that is written."""
        ...

    @property
    def batch(self) -> DataBatch | None:
        """The user's rows as the model will read them: its columns only, in its order."""
        ...

    @property
    def d_input(self) -> int | None:
        """Inputs of the model after preprocessing; None where rows are no vectors."""
        ...

    @property
    def target(self) -> str:
        """Name of the predicted column."""
        ...

    def facts(self, description: str | None) -> TaskFacts:
        """What the requirement sentence may say."""
        ...

    def generate(self, requirement: str, metadata: Metadata) -> Generated:
        """Write the weights from the requirement sentence in one forward pass."""
        ...


class Way(Protocol):
    """One way of generating. Ways are asked in order of preference; the first proposal is taken."""

    def propose(self, description: str | None, batch: DataBatch | None) -> Proposal | list[str]:
        """A proposal, or the reasons why there is none."""
        ...

    def help(self) -> str:
        """What this way could serve, for the error when no way can."""
        ...


def choose(ways: Sequence[Way], description: str | None, batch: DataBatch | None) -> tuple[Proposal, tuple[str, ...]]:
    """The proposal of the first way that can serve, and why those before it cannot.

    Raises:
        RouteError: with the reasons of all ways and what would help.
    """
    reasons: list[str] = []
    for way in ways:
        answer = way.propose(description, batch)
        if not isinstance(answer, list):
            return answer, tuple(reasons)
        reasons += answer
    raise RouteError(
        f"no model can be generated for this request. {'; '.join(reasons)}. {' '.join(w.help() for w in ways)}"
    )
