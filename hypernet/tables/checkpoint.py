"""The generator for any table on disk: `config.json`, `model.safetensors` and a card. No pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from flame.errors import CheckpointError
from hypernet.tables.generator import TableGenerator, TableGeneratorConfig

FORMAT = "flame-table-generator"
FORMAT_VERSION = 1
FILES = ("config.json", "model.safetensors")


def save_table_generator(model: TableGenerator, folder: str | Path, *, provenance: dict[str, Any]) -> Path:
    """Write a folder; `config.json` comes last, so that a half-written folder is refused."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    config = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(model.config), "provenance": provenance}
    (folder / "config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").write_bytes(save(tensors))
    (folder / "README.md").write_text(_card(model, provenance), "utf8")
    (folder / "config.json").write_text(json.dumps(config, indent=1), "utf8")
    return folder


def load_table_generator(folder: str | Path) -> TableGenerator:
    """Read a folder that `save_table_generator` wrote; its hash is kept as `fingerprint`.

    Raises:
        CheckpointError: if it is missing, truncated, or of another program.
    """
    folder = Path(folder)
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} is no generator for tables: it lacks {', '.join(missing)}")
    try:
        raw = json.loads((folder / "config.json").read_text("utf8"))
        if not isinstance(raw, dict) or (raw.get("format"), raw.get("version")) != (FORMAT, FORMAT_VERSION):
            raise CheckpointError(
                f'{folder}/config.json must say "format": "{FORMAT}" and "version": {FORMAT_VERSION}; another program '
                "or version wrote it"
            )
        content = (folder / "model.safetensors").read_bytes()
        model = TableGenerator(TableGeneratorConfig(d_hidden=raw["d_hidden"]))
        model.load_state_dict(load(content))
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"the generator in {folder} is truncated or foreign: {error}") from error
    if not all(value.isfinite().all() for value in model.state_dict().values()):
        raise CheckpointError(f"the generator in {folder} holds numbers that are not finite")
    model.fingerprint = hashlib.sha256(content).hexdigest()
    model.provenance = dict(raw.get("provenance", {}))
    return model.eval()


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
    """A heading and a Markdown table, if there are rows."""
    if not rows:
        return []
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    lines += ["| " + " | ".join(str(row.get(n, "-")) for n in names) + " |" for row in rows]
    return [f"## {title}", "\n".join(lines)]
