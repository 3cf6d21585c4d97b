"""Labelled pictures that a classifier is learnt from: which of them are read, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flame.columns import shorten
from flame.data import DataBatch
from flame.errors import DataError
from flame.picture.rows import Checked, check_pictures
from flame.picture.sources import IMAGE, left_out, short_name


def readable_labelled(batch: DataBatch, notes: list[str]) -> DataBatch:
    """Without pictures that cannot be decoded; notes tell of them, and of pictures that stand in several classes.

    Raises:
        DataError: if a class is left without pictures; names one of its files.
    """
    cells = batch.features[IMAGE].tolist()
    assert batch.labels is not None
    labels = batch.labels.tolist()
    checked = check_pictures(cells)
    notes += left_out(checked.faults, len(cells))
    notes += _in_several_classes(checked, cells, labels)
    kept = [i for i in range(len(cells)) if i not in checked.faults]
    lost = set(labels) - {labels[i] for i in kept}
    if lost:
        first = next(i for i, label in enumerate(labels) if label in lost)
        raise DataError(
            f"every class needs a picture, however none of class {shorten(labels[first])} can be read: "
            f"{checked.faults[first]}; give others, or leave the class out"
        )
    return batch.rows(kept)


def _in_several_classes(checked: Checked, cells: Sequence[Any], labels: Sequence[Any]) -> list[str]:
    found = [places for places in checked.same if len({labels[i] for i in places}) > 1]
    if not found:
        return []
    first = found[0][0]
    other = next(i for i in found[0] if labels[i] != labels[first])
    shown = " and ".join(f"{short_name(cells[i])} ({shorten(labels[i])})" for i in (first, other))
    return [f"{len(found)} picture(s) stand in more than one class and count in each, such as {shown}"]
