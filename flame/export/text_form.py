"""A text model as exporters see it: its adapter is merged into a copy of the encoder.

Shape letters: n = texts, t = tokens.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch

from flame.columns import MISSING
from flame.errors import DataError
from flame.export.card import cells_of, signed_card, story_of
from flame.export.forms import Batch, Form, expected_of, read_batches, ready, spread
from flame.export.parity import ExportError
from flame.export.text_reader import TextReader
from flame.model import GeneratedModel
from flame.text.module import AdaptedText
from flame.text.preprocessing import TextPreprocessor
from targets.text import FAMILIES

LENGTHS = (0, 1, 2, 5, 12, 30, 80, 400)
"""Words of made-up texts; the longest are cut."""
MOST = 128
"""Texts of the user's that are compared; of more, some evenly spread."""
NO_NCNN = "ncnn answers wrongly for texts of another length than the one it was made with; export to .onnx or .xml"


def form(model: GeneratedModel, rows: Any = None) -> Form:
    """See `flame.export.forms.form_of`; beside a user's texts there are always some of all lengths."""
    module, preprocessor = model.module, model.preprocessor
    assert isinstance(preprocessor, TextPreprocessor)
    if not isinstance(module, AdaptedText):
        raise ExportError(f"a text model is an AdaptedText, however: {type(module).__name__}; export it yourself")
    frame = made_up_texts(preprocessor)
    if rows is not None:
        frame = pd.concat([_given(preprocessor, rows), frame], ignore_index=True)
    frame = frame.iloc[_longest_first(preprocessor, frame)].reset_index(drop=True)
    card = card_of(model)
    cells = {name: cells_of(frame[name], "text") for name in preprocessor.names}
    batches = read_batches(TextReader(card), cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long texts are cut on purpose here
        expected = expected_of(model, frame)
    return Form(
        ready(module.merged(), classes=not model.is_regression),
        batches,
        expected,
        card,
        "made up" if rows is None else "given, and made up of all lengths",
        _same_tokens(preprocessor, frame, batches),
        axes={0: ("n", None), 1: ("t", preprocessor.max_tokens)},
        refused={"ncnn": NO_NCNN},
    )


def card_of(model: GeneratedModel) -> dict[str, Any]:
    """The card of a text model: its columns, its tokenizer and labels."""
    preprocessor, module = model.preprocessor, model.module
    assert isinstance(preprocessor, TextPreprocessor)
    assert isinstance(module, AdaptedText)
    tokenizer = preprocessor.base.tokenizer
    segments = FAMILIES[module.config.family].segments and "token_type_ids" in tokenizer.model_input_names
    return signed_card(
        {
            **story_of(model),
            "modality": "text",
            "columns": [{"name": name, "kind": "text"} for name in preprocessor.names],
            "missing": list(MISSING),
            "max_tokens": preprocessor.max_tokens,
            "inputs": ["ids", "mask", "segments"][: 3 if segments else 2],
            "pad": int(tokenizer.pad_token_id or 0),
            "base": module.config.base,
            "tokenizer": _rules(tokenizer, preprocessor.max_tokens),
        }
    )


def made_up_texts(preprocessor: TextPreprocessor, *, seed: int = 0) -> pd.DataFrame:
    """Words of the tokenizer's vocabulary: texts of one length together, then of all lengths together."""
    rng = np.random.default_rng(seed)
    words = sorted(w for w in preprocessor.base.tokenizer.get_vocab() if w.isalpha()) or ["a"]
    lengths = [n for n in LENGTHS for _ in range(4)] + list(LENGTHS) * 4
    texts = {
        name: [" ".join(words[i] for i in rng.integers(0, len(words), n)) for n in (lengths, lengths[::-1])[place]]
        for place, name in enumerate(preprocessor.names)
    }
    return pd.DataFrame(texts, dtype=object)


def _given(preprocessor: TextPreprocessor, rows: Any) -> pd.DataFrame:
    frame = preprocessor.read(rows)
    if len(frame) == 0:
        raise DataError("texts to compare the export with the model are expected, however: none; leave them out")
    chosen = frame.iloc[spread(len(frame), MOST)]
    return chosen[preprocessor.columns_in(chosen)].set_axis(list(preprocessor.names), axis=1)


def _longest_first(preprocessor: TextPreprocessor, frame: pd.DataFrame) -> list[int]:
    """The longest in front, as it is traced; the others stay where they are."""
    longest = int(np.argmax([len(ids) for ids in preprocessor.tokenize(frame).ids]))
    return [longest, *(i for i in range(len(frame)) if i != longest)]


def _rules(tokenizer: Any, max_tokens: int) -> dict[str, Any]:
    """A tokenizer as the library `tokenizers` writes it down, with the length at which it cuts."""
    from tokenizers import Tokenizer

    copied = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copied.no_padding()
    copied.enable_truncation(max_tokens, strategy="longest_first")
    rules: dict[str, Any] = json.loads(copied.to_str())
    return rules


def _same_tokens(preprocessor: TextPreprocessor, frame: pd.DataFrame, batches: tuple[Batch, ...]) -> bool:
    rows, start = preprocessor.tokenize(frame), 0
    for batch in batches:
        stop = start + len(batch["ids"])
        own = dict(zip(("ids", "mask", "segments"), rows.take(slice(start, stop)), strict=True))
        for name, value in batch.items():
            made = own[name]
            if made is None or not torch.equal(made, value):
                return False
        start = stop
    return True
