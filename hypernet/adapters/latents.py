"""Latents of known tasks, told apart before anything else is learned.

Shape letters: v = sentences of a task, d_words.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hypernet.adapters.generator import AdapterGenerator
from hypernet.objectives import contrast

STEPS = 300
LEARNING_RATE = 1e-3


def tell_apart(generator: AdapterGenerator, descriptions: Sequence[Tensor], *, noise: float, seed: int = 0) -> None:
    """Train the encoder alone, for a few seconds, until sentences of one task have one latent, and tasks their own.

    Two wordings of a task are hardly more alike to a sentence encoder than sentences of two tasks; a generator would
    learn every wording by itself.

    Args:
        descriptions: (v, d_words) of each task.
        noise: length of the noise that is added to embeddings of length one.
    """
    words = nn.functional.normalize(torch.cat(list(descriptions)).float(), dim=-1)
    owners = torch.arange(len(descriptions)).repeat_interleave(torch.tensor([len(d) for d in descriptions]))
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        prototypes = torch.randn(len(descriptions), generator.config.d_latent, requires_grad=True)
        optimizer = torch.optim.Adam([*generator.encoder.parameters(), prototypes], lr=LEARNING_RATE)
        for _ in range(STEPS):
            heard = words + noise * words.shape[1] ** -0.5 * torch.randn_like(words)
            loss = contrast(generator.latent(heard), prototypes, owners)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    generator.zero_grad(set_to_none=True)
