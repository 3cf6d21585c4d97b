"""Pictures without labels that a model is fitted to: which of them are read, and what is said of it."""

from __future__ import annotations

import numpy as np

from flame.data import DataBatch
from flame.picture.rows import check_pictures
from flame.picture.sources import IMAGE, left_out

FEW, MOST = 20, 300
"""Pictures that must at least be there, and that are at most read; running them through the network is the work."""


def readable_unlabelled(batch: DataBatch | None, notes: list[str]) -> DataBatch | None:
    """At most `MOST` pictures that can be decoded, evenly from a batch; None if they are too few to fit the model to.

    Notes say so, or what the pictures should be.
    """
    if batch is None:
        return None
    chosen = batch.rows(np.linspace(0, len(batch) - 1, min(MOST, len(batch))).astype(int).tolist())
    checked = check_pictures(chosen.features[IMAGE].tolist())
    notes += left_out(checked.faults, len(chosen))
    seen = chosen.rows([i for i in range(len(chosen)) if i not in checked.faults])
    if len(seen) < FEW:
        notes.append(f"{len(seen)} pictures are too few to fit the model to them: give {FEW} or more")
        return None
    notes.append("the model is fitted to the pictures: every class should be among them, about as often as later")
    return seen
