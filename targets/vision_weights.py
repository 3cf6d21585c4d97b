"""Base models for pictures: torchvision's networks, and where their pretrained weights come from.

Weights come from torchvision by name, from a file of tensors under torchvision's names (.safetensors, .pth), or from a
folder with a `spec.json` that holds a MobileNetV2 converted from TensorFlow Lite.
"""

from __future__ import annotations

import json
import math
import pickle
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from flame.errors import CheckpointError, did_you_mean
from targets.vision_networks import empty_network, head_name, new_network, torchvision_models, use_same_padding

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HEADER_LIMIT = 100_000_000
"""Bytes; safetensors files with a longer header are refused, as their own library does."""
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


@dataclass(frozen=True)
class PictureScale:
    """How a base model wants its pictures."""

    resize: int = 256
    """Pixels of the shorter side before the middle is cut out."""
    side: int = 224
    """Pixels of the square that the model reads."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Per channel, taken off pixels in 0..1."""
    std: tuple[float, ...] = IMAGENET_STD
    """Per channel, by which the rest is divided."""
    interpolation: str = "bilinear"
    """Between pixels: `bilinear` or `bicubic`."""

    def __call__(self, pixels: Tensor) -> Tensor:
        """Resize, cut out the middle, standardise.

        Shape:
            (3, h, w) in 0..255 -> (3, side, side)

        >>> PictureScale(resize=40, side=32)(torch.zeros(3, 60, 50, dtype=torch.uint8)).shape
        torch.Size([3, 32, 32])
        """
        h, w = pixels.shape[-2:]
        size = [max(self.side, self.resize * n // min(h, w)) for n in (h, w)]
        fitted = nn.functional.interpolate(pixels[None].float(), size, mode=self.interpolation, antialias=True)[0]
        top, left = (round((n - self.side) / 2) for n in size)
        square = fitted[:, top : top + self.side, left : left + self.side].clamp(0, 255) / 255
        return (square - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


@dataclass(frozen=True)
class BaseWeights:
    """The pretrained tensors of one network, and what must be known to use them."""

    arch: str
    """torchvision's name of the network."""
    tensors: Mapping[str, Tensor]
    """By torchvision's names; those of the classifier may be missing."""
    source: str
    """Where they come from."""
    scale: PictureScale = field(default_factory=PictureScale)
    """How pictures are prepared."""
    same_padding: bool = False
    """True: strided convolutions are padded as in TensorFlow."""

    def put_into(self, network: nn.Module) -> nn.Module:
        """Load all but the classifier into a network of this architecture; returns the network."""
        if self.same_padding:
            use_same_padding(network)
        head = head_name(network)
        network.load_state_dict({n: t for n, t in self.tensors.items() if not _is_in(n, head)}, strict=False)
        return network

    @property
    def classifier(self) -> Tensor | None:
        """Its own classifier's weight, a row per class; None if it came without one.

        Shape:
            (m, p)
        """
        return self.tensors.get(f"{head_name(empty_network(self.arch))}.weight")

    def network(self) -> nn.Module:
        """The pretrained model itself, with its own classifier.

        Raises:
            CheckpointError: if the weights came without a classifier.
        """
        head = head_name(empty_network(self.arch))
        if f"{head}.weight" not in self.tensors:
            raise CheckpointError(f"{self.source} holds no classifier {head!r}; it serves as a base model only")
        network = self.put_into(new_network(self.arch, len(self.tensors[f"{head}.weight"])))
        network.load_state_dict(dict(self.tensors))
        return network.eval()


# --- weights ----------------------------------------------------------------------------------------------------------


def load_base(arch: str, source: str | Path = "DEFAULT") -> BaseWeights:
    """Pretrained weights of a network of torchvision's.

    Args:
        arch: torchvision's name of the network.
        source: a name of torchvision's (`DEFAULT`, `IMAGENET1K_V1`, ...; fetched over the network once), or the path of
            a .safetensors, .pth or .pt file, or a folder with `spec.json`.

    Raises:
        CheckpointError: if there are none, they cannot be fetched or read, or do not fit the network.
        MetadataError: if torchvision has no classifier of that name.
        MissingExtraError: if torchvision is not installed.
    """
    network, path = empty_network(arch), Path(source)
    if path.is_dir():
        base = _from_folder(arch, path)
    elif path.is_file():
        base = BaseWeights(arch, _floats(read_tensors(path)), str(path))
    else:
        base = _from_torchvision(arch, str(source))
    faults = _faults(base.tensors, network)
    if faults:
        raise CheckpointError(f"{base.source} does not hold the weights of {arch}: {'; '.join(faults)}")
    return base


def fitting_arch(path: Path, arches: Sequence[str]) -> str:
    """The first of these networks whose body the tensors of a file fill.

    Raises:
        CheckpointError: if it is none of them, or the file cannot be read.
    """
    tensors = read_tensors(path)
    found = next((arch for arch in arches if not _faults(tensors, empty_network(arch))), None)
    if found is None:
        raise CheckpointError(f"{path} holds the weights of none of {list(arches)}")
    return found


def _from_torchvision(arch: str, name: str) -> BaseWeights:
    known = torchvision_models().get_model_weights(arch).__members__
    if name not in known:
        tail = did_you_mean(name, known)
        raise CheckpointError(
            f"no weights {name!r} of {arch}: there is no such file or folder, and torchvision has {tail}"
        )
    enum = known[name]
    file = Path(torch.hub.get_dir()) / "checkpoints" / enum.url.rsplit("/", 1)[-1]
    try:
        with redirect_stdout(sys.stderr):  # torch tells there what it fetches, where results are to stand
            tensors = enum.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights {name} of {arch} cannot be fetched: {error}. Without a network: fetch {enum.url} elsewhere, "
            f"and give the file's path or lay it at {file}"
        ) from error
    made = enum.transforms()
    scale = PictureScale(
        made.resize_size[0], made.crop_size[0], tuple(made.mean), tuple(made.std), made.interpolation.value
    )
    return BaseWeights(arch, _floats(tensors), f"torchvision {enum}", scale)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors file, or of a file of `torch.save` (nothing in it is executed).

    Raises:
        CheckpointError: if it is truncated, foreign, or holds anything else.
    """
    try:
        if path.suffix == ".safetensors":
            return _safetensors(path.read_bytes())
        value = torch.load(path, map_location="cpu", weights_only=True)
        value = next((value[k] for k in ("state_dict", "model") if isinstance(value.get(k), Mapping)), value)
        return {str(name): t for name, t in value.items() if isinstance(t, Tensor)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or foreign: {error}") from error
    except pickle.UnpicklingError as error:  # torch's message would advise to execute it
        raise CheckpointError(f"{path} is truncated or foreign: it holds something other than tensors") from error


def _safetensors(content: bytes) -> dict[str, Tensor]:
    """Read the format itself: its library is none that a target may need."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(len(content) - 8, HEADER_LIMIT):
        raise ValueError("its header is cut short")
    header, body = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    header.pop("__metadata__", None)
    return {name: _cut(body, name, **entry) for name, entry in header.items()}


def _cut(body: bytearray, name: str, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    start, end = data_offsets
    count = math.prod(shape)
    if dtype not in _DTYPES or not 0 <= start <= end <= len(body) or end - start != count * _DTYPES[dtype].itemsize:
        raise ValueError(f"tensor {name!r} ({dtype}, {shape}) does not lie in the file")
    if not count:
        return torch.empty(shape, dtype=_DTYPES[dtype])
    return torch.frombuffer(body, dtype=_DTYPES[dtype], count=count, offset=start).reshape(shape).clone()


def _floats(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}


def _is_in(name: str, module: str) -> bool:
    return name.startswith(f"{module}.")


def _faults(tensors: Mapping[str, Tensor], network: nn.Module) -> list[str]:
    """What is wrong with tensors for a network; a classifier may be missing and have any number of classes."""
    head = head_name(network)
    want = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    body = {n for n in want if not _is_in(n, head)}
    kinds = {
        "missing": sorted(body - tensors.keys()),
        "unknown": sorted(n for n in tensors if n not in want and not n.endswith("num_batches_tracked")),
        "of another shape": [
            f"{n} {tuple(t.shape)} instead of {tuple(want[n].shape)}"
            for n, t in tensors.items()
            if n in want
            and (t.shape[1:] if n not in body else t.shape) != (want[n].shape[1:] if n not in body else want[n].shape)
        ],
        "not finite": [n for n, t in tensors.items() if n in want and not t.isfinite().all()],
    }
    return [
        f"{kind}: {', '.join(n[:3])}" + (f" and {len(n) - 3} more" if len(n) > 3 else "")
        for kind, n in kinds.items()
        if n
    ]


# --- a MobileNetV2 of TensorFlow Lite ---------------------------------------------------------------------------------


def _from_folder(arch: str, folder: Path) -> BaseWeights:
    """MobileNetV2 1.0 with its normalisations folded into the convolutions, under names by order: `l00_conv`, ..."""
    spec, files = folder / "spec.json", sorted(folder.glob("*.safetensors"))
    if not spec.is_file() or len(files) != 1:
        raise CheckpointError(
            f"{folder} must hold spec.json and one .safetensors file, however: spec.json "
            f"{'is there' if spec.is_file() else 'is missing'}, and {len(files)} .safetensors; or give one file's path"
        )
    if arch != "mobilenet_v2":
        raise CheckpointError(
            f"{folder} holds layers in their order; only those of mobilenet_v2 are known, however: {arch!r}"
        )
    tensors = _unfolded(_floats(read_tensors(files[0])), empty_network(arch), folder)
    return BaseWeights(arch, tensors, str(folder), PictureScale(mean=(0.5,) * 3, std=(0.5,) * 3), same_padding=True)


def _unfolded(source: Mapping[str, Tensor], network: nn.Module, folder: Path) -> dict[str, Tensor]:
    """Under torchvision's names; a normalisation that only adds the folded offset stands for each one folded.

    The first of the 1,001 classes, `background`, is no class of ImageNet's and left out.
    """
    layers = sorted({name.rsplit(".", 1)[0] for name in source})
    convs = [name for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    norms = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)]
    lacking = [f"{n}.{p}" for n in layers for p in ("weight", "bias") if f"{n}.{p}" not in source]
    if len(layers) != len(convs) + 1 or lacking:
        raise CheckpointError(
            f"{folder}: {len(convs) + 1} layers of a weight and a bias are expected, however: {len(layers)}; "
            f"lacking: {lacking[:3]}"
        )
    made: dict[str, Tensor] = {}
    for layer, conv, (norm, module) in zip(layers, convs, norms, strict=False):
        made[f"{conv}.weight"], bias = source[f"{layer}.weight"], source[f"{layer}.bias"]
        ones = torch.ones_like(bias)
        made |= {f"{norm}.weight": ones * math.sqrt(1 + module.eps), f"{norm}.bias": bias}
        made |= {f"{norm}.running_mean": 0 * ones, f"{norm}.running_var": ones}
        made[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    head = head_name(network)
    made[f"{head}.weight"] = source[f"{layers[-1]}.weight"].flatten(1)[1:]
    made[f"{head}.bias"] = source[f"{layers[-1]}.bias"][1:]
    return made
