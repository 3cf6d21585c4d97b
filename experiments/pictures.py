"""Models for labelled pictures as `flame.generate_model` writes them without a generator: base and solved classifier.

    python -m experiments.pictures --data DATA                  # tables in experiments/results/pictures.md
    python -m experiments.pictures --domains amazon,caltech,art,cartoon --output DIR    # where one number was chosen
    python -m experiments.pictures --quick                      # made-up pictures, a random network

Pictures of a class are split in the order of their names, 60 % labelled and 40 % for the test, so that neighbouring
frames of one thing mostly stay together. How strongly the classifier is shrunk, one number, was chosen on pictures of
Amazon, Caltech, art and cartoon (a table shows it on labelled ones); the domains that are scored if nothing is said are
the others. Base model: MobileNetV2 1.0/224 of ImageNet from the data folder, another one with `--base-model`.
"""

from __future__ import annotations

import argparse
import json
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import flame
from experiments.office import WEIGHTS
from experiments.office_quick import CLASSES, quick_set, random_base
from experiments.report import processor
from flame.finetune import run_module
from flame.picture.sets import IMAGE_SETS, choose, image_folder
from hypernet.adapters.generator import AdapterGeneratorConfig, Settings
from hypernet.adapters.pictures import FeatureScale
from hypernet.adapters.solve import solve_classes
from targets.vision_networks import head_of, run_steps, steps

SETS = ("office", "pacs")
CHOSEN_ON = ("amazon", "caltech", "art", "cartoon")
SCORED = ("dslr", "webcam", "photo", "sketch")
SHOTS, SEEDS = 5, 3
STRENGTHS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
DESCRIPTION = "Which of these things does the picture show?"
RESULTS = Path(__file__).parent / "results"

Labelled = list[tuple[Any, str]]
"""Paths or arrays, and their labels."""


@dataclass(frozen=True)
class Outcome:
    """One domain."""

    name: str
    n_classes: int
    n_labelled: int
    n_test: int
    accuracy: dict[str, float]
    seconds: dict[str, float]
    """Of generation, end to end."""
    strengths: dict[str, dict[float, tuple[float, float]]]
    """Accuracy and log-loss by the prior's strength, within the labelled pictures; of some domains only."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder that holds vision/; FLAME_DATA if not given")
    parser.add_argument("--base-model", help="as for flame generate")
    parser.add_argument("--domains", default=",".join(SCORED), help="names with commas between them")
    parser.add_argument("--limit", type=int, default=300, help="pictures of a domain")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        base = options.base_model or (
            random_base(place) if options.quick else str(image_folder(options.data) / WEIGHTS)
        )
        names = options.domains.split(",")
        found = _made_up() if options.quick else unpacked(image_folder(options.data), place, names)
        outcomes = []
        for name, rows in found:
            outcomes.append(score_domain(name, rows, base, limit=options.limit))
            print(f"{name}: {outcomes[-1].accuracy}", flush=True)
            _keep(outcomes, options.output)


def _keep(outcomes: Sequence[Outcome], output: Path) -> None:
    """Written after every domain: what is cut off has whole ones."""
    output.mkdir(parents=True, exist_ok=True)
    kept = {"processor": processor(), "torch": torch.__version__, "outcomes": [asdict(o) for o in outcomes]}
    (output / "pictures.json").write_text(json.dumps(kept, indent=1) + "\n", "utf8")
    (output / "pictures.md").write_text(tables(outcomes) + "\n", "utf8")


def score_domain(name: str, rows: Labelled, base: str, *, limit: int) -> Outcome:
    """A few and all labelled pictures, with three draws of the few; beside what needs no solving."""
    places, part = choose([label for _, label in rows], limit)
    chosen = [rows[i] for i in places]
    labelled = [row for row, p in zip(chosen, part, strict=True) if p < 2]
    test = [row for row, p in zip(chosen, part, strict=True) if p == 2]
    whole = flame.generate_model(DESCRIPTION, labelled, base_model=base)
    assert whole.target == "class"
    x, asked = (_features(whole, part) for part in (labelled, test))
    y, truth = (np.array([label for _, label in part]) for part in (labelled, test))
    accuracy = {"majority class": float(np.mean(truth == max(whole.labels, key=lambda v: np.sum(y == v))))}
    few: dict[str, list[float]] = {"mean": [], "flame": [], "seconds": []}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        drawn = np.concatenate([rng.permutation(np.flatnonzero(y == v))[:SHOTS] for v in whole.labels])
        model = flame.generate_model(DESCRIPTION, [labelled[i] for i in drawn], base_model=base)
        few["flame"].append(_right(model, asked, truth))
        few["mean"].append(_nearest_mean(x[drawn], y[drawn], asked, truth))
        few["seconds"].append(model.timings["total"])
    accuracy[f"nearest class mean, {SHOTS} a class"] = float(np.mean(few["mean"]))
    accuracy[f"FLAME, {SHOTS} a class"] = float(np.mean(few["flame"]))
    accuracy["nearest class mean, all labelled"] = _nearest_mean(x, y, asked, truth)
    accuracy["FLAME, all labelled"] = _right(whole, asked, truth)
    seconds = {f"{SHOTS} a class": float(np.mean(few["seconds"])), "all labelled": whole.timings["total"]}
    strengths = {} if name not in CHOSEN_ON else _by_strength(x, y)
    return Outcome(name, len(whole.labels), len(labelled), len(test), accuracy, seconds, strengths)


def _features(model: flame.GeneratedModel, rows: Labelled) -> Tensor:
    """What the classifier of a model reads of pictures."""
    cells = model.preprocessor.read([cell for cell, _ in rows])
    return run_module(run_steps(steps(model.module)), model.preprocessor.encode(cells))


def _right(model: flame.GeneratedModel, asked: Tensor, truth: np.ndarray) -> float:
    """Accuracy of a model's classifier on features: of all models here, the network before it is the base's."""
    head = head_of(model.module)
    found = (asked @ head.weight.detach().mT + head.bias.detach()).argmax(1)
    return float(np.mean(np.array(model.labels)[found.numpy()] == truth))


def _nearest_mean(x: Tensor, y: np.ndarray, asked: Tensor, truth: np.ndarray) -> float:
    names = sorted(set(y))
    scale = FeatureScale.of(x)
    means = torch.stack([scale.standard(x[y == v]).mean(0) for v in names])
    found = torch.cdist(scale.standard(asked), means).argmin(1)
    return float(np.mean(np.array(names)[found.numpy()] == truth))


def _by_strength(x: Tensor, y: np.ndarray) -> dict[str, dict[float, tuple[float, float]]]:
    """Half of each class's labelled pictures against the other half."""
    names, rng = sorted(set(y)), np.random.default_rng(0)
    codes = np.searchsorted(names, y)
    orders = [rng.permutation(np.flatnonzero(codes == c)) for c in range(len(names))]
    held = np.concatenate([o[len(o) // 2 :] for o in orders])
    found: dict[str, dict[float, tuple[float, float]]] = {}
    for shots, most in ((f"{SHOTS} a class", SHOTS), ("half of the labelled", len(y))):
        seen = np.concatenate([o[: min(most, len(o) // 2)] for o in orders])
        scale, truth = FeatureScale.of(x[seen]), torch.from_numpy(codes[held])
        hot = torch.nn.functional.one_hot(torch.from_numpy(codes[seen]), len(names))[None].float()
        found[shots] = {}
        for strength in STRENGTHS:
            settings = Settings.untrained(AdapterGeneratorConfig(prior_scale=strength))
            weight, bias = solve_classes(scale.standard(x[seen])[None], hot, settings)
            logits = scale.standard(x[held]) @ weight[0].mT + bias[0]
            right = float((logits.argmax(1) == truth).float().mean())
            found[shots][strength] = (right, float(torch.nn.functional.cross_entropy(logits, truth)))
    return found


def tables(outcomes: Sequence[Outcome]) -> str:
    """Accuracy by domain, seconds, and what the strength of the prior was chosen by."""
    lines = ["| Test accuracy, % | " + " | ".join(o.name for o in outcomes) + " | mean |"]
    lines += ["|---" * (len(outcomes) + 2) + "|"]
    for method in outcomes[0].accuracy:
        values = [100 * o.accuracy[method] for o in outcomes]
        lines.append(f"| {method} | " + " | ".join(f"{v:.1f}" for v in [*values, np.mean(values)]) + " |")
    counts = ((f"{o.n_classes} / {o.n_labelled:,} / {o.n_test:,}") for o in outcomes)
    lines.append("| classes / labelled / test pictures | " + " | ".join(counts) + " | |")
    for what in outcomes[0].seconds:
        values = [o.seconds[what] for o in outcomes]
        lines.append(
            f"| seconds to write, {what} | " + " | ".join(f"{v:.1f}" for v in [*values, np.mean(values)]) + " |"
        )
    lines += ["", f"{SEEDS} draws of the {SHOTS}; one thread of {processor()}, torch {torch.__version__}, seconds with"]
    lines += ["reading and decoding."]
    chosen = [o for o in outcomes if o.strengths]
    return "\n".join([*lines, *(["", *_strength_lines(chosen)] if chosen else [])])


def _strength_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| Prior's standard deviation | " + " | ".join(f"{s:g}" for s in STRENGTHS) + " |"
    yield "|---" * (len(STRENGTHS) + 1) + "|"
    for shots in outcomes[0].strengths:
        for place, what in enumerate(("accuracy, %", "log-loss")):
            means = [np.mean([o.strengths[shots][s][place] for o in outcomes]) for s in STRENGTHS]
            shown = (f"{100 * m:.1f}" if place == 0 else f"{m:.3f}" for m in means)
            yield f"| {what}, {shots} | " + " | ".join(shown) + " |"


# --- pictures ---------------------------------------------------------------------------------------------------------


def unpacked(data: Path, place: Path, names: Sequence[str]) -> Iterator[tuple[str, Labelled]]:
    """Files of the domains that are named, with their labels, in the order of their names."""
    for name in SETS:
        source = IMAGE_SETS[name]
        wanted = {domain: inside for domain, inside in source.domains.items() if domain in names}
        if wanted:
            with tarfile.open(data / source.file) as tar:
                tar.extractall(place / name, filter="data")
        for domain, inside in wanted.items():
            files = sorted(p for p in (place / name / inside).rglob("*") if p.is_file())
            yield domain, [(str(p), p.parent.name) for p in files]


def _made_up() -> Iterator[tuple[str, Labelled]]:
    domain = quick_set(n=12).domains["dark"]
    yield CHOSEN_ON[0], [(picture, CLASSES[c]) for picture, c in zip(domain.pictures, domain.y, strict=True)]


if __name__ == "__main__":
    main()
