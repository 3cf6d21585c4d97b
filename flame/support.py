"""The labelled rows that a model is written from, where reading them all would take too long."""

from __future__ import annotations

from typing import Any

import numpy as np

from flame.data import DataBatch


def spread_rows(batch: DataBatch, most: int, notes: list[str]) -> DataBatch:
    """At most so many labelled rows, in equal shares of every class, evenly spread over the data; a note says so."""
    labels, n = batch.labels, len(batch)
    assert labels is not None
    if n <= most:
        return batch
    places: dict[Any, list[int]] = {}
    if len(batch.label_values) * 2 <= most:
        for i, value in enumerate(labels):
            places.setdefault(value, []).append(i)
    else:
        places[None] = list(range(n))
    kept: list[int] = []
    left = most
    for i, rows in enumerate(sorted(places.values(), key=len)):  # what small classes leave goes to the large ones
        share = min(len(rows), left // (len(places) - i))
        kept += [rows[j] for j in np.linspace(0, len(rows) - 1, share).astype(int)]
        left -= share
    chosen = sorted(set(kept))
    notes.append(f"{len(chosen):,} of {n:,} labelled rows are read, evenly spread, to bound the time")
    return batch.rows(chosen)
