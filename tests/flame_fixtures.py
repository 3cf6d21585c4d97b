"""What the tests of the user's side share: a generator for three real tables, trained once, and the tables' rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from flame import GeneratedModel, generate_model, load_generator
from flame.table.tables import TABLES, Split, load_table, split_table
from flame.table.training import fit_generator, prepare_task
from hypernet.config import ExperimentConfig, TrainConfig
from hypernet.encoder import EncoderConfig
from hypernet.generator import GeneratorConfig, ParameterGenerator

NAMES = ("iris", "wine", "breast_cancer")
CONFIG = ExperimentConfig(
    name="tiny",
    tables=NAMES,
    generator=GeneratorConfig(arch="mlp_small", encoder=EncoderConfig(d_model=32, n_layers=1)),
    train=TrainConfig(epochs=12, pairs_per_step=16),
)
SPECIES = {"setosa": 0, "versicolor": 1, "virginica": 2}


@cache
def _trained() -> TemporaryDirectory[str]:
    """Modules import the fixtures, and pytest takes each import for another fixture: the cache trains only once."""
    place = TemporaryDirectory(prefix="flame-tiny-")
    tasks = [prepare_task(name, CONFIG) for name in NAMES]
    generator = fit_generator(tasks, CONFIG, work=Path(place.name) / "work")
    generator.provenance["name"] = "tiny"
    generator.save_pretrained(Path(place.name) / "tiny")
    return place


@cache
def parts(name: str) -> Split:
    """Train, validation and test rows of a table; to be copied before they are changed."""
    return split_table(load_table(name, source="sklearn"), TABLES[name].target)


def labelled(name: str = "iris") -> pd.DataFrame:
    """The training rows, the label in the last column."""
    return parts(name).train.copy()


def unlabelled(name: str = "iris") -> pd.DataFrame:
    """The test rows without their label."""
    return parts(name).test.drop(columns=[TABLES[name].target])


@pytest.fixture(scope="session", name="tiny")
def tiny_fixture() -> str:
    """Folder of a checkpoint with heads for iris, wine and breast cancer."""
    return str(Path(_trained().name) / "tiny")


@pytest.fixture(scope="session", name="tiny_generator")
def tiny_generator_fixture(tiny: str) -> ParameterGenerator:
    """The same, loaded; not to be changed."""
    return load_generator(tiny)


@pytest.fixture(scope="session", name="model")
def model_fixture(tiny: str) -> GeneratedModel:
    """An iris model from labelled rows."""
    return generate_model(None, labelled(), target="class", checkpoint=tiny)
