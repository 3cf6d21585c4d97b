"""Classifiers for pictures from the names of classes: by what the base network's own 1,000 classes are called.

    python -m experiments.picture_names --data DATA             # experiments/results/picture_names*.md and .json
    python -m experiments.picture_names --data DATA --choose    # how three numbers were chosen: no test picture is read
    python -m experiments.picture_names --quick                 # made-up pictures, a random network

Twelve domains of three sets, MobileNetV2 1.0/224 of ImageNet (data kit) as it is, pictures of 128 pixels. What a row
reads of a domain stands in front: names of classes, unlabelled training pictures, or some labelled ones (three draws).
Controls: rows that were written for other labels of the set (three shuffles), and the row of the one ImageNet class
whose name is most alike. Digits are no things that ImageNet names: a request for them is refused, and they are scored
here to show why.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from experiments.office import WEIGHTS
from experiments.office_quick import quick_embedding, quick_set
from experiments.picture_names_report import chosen_markdown, markdown, summary_markdown
from experiments.report import processor
from flame.picture.base import PictureBase
from flame.picture.features import PictureEncoder, picture_encoder
from flame.picture.generators import PictureWriter, word_embedding
from flame.picture.own_classes import OwnClasses, OwnLabels, own_classes
from flame.picture.sets import IMAGE_SETS, ImageDomain, ImageSet, image_folder, load_image_set
from hypernet.adapters.named_rows import LENGTH, NamedRows
from hypernet.adapters.pictures import FeatureScale
from hypernet.adapters.solve import Rows
from targets.vision_networks import new_network
from targets.vision_weights import BaseWeights

SHOTS, DRAWS = (1, 2, 5), 3
WIDTHS, RIDGES = (0.1, 0.2, 0.5), (0.03, 0.1, 0.3, 1.0)
LENGTHS, CHOOSING_SHOTS = (0.1, 0.2, 0.3, 0.5, 1.0), (1, 2, 5, 10, 20)
RESULTS = Path(__file__).parent / "results"
Scores = dict[str, float]
"""By row: accuracy, 0 to 1."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Features of the pictures of one domain, and their classes."""

    x: Tensor
    """(n, p)"""
    y: Tensor
    """(n,)"""


@dataclass(frozen=True, eq=False)
class Kit:
    """What all domains share."""

    encoder: PictureEncoder
    base: PictureBase
    own: OwnClasses
    cache: Path | None

    def read(self, found: ImageSet, domain: ImageDomain, *parts: str) -> Pictures:
        """Pictures of some parts of a domain."""
        rows = np.concatenate([domain.rows(part) for part in parts])
        inputs = self.encoder.cached_prefix(f"{found.name}-{domain.name}", domain.pictures, self.cache)[rows]
        return Pictures(self.encoder.features(inputs), torch.from_numpy(domain.y[rows]).long())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder that holds vision/; FLAME_DATA if not given")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures")
    parser.add_argument("--choose", action="store_true", help="score settings on training and validation pictures")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        sets, kit = _quick(Path(temporary)) if options.quick else _real(options)
        hardware = f"one thread of {processor()}, torch {torch.__version__}; base model {kit.base.name}"
        if options.choose:
            text = chosen_markdown(left_out_scores(kit), length_scores(sets, kit), hardware)
            (options.output / "picture_names_chosen.md").write_text(text, "utf8")
        else:
            scores = {s.name: dict(test_scores(s, kit)) for s in sets}
            unlike = {s.name: len(kit.own.read(s.classes).unlike) for s in sets}
            story = {"hardware": hardware, "classes": {s.name: s.classes for s in sets}, "unlike": unlike}
            (options.output / "picture_names.json").write_text(json.dumps({**story, "scores": scores}, indent=1) + "\n")
            text = markdown(scores, hardware)
            (options.output / "picture_names.md").write_text(text, "utf8")
            summary = summary_markdown(scores, {s.name: len(s.classes) for s in sets}, unlike, hardware)
            (options.output / "picture_names_summary.md").write_text(summary, "utf8")
    print(text)


def test_scores(found: ImageSet, kit: Kit) -> Iterator[tuple[str, Scores]]:
    """Every row on the test pictures of each domain of a set."""
    named = kit.own.read(found.classes)
    assert kit.base.own_rows is not None
    places = [kit.own.names.index(name) for name in named.nearest]
    nearest = replace(named, rows=kit.own.rows.rows[places])
    shuffled = [replace(named, rows=named.rows[order]) for order in _shuffles(len(found.classes))]
    for name, domain in found.domains.items():
        test, seen = kit.read(found, domain, "test"), kit.read(found, domain, "train")
        k = len(found.classes)
        scores = {
            "nothing: majority class": float((test.y == seen.y.bincount().argmax()).float().mean()),
            "names: FLAME": accuracy(named.alone(), test),
            "names: control, the names of other labels": _mean(accuracy(s.alone(), test) for s in shuffled),
            "names: control, row of the most alike name": accuracy(nearest.alone(), test),
            "names and pictures: FLAME": accuracy(named.fitted(seen.x), test),
            "names and pictures: control, the names of other labels": _mean(
                accuracy(s.fitted(seen.x), test) for s in shuffled
            ),
            "names and pictures: control, row of the most alike name": accuracy(nearest.fitted(seen.x), test),
        }
        for shots in SHOTS:
            draws, what = list(_few(seen.y, k, shots)), f"{shots} labelled a class"
            scores[what] = _mean(_solved(kit, seen, d, None, test) for d in draws)
            scores[f"{what} and names: FLAME"] = _mean(_solved(kit, seen, d, named, test) for d in draws)
            scores[f"{what} and names: control, the names of other labels"] = _mean(
                _solved(kit, seen, d, other, test) for d, other in zip(draws, shuffled, strict=True)
            )
        print(f"{found.name}/{name}: {json.dumps({key: round(v, 3) for key, v in scores.items()})}", flush=True)
        yield name, {key: round(v, 4) for key, v in scores.items()}


def left_out_scores(kit: Kit) -> dict[tuple[float, float], float]:
    """Mean cosine of the rows of left-out classes of ImageNet's to their own, by width and ridge."""
    rows, found = kit.own.rows, {}
    for width in WIDTHS:
        for ridge in RIDGES:
            guess = NamedRows(rows.words, rows.rows, width, ridge).left_out()
            found[width, ridge] = float(nn.functional.cosine_similarity(guess, rows.rows).mean())
    return found


def length_scores(sets: Sequence[ImageSet], kit: Kit) -> dict[str, dict[str, dict[float, tuple[float, float]]]]:
    """Accuracy and log-loss by what is read, set and length of the rows; on training and validation pictures."""
    found: dict[str, dict[str, dict[float, list[tuple[float, float]]]]] = {"names": {}}
    for s in sets:
        named = kit.own.read(s.classes)
        for domain in s.domains.values():
            seen = kit.read(s, domain, "train", "validation")
            for length in (0.0, *LENGTHS):
                own = replace(named, rows=named.rows * (length / LENGTH))
                for what, score in _by_length(kit, seen, own, len(s.classes)):
                    found.setdefault(what, {}).setdefault(s.name, {}).setdefault(length, []).append(score)
    return {
        what: {name: {length: _mean_of(v) for length, v in lengths.items()} for name, lengths in of.items()}
        for what, of in found.items()
    }


def _by_length(kit: Kit, seen: Pictures, own: OwnLabels, k: int) -> Iterator[tuple[str, tuple[float, float]]]:
    if bool(own.rows.any()):
        yield "names", _scores(own.alone(), seen)
    for shots in CHOOSING_SHOTS:
        for draw in _few(seen.y, k, shots):
            rest = torch.ones(len(seen.y), dtype=torch.bool)
            rest[draw] = False
            if int(rest.sum()) >= k:
                y = nn.functional.one_hot(seen.y[draw], k).float()
                solved = PictureWriter(kit.base, kit.base.weights.scale).solved(seen.x[draw], y, own, None)
                yield f"{shots} a class", _scores(solved, Pictures(seen.x[rest], seen.y[rest]))


def accuracy(made: tuple[FeatureScale, Rows], asked: Pictures) -> float:
    """Share of pictures whose class a classifier gives."""
    return _scores(made, asked)[0]


def _scores(made: tuple[FeatureScale, Rows], asked: Pictures) -> tuple[float, float]:
    scale, (weight, bias) = made
    logits = scale.standard(asked.x) @ weight[0].mT + bias[0]
    right = float((logits.argmax(1) == asked.y).float().mean())
    return right, float(nn.functional.cross_entropy(logits, asked.y))


def _solved(kit: Kit, seen: Pictures, draw: Tensor, named: OwnLabels | None, test: Pictures) -> float:
    y = nn.functional.one_hot(seen.y[draw], int(seen.y.max()) + 1).float()
    return accuracy(PictureWriter(kit.base, kit.base.weights.scale).solved(seen.x[draw], y, named, None), test)


def _few(y: Tensor, k: int, shots: int) -> Iterator[Tensor]:
    """Places of some pictures of every class, `DRAWS` times."""
    for seed in range(DRAWS):
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        yield torch.cat([order[y[order] == c][:shots] for c in range(k)])


def _shuffles(k: int) -> list[Tensor]:
    """Orders in which every label has the row of another."""
    orders = (torch.randperm(k, generator=torch.Generator().manual_seed(seed)) for seed in range(DRAWS))
    return [order[(order.argsort() + 1) % k] for order in orders]


def _mean(values: Iterator[float]) -> float:
    return float(np.mean(list(values)))


def _mean_of(scores: Sequence[tuple[float, float]]) -> tuple[float, float]:
    right, loss = np.mean(scores, axis=0).tolist()
    return right, loss


# --- data and network -------------------------------------------------------------------------------------------------


def _real(options: argparse.Namespace) -> tuple[list[ImageSet], Kit]:
    encoder = picture_encoder("mobilenet_v2", image_folder(options.data) / WEIGHTS)
    base = PictureBase("mobilenet_v2", encoder.base)
    sets = [load_image_set(name, data=options.data, cache=options.cache) for name in IMAGE_SETS]
    return sets, Kit(encoder, base, own_classes(base, word_embedding), options.cache)


def _quick(place: Path) -> tuple[list[ImageSet], Kit]:
    torch.manual_seed(0)
    weights = BaseWeights("resnet18", new_network("resnet18").state_dict(), "made up")
    base = PictureBase("a random ResNet-18", weights)
    encoder = PictureEncoder(weights, pattern=r"layer4\.1\.conv.*", rank=2)
    return [quick_set()], Kit(encoder, base, own_classes(base, lambda: quick_embedding), place)


if __name__ == "__main__":
    main()
