"""Train the generator of adapters for texts: a data folder in, a checkpoint folder out, a stated number of minutes."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame.errors import CheckpointError, DataError
from flame.files import atomic_folder, check_place, claim_work
from flame.metadata import Arch, Metadata
from flame.text.base import TRAINING_TOKENS, load_text_base
from flame.text.base_models import find_base
from flame.text.derived import derived_tasks
from flame.text.encoding import TextEncoder
from flame.text.tasks import TextTask, read_text_rows, read_text_task, text_task_names
from flame.timed_runs import fit_for_minutes, run_story
from hypernet.adapters import (
    AdapterGenerator,
    AdapterGeneratorConfig,
    load_adapter_generator,
    save_adapter_generator,
)
from hypernet.adapters.latents import tell_apart
from hypernet.adapters.module import AdapterModule, AdapterTrainConfig
from hypernet.adapters.objective import Encode, batch_outputs, head_outputs
from hypernet.adapters.stream import AdapterBatch, AdapterTask, StreamConfig, draw_batch
from hypernet.tasks import TaskRecord
from targets import Weights

MARKER = "model.safetensors"
MOST_ROWS, MOST_FROZEN, MANY_LABELS = 4000, 800, 2000
"""Training rows of a task that are read; with frozen features; and with those and more than twenty labels."""
N_CHECK, CHECKS = 64, 2
"""Rows of a batch that is only looked at, and such batches a task."""


def train_texts(
    output: str | Path,
    config: AdapterTrainConfig | None = None,
    *,
    data: str | Path,
    base: str = "minilm",
    start: str | Path | None = None,
    work: str | Path | None = None,
    rank: int = 8,
    only: Sequence[str] | None = None,
    derived: float = 0.4,
    heads: bool = False,
    rows: int | None = None,
    decoder: str = "shared",
    bf16: bool = True,
    progress: bool = True,
    command: str = "flame.text.training.train_texts(...)",
) -> AdapterGenerator:
    """Train on the tasks of a data folder whose role is `train`, and write the generator's folder.

    Killed and called again with the same arguments, it goes on from the last minute. The new weights are written only
    if they have a smaller loss on development rows, of the trained tasks and of those that are never trained, than the
    weights it started from; new heads are written in any case.

    Args:
        data: folder with `text/<task>/`; see `flame.text.tasks`.
        base: the model that adapters are written for.
        start: folder of a checkpoint to continue from; None = from nothing.
        work: folder for the log and the resume file; `<output>.work` if not given.
        only: train on these tasks alone, and look at no others.
        derived: part of the batches that ask another question of the same rows; see `flame.text.derived`.
        heads: give every task a head of its own, as in the paper, and train these instead of rows from label words.
        rows: read at most so many training rows of a task.
        decoder: what writes adapters, `shared` or `per_tensor`; of a new generator only.
        bf16: run the base model in bfloat16.

    Raises:
        ConfigError: if the work folder holds another run.
        CheckpointError: if `output` is taken, or `start` is no such checkpoint or fits another base model.
        DataError: if the folder holds no training task.
    """
    config = config or AdapterTrainConfig()
    if heads:  # how frequent classes are is part of a task that is known
        config = replace(config, stream=replace(config.stream, balanced=False))
    output = check_place(output, marker=MARKER)
    work = Path(work) if work is not None else output.with_name(output.name + ".work")
    encoder = TextEncoder(find_base(base), rank=rank, max_tokens=TRAINING_TOKENS, bf16=bf16)
    names = text_task_names("train", folder=data) if only is None else list(only)
    tasks = [read_text_task(data, name) for name in names]
    if not tasks:
        raise DataError(f"{data} holds no training task; give the folder that holds text/<task>/task.json")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        arch = load_text_base(base).arch if heads else None
        records = [head_record(data, t, most_rows(t, config.frozen, rows), arch) for t in tasks] if arch else []
        generator = _started(encoder, start, AdapterGeneratorConfig(decoder=decoder), records)
    run = {"config": asdict(config), "start": generator.fingerprint, "base": generator.base}
    kind = {"only": only, "derived": derived, "heads": heads, "rows": rows, "decoder": decoder, "bf16": bf16}
    claim_work(work, {**run, **kind})
    encode = None if config.frozen else encode_with(encoder)
    looked = {"train": names} | ({"select": text_task_names("select", folder=data)} if only is None else {})
    checks = {
        role: check_batches(data, encoder, found, frozen=config.frozen, balanced=not heads)
        for role, found in looked.items()
    }
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    earlier = {role: scores_of(generator, found, encode) for role, found in checks.items()}
    read = training_tasks(data, tasks, encoder, frozen=config.frozen, rows=rows)
    if heads:  # every row as often as any other: a task has its own head, and what it learns is not for others
        read = [replace(task, share=float(len(task.y))) for task in read]
        if start is None:
            sentences = [task.descriptions for task in read]
            tell_apart(generator, sentences, noise=config.stream.noise, seed=config.seed)
    read += derived_tasks(tasks, read, encoder, part=0.0 if heads else derived)
    module = AdapterModule(generator.train(), config, read, encode)
    fit_for_minutes(module, work, progress=progress)
    generator.cpu().eval()
    later, kept = {role: scores_of(generator, found, encode) for role, found in checks.items()}, False
    misled = {role: scores_of(generator, shuffled(found), encode) for role, found in checks.items()}
    # Numbers that are not finite are not better; heads that know nothing yet are no checkpoint to keep.
    if not _loss(later) <= (math.inf if heads and start is None else _loss(earlier)):
        generator.load_state_dict(before)
        kept = True
    scores = {"before": earlier, "after": later, "after, shuffled descriptions": misled}
    generator.provenance = _story(generator, config, tasks, module, scores, kept, command)
    with atomic_folder(output, marker=MARKER) as folder:
        save_adapter_generator(generator, folder)
    return load_adapter_generator(output)


def most_rows(task: TextTask, frozen: bool, rows: int | None) -> int:
    """How many training rows of a task are read, if the user wants no more than `rows`."""
    limit = (MANY_LABELS if len(task.labels) > 20 else MOST_FROZEN) if frozen else MOST_ROWS
    return min(limit, rows or limit)


def head_record(data: str | Path, task: TextTask, limit: int, arch: Arch) -> TaskRecord:
    """What a generator remembers of a task that has a head of its own; `limit` as in training: it sets the scale."""
    rows = read_text_rows(data, task, "train", limit=limit)
    known: dict[str, Any] = {"pairs": rows.pairs is not None}
    labels = tuple(words[0] for words in task.words)
    if not task.regression:
        size = Metadata(task="seq_cls", out_dim=len(labels), arch=arch)
        return TaskRecord(task.name, size, labels, task.descriptions, known)
    known |= {"mean": float(rows.y.mean()), "std": float(rows.y.std())}
    return TaskRecord(task.name, Metadata(task="seq_reg", out_dim=1, arch=arch), (), task.descriptions, known)


def _started(
    encoder: TextEncoder, start: str | Path | None, config: AdapterGeneratorConfig, records: Sequence[TaskRecord]
) -> AdapterGenerator:
    described = encoder.facts()
    if start is None:
        width = encoder.base.hidden_size
        generator = AdapterGenerator(encoder.target.static_specs(), width, width, config, records)
        generator.base = described
        return generator.eval()
    generator = load_adapter_generator(start)
    if generator.base != described:
        raise CheckpointError(f"the generator in {start} fits {generator.base}, however the base here is {described}")
    wanted = [record.name for record in records]
    if wanted != list(generator.tasks):
        raise CheckpointError(
            f"the generator in {start} has heads for {list(generator.tasks)}, however {wanted} are to be trained; name "
            "the same tasks, or train from nothing"
        )
    return generator


def encode_with(encoder: TextEncoder) -> Encode:
    """The base model as the training sees it: inputs and adapters to features."""

    def encode(inputs: tuple[Tensor, ...], weights: Weights) -> Tensor:
        encoder.model.to(inputs[0].device)
        return encoder.features(*inputs, weights=weights)

    return encode


def training_tasks(
    data: str | Path, tasks: Sequence[TextTask], encoder: TextEncoder, *, frozen: bool, rows: int | None = None
) -> list[AdapterTask]:
    """The training rows of tasks, embedded, with their shares of the batches.

    A kind of tasks gets the square root of the sum of its factors, divided over its tasks by the square root of rows
    times factor.
    """
    # NOTE[PAPER]: appendix A repeats the rows of small tasks. Here 14 of 33 tasks are of one kind, sentiment; pairs of
    # texts have factors of their own, since the base model has never read two texts at once.
    made = [adapter_task(data, t, "train", encoder, most_rows(t, frozen, rows), frozen=frozen) for t in tasks]
    own = [math.sqrt(len(m.y) * t.factor) for t, m in zip(tasks, made, strict=True)]
    factors, totals = Counter[str](), Counter[str]()
    for task, weight in zip(tasks, own, strict=True):
        factors[task.kind] += task.factor  # type: ignore[assignment]
        totals[task.kind] += weight  # type: ignore[assignment]
    shares = [math.sqrt(factors[t.kind]) * w / totals[t.kind] for t, w in zip(tasks, own, strict=True)]
    return [replace(m, share=share) for m, share in zip(made, shares, strict=True)]


def adapter_task(
    data: str | Path, task: TextTask, split: str, encoder: TextEncoder, limit: int, *, frozen: bool
) -> AdapterTask:
    """Rows of one task as tensors: features of the base model, or tokens."""
    rows = read_text_rows(data, task, split, limit=limit)
    ids, mask, segments = encoder.tokens(rows.texts, rows.pairs).take(slice(None))
    filled = (ids, mask) if segments is None else (ids, mask, segments)
    y = rows.y
    if task.regression:
        y = (y - y.mean()) / y.std().clamp(min=1e-6)
    return AdapterTask(
        name=task.name,
        share=1.0,
        descriptions=encoder.embed(task.descriptions),
        words=tuple(encoder.embed(words) for words in task.words),
        y=y,
        lengths=mask.sum(1),
        inputs=(encoder.encode(rows.texts, rows.pairs),) if frozen else filled,
    )


def check_batches(
    data: str | Path, encoder: TextEncoder, names: Sequence[str], *, frozen: bool, balanced: bool = True
) -> list[AdapterBatch]:
    """Fixed batches of development rows of tasks, sixteen of them labelled examples."""
    look = StreamConfig(rows=N_CHECK, support=(16, 16), noise=0.0, balanced=balanced)
    batches = []
    for i, name in enumerate(names):
        task = adapter_task(data, read_text_task(data, name), "dev", encoder, 4 * N_CHECK, frozen=frozen)
        draws = torch.Generator().manual_seed(i)
        batches += [draw_batch(task, look, draws) for _ in range(CHECKS)]
    return batches


def shuffled(batches: Sequence[AdapterBatch]) -> list[AdapterBatch]:
    """The same batches, each with the description of one half a list away."""
    half = len(batches) // 2
    return [replace(b, description=batches[(i + half) % len(batches)].description) for i, b in enumerate(batches)]


@torch.inference_mode()
def scores_of(generator: AdapterGenerator, batches: Sequence[AdapterBatch], encode: Encode | None) -> dict[str, float]:
    """Mean loss and accuracy over classification batches, from words alone and with labelled rows, or by the heads of
    trained tasks; a loss of 1 = no idea.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        if batch.words is None:
            continue
        if batch.task in generator.tasks:
            told = [("heads", head_outputs(generator, batch, encode), batch.y[0])]
        else:
            zero, few, y = batch_outputs(generator, batch, encode)
            told = [("words", zero, y), ("rows", few, y[batch.n_support :])]
        for name, outputs, truth in told:
            loss = torch.nn.functional.cross_entropy(outputs, truth) / math.log(truth.shape[1])
            found[f"{name}_loss"].append(float(loss))
            found[name].append(float((outputs.argmax(1) == truth.argmax(1)).float().mean()))
    return {name: round(sum(v) / len(v), 4) for name, v in found.items()}


def _loss(scores: dict[str, dict[str, float]]) -> float:
    known = [sum(v for name, v in s.items() if name.endswith("_loss")) for s in scores.values() if s]
    return sum(known) / max(1, len(known))


def _story(
    generator: AdapterGenerator,
    config: AdapterTrainConfig,
    tasks: Sequence[TextTask],
    module: AdapterModule,
    scores: dict[str, dict[str, dict[str, float]]],
    kept: bool,
    command: str,
) -> dict[str, Any]:
    run = {
        **run_story(module, command, kept=kept),
        "seed": config.seed,
        "frozen": config.frozen,
        "development_rows": scores,
    }
    return {
        "runs": [*generator.provenance.get("runs", []), run],
        "tasks": [{"name": t.name, "licence": t.licence} for t in tasks],
    }
