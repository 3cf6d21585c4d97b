"""What a model of an architecture costs: parameters, operations and time, before there is one.

Sources. Parameters and multiply-adds at 224 x 224 pixels: torchvision's tables of pre-trained weights
(mobilenet_v3_small 2.54 million and 0.06 G, resnet50 25.6 million and 4.09 G, resnet152 60.2 million and 11.51 G, each
with 1000 classes; their last layer is taken off here). Parameters of the encoders: counted in `transformers`
(DistilBERT 66.4 million, BERT-base 109.5 million). Operations at 128 tokens: Jiao et al., TinyBERT, table 1
(11.3 and 22.5 G). MLPs are counted from `targets/mlp.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_PARAMETER = 4
"""Weights are kept as float32."""
CPU_SPEED = 3e10
"""Operations a second of one CPU core, cautious: BERT runs at 7.7e10 on one thread of a server's."""
UNKNOWN_WIDTH = 16
"""Inputs of a table that nobody has described."""


@dataclass(frozen=True)
class _Backbone:
    n_parameters: int
    """Without the last layer."""
    d_feature: int
    """Width of what the last layer reads."""
    operations: float
    """Multiplications and additions for one input."""


_BACKBONES = {
    "mobilenet_v3_small": _Backbone(1_517_856, 1024, 2 * 0.06e9),
    "resnet50": _Backbone(23_508_032, 2048, 2 * 4.09e9),
    "resnet152": _Backbone(58_143_808, 2048, 2 * 11.51e9),
    "distilbert-base-uncased": _Backbone(66_362_880, 768, 11.3e9),
    "bert-base-uncased": _Backbone(109_482_240, 768, 22.5e9),
}


@dataclass(frozen=True)
class Footprint:
    """What one model costs; estimates, never measurements."""

    n_parameters: int
    operations: float
    """Floating-point operations for one input; a multiplication and an addition are two."""

    @property
    def n_bytes(self) -> int:
        """Size of the weights."""
        return BYTES_PER_PARAMETER * self.n_parameters

    @property
    def cpu_s(self) -> float:
        """Seconds for one input on one CPU core."""
        return self.operations / CPU_SPEED


def footprint(arch: str, *, out_dim: int, d_input: int | None = None) -> Footprint:
    """The cost of a model with `out_dim` outputs; `d_input` inputs, for tables.

    >>> footprint("resnet50", out_dim=1000).n_parameters, footprint("mlp_base", out_dim=3, d_input=4).n_parameters
    (25557032, 8835)
    """
    if arch in _BACKBONES:
        backbone = _BACKBONES[arch]
        n_parameters = backbone.n_parameters + (backbone.d_feature + 1) * out_dim
        return Footprint(n_parameters, backbone.operations + 2 * backbone.d_feature * out_dim)
    from targets.mlp import MLP_SIZES  # torch is loaded only where a limit has to be compared

    size = MLP_SIZES[arch]
    d_in = d_input or UNKNOWN_WIDTH
    weights = size.d_hidden * (d_in + size.n_inner * size.d_hidden + out_dim)
    return Footprint(weights + size.d_hidden * (1 + size.n_inner) + out_dim, 2.0 * weights)
