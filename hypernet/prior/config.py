"""What synthetic tables look like: sizes, families, marginals, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import UnionType

from flame.errors import ConfigError, did_you_mean

FAMILIES = ("mlp", "graph", "tree", "rules", "clusters", "smooth", "additive", "linear", "prototype")
"""How a target may depend on the columns; see `hypernet.prior.families`."""

DEFAULT_WEIGHTS = {
    "mlp": 2.0,
    "graph": 2.0,
    "tree": 4.0,
    "rules": 2.0,
    "clusters": 3.5,
    "smooth": 1.5,
    "additive": 1.5,
    "linear": 2.5,
    "prototype": 1.5,
}


@dataclass(frozen=True)
class PriorConfig:
    """A distribution over tables. Defaults imitate real tables of at most a few thousand rows."""

    rows: tuple[int, int] = (20, 2048)
    """Fewest and most rows of a table, support and query together; log-uniform, one number per batch."""
    columns: tuple[int, int] = (1, 100)
    """Fewest and most columns; log-uniform, one number per batch."""
    max_cells: int = 65_536
    """Most rows times columns of one table: wide tables are then short, and memory stays bounded."""
    support_share: tuple[float, float] = (0.5, 0.85)
    """Smallest and largest share of the rows that are support; uniform, one per batch."""
    classes: tuple[int, int] = (2, 10)
    """Fewest and most classes; log-uniform, one number per batch; at least four support rows per class."""
    p_binary: float = 0.5
    """Share of classification batches that have two classes whatever the log-uniform draw says, as real tables do."""
    p_regression: float = 0.2
    """Share of batches (of tasks, if `mixed`) whose target is a number."""
    mixed: bool = False
    """True: every task of a batch draws its own number of classes, or is a regression; False: one for the batch."""
    families: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """Relative frequency of each family of targets, by name; absent = never."""
    irrelevant: tuple[float, float] = (0.0, 0.7)
    """Smallest and largest share of columns that the target does not read; uniform per table."""
    p_redundant: float = 0.08
    """Mean share of columns that are noisy copies of another one."""
    p_constant: float = 0.005
    """Share of columns that hold one value."""
    p_categorical: float = 0.35
    """Share of tables with categorical columns: a fifth of these have nothing else."""
    cardinality: tuple[int, int] = (2, 20)
    """Fewest and most categories of a categorical column; log-uniform."""
    p_missing: float = 0.25
    """Share of tables with missing cells."""
    missing_share: float = 0.3
    """Largest share of missing cells in a column that has some."""
    noise: float = 0.8
    """Scale of the noise on the target's score, in its standard deviations, times a skewed draw from 0..1 per table."""
    p_flipped: float = 0.2
    """Share of tables where some labels are replaced at random (regression: a few outliers)."""
    label_noise: float = 0.25
    """Largest share of labels that are replaced."""
    imbalance: float = 1.6
    """Largest standard deviation of the log-shares of the classes; 0 = balanced."""
    min_class_share: float = 0.03
    """Smallest share that a class is meant to have with two classes; falls as 2/k with k classes."""
    p_ordinal: float = 0.3
    """Share of tables whose classes are quantile cuts of one number."""
    margin: float | None = 0.02
    """Least leave-one-out skill (1 - error / error of a constant) on the support rows; None = keep every table."""

    def __post_init__(self) -> None:
        faults = [*self._range_faults(), *self._share_faults(), *self._family_faults()]
        for name in ("noise", "imbalance"):
            if not _is_number(getattr(self, name)) or getattr(self, name) < 0:
                faults.append(f"{name} must be zero or a positive number, however: {getattr(self, name)!r}")
        if self.margin is not None and (not _is_number(self.margin) or not self.margin < 1):
            faults.append(f"margin must be None or a number below 1, however: {self.margin!r}")
        if faults:
            raise ConfigError("prior: " + "; ".join(faults))

    def _range_faults(self) -> list[str]:
        faults = []
        for name, least in (("rows", 20), ("columns", 1), ("classes", 2), ("cardinality", 2)):
            value = getattr(self, name)
            if not _is_pair(value, int) or not least <= value[0] <= value[1]:
                faults.append(f"{name} must be (fewest, most), whole numbers from {least}, however: {value!r}")
        for name in ("support_share", "irrelevant"):
            value = getattr(self, name)
            if not _is_pair(value, int | float) or not 0 <= value[0] <= value[1] <= 1:
                faults.append(f"{name} must be (smallest, largest) within [0, 1], however: {value!r}")
        if not faults and not 0.2 <= self.support_share[0] <= self.support_share[1] <= 0.95:
            faults.append(f"support_share must lie within [0.2, 0.95], however: {self.support_share!r}")
        if not faults and self.max_cells < self.rows[0] * self.columns[0]:
            faults.append(f"max_cells must hold the smallest table, however: {self.max_cells!r}")
        return faults

    def _share_faults(self) -> list[str]:
        names = [f.name for f in fields(self) if f.name.startswith("p_")]
        names += ["missing_share", "label_noise", "min_class_share"]
        return [
            f"{name} must lie in [0, 1], however: {getattr(self, name)!r}"
            for name in names
            if not _is_number(getattr(self, name)) or not 0 <= getattr(self, name) <= 1
        ]

    def _family_faults(self) -> list[str]:
        unknown = [name for name in self.families if name not in FAMILIES]
        faults = [f"unknown family {name!r}; known are {did_you_mean(str(name), FAMILIES)}" for name in unknown]
        weights = list(self.families.values())
        if not faults and (not all(_is_number(w) and w >= 0 for w in weights) or sum(weights) <= 0):
            faults.append(f"families must have weights >= 0, one of them positive, however: {dict(self.families)!r}")
        return faults


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_pair(value: object, kind: type | UnionType) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, kind) and _is_number(v) for v in value)
