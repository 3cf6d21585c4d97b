"""Generators on disk: `config.json`, `model.safetensors` and a card in a folder. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from flame.errors import CheckpointError

FILES = ("config.json", "model.safetensors")
FORMAT_VERSION = 1
Generator = TypeVar("Generator", bound=nn.Module)


def write_folder(
    folder: str | Path, tensors: Mapping[str, Tensor], *, kind: str, config: dict[str, Any], card: str
) -> Path:
    """Write a folder; `config.json` comes last, so that a half-written one is refused."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").unlink(missing_ok=True)
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    (folder / "model.safetensors").write_bytes(content)
    (folder / "README.md").write_text(card, "utf8")
    text = json.dumps({"format": kind, "version": FORMAT_VERSION, **config}, indent=1)
    (folder / "config.json").write_text(text, "utf8")
    return folder


def read_folder(
    folder: str | Path, build: Callable[[dict[str, Any], dict[str, Tensor]], Generator], *, kind: str, what: str
) -> Generator:
    """Read a folder that `write_folder` wrote; the hash of the weights is kept as `fingerprint`.

    Args:
        build: makes the generator from the configuration and the tensors (in single precision); what it raises of
            missing or misshapen parts means that the folder is not readable.
        what: the generator's name in messages.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    folder = Path(folder)
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise CheckpointError(f"{folder} is no {what}: it lacks {', '.join(missing)}")
    try:
        raw = json.loads((folder / "config.json").read_text("utf8"))
        if not isinstance(raw, dict) or (raw.get("format"), raw.get("version")) != (kind, FORMAT_VERSION):
            raise CheckpointError(
                f'{folder}/config.json must say "format": "{kind}" and "version": {FORMAT_VERSION}; another program or '
                "version wrote it"
            )
        content = (folder / "model.safetensors").read_bytes()
        model = build(raw, {name: value.float() for name, value in load(content).items()})
    except CheckpointError:
        raise
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, RecursionError, SafetensorError
    ) as error:  # fmt: skip
        raise CheckpointError(f"the generator in {folder} is truncated or foreign: {error}") from error
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise CheckpointError(f"the generator in {folder} holds numbers that are not finite")
    model.fingerprint = hashlib.sha256(content).hexdigest()  # type: ignore[assignment]
    return model.eval()


def markdown_table(rows: list[dict[str, Any]]) -> str:
    """Rows of equal keys as a Markdown table, for cards."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(str(row.get(n, "-")) for n in names) + " |" for row in rows)])
