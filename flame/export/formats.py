"""The formats a model is exported to: how each is written, and how its own engine runs it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.errors import ConfigError, did_you_mean, missing_extra

if TYPE_CHECKING:
    import numpy as np

    from flame.export.forms import Form


@dataclass(frozen=True)
class Format:
    """One way to write a model down."""

    name: str
    suffix: str
    write: Callable[[Form, Path], None]
    run: Callable[[Form, Path], np.ndarray]
    """The outputs of a written export on the form's rows, by the engine that will run it elsewhere."""
    packages: tuple[str, ...]
    """What must be installed, the engine first; its version is reported."""
    beside: str | None = None
    """Suffix of a second file that holds the weights."""
    exact: bool = True
    """In 32-bit numbers."""

    def files(self, place: Path) -> list[Path]:
        """All files of an export, `place` first."""
        stem = place.name.removesuffix(self.suffix)
        return [place, *([place.with_name(stem + self.beside)] if self.beside else [])]

    def require(self) -> dict[str, str]:
        """Versions of the packages.

        Raises:
            MissingExtraError: if one is not installed.
        """
        found = {}
        for package in self.packages:
            try:
                found[package] = str(getattr(load(package), "__version__", "unknown"))
            except ImportError as error:
                extra = package if package in ("openvino", "ncnn") else "ncnn" if package == "pnnx" else "export"
                raise missing_extra(package, extra, f"exports to {self.suffix}") from error
        return found


def load(package: str) -> Any:
    """An optional package.

    Raises:
        ImportError: if it is not installed.
    """
    if package == "openvino" and package not in sys.modules:
        # OpenVINO reports its use over the network unless this part of it is absent; nothing may leave the machine.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module(package)


def choose_format(path: str | Path, name: str | None) -> tuple[Path, Format]:
    """Place and format that are meant: by suffix, or by name, whose suffix is added where it is missing.

    Raises:
        ConfigError: if there is no such format, or name and suffix disagree.
    """
    from flame.export.writers import FORMATS

    place = Path(path)
    by_suffix = max(
        (f for f in FORMATS.values() if place.name.endswith(f.suffix)), key=lambda f: len(f.suffix), default=None
    )
    if name is None:
        if by_suffix is None or place.name == by_suffix.suffix:
            suffixes = [f.suffix for f in FORMATS.values()]
            raise ConfigError(f"a name with one of the suffixes {suffixes!r} is expected, however: {place.name!r}")
        return place, by_suffix
    if name not in FORMATS:
        raise ConfigError(f"no format {name!r}; known are {did_you_mean(name, FORMATS)}")
    wanted = FORMATS[name]
    if by_suffix is None:
        return place.with_name(place.name + wanted.suffix), wanted
    if by_suffix is not wanted:
        raise ConfigError(f"format {name!r} has the suffix {wanted.suffix!r}, however: {place.name!r}; leave one out")
    return place, wanted
