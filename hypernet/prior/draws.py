"""Random tensors from one generator, on its device: nothing in the prior touches the global state."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class Draws:
    """Shorthand for drawing; every method advances the one generator.

    >>> Draws(torch.Generator().manual_seed(0)).integers(3, 2, 5).shape
    torch.Size([2, 5])
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.device = generator.device

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device).mul_(high - low).add_(low)

    def chance(self, p: float, *shape: int) -> Tensor:
        """True with probability p."""
        return self.uniform(*shape) < p

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        return self.uniform(*shape, low=math.log(low), high=math.log(high)).exp_()

    def integers(self, high: int, *shape: int) -> Tensor:
        """Whole numbers 0..high-1."""
        return torch.randint(high, shape, generator=self.generator, device=self.device)

    def choice(self, weights: Tensor, n: int) -> Tensor:
        """n indices per row, with replacement, by unnormalised weights.

        Shape:
            weights (b, m) -> (b, n)
        """
        return torch.multinomial(weights, n, replacement=True, generator=self.generator)

    def permutations(self, b: int, m: int) -> Tensor:
        """One order of 0..m-1 per row, (b, m)."""
        return self.uniform(b, m).argsort(1)

    def one_of(self, values: Sequence[int]) -> int:
        """One of a few numbers, on the host: for what decides a shape."""
        return values[int(self.integers(len(values), 1))]


def standardise(values: Tensor) -> Tensor:
    """Zero mean and unit deviation along the last axis; a constant becomes zero."""
    centred = values - values.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt_().clamp_(min=1e-6)


def best_of(scores: Tensor) -> Tensor:
    """The argmax over axis 1, (b, o, n) -> (b, n); several times faster than `argmax` along a strided axis."""
    best = scores[:, 0].clone()
    index = torch.zeros(best.shape, dtype=torch.long, device=best.device)
    for i in range(1, scores.shape[1]):
        index.masked_fill_(scores[:, i] > best, i)
        torch.maximum(best, scores[:, i], out=best)
    return index
