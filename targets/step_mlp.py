"""An MLP for any table: steps between quantiles, ReLU units and conjunctions of thresholds, one output layer.

Every layer is ordinary: the steps and thresholds are `clamp(x * slope + offset, 0, 1)`, which is two ReLUs.

Shape letters: b = batch of generated models, n = rows, m = inputs, e = steps, u = ReLU units, c = conjunctions,
t = thresholds of a conjunction, k = outputs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from flame.errors import MetadataError, WeightsError
from flame.metadata import Metadata
from targets.base import Weights, WeightSpec, check_weights, register_target

THRESHOLDS = 4
"""Thresholds of one conjunction; unused ones are always true."""


class StepMLP(nn.Module):
    """The network. `step_source` and `conjunction_source` say which input a step or threshold reads.

    Shape:
        (n, m) -> (n, k)

    >>> StepMLP(d_in=4, n_steps=6, n_units=8, n_conjunctions=2, n_out=3)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    step_source: Tensor
    conjunction_source: Tensor

    def __init__(self, d_in: int, n_steps: int, n_units: int, n_conjunctions: int, n_out: int) -> None:
        super().__init__()
        self.register_buffer("step_source", torch.zeros(n_steps, dtype=torch.long))
        self.step_slope = nn.Parameter(torch.zeros(n_steps))
        self.step_offset = nn.Parameter(torch.zeros(n_steps))
        self.units = nn.Linear(d_in + n_steps, n_units)
        self.register_buffer("conjunction_source", torch.zeros(n_conjunctions, THRESHOLDS, dtype=torch.long))
        self.conjunction_slope = nn.Parameter(torch.zeros(n_conjunctions, THRESHOLDS))
        self.conjunction_offset = nn.Parameter(torch.zeros(n_conjunctions, THRESHOLDS))
        self.output = nn.Linear(d_in + n_steps + n_units + n_conjunctions, n_out)

    def forward(self, x: Tensor) -> Tensor:
        steps = (x[:, self.step_source] * self.step_slope + self.step_offset).clamp(0.0, 1.0)
        first = torch.cat([x, steps], 1)
        true = (x[:, self.conjunction_source] * self.conjunction_slope + self.conjunction_offset).clamp(0.0, 1.0)
        conjunctions = torch.relu(true.sum(2) - (THRESHOLDS - 1))
        return self.output(torch.cat([first, torch.relu(self.units(first)), conjunctions], 1))


class StepMLPTarget:
    """Writes `StepMLP`: every tensor depends on the task, none is shared."""

    name = "mlp_steps"

    def build(self, metadata: Metadata) -> nn.Module:
        return StepMLP(metadata.input_width, *_widths(metadata), metadata.out_dim)

    def static_specs(self) -> tuple[WeightSpec, ...]:
        return ()

    def dynamic_specs(self, metadata: Metadata) -> tuple[WeightSpec, ...]:
        return tuple(WeightSpec(name, tuple(value.shape)) for name, value in self.build(metadata).state_dict().items())

    def merge(self, model: nn.Module, weights: Weights) -> nn.Module:
        """A copy of `model` with these tensors.

        Raises:
            WeightsError: if they do not fit, or a source is no input of the model.
        """
        check_weights(weights, [WeightSpec(name, tuple(value.shape)) for name, value in model.state_dict().items()])
        d_in = model.get_submodule("units").in_features - len(model.get_buffer("step_source"))  # type: ignore[operator]
        for name in ("step_source", "conjunction_source"):
            source = weights[name]
            if source.dtype != torch.long or (
                source.numel() and not 0 <= int(source.min()) <= int(source.max()) < d_in
            ):
                raise WeightsError(f"{name} must hold whole numbers from 0 to {d_in - 1}: the inputs of the model")
        merged = copy.deepcopy(model)
        merged.load_state_dict({name: value.detach()[0].clone() for name, value in weights.items()})
        return merged


def _widths(metadata: Metadata) -> tuple[int, int, int]:
    if metadata.widths is None or len(metadata.widths) != 3:
        raise MetadataError(
            f"metadata: arch 'mlp_steps' needs widths = (steps, units, conjunctions), however: {metadata.widths!r}"
        )
    steps, units, conjunctions = metadata.widths
    return steps, units, conjunctions


register_target(StepMLPTarget())
