"""Training configuration: frozen, documented, read from YAML; unknown keys are refused."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flame.errors import ConfigError, did_you_mean
from hypernet.encoder import EncoderConfig
from hypernet.generator import GeneratorConfig

OBJECTIVES = ("direct", "delta")


@dataclass(frozen=True)
class TrainConfig:
    """How a generator is trained. Defaults are table 7's values for tables where it gives one."""

    objective: str = "direct"
    """`direct` = back-propagation through the target; `delta` = Algorithm 1."""
    epochs: int = 80
    """Passes over all requirement-data pairs."""
    batch_size: int = 64
    """Rows of a pair."""
    pairs_per_step: int = 16
    """Requirement-data pairs that one optimiser step sees, vectorised over tasks; the paper takes 1."""
    learning_rate: float = 1e-3
    """Peak learning rate of the generator (Adam)."""
    weight_decay: float = 1e-4
    """Decoupled weight decay of the generator."""
    schedule: str = "cosine"
    """`cosine` (5 % warm-up, then to zero) or `constant` (the paper)."""
    gradient_clip: float = 1.0
    """Largest norm of the generator's gradient."""
    target_learning_rate: float = 2e-2
    """Learning rate of the target's own Adam (objective `delta`)."""
    target_weight_decay: float = 1e-4
    """Weight decay of the target's own Adam (objective `delta`)."""
    weight_prior: float = 0.0
    """Strength of a Gaussian prior on the generated weights; 1 = maximum a posteriori of every task, 0 = the paper."""
    contrast: float = 0.0
    """Weight of the loss that lets latents tell tasks apart, so that the sentence is read; 0 = the paper."""
    token_dropout: float = 0.1
    """Mean share of a sentence's tokens hidden in training (0 to twice this): other wordings then give like models."""
    n_requirements: int = 5
    """Different sentences per task (table 9 varies it)."""
    validation_rows: int = 2000
    """Most validation rows of a task that are scored after each epoch."""
    precision: str = "32-true"
    """Lightning's precision: 32-true, bf16-mixed, ..."""
    seed: int = 2024
    """Of initialisation, order of pairs, dropout."""

    def __post_init__(self) -> None:
        faults = []
        if self.objective not in OBJECTIVES:
            tail = did_you_mean(str(self.objective), OBJECTIVES)
            faults.append(f"objective={self.objective!r} is not known; choose from {tail}")
        if self.schedule not in ("cosine", "constant"):
            faults.append(f"schedule must be 'cosine' or 'constant', however: {self.schedule!r}")
        for name in ("epochs", "batch_size", "pairs_per_step", "n_requirements", "validation_rows"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                faults.append(f"{name} must be a positive integer, however: {getattr(self, name)!r}")
        for name in ("learning_rate", "target_learning_rate", "gradient_clip"):
            if not isinstance(getattr(self, name), int | float) or getattr(self, name) <= 0:
                faults.append(f"{name} must be a positive number, however: {getattr(self, name)!r}")
        for name in ("weight_decay", "weight_prior", "contrast", "target_weight_decay"):
            if not isinstance(getattr(self, name), int | float) or getattr(self, name) < 0:
                faults.append(f"{name} must be zero or a positive number, however: {getattr(self, name)!r}")
        if not isinstance(self.token_dropout, int | float) or not 0 <= self.token_dropout <= 0.5:
            faults.append(f"token_dropout must lie in [0, 0.5], however: {self.token_dropout!r}")
        if not isinstance(self.seed, int):
            faults.append(f"seed must be an integer, however: {self.seed!r}")
        if faults:
            raise ConfigError("training configuration: " + "; ".join(faults))


@dataclass(frozen=True)
class ExperimentConfig:
    """One YAML file: the generator, its training, and the tables it learns."""

    name: str
    """Name of the checkpoint."""
    tables: tuple[str, ...]
    """Names of the tables, as in `flame data list`."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """The generator."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Its training."""
    upweight: dict[str, int] = field(default_factory=dict)
    """How often a table's rows are repeated in an epoch, where it differs from appendix A."""
    paper_labels: bool = False
    """True: Adult keeps the four raw label strings, as in the paper's table 2."""


def read_config(path: str | Path) -> ExperimentConfig:
    """Read a YAML configuration.

    Raises:
        ConfigError: if the file is missing or not YAML, or holds an unknown key or a value out of range.
    """
    import yaml

    try:
        value = yaml.safe_load(Path(path).read_text("utf8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{str(path)!r} is not a readable YAML file: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{str(path)!r} must hold keys and values, however: {type(value).__name__}")
    return parse_experiment(value)


def parse_experiment(value: dict[str, Any]) -> ExperimentConfig:
    """Check the parsed YAML; see `read_config`."""
    generator = _section(value, "generator")
    encoder = _make(EncoderConfig, _section(generator, "encoder"), "generator.encoder")
    tables = value.get("tables") or []
    if not isinstance(tables, list) or len(set(map(str, tables))) < len(tables):
        raise ConfigError(f"configuration: tables must be a list of different names, however: {tables!r}")
    return _make(
        ExperimentConfig,
        {
            **value,
            "tables": tuple(map(str, tables)),
            "generator": _make(GeneratorConfig, {**generator, "encoder": encoder}, "generator"),
            "train": _make(TrainConfig, _section(value, "train"), "train"),
        },
        "configuration",
    )


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"{name} must hold keys and values, however: {section!r}")
    return section


def _make(cls: Any, values: dict[str, Any], where: str) -> Any:
    known = [f.name for f in fields(cls)]
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; known are {did_you_mean(str(key), known)}")
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
