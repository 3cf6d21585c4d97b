"""The whole way through the house: description and data in, a generated model out."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.card import data_profile
from flame.data import DataBatch
from flame.errors import CheckpointError, DataError, RouteError, did_you_mean
from flame.metadata import TABULAR, Scale
from flame.model import GeneratedModel
from flame.picture.any_picture import AnyPictureWay
from flame.planning import check_request, read_batch
from flame.requirement import OfflineWriter, RequirementWriter, decide_metadata, notes_on, with_resources
from flame.route import Proposal, Way, choose
from flame.saving import load_model
from flame.table.any_table import CHECKPOINT as ANY_TABLE
from flame.table.any_table import AnyTableWay
from flame.table.task_heads import TaskHeadWay
from flame.text.any_text import AnyTextWay
from hypernet.generator import ParameterGenerator
from hypernet.tables import TableGenerator

if TYPE_CHECKING:
    from flame.llm.writer import LLMWriter
    from flame.taskspec import TaskSpec
    from hypernet.adapters import AdapterGenerator
    from hypernet.adapters.pictures import PictureGenerator

BUILTIN = Path(__file__).parent / "checkpoints"
DEFAULT_CHECKPOINT = "tables-uci10"
_MARKER = "tasks.json"


def generate_model(
    description: str | None = None,
    data_batch: Any = None,
    *,
    target: str | None = None,
    labels: Sequence[Any] | None = None,
    base_model: str | None = None,
    checkpoint: str | Path | ParameterGenerator = DEFAULT_CHECKPOINT,
    table_generator: str | Path | TableGenerator | None = None,
    text_generator: str | Path | AdapterGenerator | None = None,
    picture_generator: str | Path | PictureGenerator | None = None,
    writer: RequirementWriter | None = None,
    spec: TaskSpec | None = None,
) -> GeneratedModel:
    """Write a small model for a task in one forward pass, without training it.

    Args:
        description: what the task is, in the user's words. One that speaks of texts, or of pictures of known things,
            and names their classes is enough.
        data_batch: some rows, labelled or not: a DataFrame, array, pair (X, y), list of dicts or of texts,
            `datasets.Dataset`, or a path to CSV, TSV, Parquet, JSON or JSONL. Labelled rows let the route match and
            check the labels. Pictures: a folder with one folder per class, a CSV of paths and labels, or Pillow
            images, uint8 arrays or paths with labels.
        target: name of the column to predict.
        labels: names of the classes of texts or pictures that have no labels, as in `["negative", "positive"]`.
        base_model: the base of a model for texts (name or folder of an encoder; `minilm` if not given) or for pictures
            (a network of torchvision's, a file or folder; `$FLAME_PICTURE_BASE` or `mobilenet_v2` if not given).
        checkpoint: built-in name, folder, hub name, or a loaded generator; its trained heads are preferred.
        table_generator: folder, or a loaded generator, for labelled tables that no trained head fits; the built-in one
            if not given.
        text_generator: folder, or a loaded generator, for texts; the built-in one, if it is there, if not given.
        picture_generator: folder, or a loaded generator, for pictures, as `flame train-images` writes it, or the name
            of the built-in one, `pictures-mobilenetv2`, which fits one base model only; if not given, the base model
            stays as it is and only a classifier is written, from labelled pictures or from names that are like those
            of its own classes.
        writer: writes the requirement sentence; the offline rules if not given. `flame.llm.writer.LLMWriter` asks a
            language model; only then do rows leave the machine.
        spec: what `flame.understand` read in a request; limits that the model breaks, or that cannot be measured here,
            stand in the route's notes.

    Raises:
        DataError: if the rows or labels cannot be used as they are.
        RouteError: if no checkpoint can serve the request; the message says what would help.
        CheckpointError: if a checkpoint or a base model is not there or cannot be read; the ways to get one are listed.
        MetadataError: if `spec` has open questions or asks for advice only.
    """
    if spec is not None:
        from flame.understanding import require_buildable

        require_buildable(spec)
        description = description or spec.text
    watch = Watch()
    others: list[Way] = [any_picture_way(labels, base_model=base_model, generator=picture_generator)]
    if picture_generator is None or data_batch is not None:  # else pictures are meant, whatever the words speak of
        others.insert(0, any_text_way(labels, base_model=base_model, generator=text_generator))
    ways, batch = _prepare(description, data_batch, target, checkpoint, table_generator, others, watch)
    if batch is not None:
        both = {"labels": labels, "base_model": base_model}
        _refuse_options(batch, **both, text_generator=text_generator, picture_generator=picture_generator)
    proposal, reasons = choose(ways, description, batch)
    try:
        model = write_model(proposal, description, writer=writer, spec=spec, watch=watch)
    except RouteError as error:
        # The rows speak against a trained head's model; they may still teach one of their own.
        if batch is None or batch.labels is None or batch.modality != "table":
            raise
        (proposal, _), reasons = choose(ways[1:], description, batch), (str(error),)
        model = write_model(proposal, description, writer=writer, spec=spec, watch=watch)
    if reasons and model.metadata.task in TABULAR:
        model = model.noted(f"no trained head is used: {'; '.join(reasons)}")
    return model if spec is None else model.noted(*_limits(spec, model))


def write_model(
    proposal: Proposal,
    description: str | None,
    *,
    writer: RequirementWriter | None = None,
    spec: TaskSpec | None = None,
    scale: Scale | None = None,
    watch: Watch | None = None,
) -> GeneratedModel:
    """Requirement, metadata and weights of one proposal; the last step of `generate_model`.

    Args:
        scale: taken whatever description and specification say of resources.
    """
    watch = watch or Watch()
    watch.lap("route")
    arch = proposal.arch  # known as soon as what the way needs is loaded
    watch.lap("load")
    facts = proposal.facts(description)
    if spec is not None:
        facts = with_resources(facts, spec, d_input=proposal.d_input)
    if scale is not None:
        facts = replace(facts, scale=scale, scale_asked=True)
    writer, notes = writer or OfflineWriter(), notes_on(facts, arch)
    requirement = writer.write(facts, proposal.batch)
    metadata, corrections = decide_metadata(requirement, facts, arch=arch, d_input=proposal.d_input)
    watch.lap("requirement")
    generated = proposal.generate(requirement, metadata)
    watch.lap("weights")
    return GeneratedModel(
        module=generated.module,
        preprocessor=generated.preprocessor,
        labels=generated.labels,
        target=proposal.target,
        requirement=generated.requirement,
        metadata=generated.metadata,
        route=replace(generated.route, notes=(*generated.route.notes, *notes, *writer.notes, *corrections)),
        timings=watch.timings(),
        provenance={
            "checkpoint_sha256": generated.fingerprint,
            "requirement_writer": writer.name if generated.requirement == requirement else "the task's own sentence",
            "version": _version(),
            **data_profile(proposal.batch),
            **generated.provenance,
        },
    )


def _limits(spec: TaskSpec, model: GeneratedModel) -> list[str]:
    """What the model makes of the limits of a specification."""
    from flame.spec_report import check_constraints

    size = sum(p.numel() * p.element_size() for p in model.module.parameters())
    measured = {"parameters": model.n_parameters(), "model_size": size, "training_time": model.timings["total"]}
    ends = {"broken": "was asked for; measured is", "open": "was asked for and is not measured here"}
    checks = [c for c in check_constraints(spec, measured) if c.verdict in ends]
    return [f"{c.required} {ends[c.verdict]} {c.measured}".rstrip() for c in checks]


def preview_prompt(
    description: str | None,
    data_batch: Any,
    writer: LLMWriter,
    *,
    target: str | None = None,
    checkpoint: str | Path | ParameterGenerator = DEFAULT_CHECKPOINT,
) -> str:
    """Exactly what `generate_model` with this writer would send to the language model first; nothing is sent."""
    others: list[Way] = [any_text_way(), any_picture_way()]
    ways, batch = _prepare(description, data_batch, target, checkpoint, None, others, Watch())
    proposal, _ = choose(ways, description, batch)
    return writer.prompt_for(proposal.facts(description), proposal.batch)


def _prepare(
    description: str | None,
    data_batch: Any,
    target: str | None,
    checkpoint: str | Path | ParameterGenerator,
    table_generator: str | Path | TableGenerator | None,
    others: list[Way],
    watch: Watch,
) -> tuple[list[Way], DataBatch | None]:
    """Read the request; who may serve it, in order of preference."""
    check_request(description, data_batch)
    generator = checkpoint if isinstance(checkpoint, ParameterGenerator) else load_generator(checkpoint)
    watch.lap("load")
    batch = read_batch(data_batch, target)
    watch.lap("read")
    own = generator.provenance.get("name", "own")
    name = own if isinstance(checkpoint, ParameterGenerator) else str(checkpoint)
    tables: list[Way] = [TaskHeadWay(generator, name), any_table_way(table_generator)]
    if batch is None:
        return [*others, *tables], None
    return (tables if batch.modality == "table" else others), batch


def any_table_way(generator: str | Path | TableGenerator | None = None, *, seed: int = 0) -> AnyTableWay:
    """The way for tables that no head was trained for; the built-in generator if none is given."""
    if isinstance(generator, TableGenerator):
        return AnyTableWay(generator, generator.provenance.get("name", "own"), seed)
    place = BUILTIN / ANY_TABLE if generator is None or str(generator) == ANY_TABLE else Path(generator)
    return AnyTableWay(place, place.name, seed)


def any_text_way(
    labels: Sequence[Any] | None = None,
    *,
    base_model: str | None = None,
    generator: str | Path | AdapterGenerator | None = None,
) -> AnyTextWay:
    """The way for texts; the built-in generator and its base model if none is given."""
    from flame.text.generators import CHECKPOINT, text_writer

    writer = cache(lambda: text_writer(base_model, generator, built_in=BUILTIN / CHECKPOINT))
    return AnyTextWay(writer, labels, named=generator is not None)


def any_picture_way(
    labels: Sequence[Any] | None = None,
    *,
    base_model: str | None = None,
    generator: str | Path | PictureGenerator | None = None,
) -> AnyPictureWay:
    """The way for pictures; without a generator only classifiers are written."""
    from flame.picture.generators import picture_writer

    return AnyPictureWay(
        cache(lambda: picture_writer(base_model, generator, built_in=BUILTIN)), generator is not None, labels
    )


_MEANT_FOR = {
    "table": (),
    "image": ("labels", "base_model", "picture_generator"),
    "text": ("labels", "base_model", "text_generator"),
    "text_pair": ("labels", "base_model", "text_generator"),
}
"""Options that some data have no use for, and which have."""


def _refuse_options(batch: DataBatch, **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None and name not in _MEANT_FOR[batch.modality]]
    if given:
        kind = {"table": "a table", "image": "pictures"}.get(batch.modality, "texts")
        raise DataError(f"the data are {kind}, for which {' and '.join(given)} cannot be given; leave them out")


def load(folder: str | Path, *, base_model: str | None = None) -> GeneratedModel:
    """Read a model that `GeneratedModel.save` wrote.

    Args:
        base_model: where the base of a text model is now, if not where it was; its content is checked. Models for
            tables and pictures have none.

    Raises:
        CheckpointError: if the folder is missing, truncated, changed or foreign, or its base model is not there.
    """
    return load_model(folder, base_model=base_model)


def load_generator(checkpoint: str | Path = DEFAULT_CHECKPOINT) -> ParameterGenerator:
    """A generator by built-in name, folder or hub name; kept in memory for the next call.

    Raises:
        CheckpointError: if there is none, or it cannot be read.
    """
    name = str(checkpoint)
    if os.path.isfile(BUILTIN / name / _MARKER):
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
    """Names of the checkpoints with trained heads inside the package."""
    return sorted(p.parent.name for p in BUILTIN.glob(f"*/{_MARKER}"))


@lru_cache(maxsize=4)
def _cached(name: str, changed: float) -> ParameterGenerator:
    return ParameterGenerator.from_pretrained(name)


class Watch:
    """Seconds between laps."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = self._laps.get(name, 0.0) + now - self._last
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
