"""Domains that were trained on (table 3), and generated weights as a start for ordinary training (table 6, figure 3).

Everything starts from pictures that are decoded; only the layers behind the frozen early ones are trained, also by
`Finetune`, because a pass through the whole network takes a CPU ten times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from experiments.office_scores import Scores, top_scores
from flame.metadata import Metadata
from flame.picture.features import PictureEncoder
from flame.picture.sets import ImageDomain, ImageSet
from targets import Weights
from targets.vision import forward_logits
from targets.vision_networks import head_of, run_steps, steps

PAPER_EPOCHS = 400
"""Of LoRA and Finetune in table 3; seconds are measured on few epochs and scaled to these."""
BATCH = 64
UPDATES = 150
"""Of LoRA and Finetune at least, where few pictures make short epochs."""


@dataclass(frozen=True)
class Curve:
    """One training from one start."""

    validation: list[float]
    """Accuracy before training and after every epoch."""
    test: list[Scores]
    """As `validation`; where only the best epoch is asked for, of no use after epochs that are not the best so far."""
    losses: list[float]
    """On validation pictures, as `validation`."""
    train_seconds: float = 0.0
    """Of one thread's CPU time, so that other programs on the machine do not count."""

    @property
    def best(self) -> int:
        """The epoch with the best validation accuracy, of several the one with the least loss; 0: the start itself."""
        return max(range(len(self.validation)), key=lambda i: (self.validation[i], -self.losses[i]))

    @property
    def epochs(self) -> int:
        return len(self.validation) - 1

    def reaches(self, score: float) -> int | None:
        """The first epoch whose validation accuracy is at least this; None: there is none."""
        return next((epoch for epoch, v in enumerate(self.validation) if v >= score - 1e-9), None)


Parts = dict[str, tuple[Tensor, Tensor]]
"""train, validation, test: what the early layers made of the pictures, and the labels."""


def parts_of(encoder: PictureEncoder, found: ImageSet, domain: ImageDomain, cache: Any) -> Parts:
    """A domain's pictures behind the early layers."""
    inputs = encoder.cached_prefix(f"{found.name}-{domain.name}", domain.pictures, cache)
    y = torch.from_numpy(domain.y).long()
    return {p: (inputs[domain.rows(p)].float(), y[domain.rows(p)]) for p in ("train", "validation", "test")}


def merged(encoder: PictureEncoder, weights: Weights) -> nn.Module:
    """An ordinary network that holds generated tensors."""
    k = weights[f"{encoder.head}.weight"].shape[1]
    model = encoder.target.build(Metadata(task="img_cls", out_dim=k, arch="mobilenet_v3_small"), encoder.base)
    return encoder.target.merge(model, weights)


def plain_start(encoder: PictureEncoder, n_classes: int, seed: int) -> Weights:
    """The base model with a fresh classifier."""
    torch.manual_seed(seed)
    made = {s.name: torch.zeros(1, *s.shape) for s in encoder.specs}
    fresh = nn.Linear(encoder.d_feature, n_classes)
    return {**made, f"{encoder.head}.weight": fresh.weight[None], f"{encoder.head}.bias": fresh.bias[None]}


def finetune(
    encoder: PictureEncoder,
    weights: Weights,
    parts: Parts,
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    every: bool = True,
) -> Curve:
    """Train all convolutions behind the early layers, and the classifier; normalisations stay (appendix B)."""
    model = merged(encoder, weights)
    late = {
        id(p) for name, step in steps(model)[encoder.skip :] if isinstance(step, nn.Module) for p in step.parameters()
    }
    late |= {id(p) for p in head_of(model).parameters()}
    trained = [p for p in model.parameters() if id(p) in late and p.requires_grad]
    run = run_steps(steps(model)[encoder.skip :])
    return _fit(
        lambda x: head_of(model)(run(x)), trained, parts, epochs=epochs, rate=learning_rate, seed=seed, every=every
    )


def lora(
    encoder: PictureEncoder, n_classes: int, parts: Parts, *, epochs: int, learning_rate: float, seed: int
) -> Curve:
    """Train FLAME's own adapters and a classifier from nothing on one domain."""
    torch.manual_seed(seed)
    made = {s.name: (torch.randn(1, *s.shape) * s.init_std).requires_grad_() for s in encoder.specs}
    fresh = nn.Linear(encoder.d_feature, n_classes)
    made[f"{encoder.head}.weight"] = fresh.weight.detach()[None].clone().requires_grad_()
    made[f"{encoder.head}.bias"] = fresh.bias.detach()[None].clone().requires_grad_()

    def forward(x: Tensor) -> Tensor:
        return forward_logits(encoder.model, made, x[None], skip=encoder.skip)[0]

    return _fit(forward, list(made.values()), parts, epochs=epochs, rate=learning_rate, seed=seed, every=False)


def _fit(
    forward: Callable[[Tensor], Tensor],
    trained: Sequence[Tensor],
    parts: Parts,
    *,
    epochs: int,
    rate: float,
    seed: int,
    every: bool,
) -> Curve:
    """Ordinary training; test pictures are read after `every` epoch, or only after those that are the best so far."""
    optimiser = torch.optim.Adam(list(trained), lr=rate, weight_decay=0.0)
    draws, seconds = torch.Generator().manual_seed(seed), 0.0
    x, y = parts["train"]
    curve = Curve([], [], [])
    _look(forward, parts, curve, every)
    for _ in range(epochs):
        started = time.process_time()
        for rows in torch.randperm(len(y), generator=draws).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(forward(x[rows]), y[rows]).backward()
            optimiser.step()
        seconds += time.process_time() - started
        _look(forward, parts, curve, every)
    return replace(curve, train_seconds=seconds)


@torch.no_grad()
def _look(forward: Callable[[Tensor], Tensor], parts: Parts, curve: Curve, every: bool) -> None:
    def logits(part: str) -> Tensor:
        return torch.cat([forward(rows) for rows in parts[part][0].split(2 * BATCH)])

    found, (_, y) = logits("validation"), parts["validation"]
    curve.validation.append(top_scores(found, y)[0])
    curve.losses.append(float(nn.functional.cross_entropy(found, y)))
    asked = every or curve.best == curve.epochs
    curve.test.append(top_scores(logits("test"), parts["test"][1]) if asked else (float("nan"),) * 3)


def enough_epochs(n: int, epochs: int) -> int:
    """As many as asked for, or more where `n` training pictures would else give fewer than `UPDATES`.

    >>> enough_epochs(300, 15), enough_epochs(80, 15), enough_epochs(300, 100)
    (30, 75, 100)
    """
    return max(epochs, -(-UPDATES // -(-n // BATCH)))


def seconds_of_prefix(encoder: PictureEncoder, domain: ImageDomain, parts: Sequence[str]) -> float:
    """Seconds that the early layers take for the pictures of some parts, timed on 32 of them."""
    n = sum(len(domain.rows(p)) for p in parts)
    some = domain.pictures[:32]
    encoder.prefix(some)
    started = time.process_time()
    encoder.prefix(some)
    return (time.process_time() - started) * n / len(some)


def seconds_of_epoch(encoder: PictureEncoder, domain: ImageDomain, n_classes: int) -> float:
    """Seconds of one epoch of fine-tuning all layers, from the pixels on; timed on one batch of at most 64 pictures."""
    model = merged(encoder, plain_start(encoder, n_classes, 0))
    rows = domain.rows("train")
    pixels, y = encoder.scaled(domain.pictures[rows[:BATCH]]), torch.from_numpy(domain.y[rows[:BATCH]]).long()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    for _ in range(2):  # the first one warms up
        started = time.process_time()
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(pixels), y).backward()
        optimiser.step()
        seconds = time.process_time() - started
    return seconds * len(rows) / len(y)
