"""What the tests of exports and services share: small random models for a table with all kinds of columns."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from flame import GeneratedModel, Metadata, read_data
from flame.route import Route
from flame.table.preprocessing import TablePreprocessor
from targets import get_target

BLOCKED = """
import runpy, sys
for name in ("torch", "pandas", "flame", "targets", "hypernet", "onnx", "sklearn", "transformers"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])  # as it is where python is started with a file
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LABELS = ("high", "low", "größer")


def toy_rows(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, whole numbers, words, codes, truth values."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 90, n).astype("float64"),
            "income": rng.normal(3e4, 1e4, n),
            "city, town": rng.choice(["Köln", "Bonn", 'a "b"', "a,b"], n),
            "code": pd.Series(rng.choice(["1", "2.0", "x"], n), dtype=object),
            "smoker": rng.random(n) < 0.3,
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::5, "city, town"] = None
    return frame


@cache
def toy_model(arch: str = "mlp_small", *, classes: bool = True) -> GeneratedModel:
    """A model with random weights; outputs differ well between rows."""
    torch.manual_seed(0)
    rows = toy_rows()
    labels = [LABELS[i % 3] for i in range(len(rows))] if classes else [i / 7 for i in range(len(rows))]
    batch = read_data(rows.assign(answer=labels), target="answer")
    preprocessor = TablePreprocessor.fit(batch)
    metadata = Metadata(
        task="tabular_cls" if classes else "tabular_reg",
        out_dim=3 if classes else 1,
        in_dim=len(batch.columns),
        arch=arch,  # type: ignore[arg-type]
        d_input=preprocessor.width,
        widths=(12, 16, 8) if arch == "mlp_steps" else None,
    )
    module = get_target(arch).build(metadata)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn_like(tensor) * (4 if "slope" in name else 0.7) * (1 if classes else 20))
            else:
                tensor.copy_(torch.randint_like(tensor, preprocessor.width))
    return GeneratedModel(
        module=module.eval(),
        preprocessor=preprocessor,
        labels=LABELS if classes else (),
        target="answer",
        requirement="Answer by age, income, city, code and smoking.",
        metadata=metadata,
        route=Route("any_table", "toy", "answer", "a test asked for it"),
    )


@cache
def toy_picture_model() -> GeneratedModel:
    """A small random network that tells dark from light pictures."""
    from torch import nn

    from flame.picture.preprocessing import PicturePreprocessor
    from targets.vision_weights import PictureScale

    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 8, 3, stride=2)
    layers = (convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    return GeneratedModel(
        module=nn.Sequential(*layers).eval(),
        preprocessor=PicturePreprocessor(PictureScale(resize=72, side=64)),
        labels=("dark", "light"),
        target="shade",
        requirement="Tell dark pictures from light ones.",
        metadata=Metadata(task="img_cls", out_dim=2, arch="mobilenet_v3_small"),
        route=Route("any_picture", "toy", "shade", "a test asked for it"),
    )


@cache
def _packaged(arch: str, classes: bool) -> TemporaryDirectory[str]:
    from flame.export import package_model

    place = TemporaryDirectory(prefix="flame-package-")
    package_model(toy_model(arch, classes=classes), place.name)
    return place


def toy_package(arch: str = "mlp_small", *, classes: bool = True) -> Path:
    """Folder of a packaged model, made once; not to be changed."""
    return Path(_packaged(arch, classes).name)


def as_dicts(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON would hold them."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def need(package: str) -> None:
    """Skip where a package is not installed."""
    if find_spec(package) is None:  # importing it here would import OpenVINO with what reports its use
        pytest.skip(f"needs the package {package}, which is not installed")


def run_package(package: Path, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The package's runner in a fresh process that cannot import torch, pandas or flame."""
    command = [sys.executable, "-I", "-B", "-c", BLOCKED, package / "runner.py", *arguments]
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, encoding="utf8")


def client_of(app: Any) -> Any:
    """Asks an application; its own faults become answers of status 500."""
    from fastapi.testclient import TestClient

    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module", name="package")
def package_fixture(model: GeneratedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of a module's `model`."""
    from flame.export import package_model

    place = tmp_path_factory.mktemp("package") / "p"
    package_model(model, place)
    return place


@pytest.fixture(scope="module", name="client")
def client_fixture(package: Path) -> Any:
    """A client of the service of a module's `package`."""
    from flame.serve import make_app

    return client_of(make_app(package))
