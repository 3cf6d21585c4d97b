"""A text model: a base encoder that it shares with others, and its own adapter and head.

Shape letters: n = texts, t = tokens, d = width of the encoder, k = outputs.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from targets import Weights
from targets.lora import live_adapters, merge_lora
from targets.text import TextConfig, TextModel, check_one


class AdaptedText(nn.Module):
    """An encoder with a live adapter, and a linear head; only adapter and head can be trained.

    The encoder stays the base model's, bit for bit, so any number of models in memory need it only once. A copy of the
    module shares it too.

    Args:
        encoder: the base model, frozen and in evaluation mode.
        weights: those of one generated model (b = 1), classifier included.

    Shape:
        ids (n, t), mask (n, t), segments (n, t) or None -> (n, k)

    Raises:
        WeightsError: if the weights do not fit the encoder, or are those of several models.
    """

    def __init__(self, encoder: nn.Module, config: TextConfig, weights: Weights) -> None:
        super().__init__()
        self.model = TextModel(encoder, out_dim=weights["classifier.bias"].shape[-1], config=config)
        check_one(self.model, weights)
        head = {name: weights[f"classifier.{name}"].detach()[0] for name in ("weight", "bias")}
        self.model.classifier.load_state_dict(head)
        self.names = tuple(name for name in weights if not name.startswith("classifier."))
        self.factors = nn.ParameterList(weights[name].detach()[0].clone() for name in self.names)
        self.eval()

    @property
    def config(self) -> TextConfig:
        """Base model, pooling, adapted layers, rank and scale."""
        return self.model.config

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        return self.model.classifier(self.features(ids, mask, segments))

    def features(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        """What the head reads: one vector a text, of the adapted encoder.

        Shape:
            -> (n, d)
        """
        with live_adapters(self.model.base, self._adapter(), self.config.lora):
            return self.model.features(ids, mask, segments)

    def weights(self) -> Weights:
        """Adapter and head, as a generator writes them.

        Shape:
            -> (1, *shape) each
        """
        head = {f"classifier.{name}": value[None] for name, value in self.model.classifier.named_parameters()}
        return {**self._adapter(), **head}

    def merged(self) -> TextModel:
        """One ordinary model with the adapter added to a copy of the base."""
        model = copy.deepcopy(self.model)
        merge_lora(model.base, {name: value.detach() for name, value in self._adapter().items()}, self.config.lora)
        return model

    def train(self, mode: bool = True) -> AdaptedText:
        """As of every module; the shared encoder stays in evaluation mode."""
        super().train(mode)
        self.model.base.eval()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AdaptedText:
        return AdaptedText(self.model.base, self.config, self.weights()).train(self.training)

    def _adapter(self) -> Weights:
        return {name: value[None] for name, value in zip(self.names, self.factors, strict=True)}
