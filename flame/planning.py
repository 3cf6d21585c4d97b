"""The plan of a task before any weight is written: facts, requirement sentence, checked metadata, and why.

>>> import flame
>>> made = flame.plan("Which of five flowers does the photo show? It runs on a phone.")
>>> made.metadata.task, made.metadata.out_dim, made.metadata.arch
('img_cls', 5, 'mobilenet_v3_small')
>>> made.notes[0]
'the description speaks of scarce resources, so the scale is small: mobilenet_v3_small'
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from flame.class_names import class_names
from flame.data import DataBatch, read_data, refuse_one_class
from flame.errors import DataError, FlameError, MetadataError
from flame.metadata import CLASSIFICATION, TABULAR, Metadata, parse_metadata
from flame.requirement import OfflineWriter, RequirementWriter, decide_metadata, gather_facts, unknown
from requirements_prompts import TaskFacts

if TYPE_CHECKING:
    from flame.llm import LanguageModel
    from flame.llm.writer import LLMWriter


_TAKEN = "is the paper's; generate_model takes the base model '{}', or the one that base_model names"
_BASES = {"seq_cls": "minilm", "seq_reg": "minilm", "img_cls": "mobilenet_v2"}
"""What is taken where no base model is named, by type of task."""


@dataclass(frozen=True)
class Plan:
    """What a model for a task should be; it can be read, kept as JSON, or compared with another."""

    facts: TaskFacts
    """What description and data say."""
    requirement: str
    """The one sentence that a generator reads."""
    metadata: Metadata
    """Type, dimensions, scale and architecture."""
    notes: tuple[str, ...] = ()
    """What was assumed, chosen or corrected on the way, and why."""
    writer: str = "offline"
    """Who wrote the sentence."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        facts = {key: value for key, value in asdict(self.facts).items() if key != "notes"}
        return {
            "requirement": self.requirement,
            "metadata": self.metadata.model_dump(exclude_none=True),
            "notes": list(self.notes),
            "writer": self.writer,
            "facts": {**facts, "columns": list(self.facts.columns)},
        }

    def __str__(self) -> str:
        metadata = ", ".join(f"{k}={v}" for k, v in self.metadata.model_dump(exclude_none=True).items())
        return "\n".join([self.requirement, metadata, *(f"note: {n}" for n in self.notes)])


def plan(
    description: str | None = None,
    data_batch: Any = None,
    *,
    target: str | None = None,
    writer: RequirementWriter | None = None,
    model: LanguageModel | None = None,
) -> Plan:
    """Plan a model for a task, whether or not a checkpoint can generate it; no weight is written.

    Args:
        description: what the task is, in the user's words.
        data_batch: anything `flame.read_data` accepts, or a batch it returned.
        target: name of the column to predict.
        writer: writes the requirement sentence; the offline rules if not given.
        model: a language model that names the metadata, which the facts put right; that of an `LLMWriter` if not given,
            else the offline rules.

    Raises:
        DataError: if there is nothing to go by, or the rows cannot be used as they are.
        MetadataError: if neither description nor data say how many classes or columns there are.
    """
    check_request(description, data_batch)
    batch = read_batch(data_batch, target)
    facts = _with_named_classes(gather_facts(description, batch), description)
    writer = writer or OfflineWriter()
    requirement = _write(writer, facts, batch)
    model = model or _model_of(writer)
    if model is None:
        metadata, corrections = decide_metadata(requirement, facts)
    else:
        from flame.llm.metadata import ask_metadata

        value, corrections = ask_metadata(model, requirement, facts)
        metadata = parse_metadata(value)
    default = metadata.scale == "base" and not facts.scale_asked
    notes = (
        *(batch.notes if batch is not None else ()),
        *facts.notes,
        *([f"no resources ask for another scale than base: {metadata.arch}"] if default else []),
        *([f"{metadata.arch} {_TAKEN.format(_BASES[facts.task_type])}"] if facts.task_type in _BASES else []),
        *writer.notes,
        *corrections,
    )
    return Plan(facts, requirement, metadata, notes, writer.name)


def preview_plan(description: str | None, data_batch: Any, writer: LLMWriter, *, target: str | None = None) -> str:
    """Exactly what `plan` with this writer would send to the language model first; nothing is sent."""
    check_request(description, data_batch)
    batch = read_batch(data_batch, target)
    return writer.prompt_for(_with_named_classes(gather_facts(description, batch), description), batch)


def check_request(description: Any, data_batch: Any) -> None:
    """Refuse a request that says nothing, or says it in the wrong place.

    Raises:
        DataError: with what to give instead.
    """
    if not isinstance(description, str | None):
        raise DataError(
            f"the description must be text, however: {type(description).__name__}; rows come second, as in "
            "generate_model(None, rows)"
        )
    if data_batch is None and not (description and description.strip()):
        raise DataError("nothing to go by: give a description of the task, some rows, or both")


def read_batch(data_batch: Any, target: str | None) -> DataBatch | None:
    """The rows as a checked batch; one that was read before is taken as it is.

    Raises:
        DataError: if the rows cannot be used as they are, or all have the same label.
    """
    if data_batch is None:
        return None
    batch = data_batch if isinstance(data_batch, DataBatch) else read_data(data_batch, target=target)
    refuse_one_class(batch)
    return batch


def _with_named_classes(facts: TaskFacts, description: str | None) -> TaskFacts:
    """As generation counts them: classes of texts and pictures are also those that stand in a plain list."""
    if facts.task_type not in ("seq_cls", "img_cls") or facts.n_classes is not None:
        return facts
    return replace(facts, n_classes=len(class_names(description)) or None)


def _write(writer: RequirementWriter, facts: TaskFacts, batch: DataBatch | None) -> str:
    try:
        return writer.write(facts, batch)
    except FlameError:
        raise
    except ValueError as error:  # the rules write no sentence without its numbers
        if facts.task_type in CLASSIFICATION and facts.n_classes is None:
            raise MetadataError(unknown("out_dim", "classes")) from None
        if facts.task_type in TABULAR and facts.n_features is None:
            raise MetadataError(unknown("in_dim", "features")) from None
        raise MetadataError(f"no sentence can be written: {error}") from error


def _model_of(writer: RequirementWriter) -> LanguageModel | None:
    if isinstance(writer, OfflineWriter):
        return None
    from flame.llm.writer import LLMWriter

    return writer.model if isinstance(writer, LLMWriter) else None
