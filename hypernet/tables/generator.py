"""Labelled rows in, predictions or the weights of an ordinary network out, in one forward pass.

Shape letters: b = tasks or draws, n = rows, m = inputs, k = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hypernet.tables.head import solve_logistic, solve_ridge
from hypernet.tables.network import Hidden, Width, draw_hidden, support_of
from hypernet.tables.shrinkage import Shrinkage
from hypernet.tables.support import KINDS
from targets import Weights


@dataclass(frozen=True)
class TableGeneratorConfig:
    """Size of the learned part."""

    d_hidden: int = 64
    """Width of its layers."""


@dataclass(frozen=True)
class Written:
    """A written network: hidden layers, and an output layer on their scaled features."""

    hidden: Hidden
    weight: Tensor
    """(b, p, k)"""
    bias: Tensor
    """(b, k)"""
    skill: Tensor
    """(b,) leave-one-out R² of a first network whose units were not chosen by the labels: 0 or less where the columns
    tell nothing."""

    def __call__(self, x: Tensor) -> Tensor:
        """Logits, or standardised numbers: (b, n, m) -> (b, n, k)."""
        return torch.baddbmm(self.bias[:, None], self.hidden(x), self.weight)

    def collapse(self, *, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Weights:
        """One network out of all draws for the same rows: the mean of their outputs, times `scale`, plus `shift`.

        Shape:
            -> tensors of `targets.StepMLP` with b = 1
        """
        b = len(self.weight)
        hidden, steps = self.hidden, self.hidden.steps
        out = self.weight / hidden.std.transpose(1, 2)
        bias = (self.bias - (hidden.mean @ out)[:, 0]).mean(0)
        kind, first = hidden.kind, int((hidden.kind < 2).sum())
        ends = kind >= KINDS.index("conjunction")
        between = ~ends & (torch.arange(len(kind), device=kind.device) >= first)
        # Draws share the first layer; their units stand side by side.
        output = torch.cat([out[:, :first].mean(0), out[:, between].flatten(0, 1) / b, out[:, ends].flatten(0, 1) / b])
        weights = {
            "step_source": steps.source,
            "step_slope": steps.slope[0],
            "step_offset": steps.offset[0],
            "units.weight": hidden.units.weight.transpose(1, 2).flatten(0, 1),
            "units.bias": hidden.units.bias.flatten(),
            "conjunction_source": hidden.conjunctions.source.flatten(0, 1),
            "conjunction_slope": hidden.conjunctions.slope.flatten(0, 1),
            "conjunction_offset": hidden.conjunctions.offset.flatten(0, 1),
            "output.weight": (output * scale).t(),
            "output.bias": bias * scale + shift,
        }
        return {name: value[None].contiguous() for name, value in weights.items()}


def join(parts: Sequence[Written]) -> Written:
    """Draws that were written one after another, as one batch."""
    if len(parts) == 1:
        return parts[0]
    hidden = Hidden.join([p.hidden for p in parts])
    return Written(hidden, *(torch.cat([getattr(p, name) for p in parts]) for name in ("weight", "bias", "skill")))


class TableGenerator(nn.Module):
    """Writes a network for a table from its support rows."""

    def __init__(self, config: TableGeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config or TableGeneratorConfig()
        self.shrinkage = Shrinkage(self.config.d_hidden)
        self.fingerprint = "untrained"
        self.provenance: dict[str, Any] = {}

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        *,
        column: Tensor,
        numeric: Tensor,
        regression: bool,
        width: Width,
        generator: torch.Generator,
        mentioned: Tensor | None = None,
    ) -> Written:
        """Write one network per task (or per draw, for the same rows expanded).

        Args:
            x: inputs of the support rows.
            y: one-hot labels, or one standardised number a row.
            column: (m,) long, the table's column of every input.
            numeric: (m,) bool, inputs that are numbers; the others are one-hot inputs and flags.
            mentioned: (b, d) 1 where the requirement's words name a column; zeros if not given.

        Shape:
            x (b, n, m), y (b, n, k)
        """
        with torch.no_grad():
            hidden, features, look = draw_hidden(x, y, column, numeric, width, generator, regression=regression)
            support = support_of(hidden, features, y, column, regression=regression, mentioned=mentioned)
        scales = self.shrinkage(support, look)
        z = support.features * scales.prior[:, None]
        if regression:
            w, bias = solve_ridge(z, y, noise=scales.noise)
        else:
            w, bias = solve_logistic(z, y)
            w, bias = w * scales.temperature[:, None, None], bias * scales.temperature[:, None]
        return Written(hidden, w * scales.prior[..., None], bias, look.skill.amax(1))
