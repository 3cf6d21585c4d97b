"""Texts, or pairs of texts, to the tokens that their model reads. Needs numpy and tokenizers.

Shape letters: n = texts, t = tokens of the longest of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flame.export.rows import SHOWN, Columns, Fault, RowError, plain_cell, read_csv_files, shown


class TextReader:
    """From texts to token ids, as the card says; what is missing is the empty text, what is too long is cut."""

    at_once = 32
    told: tuple[str, ...] = ()

    def __init__(self, card: Mapping[str, Any]) -> None:
        from tokenizers import Tokenizer

        self.columns, self.missing = card["columns"], frozenset(card["missing"])
        self.names = [c["name"] for c in self.columns]
        self.wanted, self.pad = card["inputs"], card["pad"]
        self.tokenizer = Tokenizer.from_str(json.dumps(card["tokenizer"]))

    def inputs(self, table: Columns, first: int = 1) -> dict[str, np.ndarray]:
        """Token ids, mask and, where the model reads them, segments.

        Shape:
            -> (n, t) int64 each

        Raises:
            RowError: if a cell is neither text nor number, or holds half a character.
        """
        faults: list[Fault] = []
        texts = [self._texts(name, table[name], first, faults) for name in self.names]
        if faults:
            raise RowError(*faults)
        encoded = self.tokenizer.encode_batch(texts[0] if len(texts) == 1 else list(zip(*texts, strict=True)))
        width = max((len(e.ids) for e in encoded), default=0)
        ids = np.full((len(encoded), width), self.pad, dtype=np.int64)
        mask, segments = np.zeros_like(ids), np.zeros_like(ids)
        for i, e in enumerate(encoded):
            n = len(e.ids)
            ids[i, :n], mask[i, :n], segments[i, :n] = e.ids, 1, e.type_ids
        made = {"ids": ids, "mask": mask, "segments": segments}
        return {name: made[name] for name in self.wanted}

    def read_files(self, paths: Iterable[str | Path]) -> Iterator[tuple[int, Columns]]:
        """The rows of CSV files."""
        return read_csv_files(paths, self)

    def _texts(self, name: str, cells: Sequence[Any], first: int, faults: list[Fault]) -> list[str]:
        texts = []
        for row, cell in enumerate(cells, first):
            try:
                value = plain_cell(cell, self.missing)
                texts.append("" if value is None else str(value))
            except ValueError as error:
                texts.append("")
                if len(faults) <= SHOWN:
                    faults.append({"row": row, "column": name, "message": f"{error}, however: {shown(cell)}"})
        return texts
