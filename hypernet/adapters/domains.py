"""Domains that were trained on, found again by their descriptions: the paper's head group per task.

Shape letters: b = descriptions, v = remembered sentences, m = domains, n = labels, p = features, d_words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNLIKE = 0.85
"""Likeness to the nearest remembered sentence at which a domain counts half."""
SHARP = 0.02
"""Difference of likeness that matters; a small number chooses one domain."""


class SeenDomains(nn.Module):
    """What each seen domain adds to the rows that its labels have in all domains, and how its features are scaled.

    Of a description that is like none of the remembered ones nothing is added.
    """

    sentences: Tensor
    domain_of: Tensor
    means: Tensor
    factors: Tensor
    rows: Tensor

    def __init__(self, n_sentences: int, n_domains: int, n_labels: int, d_words: int, d_feature: int) -> None:
        super().__init__()
        self.register_buffer("sentences", torch.zeros(n_sentences, d_words))
        self.register_buffer("domain_of", torch.zeros(n_sentences))
        self.register_buffer("means", torch.zeros(n_domains, d_feature))
        self.register_buffer("factors", torch.ones(n_domains, d_feature))
        self.register_buffer("rows", torch.zeros(n_domains, n_labels, d_feature + 1))

    def forget(self) -> None:
        """Nothing of any domain."""
        for value in self.buffers():
            value.zero_()

    def shares(self, description: Tensor) -> Tensor:
        """How far each domain is meant; what is missing to one is none of them.

        Shape:
            (b, d_words) -> (b, m)
        """
        if not len(self.means):
            return description.new_zeros(len(description), 0)
        own = nn.functional.normalize(description.float(), dim=-1)
        likeness = own @ self.sentences.mT
        mine = self.domain_of == torch.arange(len(self.means), device=likeness.device)[:, None]
        nearest = torch.where(mine, likeness[:, None], -1.0).amax(-1)
        none = nearest.new_full((len(nearest), 1), UNLIKE)
        return (torch.cat([nearest, none], -1) / SHARP).softmax(-1)[:, :-1]

    def changes(self, description: Tensor) -> Tensor:
        """What is added to the remembered rows of all labels.

        Shape:
            (b, d_words) -> (b, n, p + 1)
        """
        return torch.einsum("bm,mnp->bnp", self.shares(description), self.rows)
