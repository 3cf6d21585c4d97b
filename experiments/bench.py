"""Where the time goes: warm generation, stage by stage, for tables with and without a trained head, and adapters.

    python -m experiments.bench        # or: make bench

Medians and spread (10th to 90th percentile) over many runs after a warm-up; milliseconds; one thread where nothing else
is said. The floor of an adapter is the time that writing its bytes to memory takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

import flame
from flame.api import any_table_way, write_model
from flame.metadata import Metadata
from flame.table.tables import TABLES, load_table, split_table
from targets import Target, Weights
from targets.text import TextModel, TextTarget, text_config
from targets.vision import VisionTarget

DESCRIPTION = "Tell three iris species apart from petal and sepal sizes."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows: list[tuple[str, np.ndarray]] = []
    for name, description in (("iris", DESCRIPTION), ("breast_cancer", None)):
        rows += _table(name, description, options.runs)
    rows += _any_table(max(3, options.runs // 10))
    rows += _adapters(max(3, options.runs // 20))
    for statement in ("pass", "import flame", "import flame; flame.generate_model"):
        rows.append((f"python -c {statement!r}", _repeat(lambda s=statement: _python(s), 5)))  # type: ignore[misc]
    rows.append(
        (
            "flame --help",
            _repeat(
                lambda: _python("import sys; sys.argv = ['flame', '--help']; from flame.cli import main; main()"), 5
            ),
        )
    )
    print(
        f"{options.runs} runs, one thread, torch {torch.__version__}\n\n"
        "| what | median ms | 10 % | 90 % |\n|---|---|---|---|"
    )
    for label, seconds in rows:
        low, middle, high = np.percentile(seconds * 1000, [10, 50, 90])
        print(f"| {label} | {middle:.2f} | {low:.2f} | {high:.2f} |")


def _table(name: str, description: str | None, runs: int) -> list[tuple[str, np.ndarray]]:
    """Warm generation from the labelled training rows, stage by stage, and prediction of the test rows."""
    target = TABLES[name].target
    split = split_table(load_table(name, source="sklearn"), target)

    def generate() -> flame.GeneratedModel:
        return flame.generate_model(description, split.train, target=target)

    model = generate()
    seconds = _repeat(lambda: model.predict(split.test), runs)
    return [*_stages(generate, runs, name), (f"{name}: predict {len(split.test)} rows", seconds)]


def _any_table(runs: int) -> list[tuple[str, np.ndarray]]:
    """1,000 labelled rows of 20 columns without a trained head, and XGBoost's fit, where it is installed."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 20))
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(20)])
    frame["y"] = pd.qcut(x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(size=1000), 3, labels=["a", "b", "c"]).astype(str)
    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        batch = flame.read_data(frame, target="y")
        for scale in ("small", "base"):
            proposal = any_table_way().propose(None, batch)
            assert not isinstance(proposal, list)
            write = partial(write_model, proposal, None, scale=scale)
            write()
            rows.append((f"1,000 x 20: write a model, {scale}, {threads} thread(s)", _repeat(write, runs)))
        try:
            from xgboost import XGBClassifier

            codes = frame["y"].astype("category").cat.codes
            fit = XGBClassifier(n_estimators=100, n_jobs=threads).fit
            rows.append((f"1,000 x 20: XGBoost's fit, {threads} thread(s)", _repeat(lambda: fit(x, codes), runs)))  # noqa: B023
        except ImportError:
            pass
    torch.set_num_threads(1)
    return rows


def _adapters(runs: int) -> list[tuple[str, np.ndarray]]:
    """LoRA adapters by the shared decoder, from a latent of 128 numbers; two threads."""
    from hypernet.decoder import MultiHeadDecoder

    torch.set_num_threads(2)
    rows = []
    targets: dict[str, Target] = {
        "DistilBERT-base": TextTarget(text_config("distilbert-base-uncased")),
        "ResNet-50": VisionTarget("resnet50"),
    }
    for name, target in targets.items():
        decoder = MultiHeadDecoder(target.static_specs(), {}, d_latent=128, kind="shared").eval()
        held = 4 * sum(p.numel() for p in decoder.parameters()) / 1e6
        n_bytes = 4 * sum(s.size for s in target.static_specs())
        z, source = torch.randn(1, 128), torch.zeros(n_bytes // 4)
        with torch.inference_mode():
            write = partial(decoder.static, z)
            write()
            label = f"{name}: write an adapter of {n_bytes / 1e6:.1f} MB, decoder of {held:.1f} MB"
            rows.append((f"{label}, 2 threads", _repeat(write, runs)))
            rows.append((f"{name}: floor, copy as many bytes", _repeat(source.clone, runs)))
            rows += _merged(name, target, write, runs)
    torch.set_num_threads(1)
    return rows


def _merged(name: str, target: Target, write: Callable[[], Weights], runs: int) -> list[tuple[str, np.ndarray]]:
    """A model of 31 classes with its adapter merged, on a base that was never trained: values cost no time."""
    if isinstance(target, TextTarget):
        metadata = Metadata(task="seq_cls", out_dim=31, arch="distilbert-base-uncased")
        model: nn.Module = TextModel(_random_base(), out_dim=31, config=target.config).eval()
    else:
        metadata = Metadata(task="img_cls", out_dim=31, arch="resnet50")
        model = target.build(metadata)
    head = {s.name: torch.zeros(1, *s.shape) for s in target.dynamic_specs(metadata)}

    def merge() -> object:
        return target.merge(model, {**write(), **head})

    merge()
    n_bytes = 4 * sum(p.numel() for p in model.parameters())
    source = torch.zeros(n_bytes // 4)
    return [
        (f"{name}: write an adapter and a merged model of {n_bytes / 1e6:.0f} MB, 2 threads", _repeat(merge, runs)),
        (f"{name}: copy as many bytes as the model has in one piece", _repeat(source.clone, runs)),
    ]


def _random_base() -> nn.Module:
    """DistilBERT-base as transformers starts it."""
    from transformers import AutoConfig, AutoModel

    made: nn.Module = AutoModel.from_config(AutoConfig.for_model("distilbert"))
    return made


def _stages(call: Callable[[], flame.GeneratedModel], runs: int, name: str) -> list[tuple[str, np.ndarray]]:
    for _ in range(5):
        call()
    timings = [call().timings for _ in range(runs)]
    return [(f"{name}: generate_model, {stage}", np.array([t[stage] for t in timings])) for stage in timings[0]]


def _repeat(call: Callable[[], object], runs: int) -> np.ndarray:
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return np.array(seconds)


def _python(statement: str) -> None:
    subprocess.run([sys.executable, "-c", statement], check=True, capture_output=True)


if __name__ == "__main__":
    main()
