"""The ordinary way: adapters or whole encoders trained by gradient descent, for one task or for several together."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flame.text.encoding import TextEncoder
from flame.text.tasks import TextRows, TextTask
from targets import Weights

BATCH = 32
LEARNING_RATES = {"LoRA": 1e-3, "finetune": 1e-4}
"""Of adapters, as in the paper; of whole encoders a tenth of the paper's, at which these do not diverge."""
HEAD_RATE = 1e-2


@dataclass(frozen=True)
class Trained:
    """An encoder, its adapters if it has any, and a linear head for each task."""

    encoder: TextEncoder
    weights: Weights | None
    heads: dict[str, nn.Linear]
    seconds: float
    n_seen: int
    """Rows that were read, repeated ones counted again."""

    @torch.inference_mode()
    def predict(self, task: TextTask, rows: TextRows) -> Tensor:
        """Logits, or standardised numbers: (n, k)."""
        return self.heads[task.name](self.encoder.encode(rows.texts, rows.pairs, weights=self.weights))


def train(
    encoder: TextEncoder, tasks: Sequence[tuple[TextTask, TextRows]], *, way: str, epochs: float, seed: int = 0
) -> Trained:
    """Train on all tasks together, each row as often as `epochs` says; the given encoder is not changed."""
    started = time.perf_counter()
    torch.manual_seed(seed)
    weights: Weights | None = None
    if way == "LoRA":
        specs = encoder.target.static_specs()
        weights = {s.name: (s.init_std * torch.randn(1, *s.shape)).requires_grad_() for s in specs}
        learned = list(weights.values())
    else:
        encoder = copy.copy(encoder)
        encoder.model = copy.deepcopy(encoder.model).requires_grad_(True)
        learned = list(encoder.model.base.parameters())
    heads = {task.name: _head(task, encoder.base.hidden_size) for task, _ in tasks}
    tokens = {task.name: encoder.tokens(rows.texts, rows.pairs) for task, rows in tasks}
    of_heads = [p for head in heads.values() for p in head.parameters()]
    groups = [{"params": learned, "lr": LEARNING_RATES[way]}, {"params": of_heads, "lr": HEAD_RATE}]
    optimizer = torch.optim.Adam(groups)
    plan = _plan([len(rows) for _, rows in tasks], epochs)
    for i, (which, chosen) in enumerate(plan):
        for group, top in zip(optimizer.param_groups, (LEARNING_RATES[way], HEAD_RATE), strict=True):
            group["lr"] = top * (1 - i / len(plan))
        task, rows = tasks[which]
        outputs = heads[task.name](encoder.features(*tokens[task.name].take(chosen), weights=weights))
        optimizer.zero_grad()
        _loss(outputs, rows.y[chosen], rows.y, task).backward()
        nn.utils.clip_grad_norm_([*learned, *of_heads], 1.0)
        optimizer.step()
    for value in learned:
        value.requires_grad_(False)
    return Trained(encoder, weights, heads, time.perf_counter() - started, sum(len(c) for _, c in plan))


def _head(task: TextTask, width: int) -> nn.Linear:
    head = nn.Linear(width, max(1, len(task.labels)))
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _plan(sizes: Sequence[int], epochs: float) -> list[tuple[int, Tensor]]:
    """Batches of all tasks in random order."""
    batches = []
    for which, n in enumerate(sizes):
        total = max(1, round(epochs * n))
        rows = torch.cat([torch.randperm(n) for _ in range(-(-total // n))])[:total]
        batches += [(which, part) for part in rows.split(BATCH)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


def _loss(outputs: Tensor, y: Tensor, all_y: Tensor, task: TextTask) -> Tensor:
    if task.regression:
        return (outputs[:, 0] - (y - all_y.mean()) / all_y.std()).square().mean()
    return nn.functional.cross_entropy(outputs, y)
