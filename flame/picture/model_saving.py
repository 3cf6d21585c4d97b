"""Picture models on disk: the whole network, adapters merged, under torchvision's own names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load, save
from torch import nn

from flame.metadata import Metadata
from flame.picture.preprocessing import PicturePreprocessor
from targets.conv_lora import SameConv2d, freeze_norms
from targets.vision_networks import empty_network, use_same_padding

if TYPE_CHECKING:
    from flame.model import GeneratedModel

FILE = "model.safetensors"


def write_picture(model: GeneratedModel, fresh: Path) -> dict[str, Any]:
    """Fill an empty folder with the network's tensors; what `flame.json` has to say of the network."""
    tensors = {name: value.contiguous() for name, value in model.module.state_dict().items()}
    (fresh / FILE).write_bytes(save(tensors))
    return {"modality": "image", "same_padding": _same_padding(model.module)}


def read_picture(
    files: dict[str, bytes], story: dict[str, Any], metadata: Metadata, base_model: str | None
) -> tuple[nn.Module, PicturePreprocessor]:
    """Module and preprocessing of a saved picture model; no base model is needed.

    Raises:
        RuntimeError: if the tensors are not those of the network.
        ValueError: if a base model is named.
    """
    if base_model is not None:
        raise ValueError(f"base_model={base_model!r} was given, however a picture model is saved whole; leave it out")
    network = empty_network(metadata.arch, metadata.out_dim)
    if story["same_padding"]:
        use_same_padding(network)
    network.load_state_dict(load(files[FILE]), assign=True)
    return freeze_norms(network).eval(), PicturePreprocessor.from_json(story["preprocessing"])


def usage(model: GeneratedModel) -> str:
    """How a card says to use the network without this library."""
    arch, k = model.metadata.arch, model.metadata.out_dim
    padded = (
        " Its strided convolutions are padded as TensorFlow does it (`targets.vision_networks.use_same_padding`); "
        "torchvision's own padding gives slightly other answers."
    )
    return (
        f'Without this library: `torchvision.models.get_model("{arch}", num_classes={k})` loads `{FILE}` with '
        "`load_state_dict`; "
        "`preprocessing` in `flame.json` says how pictures are prepared, `labels` what the outputs mean."
        + padded
        * _same_padding(model.module)
    )


def _same_padding(network: nn.Module) -> bool:
    return any(isinstance(m, SameConv2d) for m in network.modules())
