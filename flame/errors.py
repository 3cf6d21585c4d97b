"""What goes wrong, in one family: catch `FlameError` for everything, or the builtin you would expect.

Every message says what was expected, what came and what to do; several faults of one input are raised together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FlameError(Exception):
    """Base of every error this library raises on purpose."""


class DataError(FlameError, ValueError):
    """The rows, columns or labels that were handed over cannot be used as they are."""


class MetadataError(FlameError, ValueError):
    """The metadata of a task (type, dimensions, scale, architecture) is not valid."""


class RouteError(FlameError, LookupError):
    """No checkpoint can generate a model for this request; the message says what would help."""


class CheckpointError(FlameError, OSError):
    """A checkpoint or a saved model is missing, truncated, foreign, or could not be written."""


class ConfigError(FlameError, ValueError):
    """A training or experiment configuration has unknown keys or values out of range."""


class WeightsError(FlameError, ValueError):
    """Generated tensors do not fit the target: a name is missing or a shape differs."""


class MissingExtraError(FlameError, ImportError):
    """An optional dependency is not installed; the message holds the pip line that installs it."""


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional package that is not there.

    >>> print(missing_extra("peft", "text", "LoRA adapters"))
    LoRA adapters need the package 'peft'; install it with: pip install 'flame-hypernet[text]'
    """
    return MissingExtraError(
        f"{purpose} need the package '{package}'; install it with: pip install 'flame-hypernet[{extra}]'"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the known ones and the nearest match.

    >>> did_you_mean("mprc", ["mrpc", "stsb"])
    "['mrpc', 'stsb']. Did you mean 'mrpc'?"
    """
    choices = list(known)
    folded = {str(c).casefold(): c for c in choices}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return f"{choices!r}." + (f" Did you mean {folded[near[0]]!r}?" if near else "")
