"""Texts as token ids, batched with others of about their length.

Shape letters: n = texts, t = tokens of the longest of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from flame.inputs import Rows
from flame.progress import Progress

PART_TOKENS, PART_TEXTS = 8192, 64
"""Most tokens, padding included, and most texts that are encoded at once."""
AT_ONCE = 1000
"""Texts that are tokenised at once."""


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
        progress, start = Progress(len(order), "texts are encoded"), 0
        while start < len(order):
            n = max(1, min(PART_TEXTS, PART_TOKENS // len(self.ids[order[start]])))
            part = torch.tensor(order[start : start + n])
            yield part
            start += n
            progress.add(len(part))

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
