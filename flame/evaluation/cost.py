"""What a model costs on this machine: size, operations, seconds. Measured, not estimated (see `flame.footprint`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

if TYPE_CHECKING:
    from flame.inputs import Encoded
    from flame.model import GeneratedModel

N_RUNS, N_WARM = 200, 5
"""Timed runs, and runs before the clock counts."""
LEAST_RUNS = 20
MOST_S = 3.0
"""Seconds after which no further run begins, once there are `LEAST_RUNS`."""
BATCH, LEAST_BATCHES = 256, 3
"""Rows of a throughput run at most, and runs: of slow models fewer rows, so that the runs fit into `MOST_S`."""


@dataclass(frozen=True)
class Cost:
    """One model on one machine; times are of `predict`, from cells to answers, unless stated otherwise."""

    n_parameters: int
    flops: float
    """Operations of the network for the longest of the rows; a multiplication and an addition are two. Matrix products,
    convolutions and attention are counted, as torch's counter does."""
    latency_p50_s: float
    """One row."""
    latency_p95_s: float
    network_p50_s: float
    """One row through the network alone, without reading and encoding it."""
    rows_per_s: float
    """In batches of up to 256 rows."""
    n_bytes: int
    """The saved folder, and the weights of its base model if it has one."""
    generation_s: float
    """Generation, and fine-tuning if there was some."""


def measure_cost(model: GeneratedModel, rows: pd.DataFrame) -> Cost:
    """Run the model on rows of its kind; takes some seconds.

    Args:
        rows: at least one, unlabelled; latencies go through the first of them in turn.
    """
    singles = [rows.iloc[[i]] for i in range(min(len(rows), N_RUNS))]
    latencies = _seconds(lambda i: model.predict(singles[i % len(singles)]))
    encoded = model.preprocessor.encode(rows)
    longest = encoded.choose(_first(encoded))
    network = _seconds(lambda _: _run(model.module, longest))
    p50, p95 = np.percentile(latencies, [50, 95])
    batch = rows.head(min(BATCH, max(1, int(MOST_S / LEAST_BATCHES / p50))))
    batches = _seconds(lambda _: model.predict(batch), warm=1, least=LEAST_BATCHES)
    tuned = model.provenance.get("finetune", {}).get("seconds", 0.0)
    return Cost(
        n_parameters=model.n_parameters(),
        flops=count_flops(model.module, longest),
        latency_p50_s=float(p50),
        latency_p95_s=float(p95),
        network_p50_s=float(np.median(network)),
        rows_per_s=float(len(batch) / np.median(batches)),
        n_bytes=_on_disk(model),
        generation_s=float(model.timings.get("total", 0.0) + tuned),
    )


def count_flops(module: nn.Module, rows: Encoded) -> float:
    """Floating-point operations of one pass, by torch's counter."""
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # The counter knows no fused attention of CPUs; written out, its products are counted.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        _run(module, rows)
    return float(counter.get_total_flops())


def _run(module: nn.Module, rows: Encoded) -> None:
    with torch.inference_mode():
        module.eval()(*rows.take(slice(0, len(rows))))


def _first(encoded: Encoded) -> torch.Tensor:
    """Number of the longest row, which stands first in the first part."""
    part = next(encoded.parts())
    return torch.arange(len(encoded))[part][:1]


def _seconds(run: Callable[[int], object], *, warm: int = N_WARM, least: int = LEAST_RUNS) -> list[float]:
    """Seconds of run after run."""
    for i in range(warm):
        run(i)
    taken: list[float] = []
    while len(taken) < N_RUNS and (len(taken) < least or sum(taken) < MOST_S):
        started = time.perf_counter()
        run(len(taken))
        taken.append(time.perf_counter() - started)
    return taken


def _on_disk(model: GeneratedModel) -> int:
    from flame.text.base_models import WEIGHTS
    from flame.text.preprocessing import TextPreprocessor

    with TemporaryDirectory(prefix="flame-size-") as place:
        folder = model.save(Path(place) / "model")
        n_bytes = sum(p.stat().st_size for p in folder.iterdir())
    if isinstance(model.preprocessor, TextPreprocessor):
        n_bytes += (model.preprocessor.base.base.folder / WEIGHTS).stat().st_size
    return n_bytes
