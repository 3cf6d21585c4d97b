"""A base model in memory: its frozen encoder, tokenizer and shape; shared by all models that are written for it.

Shape letters: n = texts, d = width of the encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from flame.errors import CheckpointError
from flame.finetune import run_module
from flame.metadata import Arch
from flame.text.base_models import MINILM, WEIGHTS, BaseModel, find_base, load_tokenizer, text_target
from flame.text.token_rows import tokenized
from targets.text import TextConfig, TextModel, TextTarget, load_base

MAX_TOKENS = 128
"""Tokens of a text, or of both texts of a pair, that are read."""
TRAINING_TOKENS = 64
"""The same while a generator is trained, to save time: half of most product reviews, all of most other texts. Its
adapters read twice as much just as well (film reviews: better), so models are not cut there."""
RANK, ALPHA = 8, 16.0
"""Of adapters, where no trained generator says otherwise."""
_ARCHES: dict[str, Arch] = {
    MINILM: "minilm",
    "distilbert-base-uncased": "distilbert-base-uncased",
    "bert-base-uncased": "bert-base-uncased",
}
_FAMILIES: dict[str, Arch] = {"distilbert": "distilbert", "bert": "bert"}


@dataclass(frozen=True, eq=False)
class TextBase:
    """A base model that adapters are written for."""

    base: BaseModel
    target: TextTarget
    encoder: nn.Module = field(repr=False)
    """Frozen, in evaluation mode; never to be changed."""
    tokenizer: Any = field(repr=False)

    @property
    def config(self) -> TextConfig:
        """Pooling, adapted layers, rank and scale."""
        return self.target.config

    @property
    def arch(self) -> Arch:
        """Its name in the metadata: that of a known base, else that of its family."""
        return _ARCHES.get(self.base.name, _FAMILIES[self.config.family])

    def words(self, texts: Sequence[str]) -> Tensor:
        """The base's own features of short texts: descriptions and names of labels.

        Shape:
            -> (n, d)
        """
        rows = tokenized(self.tokenizer, texts, None, max_tokens=min(MAX_TOKENS, self.base.max_tokens))
        return run_module(TextModel(self.encoder, out_dim=1, config=self.config).features, rows)


def load_text_base(name: str, *, config: TextConfig | None = None, sha256: str | None = None) -> TextBase:
    """A base model by name or folder; kept in memory for the next call.

    Args:
        name: `minilm`, a local folder or a hub name; see `flame.text.base_models.find_base`.
        config: how it is adapted, where that is known already; else as the base's own files say.
        sha256: what its weights must be.

    Raises:
        CheckpointError: if there is none, it is not readable, or its weights are others.
        ConfigError: if it is of an architecture that is not adapted.
    """
    base = _found(name, _changed(name))
    if sha256 is not None and base.sha256 != sha256:
        raise CheckpointError(
            f"expected the base model {name!r} with sha256 {sha256}, however: {base.sha256}; adapter and head fit the "
            "base they were written for and no other: name its folder"
        )
    if config is None:
        target = text_target(base, rank=RANK, alpha=ALPHA)
    else:
        target = TextTarget(config, folder=base.folder)
    return TextBase(base, target, *_loaded(base, target.config.pooling))


def fresh_text_base(base: BaseModel, target: TextTarget) -> TextBase:
    """A base model of its own, which may be moved to another device; nothing is kept.

    Raises:
        CheckpointError: if it is not readable.
    """
    return TextBase(base, target, *_read(base, target.config.pooling))


def _changed(name: str) -> int:
    """When the weights of a local folder were last written, so that others in their place are noticed; 0 elsewhere."""
    file = Path(name) / WEIGHTS
    try:
        return file.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(maxsize=8)
def _found(name: str, changed: int) -> BaseModel:
    return find_base(name)


@lru_cache(maxsize=4)
def _loaded(base: BaseModel, pooling: str) -> tuple[nn.Module, Any]:
    return _read(base, pooling)


def _read(base: BaseModel, pooling: str) -> tuple[nn.Module, Any]:
    with _quiet():
        tokenizer = load_tokenizer(base)
        return load_base(base.folder, pooling=pooling).requires_grad_(False).eval(), tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and reports of transformers, which say that a base model brings parts that are not needed."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
