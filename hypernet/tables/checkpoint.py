"""The generator for any table on disk; see `hypernet.folders`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from hypernet.folders import markdown_table, read_folder, write_folder
from hypernet.tables.generator import TableGenerator, TableGeneratorConfig

FORMAT = "flame-table-generator"


def save_table_generator(model: TableGenerator, folder: str | Path, *, provenance: dict[str, Any]) -> Path:
    """Write a folder with the story of the training."""
    config = {**asdict(model.config), "provenance": provenance}
    return write_folder(folder, model.state_dict(), kind=FORMAT, config=config, card=_card(model, provenance))


def load_table_generator(folder: str | Path) -> TableGenerator:
    """Read a folder that `save_table_generator` wrote; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    return read_folder(folder, _built, kind=FORMAT, what="generator for tables")


def _built(raw: dict[str, Any], tensors: dict[str, Tensor]) -> TableGenerator:
    model = TableGenerator(TableGeneratorConfig(d_hidden=raw["d_hidden"]))
    model.load_state_dict(tensors)
    model.provenance = dict(raw.get("provenance", {}))
    return model


def _card(model: TableGenerator, provenance: dict[str, Any]) -> str:
    n = sum(p.numel() for p in model.parameters())
    parts = [
        "# A generator for any labelled table",
        f"{n:,} learned parameters, pre-trained on synthetic tables only: every real table is an unseen task. It reads "
        "labelled rows and writes the weights of an ordinary MLP in one forward pass; see `hypernet/tables`. Licence: "
        "Apache-2.0; no data of anybody else went into it.",
        *_section("Runs", provenance.get("runs", [])),
        *_section(
            "Held-out synthetic tables (means)",
            [{"": name, **scores} for name, scores in provenance.get("validation", {}).items()],
        ),
        "Real tables: `python -m experiments.unseen_tables`. Limits: what columns of free text, images or the order of "
        "rows say is lost; where few rows meet many columns, expect little.",
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, rows: list[dict[str, Any]]) -> list[str]:
    """A heading and a table, if there are rows."""
    return [f"## {title}", markdown_table(rows)] if rows else []
