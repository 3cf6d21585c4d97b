"""Two networks that are trained on one table, as controls: a plain MLP and TabM (Gorishniy et al. 2025)."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

VALIDATION = 0.15
"""Share of the training rows by which the best epoch is chosen."""


class Network:
    """A network trained with Adam; the epoch with the lowest validation loss is kept.

    Args:
        n_classes: 0 for regression.
        patience: epochs without progress after which training stops.
    """

    def __init__(
        self, kind: str, *, ensemble: bool, epochs: int, patience: int, seed: int, learning_rate: float = 2e-3
    ) -> None:
        self.kind, self.ensemble, self.seed = kind, ensemble, seed
        self.epochs, self.patience, self.learning_rate = epochs, patience, learning_rate

    def fit(self, x: NDArray[Any], y: NDArray[Any]) -> Network:
        """Shape: x (n, m), y (n,) class codes or standardised numbers."""
        torch.manual_seed(self.seed)
        inputs = torch.as_tensor(x, dtype=torch.float32)
        labels = torch.as_tensor(y, dtype=torch.long if self.kind == "classification" else torch.float32)
        order = torch.randperm(len(labels))
        held, kept = order[: int(VALIDATION * len(order))], order[int(VALIDATION * len(order)) :]
        d_out = int(labels.max()) + 1 if self.kind == "classification" else 1
        self.module = _tabm(inputs.shape[1], d_out) if self.ensemble else _mlp(inputs.shape[1], d_out)
        self._train(inputs, labels, kept, held)
        return self

    def predict_proba(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(self._outputs(x).softmax(-1).mean(1))

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        outputs = self._outputs(x)
        if self.kind == "classification":
            return np.asarray(outputs.softmax(-1).mean(1).argmax(1))
        return np.asarray(outputs.mean(1)[:, 0])

    def _train(self, x: Tensor, y: Tensor, kept: Tensor, held: Tensor) -> None:
        optimizer = torch.optim.AdamW(self.module.parameters(), lr=self.learning_rate, weight_decay=3e-4, fused=True)
        best, state, since = float("inf"), copy.deepcopy(self.module.state_dict()), 0
        for _ in range(self.epochs):
            self.module.train()
            for rows in kept[torch.randperm(len(kept))].split(128 if self.ensemble else 64):
                optimizer.zero_grad(set_to_none=True)
                self._loss(x[rows], y[rows]).backward()
                optimizer.step()
            self.module.eval()
            with torch.inference_mode():
                loss = float(self._loss(x[held], y[held])) if len(held) else 0.0
            since += 1
            if loss < best or not len(held):
                best, state, since = loss, copy.deepcopy(self.module.state_dict()), 0
            if since >= self.patience:
                break
        self.module.load_state_dict(state)

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Every member of an ensemble is trained by its own loss."""
        outputs = self.module(x)
        targets = y[:, None].expand(-1, outputs.shape[1]).flatten()
        if self.kind == "classification":
            return nn.functional.cross_entropy(outputs.flatten(0, 1), targets)
        return nn.functional.mse_loss(outputs.flatten(), targets)

    def _outputs(self, x: NDArray[Any]) -> Tensor:
        """Shape: (n, m) -> (n, members, k)."""
        self.module.eval()
        with torch.inference_mode():
            return torch.cat([self.module(part) for part in torch.as_tensor(x, dtype=torch.float32).split(1024)])


def _mlp(d_in: int, d_out: int) -> nn.Module:
    layers = [nn.Linear(d_in, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, d_out)]
    return nn.Sequential(*layers, nn.Unflatten(1, (1, d_out)))


def _tabm(d_in: int, d_out: int) -> nn.Module:
    """Smaller than its defaults (32 members, 512 units): hundreds of them are trained on one thread."""
    from tabm import TabM

    return TabM.make(n_num_features=d_in, d_out=d_out, k=16, d_block=128, n_blocks=2)
