"""What the tests of picture models share: a small random network, and pictures that it can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flame import GeneratedModel, generate_model

ARCH = "mobilenet_v3_small"
SHADES = {"dark": (30, 20, 60), "light": (240, 220, 150), "red": (220, 30, 20)}


@pytest.fixture(scope="session", name="base")
def base_fixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """File of a network that was never trained."""
    import torch
    from safetensors.torch import save_file

    from flame.errors import MissingExtraError
    from targets.vision_networks import new_network

    pytest.importorskip("PIL", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            network = new_network(ARCH, 2)
        except MissingExtraError:
            pytest.skip("needs torchvision: pip install 'flame-hypernet[vision]'")
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of one batch: else next to nothing arrives at the end
        with torch.no_grad():
            network.train()(torch.randn(8, 3, 64, 64))
    place = tmp_path_factory.mktemp("base") / "random.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, place)
    return str(place)


def picture(label: str, seed: int, size: tuple[int, int] = (24, 18)) -> Any:
    """A noisy Pillow image in the shade of its class."""
    from PIL import Image

    noise = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray(np.clip(noise + SHADES[label], 0, 255).astype("uint8"))


def put_classes(folder: Path, n: int = 3, labels: tuple[str, ...] = ("dark", "light")) -> Path:
    """A folder with a folder of PNGs for each class."""
    for place, label in enumerate(labels):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture(label, 100 * place + i).save(folder / label / f"{i}.png")
    return folder


WORDS = "Sort cards photographed by a webcam"
NEW = [picture("light", 91), picture("dark", 92), picture("dark", 93)]
EXPECTED = ["light", "dark", "dark"]


@pytest.fixture(scope="module", name="photos")
def photos_fixture(tmp_path_factory) -> Path:
    return put_classes(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module", name="model")
def model_fixture(photos, base) -> GeneratedModel:
    return generate_model(WORDS, photos, base_model=base)
