"""Generated tables' models in other engines: are they the same, how large, how fast, how soon.

    python -m experiments.ship                  # iris, digits, diabetes; every format whose packages are installed
    python -m experiments.ship --quick          # two tables, ONNX only

Each export answers the test rows in a fresh process that gets them as CSV and cannot import torch, pandas or flame
(but .pt2, which torch itself runs). Difference: of a probability, or of a number in units of the largest one, against
torch in this process. Cold start: from starting the process to its first answer. Latency: one row from cells to answer.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from flame import GeneratedModel

Engine = Callable[[np.ndarray], np.ndarray]
"""From a matrix (n, m) to outputs (n, k)."""
TABLES = {
    "iris": "Tell three iris species apart from the size of their petals and sepals.",
    "digits": "Which digit was written, judging by the grey of 64 pixels?",
    "diabetes": "How far has the disease gone after a year? Predict the number from ten measurements.",
}
WITHOUT = ("torch", "pandas", "flame", "targets", "hypernet", "sklearn")
"""What a fresh process must do without."""


@dataclass(frozen=True)
class Shipped:
    """One export of one model."""

    table: str
    arch: str
    format: str
    n_rows: int
    difference: float
    """Largest one of the fresh process against torch here."""
    same_class: float | None
    kib: float
    cold_start_s: float
    p50_ms: float
    p95_ms: float


# --- the fresh process ------------------------------------------------------------------------------------------------


def answer_fresh(place: Path, rows: Path, name: str, started: float, runs: int) -> None:
    """What a fresh process does: answer the rows, then time one row; outputs go to `outputs.npy`."""
    for package in WITHOUT if name != "pt2" else WITHOUT[1:]:
        sys.modules[package] = None  # type: ignore[assignment]
    sys.path.insert(0, str(rows.parent))
    runner = importlib.import_module("runner")
    reader = runner.Reader(runner.read_card(rows.with_name("model.json")))
    engine = ENGINES[name](place)
    with rows.open(encoding="utf8", newline="") as file:
        table = next(runner.read_csv(file, reader))[1]
    one = {key: cells[:1] for key, cells in table.items()}
    engine(reader.matrix(one))
    cold = time.time() - started
    seconds = []
    for _ in range(runs):
        begun = time.perf_counter()
        engine(reader.matrix(one))
        seconds.append(time.perf_counter() - begun)
    np.save(rows.with_name("outputs.npy"), engine(reader.matrix(table)))
    low, high = (float(v) for v in np.percentile(seconds, [50, 95]) * 1000)
    print(json.dumps({"cold_start_s": cold, "p50_ms": low, "p95_ms": high}))


def _onnx(place: Path) -> Engine:
    ort: Any = importlib.import_module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def _openvino(place: Path) -> Engine:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it would report its use over the network
    ov: Any = importlib.import_module("openvino")
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    compiled = ov.Core().compile_model(str(place), "CPU", options)
    return lambda x: compiled(x)[0]


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

    return lambda x: np.stack([row(one) for one in x])


def _torch(place: Path) -> Engine:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    module = torch.export.load(place).module()
    return lambda x: module(torch.from_numpy(x)).detach().numpy()


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "pt2": _torch,
    "onnx": _onnx,
    "int8": _onnx,
    "openvino": _openvino,
    "ncnn": _ncnn,
}


# --- this process -----------------------------------------------------------------------------------------------------


def ship(table: str, formats: Sequence[str], folder: Path, runs: int) -> list[Shipped]:
    """Generate a model for a table and run every export of it."""
    import flame
    from flame.export import package_model

    train, test, target = _rows(table)
    model = flame.generate_model(TABLES[table], train, target=target)
    package_model(model, folder, rows=test)
    test.drop(columns=target).to_csv(folder / "rows.csv", index=False)
    return [_shipped(table, model, name, folder, test, runs) for name in formats]


def _shipped(table: str, model: GeneratedModel, name: str, folder: Path, test: pd.DataFrame, runs: int) -> Shipped:
    from flame.export import export_model

    report = export_model(model, folder / "model", format=name, rows=test)
    command = [sys.executable, "-I", __file__, "answer", folder / report.file, folder / "rows.csv", name]
    done = subprocess.run([*map(str, command), str(time.time()), str(runs)], capture_output=True, text=True, check=True)
    found = np.load(folder / "outputs.npy")
    expected = model.predict(test)[:, None] if model.is_regression else model.predict_proba(test)
    scale = np.abs(expected).max() if model.is_regression else 1.0
    same = None if model.is_regression else float((expected.argmax(1) == found.argmax(1)).mean())
    difference, size = float(np.abs(expected - found).max() / scale), report.n_bytes / 1024
    told = json.loads(done.stdout)
    return Shipped(table, model.metadata.arch, name, len(test), difference, same, size, **told)


def _rows(table: str) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Training rows, test rows and the target of a table that scikit-learn carries."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    frame = getattr(datasets, f"load_{table}")(as_frame=True).frame
    train, test = train_test_split(frame, test_size=0.4, random_state=0)
    return train, test, "target"


def available() -> list[str]:
    """Formats whose packages are installed; the others are named on the way."""
    from flame.errors import MissingExtraError
    from flame.export.writers import FORMATS

    names = []
    for name, kind in FORMATS.items():
        try:
            kind.require()
            names.append(name)
        except MissingExtraError as error:
            print(f"left out: {error}", file=sys.stderr)
    return names


# --- the service ------------------------------------------------------------------------------------------------------


def requests_per_second(package: Path, *, seconds: float, connections: int) -> dict[str, float]:
    """One-row requests over kept connections against a service in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from flame.serve import serve; serve(sys.argv[1], port=int(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(package), str(port)], stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        row = json.loads(_get(port, "/spec"))["example"]
        latencies = asyncio.run(_load(port, json.dumps(row).encode(), seconds, connections))
    finally:
        process.terminate()
        process.wait(30)
    p50, p95 = (float(v) for v in np.percentile(latencies, [50, 95]) * 1000)
    return {"connections": connections, "per_second": len(latencies) / seconds, "p50_ms": p50, "p95_ms": p95}


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("the service did not start")


def _get(port: int, path: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}{path}") as answered:
        text: str = answered.read().decode()
    return text


async def _load(port: int, body: bytes, seconds: float, connections: int) -> list[float]:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    end = time.perf_counter() + seconds
    found = await asyncio.gather(*(_ask(port, request, end) for _ in range(connections)))
    return [one for latencies in found for one in latencies]


async def _ask(port: int, request: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    while (begun := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer is expected, however: {head[:60]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        seconds.append(time.perf_counter() - begun)
    writer.close()
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="iris and diabetes, ONNX only, few runs")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--seconds", type=float, default=5.0, help="of load on the service")
    options = parser.parse_args(arguments)
    from experiments.report import processor

    tables = ["iris", "diabetes"] if options.quick else options.tables
    formats = ["onnx"] if options.quick else available()
    runs, seconds, connections = (20, 0.3, 4) if options.quick else (500, options.seconds, 32)
    print(f"{processor()}, one thread, {runs} runs\n")
    print("| table | arch | format | rows | difference | same class | KiB | cold start s | p50 ms | p95 ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="flame-ship-") as folder:
        for table in tables:
            for s in ship(table, formats, Path(folder) / table, runs):
                same = "-" if s.same_class is None else f"{s.same_class:.4f}"
                cells = f"{s.n_rows} | {s.difference:.1e} | {same} | {s.kib:.1f} | {s.cold_start_s:.2f}"
                print(f"| {s.table} | {s.arch} | {s.format} | {cells} | {s.p50_ms:.3f} | {s.p95_ms:.3f} |", flush=True)
        load = requests_per_second(Path(folder) / tables[0], seconds=seconds, connections=connections)
    print(
        f"\nservice, {connections} connections, one row a request: {load['per_second']:.0f} requests a second, ", end=""
    )
    print(f"p50 {load['p50_ms']:.1f} ms, p95 {load['p95_ms']:.1f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        answer_fresh(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], float(sys.argv[5]), int(sys.argv[6]))
    else:
        main()
