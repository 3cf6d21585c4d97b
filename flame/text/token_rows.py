"""Texts as token ids, batched with others of about their length.

Shape letters: n = texts, t = tokens of the longest of them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from flame.inputs import Rows

PART_TOKENS, PART_TEXTS = 8192, 64
"""Most tokens, padding included, and most texts that are encoded at once."""
AT_ONCE = 1000
"""Texts that are tokenised at once."""
PATIENCE_S = 2.0
"""Seconds after which a terminal is told how far the encoder is."""


@dataclass(frozen=True)
class TokenRows:
    """Tokenised texts, or pairs of texts."""

    ids: tuple[Tensor, ...]
    """Per text its token ids, (t,)."""
    segments: tuple[Tensor, ...] | None
    """Per text which tokens belong to the second of a pair; None where the tokenizer does not say."""
    pad: int
    """Id of the padding."""
    n_cut: int
    """Texts of which only the beginning is read."""

    def __len__(self) -> int:
        return len(self.ids)

    def parts(self) -> Iterator[Tensor]:
        """Groups of texts of about one length, the longest first."""
        order = sorted(range(len(self.ids)), key=lambda i: -len(self.ids[i]))
        started, start = time.perf_counter(), 0
        shown = False
        while start < len(order):
            n = max(1, min(PART_TEXTS, PART_TOKENS // len(self.ids[order[start]])))
            yield torch.tensor(order[start : start + n])
            start += n
            shown = _tell(min(start, len(order)), len(order), time.perf_counter() - started, shown)

    def take(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor | None]:
        """Ids, mask and segments.

        Shape:
            -> (n, t) each
        """
        places = range(len(self.ids))[rows] if isinstance(rows, slice) else rows.tolist()
        ids = [self.ids[i] for i in places]
        mask = pad_sequence([torch.ones_like(i) for i in ids], batch_first=True)
        segments = None
        if self.segments is not None:
            segments = pad_sequence([self.segments[i] for i in places], batch_first=True)
        return pad_sequence(ids, batch_first=True, padding_value=self.pad), mask, segments

    def choose(self, rows: Tensor) -> TokenRows:
        places = rows.tolist()
        segments = None if self.segments is None else tuple(self.segments[i] for i in places)
        return TokenRows(tuple(self.ids[i] for i in places), segments, self.pad, self.n_cut)


def tokenized(tokenizer: Any, texts: Sequence[str], pairs: Sequence[str] | None, *, max_tokens: int) -> TokenRows:
    """Texts as token ids; of a pair the longer text is cut first. An empty text is one too."""
    ids: list[Tensor] = []
    segments: list[Tensor] = []
    n_cut = 0
    for start in range(0, len(texts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        second = None if pairs is None else list(pairs[part])
        out = tokenizer(list(texts[part]), second, truncation=True, max_length=max_tokens)
        ids += map(torch.tensor, out["input_ids"])
        segments += map(torch.tensor, out.get("token_type_ids", ()))
        n_cut += sum(bool(e.overflowing) for e in out.encodings)
    return TokenRows(tuple(ids), tuple(segments) if segments else None, int(tokenizer.pad_token_id or 0), n_cut)


def _tell(done: int, n: int, seconds: float, shown: bool) -> bool:
    """One line on a terminal when it takes long; whether there is one."""
    if not sys.stderr.isatty() or (seconds < PATIENCE_S and not shown):
        return False
    end = "\n" if done == n else ""
    print(f"\r{done:,} of {n:,} texts are encoded ({seconds:.0f} s)", end=end, file=sys.stderr, flush=True)
    return True
