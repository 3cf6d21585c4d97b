"""What the tests of exports and services share: small random models for a table with all kinds of columns."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch

from flame import GeneratedModel, Metadata, read_data
from flame.route import Route
from flame.table.preprocessing import TablePreprocessor
from targets import get_target

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
