"""Train the generator of adapters for pictures: sets of domains in, a checkpoint folder out, in a stated time.

Shape letters: n = pictures, k = classes, p = features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flame.errors import CheckpointError, DataError
from flame.files import atomic_folder, check_place, claim_work
from flame.picture.features import PictureEncoder, domain_task, picture_encoder, sentences_of
from flame.picture.fitting import fit, picture_config
from flame.picture.generators import Embed, word_embedding
from flame.picture.sets import IMAGE_SETS, LIMIT, SIDE, ImageSet, load_image_set
from flame.picture.styles import STYLES, restyled
from flame.timed_runs import run_story
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator
from hypernet.adapters.generator import AdapterGeneratorConfig
from hypernet.adapters.module import AdapterModule, AdapterTrainConfig
from hypernet.adapters.pictures import PictureGenerator
from hypernet.adapters.stream import AdapterTask

MARKER = "model.safetensors"
D_LATENT = 128
"""Table 7."""


@dataclass(frozen=True)
class Group:
    """Domains that share their classes, embedded."""

    name: str
    words: Tensor
    """(k, d_words)"""
    tasks: tuple[AdapterTask, ...]
    """Training pictures of each domain."""
    checks: tuple[AdapterTask, ...]
    """Validation pictures of each domain."""


def train_images(
    output: str | Path,
    config: AdapterTrainConfig | None = None,
    *,
    data: str | Path,
    arch: str = "mobilenet_v2",
    weights: str | Path = "DEFAULT",
    kind: str = "lora",
    sets: Sequence[str] = tuple(IMAGE_SETS),
    written: Mapping[str, Sequence[str]] | None = None,
    styles: bool = False,
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
        styles: train on made-up domains as well; see `flame.picture.styles`.
        start: folder of a checkpoint to continue from; None = from nothing.
        work: folder for the log and the resume file; `<output>.work` if not given.
        cache: folder for decoded pictures and what the early layers made of them; the user's if not given.

    Raises:
        ConfigError: if the work folder holds another run.
        CheckpointError: if `output` is taken, or `start` is no such checkpoint or fits another base model.
        DataError: if a set is unknown or its file missing.
        MissingExtraError: if torchvision or Pillow is not installed.
    """
    config = config or picture_config()
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
        generator = new_generator(encoder, groups) if start is None else _continued(start, described)
    generator.base = described
    run = {"config": asdict(config), "start": generator.fingerprint, "base": described}
    claim_work(work, {**run, "sets": list(sets), "styles": styles})
    tasks = [t for g in groups for t in g.tasks]
    if styles:
        tasks += [
            t for s, g in zip(found, groups, strict=True) for t in made_up_tasks(s, g, encoder, embed, cache=cache)
        ]
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    earlier = validation_scores(generator, encoder, groups)
    module = fit(generator, config, tasks, encoder, work, progress=progress)
    generator.cpu().eval()
    encoder.model.cpu()
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


def made_up_tasks(
    found: ImageSet, group: Group, encoder: PictureEncoder, embed: Embed, *, cache: str | Path | None = None
) -> list[AdapterTask]:
    """Every real domain of a group in every manner; together they are drawn as often as the real ones."""
    made = []
    for task in group.tasks:
        domain = found.domains[task.name.removeprefix(f"{found.name}/")]
        for style in STYLES:
            other = restyled(domain, style)
            sentences = embed(other.sentences())
            rows = domain_task(encoder, found, other, "train", descriptions=sentences, words=group.words, cache=cache)
            made.append(replace(rows, share=1 / len(STYLES)))
    return made


def new_generator(
    encoder: PictureEncoder, groups: Sequence[Group], make: type[PictureGenerator] = PictureGenerator
) -> PictureGenerator:
    """An untrained generator: its heads are solved on the base model's features of all training pictures of a set."""
    config = AdapterGeneratorConfig(d_latent=D_LATENT)
    n_labels = sum(len(g.words) for g in groups)
    d_words = groups[0].words.shape[1]
    generator = make(encoder.specs, d_words, encoder.d_feature, config, n_labels=n_labels)
    features = {g.name: [encoder.features(t.inputs[0]) for t in g.tasks] for g in groups}
    generator.standardise(torch.cat([f for parts in features.values() for f in parts]))
    first = 0
    for g in groups:
        y = torch.cat([t.y for t in g.tasks])
        generator.remember(first, g.words, generator.solve_rows(torch.cat(features[g.name]), y, len(g.words)))
        first += len(g.words)
    return generator.eval()


@torch.inference_mode()
def domain_logits(
    generator: PictureGenerator, encoder: PictureEncoder, inputs: Tensor, description: Tensor, words: Tensor
) -> Tensor:
    """Logits of pictures by the model that one description gives.

    Shape:
        inputs (n, c, h, w), description (d_words,), words (k, d_words) -> (n, k)
    """
    made = generator.write(description[None], words[None], head=encoder.head)
    weight, bias = made.pop(f"{encoder.head}.weight")[0], made.pop(f"{encoder.head}.bias")[0]
    return encoder.features(inputs, made) @ weight.mT + bias


def validation_scores(
    generator: PictureGenerator, encoder: PictureEncoder, groups: Sequence[Group]
) -> dict[str, float]:
    """Mean loss (1 = no idea) and accuracy by domain on validation pictures, with each domain's first sentence."""
    losses, scores = [], {}
    for g in groups:
        for task in g.checks:
            logits = domain_logits(generator, encoder, task.inputs[0], task.descriptions[0], g.words)
            losses.append(float(torch.nn.functional.cross_entropy(logits, task.y)) / math.log(len(g.words)))
            scores[task.name] = round(float((logits.argmax(1) == task.y).float().mean()), 4)
    accuracy = sum(scores.values()) / len(scores)
    return {"loss": round(sum(losses) / len(losses), 4), "accuracy": round(accuracy, 4), **scores}


def _continued(start: str | Path, described: dict[str, Any]) -> PictureGenerator:
    generator = load_picture_generator(start)
    if generator.base != described:
        raise CheckpointError(f"the generator in {start} fits {generator.base}, however the base here is {described}")
    return generator


def _story(
    generator: PictureGenerator,
    config: AdapterTrainConfig,
    found: Sequence[ImageSet],
    module: AdapterModule,
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
