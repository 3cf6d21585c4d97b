"""Train the generator of adapters for pictures: sets of domains in, a checkpoint folder out, in a stated time.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from flame.errors import CheckpointError, DataError
from flame.files import atomic_folder, check_place, claim_work
from flame.picture.features import PictureEncoder, domain_task, picture_encoder, sentences_of
from flame.picture.fitting import PictureModule, PictureTrainConfig, fit
from flame.picture.generators import Embed, word_embedding
from flame.picture.sets import IMAGE_SETS, LIMIT, SIDE, ImageSet, load_image_set
from flame.picture.writing import Group, domain_logits, new_generator, write_model
from flame.timed_runs import run_story
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator
from hypernet.adapters.pictures import PictureGenerator
from hypernet.adapters.stream import AdapterTask

MARKER = "model.safetensors"


def train_images(
    output: str | Path,
    config: PictureTrainConfig | None = None,
    *,
    data: str | Path,
    arch: str = "mobilenet_v2",
    weights: str | Path = "DEFAULT",
    kind: str = "lora",
    sets: Sequence[str] = tuple(IMAGE_SETS),
    written: Mapping[str, Sequence[str]] | None = None,
    start: str | Path | None = None,
    work: str | Path | None = None,
    side: int = SIDE,
    limit: int = LIMIT,
    cache: str | Path | None = None,
    progress: bool = True,
    command: str = "flame.picture.training.train_images(...)",
) -> PictureGenerator:
    """Train on the training pictures of all domains of the sets, and write the generator's folder.

    Killed and called again with the same arguments, it goes on from the last minute. The new weights are written only
    if their loss on validation pictures is smaller than that of the weights it started from.

    Args:
        data: folder that holds `vision/`; see `flame.picture.sets`.
        weights: of the base model; see `targets.vision_weights.load_base`.
        kind: `lora` or `film`.
        written: descriptions by hand of `set/domain`, beside those made from pixels.
        start: folder of a checkpoint to continue from; None = from nothing.
        work: folder for the log and the resume file; `<output>.work` if not given.
        cache: folder for decoded pictures and what the early layers made of them; the user's if not given.

    Raises:
        ConfigError: if the work folder holds another run.
        CheckpointError: if `output` is taken, or `start` is no such checkpoint or fits another base model.
        DataError: if a set is unknown or its file missing.
        MissingExtraError: if torchvision or Pillow is not installed.
    """
    config = config or PictureTrainConfig()
    output = check_place(output, marker=MARKER)
    work = Path(work) if work is not None else output.with_name(output.name + ".work")
    encoder = picture_encoder(arch, weights, kind=kind)
    found = [load_image_set(name, data=data, side=side, limit=limit, cache=cache) for name in sets]
    if not found:
        raise DataError(f"at least one set of pictures is expected; there are {list(IMAGE_SETS)}")
    embed = word_embedding()
    groups = [read_group(s, encoder, embed, written=written, cache=cache) for s in found]
    described = {**encoder.described(side), "words": "sentence-transformers/all-MiniLM-L6-v2"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        fresh = new_generator(encoder, groups, remembers=True)
    generator = fresh if start is None else _continued(start, described, groups)
    generator.base = described
    run = {"config": asdict(config), "start": generator.fingerprint, "base": described}
    claim_work(work, {**run, "sets": list(sets)})
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    earlier = validation_scores(generator, encoder, groups)
    module = fit(generator, config, groups, encoder, work, progress=progress)
    later, kept = validation_scores(generator, encoder, groups), False
    if config.minutes and later["loss"] > earlier["loss"]:
        generator.load_state_dict(before)
        kept = True
    generator.provenance = _story(generator, config, found, module, earlier, later, kept, command)
    with atomic_folder(output, marker=MARKER) as folder:
        save_adapter_generator(generator, folder)
    return load_picture_generator(output)


def read_group(
    found: ImageSet,
    encoder: PictureEncoder,
    embed: Embed,
    *,
    domains: Sequence[str] | None = None,
    written: Mapping[str, Sequence[str]] | None = None,
    cache: str | Path | None = None,
) -> Group:
    """Domains of a set, all of them if not said, with their sentences and what the early layers made of them."""
    words = embed(list(found.classes))

    def tasks(part: str) -> tuple[AdapterTask, ...]:
        return tuple(
            domain_task(
                encoder,
                found,
                found.domains[d],
                part,
                descriptions=embed(sentences_of(found, d, (written or {}).get(f"{found.name}/{d}", ()))),
                words=words,
                cache=cache,
            )
            for d in domains or found.domains
        )

    return Group(found.name, words, tasks("train"), tasks("validation"))


def validation_scores(
    generator: PictureGenerator, encoder: PictureEncoder, groups: Sequence[Group]
) -> dict[str, float]:
    """Mean loss (1 = no idea) and accuracy by domain on validation pictures, with each domain's first sentence."""
    losses, scores = [], {}
    for g in groups:
        for task in g.checks:
            model = write_model(generator, encoder, task.descriptions[0], g.words)
            logits = domain_logits(encoder, task.inputs[0], model)
            losses.append(float(torch.nn.functional.cross_entropy(logits, task.y)) / math.log(len(g.words)))
            scores[task.name] = round(float((logits.argmax(1) == task.y).float().mean()), 4)
    accuracy = sum(scores.values()) / len(scores)
    return {"loss": round(sum(losses) / len(losses), 4), "accuracy": round(accuracy, 4), **scores}


def _continued(start: str | Path, described: dict[str, Any], groups: Sequence[Group]) -> PictureGenerator:
    tasks = [t for g in groups for t in g.tasks]
    generator = load_picture_generator(start)
    if generator.base != described:
        raise CheckpointError(f"the generator in {start} fits {generator.base}, however the base here is {described}")
    kept = [len(v) for v in (generator.domains.means, generator.domains.sentences, generator.label_words)]
    given = [len(tasks), sum(len(t.descriptions) for t in tasks), sum(len(g.words) for g in groups)]
    if kept != given:
        told = "{} domains by {} sentences and {} labels"
        raise CheckpointError(
            f"the generator in {start} remembers {told.format(*kept)}, however the sets here have "
            f"{told.format(*given)}: continue with the same sets and sentences"
        )
    return generator


def _story(
    generator: PictureGenerator,
    config: PictureTrainConfig,
    found: Sequence[ImageSet],
    module: PictureModule,
    earlier: dict[str, float],
    later: dict[str, float],
    kept: bool,
    command: str,
) -> dict[str, Any]:
    run = {
        **run_story(module, command, kept=kept),
        "seed": config.seed,
        "validation_pictures": {"before": earlier, "after": later},
    }
    tasks = [{"name": f"{s.title}, {d}", "licence": s.licences[d]} for s in found for d in s.domains]
    return {
        "runs": [*generator.provenance.get("runs", []), run],
        "tasks": tasks,
        "labels": {s.name: list(s.classes) for s in found},
        "note": "most training pictures are for research use or come without a stated licence; none is in this folder",
    }


def read_written(path: str | Path) -> dict[str, list[str]]:
    """Descriptions by hand from a JSON file: `set/domain` to sentences.

    Raises:
        DataError: if it is no such file.
    """
    try:
        raw = json.loads(Path(path).read_text("utf8"))
        return {str(name): [str(s) for s in sentences] for name, sentences in raw.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{path}: a JSON object of set/domain to sentences is expected: {error}") from error
