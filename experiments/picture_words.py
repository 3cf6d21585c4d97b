"""Do the measured look of pictures, and its words, tell twelve domains apart?

    python -m experiments.picture_words                 # FLAME_DATA or --data names the data folder; a minute
    python -m experiments.picture_words --quick         # fewer pictures, seconds

Office-Caltech (10 classes), half of PACS (7 classes) and digits in four domains. As many pictures of each class of a
domain fall into two halves: the first ones (which the words' thresholds were chosen on) and the last ones. A call looks
at 10 or 50 pictures of one domain, drawn from its half; calls overlap, so the spread between seeds is too small.
"by facts": the nearest centroid of the standardised facts of calls of the first half; "by words": the most likely
domain by the phrases said (naive Bayes). "other classes": learned on the first half of the classes and asked of the
rest, so that nothing of what is shown can help.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report import processor
from experiments.requirements import find_folder
from flame.picture.facts import PictureFacts, gather, measure
from flame.picture.pictures import from_pillow
from flame.picture.words import picture_words, told

N_PICTURES, N_QUICK = 240, 60
"""Pictures of a domain; fewer where a class has fewer."""
N_CALLS, SHOWN = 40, (10, 50)
"""Calls of a domain and a half, per seed; pictures that a call looks at."""
ARCHIVES = {"office": "office_caltech10_256.tar", "pacs": "pacs_128.tar"}
DIGITS = {"digits_mnist": "mnist", "digits_mnistm": "mnistm", "digits_usps": "usps", "digits_sklearn": "digits"}
HALVES = "halves"
SIZES = ("width", "height", "one_size", "blocking")
"""Facts that are decided when a data set is made small; figures without them are given too."""


@dataclass(frozen=True)
class Picture:
    """One measured picture."""

    class_name: str
    second: bool
    """Whether it is of the second half of its class."""
    measured: Mapping[str, float]


Domains = Mapping[str, Sequence[Picture]]
Keep = Callable[[Picture], bool]


def read_domains(folder: Path, n: int) -> dict[str, list[Picture]]:
    """Measured pictures of every domain that the data folder holds; nothing is unpacked."""
    found: dict[str, list[Picture]] = {}
    for family, name in ARCHIVES.items():
        if (path := folder / "vision" / name).is_file():
            found |= {f"{family}_{domain}": pictures for domain, pictures in _archive(path, n).items()}
    if (path := folder / "vision" / "digits_4domains.npz").is_file():
        with np.load(path) as arrays:
            for domain, key in DIGITS.items():
                pictures, labels = arrays[f"{key}_x_train"], arrays[f"{key}_y_train"]
                classes = {str(y): list(pictures[labels == y]) for y in np.unique(labels)}
                found[domain] = _measured(classes, n, lambda cell: cell)
    if len(found) < 2:
        raise SystemExit(f"pictures of several domains are expected in {folder}/vision, however: {sorted(found)}")
    return found


def _archive(path: Path, n: int) -> dict[str, list[Picture]]:
    with tarfile.open(path) as archive:
        opened = partial(_opened, archive)
        by_domain: dict[str, dict[str, list[tarfile.TarInfo]]] = {}
        for member in sorted((m for m in archive if m.isfile()), key=lambda m: m.name):
            domain, class_name = Path(member.name).parts[-3:-1]
            by_domain.setdefault(domain, {}).setdefault(class_name, []).append(member)
        return {domain: _measured(classes, n, opened) for domain, classes in by_domain.items()}


def _opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    return from_pillow().open(archive.extractfile(member))


def _measured(classes: Mapping[str, Sequence[Any]], n: int, opened: Callable[[Any], Any]) -> list[Picture]:
    """The same number of every class, evenly spread over its pictures."""
    found = []
    for class_name, cells in sorted(classes.items()):
        k = min(n // len(classes), len(cells))
        for i, place in enumerate(np.linspace(0, len(cells) - 1, k).astype(int)):
            found.append(Picture(class_name, i >= k / 2, measure(opened(cells[place]))))
    return found


def calls(domains: Domains, keep: Keep, n: int, seed: int) -> dict[str, list[PictureFacts]]:
    """The facts of calls that look at `n` pictures each."""
    random = np.random.default_rng(seed)
    found = {}
    for name, pictures in domains.items():
        kept = [p.measured for p in pictures if keep(p)]
        drawn = [random.choice(len(kept), min(n, len(kept)), replace=False) for _ in range(N_CALLS)]
        found[name] = [gather([kept[i] for i in places]) for places in drawn]
    return found


def halves(domains: Domains) -> tuple[Keep, Keep]:
    """The first and the last pictures of every class."""
    return (lambda p: not p.second), (lambda p: p.second)


def other_classes(domains: Domains) -> tuple[Keep, Keep]:
    """The pictures of the first classes of every domain, and of the rest."""
    first: set[str] = set()
    for pictures in domains.values():
        names = sorted({p.class_name for p in pictures})
        first |= set(names[: (len(names) + 1) // 2])
    return (lambda p: p.class_name in first), (lambda p: p.class_name not in first)


def vector(facts: PictureFacts, *, sizes: bool = True) -> np.ndarray:
    """The facts as numbers; how many pictures there were is none of them."""
    left_out = ("n_pictures", *(() if sizes else SIZES))
    return np.array([value for name, value in asdict(facts).items() if name not in left_out])


Calls = Mapping[str, Sequence[PictureFacts]]
Tell = Callable[[PictureFacts], str]


def by_facts(learned: Calls, *, sizes: bool = True) -> Tell:
    """The domain of the nearest centroid of standardised facts."""
    rows = {name: np.array([vector(f, sizes=sizes) for f in found]) for name, found in learned.items()}
    every = np.concatenate(list(rows.values()))
    middle, scale = every.mean(axis=0), every.std(axis=0) + 1e-9
    centroids = {name: ((found - middle) / scale).mean(axis=0) for name, found in rows.items()}

    def nearest(facts: PictureFacts) -> str:
        place = (vector(facts, sizes=sizes) - middle) / scale
        return min(centroids, key=lambda name: float(np.sum((centroids[name] - place) ** 2)))

    return nearest


def phrases(facts: PictureFacts, *, sizes: bool = True) -> frozenset[str]:
    """What the words say, as the plain wording of every phrase."""
    said = picture_words(facts)
    every = {p.say(facts, 0) for p in told(facts) if sizes or not re.search("pixels|resol|sizes", p.wordings)}
    return frozenset(phrase for phrase in every if phrase in said)


def by_words(learned: Calls, *, sizes: bool = True) -> Tell:
    """The most likely domain by the phrases that are said and not said."""
    sets = {name: [phrases(f, sizes=sizes) for f in found] for name, found in learned.items()}
    known = sorted(frozenset().union(*(one for found in sets.values() for one in found)))
    shares = {
        name: (np.array([[p in one for p in known] for one in found]).sum(axis=0) + 0.5) / (len(found) + 1)
        for name, found in sets.items()
    }

    def likeliest(facts: PictureFacts) -> str:
        one = phrases(facts, sizes=sizes)
        said = np.array([phrase in one for phrase in known])
        return max(shares, key=lambda name: float(np.log(np.where(said, shares[name], 1 - shares[name])).sum()))

    return likeliest


def shuffled(domains: Domains, seed: int) -> dict[str, list[Picture]]:
    """The control: every picture in a domain drawn by chance."""
    random = np.random.default_rng(seed)
    pool = [p for pictures in domains.values() for p in pictures]
    places = iter(random.permutation(len(pool)))
    return {name: [pool[next(places)] for _ in pictures] for name, pictures in domains.items()}


def confusion(asked: Calls, tell: Tell) -> np.ndarray:
    """How many calls of a domain (row) are taken for which (column)."""
    names = list(asked)
    counts = np.zeros((len(names), len(names)), dtype=int)
    for row, facts in enumerate(asked.values()):
        for one in facts:
            counts[row, names.index(tell(one))] += 1
    return counts


def same_sentences(asked: Calls) -> np.ndarray:
    """The share of pairs of calls, one of each domain, that get the same words; on the diagonal of one domain."""
    words = [np.array([picture_words(f) for f in facts]) for facts in asked.values()]
    return np.array([[np.mean(a[:, None] == b[None]) for b in words] for a in words])


@dataclass
class Story:
    """Figures as they come in: shares of calls told right, one per seed, and tables of the halves."""

    accuracy: dict[str, list[float]] = field(default_factory=dict)
    confusion: dict[str, np.ndarray] = field(default_factory=dict)
    same: dict[str, np.ndarray] = field(default_factory=dict)
    words: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, n: int, label: str, first: Calls, second: Calls) -> None:
        """What the calls of one seed and split say."""
        for sizes in (True, False):
            for name, make in (("by facts", by_facts), ("by words", by_words)):
                counts = confusion(second, make(first, sizes=sizes))
                key = f"{n} | {label} | {name}{'' if sizes else ', without sizes'}"
                self.accuracy.setdefault(key, []).append(round(float(np.trace(counts) / counts.sum()), 4))
                if label == HALVES and sizes:
                    self.confusion[f"{n} {name}"] = counts + self.confusion.get(f"{n} {name}", 0)
        if label == HALVES:
            self.same[str(n)] = same_sentences(second) + self.same.get(str(n), 0)
            words = {name: sorted(map(picture_words, found)) for name, found in second.items()}
            self.words.setdefault(str(n), {name: max(said, key=said.count) for name, said in words.items()})


def study(domains: Domains, seeds: Sequence[int], shown: Sequence[int]) -> dict[str, Any]:
    """Every figure, as a JSON object."""
    story = Story()
    for n in shown:
        for seed in seeds:
            for label, split, pool in (
                (HALVES, halves, domains),
                ("other classes", other_classes, domains),
                ("control: pictures shuffled over domains", halves, shuffled(domains, seed)),
            ):
                story.add(n, label, *(calls(pool, keep, n, 2 * seed + i) for i, keep in enumerate(split(pool))))
    return {
        "domains": list(domains),
        "accuracy": story.accuracy,
        "confusion": {key: counts.tolist() for key, counts in story.confusion.items()},
        "same": {key: (shares / len(seeds)).round(4).tolist() for key, shares in story.same.items()},
        "words": story.words,
    }


def timed(n: int = 50) -> float:
    """Seconds of one processor for `n` made-up pictures of 256 by 256 pixels as JPEG, decoded, measured and told."""
    cells, stream = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8), io.BytesIO()
    from_pillow().fromarray(cells).resize((256, 256)).save(stream, "JPEG")
    start = time.process_time()
    picture_words(gather([measure(from_pillow().open(io.BytesIO(stream.getvalue()))) for _ in range(n)]))
    return time.process_time() - start


def markdown(story: Mapping[str, Any]) -> str:
    """The figures as tables."""
    lines = ["| Pictures | Split | Told | Right, % |", "|---|---|---|---|"]
    for key, found in story["accuracy"].items():
        lines.append(f"| {key} | {100 * np.mean(found):.1f} ± {100 * np.std(found):.1f} |")
    names = story["domains"]
    for key, rows in story["confusion"].items():
        lines += ["", f"Calls of {key.replace(' ', ' pictures, taken ', 1)} for:", "", *_square(names, rows, "{}")]
    for key, rows in story["same"].items():
        lines += ["", f"Calls of {key} pictures with the same words, %:", "", *_square(names, rows, "{:.0%}")]
    lines += ["", "The most frequent words of calls of the second half:", ""]
    for n, said in story["words"].items():
        lines += [f"* {n}, {name}: {words}" for name, words in said.items()]
    return "\n".join(lines)


def _square(names: Sequence[str], rows: Sequence[Sequence[float]], form: str) -> list[str]:
    short = [name.split("_", 1)[1] for name in names]
    lines = ["| | " + " | ".join(short) + " |", "|---" * (len(names) + 1) + "|"]
    for name, row in zip(short, rows, strict=True):
        lines.append(f"| {name} | " + " | ".join(form.format(v) if v else "" for v in row) + " |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="the data folder; FLAME_DATA if not given")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="fewer pictures and one seed")
    parser.add_argument("--output", type=Path, help="write <output>.json and <output>.md")
    options = parser.parse_args(arguments)
    seeds = options.seeds[:1] if options.quick else options.seeds
    domains = read_domains(find_folder(options.data), N_QUICK if options.quick else N_PICTURES)
    counts = {name: len(pictures) for name, pictures in domains.items()}
    hardware = f"{sum(counts.values())} pictures, {len(seeds)} seed(s); 50 pictures in {timed():.2f} s; {processor()}"
    story: dict[str, Any] = {"hardware": hardware, "pictures": counts, "seeds": list(seeds)}
    story |= study(domains, seeds, SHOWN[:1] if options.quick else SHOWN)
    text = f"{markdown(story)}\n\n{hardware}"
    print(text)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
        options.output.with_suffix(".md").write_text(text + "\n", "utf8")


if __name__ == "__main__":
    main()
