"""What fine-tuning changes of a network: all, adapters, or the last layer; and the ordinary network afterwards."""

from __future__ import annotations

import copy
import re

import torch
from torch import Tensor, nn

from targets.lora import LoRAConfig, find_linears, live_adapters, lora_specs, merge_lora

RANK, ALPHA = 8, 16.0


class Trainable(nn.Module):
    """A copy of a network, in which only what is to be trained requires gradients.

    Numbers are trained on in their standard deviations, whatever their unit: the last linear layer is scaled before,
    and `ordinary` scales it back.

    Args:
        module: stays as it is.
        method: `head` trains the last linear layer, anything else all that requires gradients.
        adapters: train new low-rank adapters on every linear layer instead.
        scale: standard deviation of the numbers to predict; 1 for classes.
    """

    def __init__(self, module: nn.Module, method: str, *, adapters: bool, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self._scale = scale
        self._kept = {name: p.requires_grad for name, p in module.named_parameters()}
        self.net = copy.deepcopy(module)
        _rescale(self.net, 1 / scale)
        self.names: tuple[str, ...] = ()
        self.factors = nn.ParameterList()
        if adapters or method == "head":
            self.net.requires_grad_(False)
        if method == "head":
            _last_linear(self.net).requires_grad_(True)
        elif adapters:
            self._adapt(torch.Generator().manual_seed(seed))

    def forward(self, *inputs: Tensor | None) -> Tensor:
        if not self.names:
            return self.net(*inputs)
        with live_adapters(self.net, self._adapter(), self._config):
            return self.net(*inputs)

    def ordinary(self) -> nn.Module:
        """A network like the one that came, with the trained weights."""
        made = copy.deepcopy(self.net)
        if self.names:
            merge_lora(made, {name: value.detach() for name, value in self._adapter().items()}, self._config)
        _rescale(made, self._scale)
        for name, parameter in made.named_parameters():
            parameter.requires_grad_(self._kept[name])
        return made.eval()

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of all that training may change: not of frozen parameters, which may be a whole base model."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        return {name: value.detach().clone() for name, value in self.state_dict().items() if name not in frozen}

    def _adapt(self, generator: torch.Generator) -> None:
        """Adapters that change nothing yet: A as LoRA's own start, B zero."""
        pattern = "|".join(re.escape(name) for name, m in self.net.named_modules() if isinstance(m, nn.Linear))
        self._config = LoRAConfig(pattern, RANK, ALPHA)
        specs = lora_specs(find_linears(self.net, pattern), RANK)
        self.names = tuple(s.name for s in specs)
        for s in specs:
            start = torch.zeros(s.shape) if s.zero_init else torch.randn(s.shape, generator=generator) * s.init_std
            self.factors.append(nn.Parameter(start))

    def _adapter(self) -> dict[str, Tensor]:
        return {name: value[None] for name, value in zip(self.names, self.factors, strict=True)}


def _last_linear(module: nn.Module) -> nn.Linear:
    return [m for m in module.modules() if isinstance(m, nn.Linear)][-1]


def _rescale(module: nn.Module, factor: float) -> None:
    """Multiplies the outputs of a network that ends with a linear layer."""
    if factor == 1.0:
        return
    with torch.no_grad():
        for parameter in _last_linear(module).parameters():
            parameter.mul_(factor)
