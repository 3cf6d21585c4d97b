"""The way for tables nobody trained for: labelled rows of any width, any number of classes, or a numeric target."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flame.columns import Column, shorten
from flame.data import DataBatch
from flame.errors import DataError
from flame.metadata import ANY_SCALE, ARCHES, Metadata
from flame.requirement import gather_facts
from flame.route import Generated, Proposal, Route
from flame.table.matching import words_of
from flame.table.preprocessing import TablePreprocessor
from hypernet.tables import TableGenerator, Width, Written, join
from hypernet.tables.checkpoint import load_table_generator
from requirements_prompts import TaskFacts
from targets import get_target

ARCH = ANY_SCALE[0]
CHECKPOINT = "any-table"
"""Built-in checkpoint of this way."""
DRAWS = {"small": 1, "base": 2, "large": 4}
"""Networks that are drawn and averaged into one, by scale."""
MAX_FEATURE_CELLS = 40_000_000
"""Support rows times features that are held at once (160 MB in single precision); further rows are left out."""
FEW_ROWS = 5
"""With fewer rows per class, a note says how little that is."""
NO_SKILL = 0.01
"""Leave-one-out R² up to which a note doubts that the columns tell anything of the labels."""
MANY_VALUES = 0.5
"""A categorical column with more than `MANY_CATEGORIES` values, and more than this share of the rows, is left out."""
MANY_CATEGORIES = 64


@dataclass(frozen=True)
class AnyTableWay:
    """Proposes to write a network from the labelled rows alone; words only point at columns."""

    generator: TableGenerator | str | Path
    """The generator, or its folder, which is read when it is needed."""
    checkpoint: str = CHECKPOINT
    seed: int = 0
    """Another seed draws other networks."""

    def propose(self, description: str | None, batch: DataBatch | None) -> Proposal | list[str]:
        if batch is not None and batch.modality != "table":
            return []
        if batch is None or batch.labels is None:
            return ["without labelled rows, only tables that a head was trained for can be served"]
        return AnyTable(self, description, usable(batch))

    def help(self) -> str:
        return "For any other table, give labelled rows: generate_model(description, frame, target=...)."


@dataclass(frozen=True)
class AnyTable:
    """Labelled rows that a network can be written for."""

    way: AnyTableWay
    description: str | None
    batch: DataBatch
    task_type: str | None = None
    """`tabular_cls` or `tabular_reg`, where the caller knows; else the labels and words decide."""

    @property
    def arch(self) -> str:
        return ARCH

    @property
    def d_input(self) -> int:
        return self.preprocessor.width

    @cached_property
    def preprocessor(self) -> TablePreprocessor:
        """Fitted with the columns in the order of their names: their order in the data changes nothing."""
        return TablePreprocessor.fit(self.batch.select(sorted(c.name for c in self.batch.columns)))

    @property
    def target(self) -> str:
        return self.batch.target or "target"

    def facts(self, description: str | None) -> TaskFacts:
        facts = gather_facts(description, self.batch, task_type=self.task_type)
        # Notes on the architectures of trained heads do not hold for this one.
        others = set(ARCHES[facts.task_type].values())
        notes = [n for n in facts.notes if not any(name in n for name in others)]
        if facts.scale_asked:
            notes.append(f"the scale is {facts.scale}: {DRAWS[facts.scale]} drawn networks in one")
        return replace(facts, notes=tuple(notes))

    def generate(self, requirement: str, metadata: Metadata) -> Generated:
        """Write the network: one forward pass over the support rows."""
        way, notes = self.way, list(self.batch.notes)
        generator = way.generator if isinstance(way.generator, TableGenerator) else _cached(str(way.generator))
        preprocessor, mentioned = self.preprocessor, _mentioned(self.description, self.batch)
        rows = _read_rows(self.batch, preprocessor, mentioned, regression=metadata.task == "tabular_reg")
        rows = _bounded(rows, notes)
        seeds = [1000 * way.seed + draw for draw in range(DRAWS[metadata.scale])]
        # Draws side by side, unless the table is so large that one of them fills memory and cores.
        n_threads = min(len(seeds), torch.get_num_threads()) if rows.n_cells <= MAX_FEATURE_CELLS // 8 else 1
        with ThreadPoolExecutor(n_threads) as pool:
            written = join(list(pool.map(partial(rows.write, generator), seeds)))
        with torch.inference_mode():
            weights = written.collapse(scale=rows.scale, shift=rows.shift)
        sizes = tuple(weights[n].shape[1] for n in ("step_source", "units.bias", "conjunction_source"))
        metadata = metadata.model_copy(update={"widths": sizes})
        target = get_target(ARCH)
        module = target.merge(target.build(metadata), weights).eval()
        notes += _warnings(rows, float(written.skill.mean()))
        route = Route(
            "any_table",
            way.checkpoint,
            self.target,
            self._reason(rows, preprocessor),
            {name: name for name in preprocessor.names},
            None,
            tuple(notes),
        )
        labels = () if rows.regression else self.batch.label_values
        return Generated(module, preprocessor, labels, route, requirement, metadata, fingerprint(generator))

    def _reason(self, rows: _Rows, preprocessor: TablePreprocessor) -> str:
        told = [n for n, m in zip(preprocessor.names, rows.mentioned.tolist(), strict=True) if m]
        words = f"; the description names {', '.join(map(shorten, told[:4]))}" if told else ""
        kind = "a number" if rows.regression else f"{rows.y.shape[1]} classes"
        return f"written from {len(rows.x):,} labelled rows, {len(preprocessor.names)} columns to {kind}{words}"


def usable(batch: DataBatch) -> DataBatch:
    """The batch without columns that cannot tell anything; notes name them.

    Raises:
        DataError: if none is left.
    """
    kept, notes = [], []
    for c in batch.columns:
        why = _useless(c, len(batch))
        if why:
            notes.append(f"column {shorten(c.name)} {why} and is not used")
        else:
            kept.append(c.name)
    if not kept:
        raise DataError(f"no input column can be used: {'; '.join(notes)}; give numbers or categories that repeat")
    return replace(batch.select(kept), notes=(*batch.notes, *notes))


def fingerprint(generator: TableGenerator) -> str:
    """Hash of a generator's file, or of its parameters where it did not come from one."""
    if generator.fingerprint != "untrained":
        return generator.fingerprint
    content = b"".join(v.detach().cpu().numpy().tobytes() for v in generator.state_dict().values())
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class _Rows:
    """Support rows as the generator reads them.

    Shape:
        x (n, m), y (n, k), column (m,), numeric (m,), mentioned (d,)
    """

    x: Tensor
    y: Tensor
    column: Tensor
    numeric: Tensor
    mentioned: Tensor
    regression: bool
    scale: float
    shift: float

    @property
    def n_cells(self) -> int:
        """Rows times features of one draw."""
        n, m = self.x.shape
        width = Width()
        return n * (m + 12 * int(self.numeric.sum()) + width.n_sparse + width.n_dense + width.n_conjunctions)

    @torch.inference_mode()
    def write(self, generator: TableGenerator, seed: int) -> Written:
        return generator(
            self.x[None],
            self.y[None],
            column=self.column,
            numeric=self.numeric,
            regression=self.regression,
            width=Width(),
            generator=torch.Generator().manual_seed(seed),
            mentioned=self.mentioned[None],
        )


@lru_cache(maxsize=4)
def _cached(folder: str) -> TableGenerator:
    return load_table_generator(folder)


def _useless(c: Column, n_rows: int) -> str | None:
    if c.n_unique == 0:
        return "holds no value"
    if c.n_unique == 1 and c.n_missing == 0:
        return "holds the same value in every row"
    if c.kind == "categorical" and c.n_unique > max(MANY_CATEGORIES, MANY_VALUES * (n_rows - c.n_missing)):
        return f"holds {c.n_unique:,} different texts in {n_rows:,} rows"
    return None


def _mentioned(description: str | None, batch: DataBatch) -> Tensor:
    """1 for every column whose name stands in the description, in the order of the preprocessor."""
    said = set(words_of(description or ""))
    names = [[w for w in words_of(n) if len(w) > 2 and not w.isdigit()] for n in sorted(c.name for c in batch.columns)]
    return torch.tensor([float(bool(n) and said.issuperset(n)) for n in names])


def _read_rows(batch: DataBatch, preprocessor: TablePreprocessor, mentioned: Tensor, *, regression: bool) -> _Rows:
    encodings = [(i, c, part) for i, c in enumerate(preprocessor.columns) for part in range(c.width)]
    y, scale, shift = _targets(batch, regression=regression)
    return _Rows(
        x=torch.from_numpy(preprocessor.transform(batch.features)),
        y=y,
        column=torch.tensor([i for i, _, _ in encodings]),
        # A missing flag comes last and is no number.
        numeric=torch.tensor([c.kind == "numeric" and part == 0 for _, c, part in encodings]),
        mentioned=mentioned,
        regression=regression,
        scale=scale,
        shift=shift,
    )


def _targets(batch: DataBatch, *, regression: bool) -> tuple[Tensor, float, float]:
    """One-hot labels, or standardised numbers with the scale and shift that lead back."""
    labels = batch.labels
    assert labels is not None
    if not regression:
        places: dict[Any, int] = {value: i for i, value in enumerate(batch.label_values)}
        codes = torch.tensor([places[v] for v in labels])
        return torch.nn.functional.one_hot(codes, len(places)).float(), 1.0, 0.0
    numbers = labels.to_numpy(dtype="float64")
    mean, std = float(numbers.mean()), float(numbers.std())
    if not np.isfinite(numbers).all() or not np.isfinite(std):
        raise DataError(f"the target {batch.target!r} holds numbers that are infinite or too large; correct these rows")
    std = std or 1.0
    return torch.from_numpy((numbers - mean) / std).float()[:, None], std, mean


def _bounded(rows: _Rows, notes: list[str]) -> _Rows:
    """Fewer rows, evenly spread over the data, where all of them would not fit the memory."""
    n = len(rows.x)
    most = MAX_FEATURE_CELLS // (rows.n_cells // n)
    if n <= most:
        return rows
    # Every class keeps at least one row.
    first = torch.zeros(0, dtype=torch.long) if rows.regression else rows.y.argmax(0)
    kept = torch.cat([first, torch.linspace(0, n - 1, most).long()]).unique()
    notes.append(f"{len(kept):,} of {n:,} rows are read, evenly spread, to bound the memory")
    return replace(rows, x=rows.x[kept], y=rows.y[kept])


def _warnings(rows: _Rows, skill: float) -> list[str]:
    """What makes it likely that the model is poor."""
    notes, fewest = [], len(rows.y) if rows.regression else int(rows.y.sum(0).min())
    if fewest < FEW_ROWS:
        what = "there are" if rows.regression else "a class has"
        notes.append(f"{what} only {fewest} labelled row(s): expect little of this model, and more of more rows")
    elif skill <= NO_SKILL:
        what = "target" if rows.regression else "labels"
        notes.append(f"leaving out one row at a time, the columns do not predict the {what}: they may be unrelated")
    return notes
