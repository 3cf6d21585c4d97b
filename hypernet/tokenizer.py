"""A WordPiece vocabulary of requirement sentences, for the built-in encoder that needs no download."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD_ID = 0


def train_tokenizer(sentences: Iterable[str], vocab_size: int = 2000) -> Tokenizer:
    """Learn a lower-cased WordPiece vocabulary in BERT's layout ([PAD]=0, [UNK]=1, [CLS]=2, [SEP]=3, [MASK]=4).

    The same sentences give the same numbers in every process.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    def reader(model: models.WordPiece) -> Tokenizer:
        tokenizer = Tokenizer(model)
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer

    sentences = list(sentences)
    learner = reader(models.WordPiece(unk_token="[UNK]"))
    text = "".join(learner.normalizer.normalize_str(s) for s in sentences)
    # Every printable ASCII character has a piece, so that a word never seen is spelled and not lost.
    letters = sorted({c for c in text if not c.isspace()} | {chr(c) for c in range(33, 127) if not chr(c).isupper()})
    # The trainer numbers pieces in the order of a hash map, which changes with every process, and breaks ties by
    # number. Special tokens come first and in the order given; so the letters stand among them while it learns.
    first = [*SPECIAL_TOKENS, *letters, *(f"##{c}" for c in letters)]
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=first, show_progress=False)
    learner.train_from_iterator(sentences, trainer)
    tokenizer = reader(models.WordPiece(learner.get_vocab(), unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(t, SPECIAL_TOKENS.index(t)) for t in ("[CLS]", "[SEP]")]
    )
    return tokenizer


def tokenize(tokenizer: Tokenizer, sentences: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, padded to the longest sentence of the batch.

    Shape:
        -> ids (b, t) int64, mask (b, t) int64, t <= max_tokens
    """
    encoded = [e.ids for e in tokenizer.encode_batch(list(sentences))]
    # The closing [SEP] stays when a sentence is cut.
    rows = [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in encoded]
    width = max(len(r) for r in rows)
    ids = torch.tensor([r + [PAD_ID] * (width - len(r)) for r in rows], dtype=torch.long)
    mask = torch.tensor([[1] * len(r) + [0] * (width - len(r)) for r in rows], dtype=torch.long)
    return ids, mask
