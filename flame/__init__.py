"""FLAME: describe a task or hand over rows, and a hypernetwork writes a small private model in one forward pass.

import flame
model = flame.generate_model("Tell three iris species apart from petal and sepal sizes.", frame, target="species")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flame.api import builtin_checkpoints, generate_model, load, load_generator
    from flame.data import DataBatch, read_data
    from flame.errors import FlameError
    from flame.metadata import Metadata
    from flame.model import GeneratedModel
    from flame.planning import Plan, plan
    from flame.route import Route
    from flame.table.estimators import FlameClassifier, FlameRegressor
    from flame.table.tables import load_table, split_table
    from flame.table.training import train
    from flame.taskspec import TaskSpec
    from flame.understanding import understand

__all__ = [
    "DataBatch",
    "FlameClassifier",
    "FlameError",
    "FlameRegressor",
    "GeneratedModel",
    "Metadata",
    "Plan",
    "Route",
    "TaskSpec",
    "builtin_checkpoints",
    "generate_model",
    "load",
    "load_generator",
    "load_table",
    "plan",
    "read_data",
    "split_table",
    "train",
    "understand",
]

# Importing torch takes seconds; a name is imported when it is first used.
_HOMES = {
    "DataBatch": "flame.data",
    "FlameClassifier": "flame.table.estimators",
    "FlameError": "flame.errors",
    "FlameRegressor": "flame.table.estimators",
    "GeneratedModel": "flame.model",
    "Metadata": "flame.metadata",
    "Plan": "flame.planning",
    "Route": "flame.route",
    "TaskSpec": "flame.taskspec",
    "builtin_checkpoints": "flame.api",
    "generate_model": "flame.api",
    "load": "flame.api",
    "load_generator": "flame.api",
    "load_table": "flame.table.tables",
    "plan": "flame.planning",
    "read_data": "flame.data",
    "split_table": "flame.table.tables",
    "train": "flame.table.training",
    "understand": "flame.understanding",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flame' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
