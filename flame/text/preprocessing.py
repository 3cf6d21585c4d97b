"""Texts to tokens: which columns hold them, and the base model whose tokenizer reads them. Kept as JSON, no pickle."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from flame.columns import unnamed
from flame.data import read_labelled, read_rows
from flame.errors import CheckpointError, DataError, did_you_mean
from flame.inputs import Training
from flame.reading import SUFFIXES
from flame.text.base import MAX_TOKENS, TextBase
from flame.text.reading import cells_as_text
from flame.text.token_rows import TokenRows, tokenized


@dataclass(frozen=True)
class TextPreprocessor:
    """Turns the texts, or the pairs of texts, of a frame into token ids.

    A text that is missing is read as the empty text. One that is too long is cut, with a warning.
    """

    columns: tuple[str, ...]
    """One column of texts, or two for pairs, the first text in front."""
    base: TextBase
    max_tokens: int
    """Tokens of a text, or of both texts of a pair, that are read."""
    modality: ClassVar[str] = "text"
    training: ClassVar[Training] = Training(1e-3, 16, methods=("lora", "head"), n_held_out=1000)

    @classmethod
    def of(cls, columns: tuple[str, ...], base: TextBase) -> TextPreprocessor:
        """For texts of these columns, cut where the base model or its cost ends."""
        return cls(columns, base, min(MAX_TOKENS, base.base.max_tokens))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns with the texts."""
        return self.columns

    def read(self, data: Any) -> pd.DataFrame:
        """Rows of anything `flame.read_data` accepts.

        Raises:
            DataError: if it holds no rows of texts, or one text came that stands in no list.
        """
        if isinstance(data, str) and not data.lower().endswith(SUFFIXES) and not os.path.exists(data):
            what = "predict([text])" if len(self.columns) == 1 else "predict([(first, second)])"
            raise DataError(f"a list of texts is expected, however: one string, which names no file; write {what}")
        if isinstance(data, list) and not data:
            return pd.DataFrame({name: [] for name in self.columns}, dtype=object)
        return read_rows(data)

    def read_labelled(self, data: Any, *, target: str | None, known: str) -> tuple[pd.DataFrame, list[Any], str]:
        """Rows, their labels and the target's name."""
        return read_labelled(data, target=target, known=known)

    def encode(self, rows: pd.DataFrame) -> TokenRows:
        """Tokenise rows; extra columns are ignored.

        Raises:
            DataError: names the column that is missing, with the nearest match.
        """
        found = self.tokenize(rows)
        if found.n_cut:
            warnings.warn(self.too_long(found), stacklevel=2)
        return found

    def tokenize(self, rows: pd.DataFrame) -> TokenRows:
        """As `encode`, without a warning."""
        cells = [cells_as_text(rows[name]).tolist() for name in self.columns_in(rows)]
        second = cells[1] if len(cells) == 2 else None
        return tokenized(self.base.tokenizer, cells[0], second, max_tokens=self.max_tokens)

    def too_long(self, found: TokenRows) -> str:
        """What to say where texts are cut."""
        what = "texts" if len(self.columns) == 1 else "pairs of texts"
        return f"{found.n_cut:,} of {len(found):,} {what} have more than {self.max_tokens} tokens; the rest is not read"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; the base model stands beside it in the saved file."""
        return {"columns": list(self.columns), "max_tokens": self.max_tokens}

    @classmethod
    def from_json(cls, value: dict[str, Any], base: TextBase) -> TextPreprocessor:
        """Read a JSON object back.

        Raises:
            CheckpointError: if it is not one of ours, or the base model does not read as many tokens.
        """
        try:
            columns, n = tuple(map(str, value["columns"])), int(value["max_tokens"])
            if len(columns) not in (1, 2) or not 2 < n <= base.base.max_tokens:
                raise ValueError(f"columns {columns!r}, max_tokens {n}")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the stored preprocessing is not readable: {error}") from error
        return cls(columns, base, n)

    def columns_in(self, rows: pd.DataFrame) -> list[str]:
        """The columns of `rows` that hold the texts: by name, or the only ones there are where names do not tell.

        Raises:
            DataError: names the column that is missing, with the nearest match.
        """
        names = [str(c) for c in rows.columns]
        if set(self.columns) <= set(names):
            return list(self.columns)
        if len(names) == len(self.columns) and (len(names) == 1 or unnamed(names) or unnamed(self.columns)):
            return names
        wanted = f"the model reads the column(s) {list(self.columns)!r}"
        lacking = [name for name in self.columns if name not in names]
        if unnamed(names):
            raise DataError(
                f"{wanted}, however: {len(names)} column(s) without names came; name them, or give no others"
            )
        missing = ", ".join(map(repr, lacking))
        raise DataError(f"{wanted}, however: {missing} missing from {did_you_mean(lacking[0], names)}")
