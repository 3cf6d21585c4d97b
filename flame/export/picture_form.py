"""A picture model as exporters see it.

Shape letters: n = pictures, s = side in pixels.
"""

from __future__ import annotations

import copy
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flame.errors import DataError
from flame.export.card import signed_card, story_of
from flame.export.forms import Batch, Form, expected_of, read_batches, ready, spread
from flame.export.picture_reader import PictureReader
from flame.model import GeneratedModel
from flame.picture.pictures import from_pillow, open_picture
from flame.picture.preprocessing import PicturePreprocessor
from flame.picture.sources import IMAGE

SIZES = ((64, 64), (500, 300), (90, 400), (224, 224), (7, 5), (1, 1), (256, 1024), (333, 250))
"""Width and height of made-up pictures."""
MOST = 96
"""Pictures that are compared; of more, some evenly spread."""
CLOSE = 1e-4
"""Largest difference of a standardised pixel between the shipped reader and the model."""


def form(model: GeneratedModel, rows: Any = None) -> Form:
    """See `flame.export.forms.form_of`."""
    preprocessor = model.preprocessor
    assert isinstance(preprocessor, PicturePreprocessor)
    frame = preprocessor.read(made_up_pictures() if rows is None else rows)
    if len(frame) == 0:
        raise DataError("pictures to compare the export with the model are expected, however: none; leave them out")
    frame = frame.iloc[spread(len(frame), MOST)].reset_index(drop=True)
    card = card_of(model)
    reader = PictureReader(card)
    batches = read_batches(reader, {IMAGE: [encoded(cell) for cell in frame[IMAGE]]})
    module = ready(copy.deepcopy(model.module), classes=not model.is_regression)
    told = "made up" if rows is None else "given"
    same = _same_pixels(preprocessor, frame, batches)
    return Form(module, batches, expected_of(model, frame), card, told, same, calibrated=True)


def card_of(model: GeneratedModel) -> dict[str, Any]:
    """The card of a picture model: sizes, scale and labels."""
    columns = [{"name": IMAGE, "kind": "image"}]
    return signed_card({**story_of(model), "modality": "image", "columns": columns, **model.preprocessor.to_json()})


def made_up_pictures(n: int = 24, *, seed: int = 0) -> list[Any]:
    """Smooth colours with noise, of many sizes, large ones as JPEG, and some that are grey or transparent."""
    rng = np.random.default_rng(seed)
    return [_made_up(rng, *SIZES[i % len(SIZES)], ("RGB", "RGB", "L", "RGBA")[i // 2 % 4]) for i in range(n)]


def _made_up(rng: np.random.Generator, width: int, height: int, mode: str) -> Any:
    image = from_pillow()
    corners = image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
    smooth = np.asarray(corners.resize((width, height), image.Resampling.BICUBIC), dtype=np.float32)
    noisy = np.clip(smooth + rng.normal(0, 20, smooth.shape), 0, 255).astype(np.uint8)
    return image.fromarray(noisy).convert(mode)


def encoded(cell: Any) -> bytes:
    """The bytes of a picture's file: its own, or those of a PNG with the same pixels."""
    if isinstance(cell, str | os.PathLike):
        return Path(cell).read_bytes()
    out = io.BytesIO()
    open_picture(cell).save(out, "PNG")
    return out.getvalue()


def _same_pixels(preprocessor: PicturePreprocessor, frame: Any, batches: tuple[Batch, ...]) -> bool:
    rows, start = preprocessor.encode(frame), 0
    for batch in batches:
        stop = start + len(batch["x"])
        if not torch.allclose(rows.take(slice(start, stop))[0], batch["x"], rtol=0, atol=CLOSE):
            return False
        start = stop
    return True
