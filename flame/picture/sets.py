"""Labelled pictures of several domains from a data folder: decoded once, made small, split the same way every time.

Three sets: ten things in four collections of photographs (Office-Caltech: a 10-class subset of Office-31 plus Caltech),
seven things in four manners (PACS), ten digits of four sources. The folder is `FLAME_DATA` or given; see `IMAGE_SETS`.

Shape letters: n = pictures, s = side in pixels.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from flame.errors import DataError, did_you_mean
from flame.picture.facts import N_PICTURES, PictureFacts, picture_facts
from flame.picture.pictures import from_pillow, open_picture
from flame.picture.words import picture_wordings

PARTS = ("train", "validation", "test")
SHARES = (0.5, 0.1, 0.4)
"""Of the pictures of a class, in the order of their names: neighbouring frames of one thing mostly stay together."""
SIDE, LIMIT = 128, 600
"""Pixels of a picture's side; pictures of a domain, evenly from its classes."""
MARGIN = 8 / 7
"""Side of a photograph before the middle is cut out, over the side after."""
VERSION = 1
"""Of the cached arrays."""
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class ImageSource:
    """Where a set lies, and what its domains are called."""

    title: str
    file: str
    """Under the data folder."""
    domains: dict[str, str]
    """Name of a domain: its name in the file."""
    licences: dict[str, str]
    """By domain."""
    margin: float
    """Side before the middle is cut out, over the side after; 1 for what fills its picture."""


_RESEARCH = "research use, no explicit licence"
IMAGE_SETS: dict[str, ImageSource] = {
    "office": ImageSource(
        "Office-Caltech (10-class subset of Office-31 plus Caltech)",
        "vision/office_caltech10_256.tar",
        {"amazon": "amazon", "dslr": "dslr", "webcam": "webcam", "caltech": "caltech10"},
        dict.fromkeys(("amazon", "dslr", "webcam", "caltech"), _RESEARCH),
        MARGIN,
    ),
    "pacs": ImageSource(
        "PACS",
        "vision/pacs_128.tar",
        {"photo": "photo", "art": "art_painting", "cartoon": "cartoon", "sketch": "sketch"},
        dict.fromkeys(("photo", "art", "cartoon", "sketch"), _RESEARCH),
        MARGIN,
    ),
    "digits": ImageSource(
        "digits",
        "vision/digits_4domains.npz",
        {"mnist": "mnist", "mnist_m": "mnistm", "usps": "usps", "scans": "digits"},
        {
            "mnist": "CC BY-SA 3.0",
            "mnist_m": "CC BY-SA 3.0 digits on patches of BSDS500 (research use)",
            "usps": _RESEARCH,
            "scans": "BSD 3-Clause with scikit-learn; UCI optical digits CC BY 4.0",
        },
        1.0,
    ),
}


@dataclass(frozen=True)
class ImageDomain:
    """Pictures of one domain."""

    name: str
    pictures: np.ndarray
    """(n, s, s, 3) uint8"""
    y: np.ndarray
    """(n,) index of the class"""
    part: np.ndarray
    """(n,) index into `PARTS`"""
    facts: PictureFacts | None = None
    """How training pictures look, measured before they were made small."""

    def rows(self, part: str) -> np.ndarray:
        """Places of the pictures of a part."""
        return np.flatnonzero(self.part == PARTS.index(part))

    def sentences(self) -> list[str]:
        """At most five descriptions made from the pixels of training pictures; no label is named."""
        return [] if self.facts is None else [f"Classify {words}." for words in picture_wordings(self.facts)]


@dataclass(frozen=True)
class ImageSet:
    """Domains that share their classes."""

    name: str
    title: str
    classes: tuple[str, ...]
    domains: dict[str, ImageDomain]
    licences: dict[str, str]


def image_folder(data: str | Path | None = None) -> Path:
    """The data folder: as given, else `FLAME_DATA`.

    Raises:
        DataError: if neither is given.
    """
    found = data or os.environ.get("FLAME_DATA")
    if not found:
        raise DataError("the folder of the data kit is expected: give data=... or set FLAME_DATA")
    return Path(found)


def picture_cache() -> Path:
    """Folder of decoded pictures: `$FLAME_CACHE/pictures`, else in `$XDG_CACHE_HOME/flame` or `~/.cache/flame`."""
    if own := os.environ.get("FLAME_CACHE"):
        return Path(own).expanduser() / "pictures"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "flame" / "pictures"


def load_image_set(
    name: str,
    *,
    data: str | Path | None = None,
    side: int = SIDE,
    limit: int = LIMIT,
    cache: str | Path | None = None,
) -> ImageSet:
    """A set with all its domains; read from the cache where it was decoded before.

    Args:
        data: folder that holds `vision/`; `FLAME_DATA` if not given.
        limit: pictures of a domain, evenly from its classes.
        cache: folder for decoded pictures; `picture_cache()` if not given.

    Raises:
        DataError: if the set is unknown, or its file is missing or broken.
        MissingExtraError: if Pillow is not installed.
    """
    if name not in IMAGE_SETS:
        raise DataError(f"no set of pictures {name!r}; there are {did_you_mean(name, IMAGE_SETS)}")
    source = IMAGE_SETS[name]
    path = image_folder(data) / source.file
    if not path.is_file():
        raise DataError(f"{source.title}: the file {path} is missing; give the folder that holds {source.file}")
    folder = Path(cache) if cache is not None else picture_cache()
    place = folder / f"{name}-{side}-{limit}-{path.stat().st_size}-{VERSION}.npz"
    if not place.is_file():
        try:
            arrays = _decoded(source, path, side, limit)
        except (OSError, tarfile.TarError, KeyError, ValueError) as error:
            raise DataError(f"{source.title}: {path} cannot be read: {error}") from error
        folder.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.stem}.{os.getpid()}.npz")
        np.savez(partial, **cast(Any, arrays))
        os.replace(partial, place)
    return _from_cache(name, source, place)


def _from_cache(name: str, source: ImageSource, place: Path) -> ImageSet:
    with np.load(place, allow_pickle=False) as held:
        kept = {key: held[key] for key in held.files}
    domains = {
        d: ImageDomain(
            d,
            kept[f"{d}.pictures"],
            kept[f"{d}.y"],
            kept[f"{d}.part"],
            PictureFacts(**json.loads(str(kept[f"{d}.facts"]))),
        )
        for d in source.domains
    }
    return ImageSet(name, source.title, tuple(map(str, kept["classes"])), domains, source.licences)


# --- decoding ---------------------------------------------------------------------------------------------------------


def _decoded(source: ImageSource, path: Path, side: int, limit: int) -> dict[str, np.ndarray]:
    rows = list(_from_tar(path) if path.suffix == ".tar" else _from_arrays(path))
    classes = sorted({label for _, label, _ in rows}, key=lambda c: _DIGITS.index(c) if c in _DIGITS else 0)
    classes = classes if set(classes) <= set(_DIGITS) else sorted(classes)
    arrays: dict[str, np.ndarray] = {"classes": np.array(classes)}
    for domain, inside in source.domains.items():
        mine = [(label, cell) for where, label, cell in rows if where == inside]
        chosen, part = choose([label for label, _ in mine], limit)
        opened = [open_picture(_plain(mine[i][1])) for i in chosen]
        arrays[f"{domain}.pictures"] = np.stack([square(image, side, source.margin) for image in opened])
        arrays[f"{domain}.y"] = np.array([classes.index(mine[i][0]) for i in chosen])
        arrays[f"{domain}.part"] = part
        seen = [opened[i] for i in np.flatnonzero(part == 0)]
        spread = [seen[i] for i in np.linspace(0, len(seen) - 1, min(N_PICTURES, len(seen))).astype(int)]
        arrays[f"{domain}.facts"] = np.array(json.dumps(asdict(picture_facts(spread))))
    return arrays


def choose(labels: Sequence[str], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of at most `limit` rows, as many of each class as there are, and the part of each.

    >>> places, part = choose(["a"] * 10 + ["b"] * 4, 20)
    >>> part.tolist()
    [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 0, 0, 2, 2]
    """
    names = sorted(set(labels))
    places, parts = [], []
    for name in names:
        own = [i for i, label in enumerate(labels) if label == name]
        most = max(1, limit // len(names))
        own = [own[i] for i in np.linspace(0, len(own) - 1, min(most, len(own))).astype(int)]
        ends = np.round(np.cumsum(SHARES) * len(own) + 1e-9).astype(int)
        places += own
        parts += np.searchsorted(ends, np.arange(len(own)), side="right").tolist()
    return np.array(places), np.array(parts, dtype=np.int8)


def square(image: Any, side: int, margin: float = 1.0) -> np.ndarray:
    """The middle square of a Pillow image in RGB.

    Shape:
        -> (s, s, 3) uint8
    """
    whole = max(side, round(side * margin))
    width, height = (max(side, round(n * whole / min(image.size))) for n in image.size)
    fitted = image.resize((width, height), from_pillow().Resampling.BILINEAR)
    left, top = (width - side) // 2, (height - side) // 2
    return np.asarray(fitted.crop((left, top, left + side, top + side)))


def _plain(cell: Any) -> Any:
    return from_pillow().open(io.BytesIO(cell)) if isinstance(cell, bytes) else cell


def _from_tar(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Domain, class and file of every picture, in the order of names."""
    with tarfile.open(path) as tar:
        for member in sorted((m for m in tar.getmembers() if m.isfile()), key=lambda m: m.name):
            domain, label, _ = member.name.split("/")
            held = tar.extractfile(member)
            assert held is not None
            yield domain, label.replace("_", " "), held.read()


def _from_arrays(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    with np.load(path, allow_pickle=False) as held:
        names = sorted({key.split("_")[0] for key in held.files})
        for name in names:
            for part in ("train", "test"):
                pictures, labels = held[f"{name}_x_{part}"], held[f"{name}_y_{part}"]
                for picture, label in zip(pictures, labels, strict=True):
                    yield name, _DIGITS[int(label)], picture
