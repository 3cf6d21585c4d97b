"""Generated models in other engines: are they the same, how large, how fast, how soon.

    python -m experiments.ship                  # tables, texts, pictures; every format whose packages are installed
    python -m experiments.ship --quick          # two tables and texts, ONNX only

Texts and pictures are made up; base models: MiniLM, and MobileNetV2 of the data folder (FLAME_DATA) or --picture-base.
Each export answers rows in a fresh process that gets them as CSV or files and cannot import torch, transformers, pandas
or flame (but .pt2, which torch itself runs). Difference: of a probability, or of a number in units of the largest one,
against torch in this process. Cold start: from starting the process to its first answer. Latency: one row, from cells
or a file's bytes to the answer.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from flame import GeneratedModel
    from flame.export import ParityReport

Inputs = dict[str, np.ndarray]
"""By name; rows along the first axis."""
Engine = Callable[[Inputs], np.ndarray]
"""From inputs to outputs (n, k)."""
OPINIONS = {"good": ("lovely", "excellent", "a pleasure"), "bad": ("awful", "a waste of time", "broken")}
SAID = ("The whole thing was", "I would say it is", "My friends found it")
ASKED = "Is the opinion good or bad?"
TABLES = {
    "iris": "Tell three iris species apart from the size of their petals and sepals.",
    "digits": "Which digit was written, judging by the grey of 64 pixels?",
    "diabetes": "How far has the disease gone after a year? Predict the number from ten measurements.",
}
WITHOUT = ("torch", "torchvision", "transformers", "pandas", "flame", "targets", "hypernet", "sklearn")
"""What a fresh process must do without."""


@dataclass(frozen=True)
class Shipped:
    """One export of one model."""

    name: str
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
    for package in WITHOUT if name != "pt2" else WITHOUT[2:]:
        sys.modules[package] = None  # type: ignore[assignment]
    sys.path.insert(0, str(rows.parent))
    runner = importlib.import_module("runner")
    reader = runner.reader_of(runner.read_card(rows.with_name("model.json")))
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
    np.save(rows.with_name("outputs.npy"), np.concatenate([engine(reader.inputs(part)) for part in parts]))
    low, high = (float(v) for v in np.percentile(seconds, [50, 95]) * 1000)
    print(json.dumps({"cold_start_s": cold, "p50_ms": low, "p95_ms": high}))


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


WEIGHTS = "weights/mobilenet_v2_1.0_224"
ENGINES: dict[str, Callable[[Path], Engine]] = {
    "pt2": _torch,
    "onnx": _onnx,
    "int8": _onnx,
    "openvino": _openvino,
    "ncnn": _ncnn,
}


# --- this process -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """A model that is shipped, and rows that it was not written from."""

    name: str
    model: GeneratedModel
    rows: Any
    """As the model reads them."""
    file: str
    """The same for a runner: a CSV, or a folder of pictures."""


def ship(subject: Subject, formats: Sequence[str], folder: Path, runs: int) -> Iterator[Shipped]:
    """Package a model and run every export of it; one that is refused is told."""
    from flame.export import ExportError, export_model, package_model

    whole = package_model(subject.model, folder / "package", rows=subject.rows)
    (folder / subject.file).rename(folder / "package" / subject.file)
    for name in formats:
        try:
            place = folder / "package" / "model"
            report = whole if name == "onnx" else export_model(subject.model, place, format=name, rows=subject.rows)
        except ExportError as error:
            print(f"{subject.name}: {error}", file=sys.stderr)
        else:
            yield _shipped(subject, report, folder / "package", runs)


def _shipped(subject: Subject, report: ParityReport, folder: Path, runs: int) -> Shipped:
    model, rows, name = subject.model, subject.rows, report.format
    command = [sys.executable, "-I", __file__, "answer", folder / report.file, folder / subject.file, name]
    done = subprocess.run([*map(str, command), str(time.time()), str(runs)], capture_output=True, text=True, check=True)
    found = np.load(folder / "outputs.npy")
    expected = model.predict(rows)[:, None] if model.is_regression else model.predict_proba(rows)
    scale = np.abs(expected).max() if model.is_regression else 1.0
    same = None if model.is_regression else float((expected.argmax(1) == found.argmax(1)).mean())
    difference, size = float(np.abs(expected - found).max() / scale), report.n_bytes / 1024
    told = json.loads(done.stdout)
    return Shipped(subject.name, model.metadata.arch, name, len(expected), difference, same, size, **told)


def table_subject(name: str, folder: Path) -> Subject:
    """A table that scikit-learn carries."""
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    import flame

    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    train, test = train_test_split(frame, test_size=0.4, random_state=0)
    test.drop(columns="target").to_csv(folder / "rows.csv", index=False)
    return Subject(name, flame.generate_model(TABLES[name], train, target="target"), test, "rows.csv")


def text_subject(folder: Path, base: str) -> Subject:
    """Made-up opinions, of one word to a hundred, and none."""
    import pandas as pd

    import flame

    labelled = [(f"{opening} {word}", label) for label, words in OPINIONS.items() for word in words for opening in SAID]
    train = pd.DataFrame(labelled, columns=["text", "label"])
    texts = [" ".join([text, *["and so on"] * (i % 3 * 12)]) for i, (text, _) in enumerate(labelled)]
    rows = pd.DataFrame({"text": ["", "good", *texts]})
    rows.to_csv(folder / "rows.csv", index=False)
    return Subject("opinions", flame.generate_model(ASKED, train, target="label", base_model=base), rows, "rows.csv")


def picture_subject(folder: Path, base: str) -> Subject:
    """Made-up pictures of two kinds, of several sizes, as JPEG and PNG."""
    from PIL import Image

    import flame

    rng, labels, paths = np.random.default_rng(0), [], []
    (folder / "pictures").mkdir()
    for i in range(24):
        width, height = ((160, 120), (300, 400), (64, 64))[i % 3]
        grey = 60 + 130 * (i % 2)
        noise = rng.normal(grey, 25, (height, width, 3)).clip(0, 255).astype(np.uint8)
        paths.append(folder / "pictures" / f"{i:02}.{'jpg' if i % 4 < 2 else 'png'}")
        Image.fromarray(noise).save(paths[-1])
        labels.append("light" if i % 2 else "dark")
    seen = [Image.open(path).copy() for path in paths]
    model = flame.generate_model("Is it day or night in the picture?", (seen[:12], labels[:12]), base_model=base)
    return Subject("shades", model, seen, "pictures")


def subjects(tables: Sequence[str], text_base: str, picture_base: str | None, folder: Path) -> Iterator[Subject]:
    """Models of every modality; those whose base model is not there are named and left out."""
    from flame.errors import FlameError

    ways: dict[str, Callable[[Path], Subject]] = {name: partial(table_subject, name) for name in tables}
    ways["opinions"] = partial(text_subject, base=text_base)
    if picture_base:
        ways["shades"] = partial(picture_subject, base=picture_base)
    for name, make in ways.items():
        (folder / name).mkdir()
        try:
            yield make(folder / name)
        except FlameError as error:
            print(f"left out: {name}: {error}", file=sys.stderr)


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="iris, diabetes, texts; ONNX only, few runs")
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--text-base", default="minilm", help="as for flame generate")
    parser.add_argument("--picture-base", help="as for flame generate; without it, none where FLAME_DATA is not set")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load on the service")
    options = parser.parse_args(arguments)
    from experiments.report import processor
    from experiments.ship_load import requests_per_second

    tables = ["iris", "diabetes"] if options.quick else options.tables
    formats = ["onnx"] if options.quick else available()
    runs, seconds, connections = (20, 0.3, 4) if options.quick else (500, options.seconds, 32)
    data = os.environ.get("FLAME_DATA")
    pictures = options.picture_base or (f"{data}/{WEIGHTS}" if data and not options.quick else None)
    print(f"{processor()}, one thread, {runs} runs\n")
    print("| model | arch | format | rows | difference | same class | KiB | cold start s | p50 ms | p95 ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="flame-ship-") as name:
        folder = Path(name)
        for subject in subjects(tables, options.text_base, pictures, folder):
            for s in ship(subject, formats, folder / subject.name, runs):
                same = "-" if s.same_class is None else f"{s.same_class:.4f}"
                cells = f"{s.n_rows} | {s.difference:.1e} | {same} | {s.kib:.1f} | {s.cold_start_s:.2f}"
                print(f"| {s.name} | {s.arch} | {s.format} | {cells} | {s.p50_ms:.3f} | {s.p95_ms:.3f} |", flush=True)
        load = requests_per_second(folder / tables[0] / "package", seconds=seconds, connections=connections)
    print(
        f"\nservice, {connections} connections, one row a request: {load['per_second']:.0f} requests a second, ", end=""
    )
    print(f"p50 {load['p50_ms']:.1f} ms, p95 {load['p95_ms']:.1f} ms")


if __name__ == "__main__":
    if sys.argv[1:2] == ["answer"]:
        answer_fresh(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], float(sys.argv[5]), int(sys.argv[6]))
    else:
        main()
