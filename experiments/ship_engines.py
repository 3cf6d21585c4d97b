"""An export in its own engine, in a fresh process: `python -I ship_engines.py EXPORT ROWS FORMAT STARTED RUNS`.

It cannot import torch (but for .pt2, which torch itself runs), transformers, pandas or flame: only the engine, numpy,
and the reader that a package ships. One JSON object is printed; the outputs of all rows lie beside the export, in
`outputs.npy`.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Inputs = dict[str, np.ndarray]
"""By name; rows along the first axis."""
Engine = Callable[[Inputs], np.ndarray]
"""From inputs to outputs (n, k)."""
WITHOUT = ("torch", "torchvision", "transformers", "pandas", "flame", "targets", "hypernet", "sklearn")
"""What a fresh process must do without."""


def answer_fresh(place: Path, rows: Path, name: str, started: float, runs: int) -> None:
    """Answer the rows, then time one row, from cells or a file's bytes to the answer.

    Args:
        place: an export in the folder of a package, whose reader makes its inputs.
        started: when the process was started, by the clock of the one that did.
    """
    for package in WITHOUT if name != "pt2" else WITHOUT[2:]:
        sys.modules[package] = None  # type: ignore[assignment]
    sys.path.insert(0, str(place.parent))
    runner = importlib.import_module("runner")
    reader = runner.reader_of(runner.read_card(place.with_name("model.json")))
    engine = ENGINES[name](place)
    parts = [table for _, table in reader.read_files([rows])]
    one = {key: cells[:1] for key, cells in parts[0].items()}
    engine(reader.inputs(one))
    cold = time.time() - started
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        engine(reader.inputs(one))
        seconds.append(time.perf_counter() - begun)
    np.save(place.with_name("outputs.npy"), np.concatenate([engine(reader.inputs(part)) for part in parts]))
    p50, p95 = (float(v) for v in np.percentile(seconds, [50, 95]) * 1000)
    print(json.dumps({"cold_start_s": cold, "p50_ms": p50, "p95_ms": p95}))


def _onnx(place: Path) -> Engine:
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, x)[0]


def _openvino(place: Path) -> Engine:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would report its use over the network
    ov: Any = importlib.import_module("openvino")
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(str(place), "CPU", options)
    return lambda x: np.array(compiled(x)[0])


def _ncnn(place: Path) -> Engine:
    ncnn: Any = importlib.import_module("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(place))
    net.load_model(str(place.with_name(place.name.removesuffix(".param") + ".bin")))

    def row(x: np.ndarray) -> np.ndarray:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(x))
        return np.array(extractor.extract("out0")[1])

    return lambda x: np.stack([row(one) for one in x["x"]])


def _torch(place: Path) -> Engine:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    module = torch.export.load(place).module()
    return lambda x: module(*map(torch.from_numpy, x.values())).detach().numpy()


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "pt2": _torch,
    "onnx": _onnx,
    "int8": _onnx,
    "openvino": _openvino,
    "ncnn": _ncnn,
}
"""By format."""

if __name__ == "__main__":
    answer_fresh(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), int(sys.argv[5]))
