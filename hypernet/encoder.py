"""The encoder E of equation (1): requirement sentence in, latent out.

Shape letters: b = sentences, t = tokens, d = width of the latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from flame.errors import CheckpointError, ConfigError

BACKBONE_FIELDS = (
    *("vocab_size", "max_position_embeddings", "sinusoidal_pos_embds", "n_layers", "n_heads", "dim", "hidden_dim"),
    *("dropout", "attention_dropout", "activation", "pad_token_id"),
)
"""What fixes a DistilBERT; kept in the checkpoint of a generator that trained a pretrained one further."""


@dataclass(frozen=True)
class EncoderConfig:
    """Which DistilBERT reads the requirement."""

    pretrained: str | None = None
    """Hub name or local folder of a DistilBERT; None = the small built-in configuration, trained from scratch."""
    freeze: bool = False
    """Keep the pretrained backbone as it is (it is then named in the checkpoint, not copied into it)."""
    d_model: int = 128
    """Width of the built-in backbone."""
    n_layers: int = 2
    """Transformer layers of the built-in backbone."""
    n_heads: int = 4
    """Attention heads of the built-in backbone."""
    vocab_size: int = 2000
    """Most WordPieces of the built-in vocabulary."""
    max_tokens: int = 128
    """Longer sentences are cut."""
    dropout: float = 0.1
    """Probability, in backbone and feed-forward net."""

    def __post_init__(self) -> None:
        faults = []
        if self.freeze and self.pretrained is None:
            faults.append("encoder.freeze=True needs encoder.pretrained: an untrained backbone has nothing to keep")
        for name, least in (("d_model", 1), ("n_layers", 1), ("n_heads", 1), ("vocab_size", 1), ("max_tokens", 3)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                faults.append(f"encoder.{name} must be an integer of at least {least}, however: {value!r}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            faults.append(f"encoder.dropout must lie in [0, 1), however: {self.dropout!r}")
        if not faults and self.d_model % self.n_heads:
            sizes = f"d_model={self.d_model}, n_heads={self.n_heads}"
            faults.append(f"encoder.d_model must be a multiple of n_heads, however: {sizes}")
        if faults:
            raise ConfigError("; ".join(faults))


class RequirementEncoder(nn.Module):
    """DistilBERT's [CLS], then a feed-forward net: z = E(r).

    Shape:
        ids (b, t), mask (b, t) -> z (b, d), every row of unit variance

    The latent is normalised so that the decoder's start does not depend on the backbone's scale.
    """

    def __init__(self, backbone: nn.Module, *, d_backbone: int, d_latent: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.backbone = backbone
        self.feed_forward = nn.Sequential(
            nn.Linear(d_backbone, d_backbone),
            nn.LeakyReLU(),
            nn.Dropout(dropout),
            nn.Linear(d_backbone, d_latent),
            nn.LayerNorm(d_latent, elementwise_affine=False),
        )

    @torch.no_grad()
    def spread(self, ids: Tensor, mask: Tensor) -> None:
        """Data-dependent start: centre and scale the latents over a set of sentences (Salimans & Kingma 2016).

        An untrained backbone gives all sentences nearly the same [CLS]. Without this step all latents are alike, the
        heads learn one model per task without them, and the sentence is never read.
        """
        training = self.training
        self.eval()
        *hidden, last, _ = list(self.feed_forward)
        assert isinstance(last, nn.Linear)
        before = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        for layer in hidden:
            before = layer(before)
        if len(before) > 1:
            latents = last(before)
            scale = latents.std(0).clamp(min=1e-6)
            last.bias.copy_((last.bias - latents.mean(0)) / scale)
            last.weight.div_(scale[:, None])
        self.train(training)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        cls = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        return self.feed_forward(cls)

    def train(self, mode: bool = True) -> RequirementEncoder:
        super().train(mode)
        if not any(p.requires_grad for p in self.backbone.parameters()):
            self.backbone.eval()  # a frozen backbone reads a sentence the same way every time
        return self


def build_encoder(
    config: EncoderConfig, *, d_latent: int, n_pieces: int, backbone: dict[str, Any] | None = None
) -> RequirementEncoder:
    """Make the encoder of a configuration.

    Args:
        n_pieces: size of the built-in vocabulary.
        backbone: DistilBERT's own configuration, where a checkpoint holds the weights of a trained backbone: nothing
            is then looked for under `config.pretrained`.

    Raises:
        CheckpointError: if the pretrained backbone can be found neither as a folder nor on the hub.
    """
    from transformers.models.distilbert.configuration_distilbert import DistilBertConfig
    from transformers.models.distilbert.modeling_distilbert import DistilBertModel

    if config.pretrained and backbone is None:
        distilbert = _pretrained(config)
    else:
        values = _builtin(config, n_pieces) if backbone is None else {name: backbone[name] for name in BACKBONE_FIELDS}
        distilbert = DistilBertModel(DistilBertConfig(**values))
    if config.freeze:
        distilbert.requires_grad_(False)
    d_backbone = int(distilbert.config.dim)
    return RequirementEncoder(distilbert, d_backbone=d_backbone, d_latent=d_latent, dropout=config.dropout).train()


def backbone_config(encoder: RequirementEncoder) -> dict[str, Any]:
    """DistilBERT's own configuration, for `build_encoder`."""
    backbone: Any = encoder.backbone
    return {name: getattr(backbone.config, name) for name in BACKBONE_FIELDS}


def _builtin(config: EncoderConfig, n_pieces: int) -> dict[str, Any]:
    return {
        "vocab_size": n_pieces,
        "max_position_embeddings": config.max_tokens,
        "n_layers": config.n_layers,
        "n_heads": config.n_heads,
        "dim": config.d_model,
        "hidden_dim": 2 * config.d_model,
        "dropout": config.dropout,
        "attention_dropout": config.dropout,
    }


def _pretrained(config: EncoderConfig) -> Any:
    from transformers.models.distilbert.modeling_distilbert import DistilBertModel

    advice = "Give a folder with config.json and model.safetensors, or a hub name while the network is reachable"
    dropout: dict[str, Any] = {"dropout": config.dropout, "attention_dropout": config.dropout}
    try:
        loaded: Any = DistilBertModel.from_pretrained(config.pretrained, output_loading_info=True, **dropout)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"cannot load the encoder {config.pretrained!r}: {error}. {advice}") from error
    backbone, found = loaded
    if found["missing_keys"]:
        lost = sorted(found["missing_keys"])[:3]
        raise CheckpointError(f"the encoder {config.pretrained!r} is not a DistilBERT: it lacks {lost}. {advice}")
    return backbone


def pretrained_tokenizer(name: str) -> Any:
    """The fast tokenizer of a hub name or local folder, as a `tokenizers.Tokenizer`.

    Raises:
        CheckpointError: if there is none, or it is of another kind.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True).backend_tokenizer
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot load the tokenizer of {name!r}: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
