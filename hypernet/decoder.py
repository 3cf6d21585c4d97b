"""The decoder G of equation (2): latent in, weights out, module by module and with one head group per task.

Shape letters: b = latents, d = width of the latent, c = chunk, m = number of chunks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from flame.errors import ConfigError, RouteError, did_you_mean
from targets import Weights, WeightSpec

DECODERS = ("per_tensor", "shared")


def _split(flat: Tensor, specs: Sequence[WeightSpec]) -> Weights:
    """Cut (b, total) into named tensors (b, *shape)."""
    parts = flat.split([s.size for s in specs], dim=-1)
    return {s.name: part.unflatten(-1, s.shape) for s, part in zip(specs, parts, strict=True)}


class PerTensorHeads(nn.Module):
    """A linear map from the latent to every tensor, as in the paper.

    The maps are held in one matrix, because one product is faster than many. At the start a tensor has its target's
    well-scaled variance (hyperfan initialisation), and all of it comes from the latent, whose variance is one.

    Shape:
        z (b, d) -> (b, *shape) per spec
    """

    def __init__(self, specs: Sequence[WeightSpec], d_latent: int) -> None:
        super().__init__()
        self.specs = tuple(specs)
        total = sum(s.size for s in specs)
        self.weight = nn.Parameter(torch.empty(total, d_latent))
        self.bias = nn.Parameter(torch.empty(total))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        std = torch.cat([torch.full((s.size,), s.init_std) for s in self.specs])
        with torch.no_grad():
            self.weight.normal_().mul_(std[:, None] / math.sqrt(self.weight.shape[1]))
            self.bias.zero_()

    def forward(self, z: Tensor) -> Weights:
        return _split(nn.functional.linear(z, self.weight, self.bias), self.specs)


class SharedTrunk(nn.Module):
    """One trunk that writes any chunk of any tensor, told which by embeddings: a few million parameters in all.

    Shape:
        z (b, d), where (m, d_trunk) -> (b, m, c)
    """

    def __init__(self, d_latent: int, *, d_trunk: int = 128, chunk: int = 64, n_blocks: int = 2) -> None:
        super().__init__()
        self.chunk = chunk
        self.d_trunk = d_trunk
        self.latent = nn.Linear(d_latent, d_trunk)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(d_trunk), nn.Linear(d_trunk, 2 * d_trunk), nn.GELU(), nn.Linear(2 * d_trunk, d_trunk)
            )
            for _ in range(n_blocks)
        )
        self.norm = nn.LayerNorm(d_trunk)
        self.out = nn.Linear(d_trunk, chunk)
        nn.init.normal_(self.out.weight, std=d_trunk**-0.5)
        nn.init.zeros_(self.out.bias)

    def forward(self, z: Tensor, where: Tensor) -> Tensor:
        h = self.latent(z)[:, None] + where
        for block in self.blocks:
            h = h + block(h)
        return self.out(self.norm(h))


class SharedHeads(nn.Module):
    """Heads that hold only embeddings (layer, module, chunk) and a scale per tensor; the trunk does the writing.

    Shape:
        z (b, d) -> (b, *shape) per spec
    """

    _place: Tensor

    def __init__(self, specs: Sequence[WeightSpec], trunk: SharedTrunk) -> None:
        super().__init__()
        self.specs = tuple(specs)
        # Registered once, in the decoder: a list keeps it out of this module's own state dict.
        self._trunk = [trunk]
        places = [_place(s.name) for s in self.specs]
        modules = sorted({module for module, _ in places})
        self.module_embedding = nn.Embedding(len(modules), trunk.d_trunk)
        self.layer_embedding = nn.Embedding(max(layer for _, layer in places) + 1, trunk.d_trunk)
        counts = [-(-s.size // trunk.chunk) for s in self.specs]
        self.chunk_embedding = nn.Parameter(torch.randn(sum(counts), trunk.d_trunk))
        # What the chunks of a tensor have in common starts small: else its rows are nearly the same.
        for common in (self.module_embedding, self.layer_embedding):
            nn.init.normal_(common.weight, std=0.1)
        self.scale = nn.Parameter(torch.tensor([s.init_std for s in self.specs]))
        self._counts = counts
        repeat = torch.tensor(counts)
        index = torch.tensor([[modules.index(module), layer] for module, layer in places])
        self.register_buffer("_place", index.repeat_interleave(repeat, dim=0), persistent=False)

    def forward(self, z: Tensor) -> Weights:
        module, layer = self._place.unbind(-1)
        where = self.chunk_embedding + self.module_embedding(module) + self.layer_embedding(layer)
        chunks = self._trunk[0](z, where)
        weights: Weights = {}
        for i, (spec, part) in enumerate(zip(self.specs, chunks.split(self._counts, dim=1), strict=True)):
            flat = rearrange(part, "b m c -> b (m c)")[:, : spec.size]
            # A zero-init tensor starts with scale 0; its gradient reaches the scale first.
            weights[spec.name] = self.scale[i] * flat.unflatten(-1, spec.shape)
        return weights


def _place(name: str) -> tuple[str, int]:
    """Module and layer of a tensor name.

    >>> _place("encoder.layer.3.q_lin.lora_A")
    ('encoder.layer.q_lin.lora_A', 3)
    """
    number = re.search(r"(?:^|\.)(\d+)(?=\.)", name)
    return (name, 0) if number is None else (name[: number.start()] + name[number.end() :], int(number.group(1)))


class MultiHeadDecoder(nn.Module):
    """Static heads shared by all tasks plus one head group per task for the dynamic component (section 3.2.2).

    Shape:
        z (b, d) -> (b, *shape) per spec
    """

    def __init__(
        self,
        static: Sequence[WeightSpec],
        dynamic: Mapping[str, Sequence[WeightSpec]],
        *,
        d_latent: int,
        kind: str = "per_tensor",
    ) -> None:
        super().__init__()
        if kind not in DECODERS:
            raise ConfigError(f"decoder must be one of {did_you_mean(kind, DECODERS)} However: {kind!r}")
        self.kind = kind
        self.trunk = SharedTrunk(d_latent) if kind == "shared" else None

        def heads(specs: Sequence[WeightSpec]) -> nn.Module:
            return PerTensorHeads(specs, d_latent) if self.trunk is None else SharedHeads(specs, self.trunk)

        self.static_heads = heads(static)
        self.tasks = tuple(dynamic)
        self.task_heads = nn.ModuleDict({_key(task): heads(specs) for task, specs in dynamic.items()})

    def forward(self, z: Tensor, task: str) -> Weights:
        """All weights of one task's models."""
        return {**self.static(z), **self.dynamic(z, task)}

    def static(self, z: Tensor) -> Weights:
        """The component whose shapes no task changes."""
        return self.static_heads(z)

    def dynamic(self, z: Tensor, task: str) -> Weights:
        """The component written by the head group of `task`.

        Raises:
            RouteError: if no task of that name was trained; there is no head for it.
        """
        if _key(task) not in self.task_heads:
            raise RouteError(f"no head for task {task!r}; this checkpoint has {did_you_mean(task, self.tasks)}")
        return self.task_heads[_key(task)](z)


def _key(task: str) -> str:
    # Module names may not hold a dot, nor be those of a ModuleDict's own attributes.
    return "task:" + task.replace(".", "%2E")
