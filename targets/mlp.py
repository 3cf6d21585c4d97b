"""MLPs for tables: the whole network is generated, no base model is needed (appendix B)."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from flame.errors import WeightsError
from flame.metadata import Metadata
from targets.base import Weights, WeightSpec, check_weights, register_target


@dataclass(frozen=True)
class MLPSize:
    """One scale of the MLP target."""

    d_hidden: int
    """Units of every hidden layer."""
    n_inner: int
    """Hidden-to-hidden layers: the static component."""
    activation: bool = True
    """False: the layers follow each other without a non-linearity."""


# NOTE[PAPER]: the stack of appendix B has no activation, so it is a linear model of rank 8. Ours have a ReLU
# after every layer but the last; the paper's stack is kept as `mlp_paper` for comparison.
MLP_SIZES: dict[str, MLPSize] = {
    "mlp_small": MLPSize(d_hidden=32, n_inner=1),
    "mlp_base": MLPSize(d_hidden=64, n_inner=2),
    "mlp_large": MLPSize(d_hidden=128, n_inner=2),
    "mlp_paper": MLPSize(d_hidden=8, n_inner=4, activation=False),
}


class MLP(nn.Module):
    """Input layer, equal inner layers, output layer.

    Shape:
        (n, d_in) -> (n, k)

    >>> MLP(d_in=4, n_out=3, size=MLP_SIZES["mlp_small"])(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(self, d_in: int, n_out: int, size: MLPSize) -> None:
        super().__init__()
        self.size = size
        self.input = nn.Linear(d_in, size.d_hidden)
        self.inner = nn.ModuleList(nn.Linear(size.d_hidden, size.d_hidden) for _ in range(size.n_inner))
        self.output = nn.Linear(size.d_hidden, n_out)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.input, *self.inner):
            x = layer(x)
            if self.size.activation:
                x = torch.relu(x)
        return self.output(x)


class MLPTarget:
    """Writes `MLP`: inner layers are static, input and output layer follow the task's dimensions."""

    def __init__(self, name: str, size: MLPSize) -> None:
        self.name = name
        self.size = size

    def build(self, metadata: Metadata) -> nn.Module:
        return MLP(metadata.input_width, metadata.out_dim, self.size)

    def static_specs(self) -> tuple[WeightSpec, ...]:
        d = self.size.d_hidden
        return tuple(
            spec
            for i in range(self.size.n_inner)
            for spec in (
                WeightSpec(f"inner.{i}.weight", (d, d), gain=self._gain),
                WeightSpec(f"inner.{i}.bias", (d,), zero_init=True),
            )
        )

    def dynamic_specs(self, metadata: Metadata) -> tuple[WeightSpec, ...]:
        d, d_in, k = self.size.d_hidden, metadata.input_width, metadata.out_dim
        return (
            WeightSpec("input.weight", (d, d_in), gain=self._gain),
            WeightSpec("input.bias", (d,), zero_init=True),
            WeightSpec("output.weight", (k, d), gain=1.0),
            WeightSpec("output.bias", (k,), zero_init=True),
        )

    def merge(self, model: nn.Module, weights: Weights) -> nn.Module:
        specs = [WeightSpec(name, tuple(p.shape)) for name, p in model.named_parameters()]
        check_weights(weights, specs)
        several = {name: len(value) for name, value in weights.items() if len(value) != 1}
        if several:
            raise WeightsError(f"merge takes the weights of one model, however: batches of {several}; cut out one row")
        merged = copy.deepcopy(model)
        merged.load_state_dict({name: value.detach()[0].clone() for name, value in weights.items()})
        return merged

    @property
    def _gain(self) -> float:
        return 2.0 if self.size.activation else 1.0


for _name, _size in MLP_SIZES.items():
    register_target(MLPTarget(_name, _size))
