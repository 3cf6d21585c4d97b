"""Texts to features of a base model, with or without generated adapters, and words to embeddings.

Shape letters: n = texts, t = tokens, p = features.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flame.metadata import Metadata
from flame.text.base_models import BaseModel, load_tokenizer, text_target, tokenize_texts
from targets import Weights
from targets.lora import live_adapters
from targets.text import TextModel, TextTarget

MAX_TOKENS = 64
"""Where training and the experiments cut texts: half of the words of most product reviews, all of most other texts."""


@dataclass(frozen=True)
class Tokens:
    """Tokenised texts, padded to the longest."""

    ids: Tensor
    """(n, t)"""
    mask: Tensor
    """(n, t)"""
    segments: Tensor | None
    """(n, t), 1 in the second text of a pair; None where the encoder tells none."""

    def take(self, rows: Tensor) -> Tokens:
        """Some of the texts, cut to the longest of them."""
        mask = self.mask[rows]
        t = int(mask.sum(1).max())
        segments = None if self.segments is None else self.segments[rows, :t]
        return Tokens(self.ids[rows, :t], mask[:, :t], segments)


class TextEncoder:
    """A frozen base model with its tokenizer."""

    def __init__(
        self, base: BaseModel, *, rank: int = 8, alpha: float = 16.0, max_tokens: int = MAX_TOKENS, bf16: bool = False
    ) -> None:
        """`bf16`: compute in bfloat16 where that is faster; features are float32 in either case."""
        self.base = base
        self.target: TextTarget = text_target(base, rank=rank, alpha=alpha)
        shape = Metadata(task="seq_cls", out_dim=2, arch="distilbert-base-uncased")
        self.model: TextModel = self.target.build(shape).requires_grad_(False)
        self.tokenizer: Any = load_tokenizer(base)
        self.max_tokens = min(max_tokens, base.max_tokens)
        self.bf16 = bf16
        self._known: dict[str, Tensor] = {}

    def facts(self) -> dict[str, Any]:
        """What a checkpoint states of the base model that its adapters fit."""
        config = self.target.config
        return {
            "name": self.base.name,
            "sha256": self.base.sha256,
            "licence": self.base.licence,
            "family": config.family,
            "pooling": config.pooling,
            "targets": config.lora.targets,
            "rank": config.lora.rank,
            "alpha": config.lora.alpha,
            "max_tokens": self.max_tokens,
        }

    def tokens(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Tokens:
        """Tokenise texts or pairs of texts.

        Raises:
            DataError: if there are none.
        """
        return Tokens(*tokenize_texts(self.tokenizer, texts, pairs, max_tokens=self.max_tokens))

    def features(self, tokens: Tokens, weights: Weights | None = None) -> Tensor:
        """One vector a text; `weights`: adapters of one model, through which gradients flow.

        Shape:
            -> (n, p)
        """
        adapted = nullcontext() if weights is None else live_adapters(self.model.base, weights, self.target.config.lora)
        device = tokens.ids.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16), adapted:
            return self.model.features(tokens.ids, tokens.mask, tokens.segments).float()

    @torch.inference_mode()
    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        weights: Weights | None = None,
        batch: int = 64,
    ) -> Tensor:
        """Features of many texts, those of like length together.

        Shape:
            -> (n, p)

        Raises:
            DataError: if there are none.
        """
        tokens = self.tokens(texts, pairs)
        order = tokens.mask.sum(1).argsort()
        parts = [self.features(tokens.take(rows), weights) for rows in order.split(batch)]
        return torch.cat(parts)[order.argsort()].clone()

    def embed(self, words: Sequence[str]) -> Tensor:
        """Embeddings of descriptions or label words by the base model alone; kept, as few of them come often.

        Shape:
            -> (n, p)
        """
        fresh = list(dict.fromkeys(w for w in words if w not in self._known))
        if fresh:
            self._known.update(zip(fresh, self.encode(fresh), strict=True))
        return torch.stack([self._known[w] for w in words])
