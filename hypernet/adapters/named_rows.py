"""Classifier rows of new labels from a classifier whose classes have names: words in, rows out, nothing is trained.

Kernel ridge regression from the embedding of a class's name to its row, as DeViSE (Frome et al. 2013) and ConSE
(Norouzi et al. 2014) join words and pictures, but towards rows: what comes out is an ordinary classifier.

Shape letters: m = classes that have rows, k = labels, p = features, d_words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from flame.errors import WeightsError

WIDTH, RIDGE = 0.2, 1.0
"""Difference of cosines at which the likeness of two names falls by a factor of e, and what is added to a name's
likeness to itself. Of widths of 0.1 to 0.5 and ridges of 0.03 to 1, by `NamedRows.left_out` on MobileNetV2's 1,000 rows
with MiniLM's embeddings: the rows of classes that are left out have the greatest mean cosine to their own, 0.127
(`experiments/results/picture_names_chosen.md`)."""
LENGTH = 0.3
"""Of a written row, in mean lengths of the known ones: rows from words are surer than they are right. Of 0.1 to 1, by
log-loss on training and validation pictures (same table)."""


@dataclass(frozen=True, eq=False)
class NamedRows:
    """A classifier's rows with the embeddings of their names."""

    words: Tensor
    """(m, d_words), of length one."""
    rows: Tensor
    """(m, p), less their mean, which is no class's own."""
    width: float = WIDTH
    ridge: float = RIDGE

    @classmethod
    def of(cls, words: Tensor, rows: Tensor) -> NamedRows:
        """From embeddings and a classifier's weight.

        Shape:
            words (m, d_words), rows (m, p)

        Raises:
            WeightsError: if there are not as many names as rows.
        """
        if len(words) != len(rows):
            raise WeightsError(f"expected a name for each of {len(rows)} rows, however: {len(words)}")
        rows = rows.float()
        return cls(_unit(words), rows - rows.mean(0))

    def write(self, labels: Tensor) -> Tensor:
        """Rows of labels; all of the same length, as a label that is like little else would else never be chosen.

        Shape:
            labels (k, d_words) -> (k, p)
        """
        found = self._kernel(self.likeness(labels)) @ self._coefficients
        return LENGTH * self.rows.norm(dim=1).mean() * nn.functional.normalize(found, dim=-1)

    def nearest(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine of each label to the known name that is most like it, and the place of that name.

        Shape:
            labels (k, d_words) -> (k,), (k,)
        """
        best = self.likeness(labels).max(1)
        return best.values, best.indices

    def likeness(self, labels: Tensor) -> Tensor:
        """Cosines of labels to known names.

        Shape:
            labels (k, d_words) -> (k, m)
        """
        return _unit(labels) @ self.words.mT

    def left_out(self) -> Tensor:
        """What the other classes say of each known class's row, before its length is set; in closed form.

        Shape:
            -> (m, p)
        """
        inverse = torch.linalg.inv(self._gram)
        return self.rows - (inverse @ self.rows) / inverse.diagonal()[:, None]

    def _kernel(self, cosines: Tensor) -> Tensor:
        return ((cosines - 1) / self.width).exp()

    @property
    def _gram(self) -> Tensor:
        return self._kernel(self.words @ self.words.mT) + self.ridge * torch.eye(len(self.words))

    @cached_property
    def _coefficients(self) -> Tensor:
        return torch.linalg.solve(self._gram, self.rows)


def _unit(words: Tensor) -> Tensor:
    return nn.functional.normalize(words.float(), dim=-1)
