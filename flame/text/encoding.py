"""Texts to features of a base model, with or without generated adapters, and words to embeddings: what training needs.

Shape letters: n = texts, t = tokens, p = features.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from flame.errors import DataError
from flame.finetune import run_module
from flame.text.base import ALPHA, MAX_TOKENS, RANK, fresh_text_base
from flame.text.base_models import BaseModel, text_target
from flame.text.token_rows import TokenRows, tokenized
from targets import Weights
from targets.lora import live_adapters
from targets.text import TextModel, TextTarget


class TextEncoder:
    """A frozen base model with its tokenizer."""

    def __init__(
        self,
        base: BaseModel,
        *,
        rank: int = RANK,
        alpha: float = ALPHA,
        max_tokens: int = MAX_TOKENS,
        bf16: bool = False,
    ) -> None:
        """`bf16`: compute in bfloat16 where that is faster; features are float32 in either case."""
        self.base = base
        self.target: TextTarget = text_target(base, rank=rank, alpha=alpha)
        loaded = fresh_text_base(base, self.target)
        self.model = TextModel(loaded.encoder, out_dim=1, config=self.target.config).requires_grad_(False).eval()
        self.tokenizer: Any = loaded.tokenizer
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

    def tokens(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> TokenRows:
        """Tokenise texts or pairs of texts.

        Raises:
            DataError: if there are none, or not as many second texts as first ones.
        """
        if not len(texts) or (pairs is not None and len(pairs) != len(texts)):
            second = "" if pairs is None else f" and {len(pairs)} second texts"
            wanted = "at least one text, and as many second texts as first ones"
            raise DataError(f"expected {wanted}, however: {len(texts)} texts{second}")
        return tokenized(self.tokenizer, texts, pairs, max_tokens=self.max_tokens)

    def features(
        self, ids: Tensor, mask: Tensor, segments: Tensor | None = None, *, weights: Weights | None = None
    ) -> Tensor:
        """One vector a text; `weights`: adapters of one model, through which gradients flow.

        Shape:
            ids, mask and segments (n, t) -> (n, p)
        """
        adapted = nullcontext() if weights is None else live_adapters(self.model.base, weights, self.target.config.lora)
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=self.bf16), adapted:
            return self.model.features(ids, mask, segments).float()

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, *, weights: Weights | None = None
    ) -> Tensor:
        """Features of many texts, those of like length together.

        Shape:
            -> (n, p)

        Raises:
            DataError: if there are none.
        """
        return run_module(partial(self.features, weights=weights), self.tokens(texts, pairs)).clone()

    def embed(self, words: Sequence[str]) -> Tensor:
        """Embeddings of descriptions or label words by the base model alone; kept, as few of them come often.

        Shape:
            -> (n, p)
        """
        fresh = list(dict.fromkeys(w for w in words if w not in self._known))
        if fresh:
            self._known.update(zip(fresh, self.encode(fresh), strict=True))
        return torch.stack([self._known[w] for w in words])
