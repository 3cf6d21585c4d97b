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
from flame.text.token_rows import TokenRows
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
    encoder: TextEncoder,
    tasks: Sequence[tuple[TextTask, TextRows]],
    *,
    way: str,
    epochs: float,
    seed: int = 0,
    batch: int = BATCH,
    start: Weights | None = None,
) -> Trained:
    """Train on all tasks together, each row as often as `epochs` says; the given encoder is not changed.

    `start`: adapter and classifier of one task to go on from (with `way` LoRA), as a generator writes them.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    weights: Weights | None = None
    heads = {task.name: _head(task, encoder.base.hidden_size) for task, _ in tasks}
    if way == "LoRA":
        specs = encoder.target.static_specs()
        weights = {s.name: s.init_std * torch.randn(1, *s.shape) for s in specs}
        if start is not None:
            weights = {name: start[name].detach().clone() for name in weights}
            heads[tasks[0][0].name].load_state_dict({n: start[f"classifier.{n}"][0] for n in ("weight", "bias")})
        learned = [value.requires_grad_() for value in weights.values()]
    else:
        encoder = copy.copy(encoder)
        encoder.model = copy.deepcopy(encoder.model).requires_grad_(True)
        learned = list(encoder.model.base.parameters())
    tokens = {task.name: encoder.tokens(rows.texts, rows.pairs) for task, rows in tasks}
    of_heads = [p for head in heads.values() for p in head.parameters()]
    groups = [{"params": learned, "lr": LEARNING_RATES[way]}, {"params": of_heads, "lr": HEAD_RATE}]
    optimizer = torch.optim.Adam(groups)
    plan = _plan([_lengths(tokens[task.name]) for task, _ in tasks], epochs, batch)
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


def _lengths(tokens: TokenRows) -> Tensor:
    return torch.tensor([len(ids) for ids in tokens.ids])


def _plan(lengths: Sequence[Tensor], epochs: float, size: int) -> list[tuple[int, Tensor]]:
    """Batches of all tasks in random order; rows of like length stand together, out of sixteen batches at a time."""
    batches = []
    for which, known in enumerate(lengths):
        n = len(known)
        total = max(1, round(epochs * n))
        rows = torch.cat([torch.randperm(n) for _ in range(-(-total // n))])[:total]
        for part in rows.split(16 * size):
            batches += [(which, batch) for batch in part[known[part].argsort()].split(size)]
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]


def _loss(outputs: Tensor, y: Tensor, all_y: Tensor, task: TextTask) -> Tensor:
    if task.regression:
        return (outputs[:, 0] - (y - all_y.mean()) / all_y.std()).square().mean()
    return nn.functional.cross_entropy(outputs, y)
