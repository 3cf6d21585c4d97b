"""Words in, LoRA factors and classifier rows out.

Words arrive as embeddings of the frozen base encoder, so a generator needs no vocabulary of its own.

Shape letters: b = tasks, k = classes, d_words = width of a word embedding, d_latent, p = features of the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flame.errors import ConfigError, RouteError, WeightsError, did_you_mean
from hypernet.decoder import DECODERS, PerTensorHeads, SharedHeads, SharedTrunk
from hypernet.tasks import TaskRecord
from targets import Weights, WeightSpec

GATE = 3.0
"""Largest learned change of the logarithm of a tensor's scale by the description."""
REACH = 2.5
"""Largest learned change of the logarithm of a setting."""


@dataclass(frozen=True)
class AdapterGeneratorConfig:
    """Sizes of the learned part, and what it does before it is trained."""

    d_latent: int = 64
    """Width of the latent of a description."""
    d_head: int = 128
    """Width of the network that corrects classifier rows."""
    d_trunk: int = 128
    """Width of the trunk that writes adapters."""
    chunk: int = 64
    """Numbers that the trunk writes at a time."""
    temperature: float = 3.0
    """Length of an untrained classifier row: a logit is this times feature norm times cosine."""
    prior_scale: float = 4.0
    """Standard deviation of a row's correction by labelled examples, for features of length one."""
    bias_scale: float = 0.3
    """Standard deviation of a bias's correction."""
    noise: float = 0.3
    """Variance of standardised numbers that the features do not tell."""
    decoder: str = "shared"
    """What writes adapters: `shared` (one trunk) or `per_tensor` (the paper: a linear map each)."""
    common: bool = False
    """Whether what all descriptions share is learned as tensors of its own, to which the shared trunk adds; the biases
    of `per_tensor` are that already."""

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise ConfigError(f"decoder must be one of {did_you_mean(str(self.decoder), DECODERS)}")
        if self.common and self.decoder != "shared":
            raise ConfigError(f"common tensors go with the shared decoder, however: {self.decoder!r}")


@dataclass(frozen=True)
class Settings:
    """How a closed-form solve treats one task; every tensor is (b,)."""

    prior: Tensor
    """Prior standard deviation of corrections, for features of length one."""
    bias: Tensor
    """Prior standard deviation of biases."""
    trust: Tensor
    """Factor of the label rows' logits before the examples speak."""
    temperature: Tensor
    """Factor of the solved logits."""
    noise: Tensor
    """Variance of the noise of a regression."""

    @classmethod
    def untrained(cls, config: AdapterGeneratorConfig | None = None) -> Settings:
        """Those of one task before anything is learned."""
        c = config or AdapterGeneratorConfig()
        return cls(*(torch.tensor([value]) for value in (c.prior_scale, c.bias_scale, 1.0, 1.0, c.noise)))


class AdapterGenerator(nn.Module):
    """Adapters, classifier rows and solve settings for any task that has a description and label words.

    Untrained it changes nothing: the adapters are those of the base model, and a row is its label's own normalised
    embedding times a temperature, which is zero-shot classification by label-name similarity.

    A task of `tasks` has a head of its own as well, which writes its classifier from the latent alone (section 3.2.2).
    """

    def __init__(
        self,
        specs: Sequence[WeightSpec],
        d_words: int,
        d_feature: int,
        config: AdapterGeneratorConfig | None = None,
        tasks: Sequence[TaskRecord] = (),
    ) -> None:
        super().__init__()
        self.config = config or AdapterGeneratorConfig()
        self.specs = tuple(specs)
        self.d_words, self.d_feature = d_words, d_feature
        self.tasks = {task.name: task for task in tasks}
        d = self.config.d_latent
        self.encoder = nn.Sequential(
            nn.Linear(d_words, 2 * d), nn.GELU(), nn.Linear(2 * d, d), nn.LayerNorm(d, elementwise_affine=False)
        )
        self.static_heads: SharedHeads | PerTensorHeads
        if self.config.decoder == "shared":
            self.trunk = SharedTrunk(d, d_trunk=self.config.d_trunk, chunk=self.config.chunk)
            self.static_heads = SharedHeads(self.specs, self.trunk)
            if self.config.common:
                self.common = nn.ParameterList(torch.randn(s.shape) * s.init_std for s in self.specs)
                nn.init.zeros_(self.static_heads.scale)
        else:
            self.static_heads = PerTensorHeads(self.specs, d)
            # A starts alike for all tasks, and the latent changes it: what tasks share is learned once, by the biases.
            start = [s.init_std * torch.randn(s.size) for s in self.specs]
            with torch.no_grad():
                self.static_heads.bias.copy_(torch.cat(start))
                self.static_heads.weight.zero_()
        self.task_heads = nn.ModuleList(PerTensorHeads(_head_specs(task, d_feature), d) for task in tasks)
        self.label_head = LabelHead(d_words, d_feature, self.config)
        self.number_head = _zero(nn.Linear(d, d_feature + 1))
        self.solve_settings = nn.Sequential(nn.Linear(d + 2, 32), nn.GELU(), _zero(nn.Linear(32, 5)))
        self.gates = _zero(nn.Linear(d, len(self.specs)))
        self.base: dict[str, Any] = {}
        """What the adapters fit: name and sha256 of the base model, and how it is adapted."""
        self.provenance: dict[str, Any] = {}
        self.fingerprint = "untrained"

    def latent(self, description: Tensor) -> Tensor:
        """The latent of a description's embedding.

        Shape:
            (b, d_words) -> (b, d_latent)

        Raises:
            WeightsError: if the embedding is of another width.
        """
        self._check(description, "descriptions (b, d_words)", 2)
        return self.encoder(_unit(description) * self.d_words**0.5)

    def adapters(self, z: Tensor) -> Weights:
        """The factors of every adapted layer; B is zero before training.

        Shape:
            (b, d_latent) -> (b, *shape) per spec
        """
        # The trunk ends in a normalisation: alone it cannot write a faint adapter for one task and a strong one next.
        gates = (GATE * torch.tanh(self.gates(z) / GATE)).exp()
        written = self.static_heads(z)
        made = {
            name: value * gates[:, i].reshape(-1, *[1] * (value.dim() - 1))
            for i, (name, value) in enumerate(written.items())
        }
        if not self.config.common:
            return made
        return {name: value + own for (name, value), own in zip(made.items(), self.common, strict=True)}

    def head_rows(self, labels: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """One classifier row and bias per label, in the order of the labels.

        Shape:
            labels (b, k, d_words), z (b, d_latent) -> weight (b, k, p), bias (b, k)

        Raises:
            WeightsError: if the label embeddings are of another width.
        """
        self._check(labels, "label words (b, k, d_words)", 3)
        return self.label_head(labels, z)

    def number_rows(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The row of a regression, for standardised numbers: no interval is known.

        Shape:
            (b, d_latent) -> weight (b, 1, p), bias (b, 1)
        """
        out = self.number_head(z)
        return out[:, None, :-1], out[:, -1:]

    def task_rows(self, task: str, z: Tensor) -> tuple[Tensor, Tensor]:
        """The classifier of a trained task, written by its own head; zero before training.

        Shape:
            (b, d_latent) -> weight (b, k, p), bias (b, k); k = 1 and standardised numbers for a regression

        Raises:
            RouteError: if the task has no head.
        """
        if task not in self.tasks:
            raise RouteError(f"no head for task {task!r}; this generator has {did_you_mean(task, self.tasks)}")
        written = self.task_heads[list(self.tasks).index(task)](z)
        return written["weight"], written["bias"]

    def row_changes(self, labels: Tensor | None, z: Tensor) -> Tensor:
        """What the rows have learnt beyond the label words, less what all rows share; None: the row of a regression.

        Shape:
            labels (b, k, d_words), z (b, d_latent) -> (b, k, p)
        """
        if labels is None:
            return self.number_rows(z)[0]
        change = self.label_head.log_temperature.exp() * self.label_head.change(labels, z)[..., :-1]
        return change - change.mean(1, keepdim=True)

    def settings(self, z: Tensor, n: int, k: int) -> Settings:
        """Settings of a solve on `n` rows and `k` outputs.

        Shape:
            (b, d_latent) -> (b,) each
        """
        sizes = torch.tensor([n, k], device=z.device, dtype=z.dtype).log().expand(len(z), -1) / 3
        change = REACH * torch.tanh(self.solve_settings(torch.cat([z, sizes], -1)) / REACH)
        prior, bias, trust, temperature, noise = change.exp().unbind(-1)
        c = self.config
        return Settings(c.prior_scale * prior, c.bias_scale * bias, trust, temperature, c.noise * noise)

    def _check(self, words: Tensor, what: str, dims: int) -> None:
        if words.dim() != dims or words.shape[-1] != self.d_words:
            raise WeightsError(
                f"expected {what} with d_words={self.d_words}, however: {tuple(words.shape)}; embed them with the "
                f"base model {self.base.get('name', 'of this generator')!r}"
            )


class LabelHead(nn.Module):
    """A row per label: the label's own embedding, and a learned correction that starts at zero.

    Every label is told what all labels have in common, and nothing of their order.

    Shape:
        labels (b, k, d_words), z (b, d_latent) -> weight (b, k, p), bias (b, k)
    """

    def __init__(self, d_words: int, d_feature: int, config: AdapterGeneratorConfig) -> None:
        super().__init__()
        d = config.d_head
        self.same_space = d_words == d_feature
        self.log_temperature = nn.Parameter(torch.tensor(config.temperature).log())
        self.words = nn.Linear(2 * d_words, d)
        self.latent = nn.Linear(config.d_latent, d)
        self.inner = nn.Sequential(nn.GELU(), nn.Linear(d, d), nn.GELU())
        self.out = _zero(nn.Linear(d, d_feature + 1))

    def forward(self, labels: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        change = self.change(labels, z)
        start = _unit(labels) if self.same_space else torch.zeros_like(change[..., :-1])
        return self.log_temperature.exp() * (start + change[..., :-1]), change[..., -1]

    def change(self, labels: Tensor, z: Tensor) -> Tensor:
        """What is added to rows and biases, before the temperature: (b, k, p + 1)."""
        own = _unit(labels)
        # Lengths of about one for the inputs, as the latent has.
        told = torch.cat([own, own - own.mean(1, keepdim=True)], -1) * own.shape[-1] ** 0.5
        return self.out(self.inner(self.words(told) + self.latent(z)[:, None]))


def _head_specs(task: TaskRecord, d_feature: int) -> tuple[WeightSpec, WeightSpec]:
    k = task.metadata.out_dim
    return WeightSpec("weight", (k, d_feature), zero_init=True), WeightSpec("bias", (k,), zero_init=True)


def _unit(words: Tensor) -> Tensor:
    return nn.functional.normalize(words.float(), dim=-1)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
