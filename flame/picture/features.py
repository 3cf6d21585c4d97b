"""Pictures to features of a frozen base model, with or without generated adapters; its early layers run once.

Shape letters: n = pictures, s = side in pixels, c, h, w = what the first adapted layer reads, p = features.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flame.metadata import Metadata
from flame.picture.sets import ImageDomain, ImageSet, picture_cache
from hypernet.adapters.stream import AdapterTask
from targets import Weights, WeightSpec
from targets.vision import VisionTarget, forward_features, prefix_features, prefix_length
from targets.vision_networks import empty_network, head_name, run_steps, steps
from targets.vision_weights import BaseWeights, load_base

_LAST = r"layer4.*(conv|bn)\d"
PATTERNS = {"mobilenet_v2": r"features\.1[5-8].*", **dict.fromkeys(("resnet18", "resnet50", "resnet152"), _LAST)}
"""Layers that are adapted here: the last ones only, because what lies before them is then computed once."""
BATCH = 32
"""Pictures that run through the network together where no gradient is asked for."""


class PictureEncoder:
    """A frozen base model for pictures, whose last layers are adapted."""

    def __init__(
        self, base: BaseWeights, *, kind: str = "lora", pattern: str | None = None, rank: int = 8, alpha: float = 16.0
    ) -> None:
        """Table 7's rank and alpha; see `targets.vision.VisionTarget` for what is raised."""
        self.base = base
        self.target = VisionTarget(
            base.arch, kind=kind, pattern=pattern or PATTERNS.get(base.arch), rank=rank, alpha=alpha
        )
        # The metadata's name of the network is not read by the target; its own classifier is never run.
        shape = Metadata(task="img_cls", out_dim=2, arch="mobilenet_v3_small")
        self.model: nn.Module = self.target.build(shape, base).requires_grad_(False)
        self.skip = prefix_length(self.model)
        self.sha256 = tensors_sha256(base)

    @property
    def specs(self) -> tuple[WeightSpec, ...]:
        """The tensors of the adapters."""
        return self.target.static_specs()

    @property
    def head(self) -> str:
        """Name of the classifier."""
        return head_name(self.model)

    @property
    def d_feature(self) -> int:
        """Width of what the classifier reads."""
        return int(
            self.target.dynamic_specs(Metadata(task="img_cls", out_dim=2, arch="mobilenet_v3_small"))[0].shape[1]
        )

    def described(self, side: int) -> dict[str, Any]:
        """What a checkpoint states of the base model that its adapters fit."""
        t = self.target
        return {
            "name": t.arch,
            "sha256_of_tensors": self.sha256,
            "family": "pictures",
            "kind": t.kind,
            "pattern": t.pattern,
            "rank": t.rank,
            "alpha": t.alpha,
            "side": side,
        }

    def scaled(self, pictures: np.ndarray) -> Tensor:
        """Pixels as the base model wants them.

        Shape:
            (n, s, s, 3) uint8 -> (n, 3, s, s)
        """
        pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v)[:, None, None] for v in (self.base.scale.mean, self.base.scale.std))
        return (pixels - mean) / std

    @torch.inference_mode()
    def prefix(self, pictures: np.ndarray) -> Tensor:
        """What the first adapted step reads, in half precision: the same for every adapter.

        Shape:
            (n, s, s, 3) uint8 -> (n, c, h, w)
        """
        device = next(self.model.parameters()).device
        parts = [
            prefix_features(self.model, self.scaled(pictures[i : i + BATCH]).to(device)).half().cpu()
            for i in range(0, len(pictures), BATCH)
        ]
        return torch.cat(parts).clone()

    def encode(self, inputs: tuple[Tensor, ...], weights: Weights) -> Tensor:
        """Features of one model's adapters, with gradients to them.

        Shape:
            inputs (n, c, h, w), weights (1, *shape) each -> (n, p)
        """
        (given,) = inputs
        self.model.to(given.device)
        return forward_features(self.model, weights, _floats(given)[None], skip=self.skip)[0]

    @torch.inference_mode()
    def features(self, inputs: Tensor, weights: Weights | None = None) -> Tensor:
        """Features of many pictures, of the base model if there are no adapters.

        Shape:
            (n, c, h, w) -> (n, p)
        """
        run = run_steps(steps(self.model)[self.skip :])  # adapted layers hold zeros
        parts = [
            run(_floats(part)) if weights is None else self.encode((part,), weights) for part in inputs.split(4 * BATCH)
        ]
        return torch.cat(parts).clone()

    def cached_prefix(self, kind: str, pictures: np.ndarray, cache: str | Path | None = None) -> Tensor:
        """As `prefix`, kept on disk under the pictures' and the network's hash; `kind` begins the file's name."""
        folder = Path(cache) if cache is not None else picture_cache()
        key = hashlib.sha256(np.ascontiguousarray(pictures).tobytes())
        key.update(f"{pictures.shape} {self.sha256} {self.skip}".encode())
        place = folder / f"prefix-{kind}-{key.hexdigest()[:16]}.npy"
        if not place.is_file():
            made = self.prefix(pictures).numpy()
            folder.mkdir(parents=True, exist_ok=True)
            partial = place.with_name(f".{place.stem}.{os.getpid()}.npy")
            np.save(partial, made)
            os.replace(partial, place)
        return torch.from_numpy(np.load(place, allow_pickle=False))


def _floats(inputs: Tensor) -> Tensor:
    """In the layout in which convolutions on a CPU take three quarters of the time."""
    return inputs.float().contiguous(memory_format=torch.channels_last)


def picture_encoder(
    arch: str, source: str | Path, *, kind: str = "lora", rank: int = 8, alpha: float = 16.0
) -> PictureEncoder:
    """An encoder from a network's name and the place of its weights; see `targets.vision_weights.load_base`.

    Raises:
        CheckpointError: if the weights cannot be read.
        MetadataError: if torchvision has no such network.
        MissingExtraError: if torchvision is not installed.
    """
    return PictureEncoder(load_base(arch, source), kind=kind, rank=rank, alpha=alpha)


def tensors_sha256(base: BaseWeights) -> str:
    """Hash of a base model's tensors without its classifier, whatever file they came in."""
    digest, head = hashlib.sha256(), head_name(empty_network(base.arch))
    for name in sorted(n for n in base.tensors if not n.startswith(f"{head}.")):
        if not name.endswith("num_batches_tracked"):
            digest.update(name.encode())
            digest.update(base.tensors[name].detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def domain_task(
    encoder: PictureEncoder,
    found: ImageSet,
    domain: ImageDomain,
    part: str,
    *,
    descriptions: Tensor,
    words: Tensor,
    cache: str | Path | None = None,
) -> AdapterTask:
    """The pictures of one part of a domain as a task for the training.

    Args:
        descriptions: (v, d_words)
        words: (k, d_words), embeddings of the set's classes.
    """
    rows = domain.rows(part)
    inputs = encoder.cached_prefix(f"{found.name}-{domain.name}", domain.pictures, cache)[rows]
    return AdapterTask(
        name=f"{found.name}/{domain.name}",
        share=1.0,
        descriptions=descriptions,
        words=tuple(row[None] for row in words),
        y=torch.from_numpy(domain.y[rows]).long(),
        lengths=torch.ones(len(rows), dtype=torch.long),
        inputs=(inputs,),
    )


def sentences_of(found: ImageSet, domain: str, written: Sequence[str] = ()) -> list[str]:
    """All descriptions of a domain: those made from pixels, then those that were written by hand."""
    return [*found.domains[domain].sentences(), *written]
