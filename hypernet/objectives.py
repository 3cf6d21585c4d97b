"""What the generator minimises: equation (3) by plain back-propagation, or Algorithm 1.

Shape letters: p = pairs, n = rows, k = classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from targets import Weights

LossOfWeights = Callable[[Weights], Tensor]
"""Weights (p, *shape) -> loss per pair (p,)."""


def pair_losses(logits: Tensor, y: Tensor, out_dims: Tensor) -> Tensor:
    """Cross-entropy of every pair, equation (3); padded rows (y = -100) and padded classes count nothing.

    Shape:
        logits (p, n, k), y (p, n), out_dims (p,) -> (p,)
    """
    classes = torch.arange(logits.shape[-1], device=logits.device)
    logits = logits.masked_fill(classes >= out_dims[:, None, None], torch.finfo(logits.dtype).min)
    losses = cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-100, reduction="none").view_as(y)
    return losses.sum(1) / (y != -100).sum(1).clamp(min=1)


def prior_penalty(weights: Weights, precision: dict[str, Tensor]) -> Tensor:
    """Minus the log-density of generated weights under independent Gaussians, up to a constant.

    With `precision` = 1 / (variance of a well-scaled start x rows of the task), a table of a hundred rows is held near
    small weights and one of thirty thousand is free: the maximum a posteriori of every task, at strength 1.

    Shape:
        weights (p, *shape), precision (p,) -> (p,)
    """
    parts = [0.5 * precision[name] * weights[name].flatten(1).square().sum(1) for name in precision]
    return torch.stack(parts).sum(0)


def contrast(z: Tensor, prototypes: Tensor, owners: Tensor, temperature: float = 0.2) -> Tensor:
    """Cross-entropy of telling from a latent's direction which task its sentence belongs to.

    NOTE[PAPER]: the paper has no such term. Without it every task's own head learns one model by heart, the encoder
    gives all sentences the same latent, and another task's sentence generates the same weights.

    Shape:
        z (b, d), prototypes (tasks, d), owners (b,) -> ()
    """
    cosines = normalize(z, dim=-1) @ normalize(prototypes, dim=-1).T
    return cross_entropy(cosines / temperature, owners)


def direct(weights: Weights, losses: LossOfWeights) -> tuple[Tensor, Tensor]:
    """Mean loss over pairs, to be back-propagated through the target into the generator.

    Returns:
        what to back-propagate, and the mean loss for the log.
    """
    loss = losses(weights).mean()
    return loss, loss.detach()


def delta(
    weights: Weights, losses: LossOfWeights, optimizer: Callable[[list[Tensor]], torch.optim.Optimizer]
) -> tuple[Tensor, Tensor]:
    """Algorithm 1: one step of the target's own optimiser; the change of its weights is their gradient.

    With theta' = step(theta), the gradient handed to a generated tensor theta is theta - theta', averaged over pairs.
    The returned scalar has that gradient, so any trainer can back-propagate it; its value means nothing. For plain
    SGD with rate eta it equals eta times the `direct` gradient.

    Args:
        optimizer: makes the target's optimiser for a list of leaf tensors (b = p, so pairs do not mix).

    Returns:
        what to back-propagate, and the mean loss before the step for the log.
    """
    # Copies: the target's optimiser changes them in place.
    leaves = {name: value.detach().clone().requires_grad_() for name, value in weights.items()}
    step = optimizer(list(leaves.values()))
    per_pair = losses(leaves)
    step.zero_grad()
    per_pair.sum().backward()
    step.step()
    changes = {name: weights[name].detach() - leaf.detach() for name, leaf in leaves.items()}
    surrogate = torch.stack([(changes[name] * value).sum() for name, value in weights.items()]).sum()
    return surrogate / len(per_pair), per_pair.detach().mean()
