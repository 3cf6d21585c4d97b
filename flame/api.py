"""The whole way through the house: description and data in, a generated model out."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.errors import CheckpointError, did_you_mean
from flame.model import GeneratedModel
from flame.plan import check_request, read_batch
from flame.requirement import OfflineWriter, RequirementWriter, decide_metadata, with_resources
from flame.route import Proposal, choose
from flame.saving import load_model
from flame.task_heads import TaskHeadWay
from hypernet.generator import ParameterGenerator

if TYPE_CHECKING:
    from flame.llm.writer import LLMWriter
    from flame.taskspec import TaskSpec

BUILTIN = Path(__file__).parent / "checkpoints"
DEFAULT_CHECKPOINT = "tables-uci10"


def generate_model(
    description: str | None = None,
    data_batch: Any = None,
    *,
    target: str | None = None,
    checkpoint: str | Path | ParameterGenerator = DEFAULT_CHECKPOINT,
    writer: RequirementWriter | None = None,
    spec: TaskSpec | None = None,
) -> GeneratedModel:
    """Write a small model for a task in one forward pass, without training it.

    Args:
        description: what the task is, in the user's words.
        data_batch: some rows, labelled or not: a DataFrame, array, pair (X, y), list of dicts, `datasets.Dataset`, or a
            path to CSV, TSV, Parquet, JSON or JSONL. Labelled rows let the route match and check the labels.
        target: name of the column to predict.
        checkpoint: built-in name, folder, hub name, or a loaded generator.
        writer: writes the requirement sentence; the offline rules if not given. `flame.llm.writer.LLMWriter` asks a
            language model; only then do rows leave the machine.
        spec: what `flame.understand` read in a request; limits that the model breaks, or that cannot be measured here,
            stand in the route's notes.

    Raises:
        DataError: if the rows cannot be used as they are.
        RouteError: if no checkpoint can serve the request; the message says what would help.
        MetadataError: if `spec` has open questions or asks for advice only.
    """
    if spec is not None:
        from flame.understand import require_buildable

        require_buildable(spec)
        description = description or spec.text
    watch = _Watch()
    generator, proposal = _propose(description, data_batch, target, checkpoint, watch)
    facts = proposal.facts(description)
    if spec is not None:
        facts = with_resources(facts, spec, d_input=proposal.d_input)
    writer = writer or OfflineWriter()
    requirement = writer.write(facts, proposal.batch)
    metadata, corrections = decide_metadata(requirement, facts, arch=proposal.arch, d_input=proposal.d_input)
    watch.lap("requirement")
    generated = proposal.generate(requirement, metadata)
    watch.lap("weights")
    route = replace(generated.route, notes=(*generated.route.notes, *facts.notes, *writer.notes, *corrections))
    model = GeneratedModel(
        module=generated.module,
        preprocessor=generated.preprocessor,
        labels=generated.labels,
        target=proposal.target,
        requirement=generated.requirement,
        metadata=metadata,
        route=route,
        timings=watch.timings(),
        provenance={
            "checkpoint_sha256": generator.fingerprint,
            "requirement_writer": writer.name if generated.requirement == requirement else "the task's own sentence",
            "version": _version(),
        },
    )
    return model if spec is None else replace(model, route=replace(route, notes=(*route.notes, *_limits(spec, model))))


def _limits(spec: TaskSpec, model: GeneratedModel) -> list[str]:
    """What the model makes of the limits of a specification."""
    from flame.spec_report import broken_constraints

    size = sum(p.numel() * p.element_size() for p in model.module.parameters())
    measured = {"parameters": model.n_parameters(), "model_size": size, "training_time": model.timings["total"]}
    broken, unknown = broken_constraints(spec, measured)
    return [*broken, *(f"{limit} was asked for and is not measured here" for limit in unknown)]


def preview_prompt(
    description: str | None,
    data_batch: Any,
    writer: LLMWriter,
    *,
    target: str | None = None,
    checkpoint: str | Path | ParameterGenerator = DEFAULT_CHECKPOINT,
) -> str:
    """Exactly what `generate_model` with this writer would send to the language model first; nothing is sent."""
    _, proposal = _propose(description, data_batch, target, checkpoint, _Watch())
    return writer.prompt_for(proposal.facts(description), proposal.batch)


def _propose(
    description: str | None,
    data_batch: Any,
    target: str | None,
    checkpoint: str | Path | ParameterGenerator,
    watch: _Watch,
) -> tuple[ParameterGenerator, Proposal]:
    """Read the request and find who can serve it."""
    check_request(description, data_batch)
    generator = checkpoint if isinstance(checkpoint, ParameterGenerator) else load_generator(checkpoint)
    watch.lap("load")
    batch = read_batch(data_batch, target)
    watch.lap("read")
    own = generator.provenance.get("name", "own")
    name = own if isinstance(checkpoint, ParameterGenerator) else str(checkpoint)
    proposal = choose([TaskHeadWay(generator, name)], description, batch)
    watch.lap("route")
    return generator, proposal


def load(folder: str | Path) -> GeneratedModel:
    """Read a model that `GeneratedModel.save` wrote.

    Raises:
        CheckpointError: if the folder is missing, truncated, changed or foreign.
    """
    return load_model(folder)


def load_generator(checkpoint: str | Path = DEFAULT_CHECKPOINT) -> ParameterGenerator:
    """A generator by built-in name, folder or hub name; kept in memory for the next call.

    Raises:
        CheckpointError: if there is none, or it cannot be read.
    """
    name = str(checkpoint)
    if os.path.isfile(BUILTIN / name / "config.json"):
        return _cached(str(BUILTIN / name), 0.0)
    path = Path(name)
    if os.path.isdir(path):  # unlike Path.is_dir, no error for a text too long to be a name
        weights = path / "model.safetensors"
        return _cached(str(path.resolve()), weights.stat().st_mtime if weights.is_file() else 0.0)
    if "/" not in name:
        known = did_you_mean(name, builtin_checkpoints())
        raise CheckpointError(f"no checkpoint {name!r}; built in are {known} A folder or a hub name works too")
    return _cached(name, 0.0)


def builtin_checkpoints() -> list[str]:
    """Names of the checkpoints inside the package."""
    return sorted(p.parent.name for p in BUILTIN.glob("*/config.json"))


@lru_cache(maxsize=4)
def _cached(name: str, changed: float) -> ParameterGenerator:
    return ParameterGenerator.from_pretrained(name)


class _Watch:
    """Seconds between laps."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    def timings(self) -> dict[str, float]:
        return {**{k: round(v, 6) for k, v in self._laps.items()}, "total": round(self._last - self._start, 6)}


@lru_cache(maxsize=1)
def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("flame-hypernet")
    except PackageNotFoundError:
        return "unknown"
