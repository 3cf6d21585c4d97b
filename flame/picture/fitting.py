"""One run of Lightning's trainer on the generator for pictures; killed and started again, it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from flame.picture.features import PictureEncoder
from flame.timed_runs import fit_for_minutes
from hypernet.adapters.module import AdapterModule, AdapterTrainConfig
from hypernet.adapters.pictures import PictureGenerator, picture_losses
from hypernet.adapters.stream import AdapterBatch, AdapterTask, StreamConfig


def picture_config(minutes: float = 30.0, **changes: Any) -> AdapterTrainConfig:
    """Settings of a run: table 7's weight decay, batches of 96 pictures of three domains.

    NOTE[PAPER]: table 7 trains for 100 epochs at a rate of 1e-4; with a head that is solved beforehand and some
    hundred steps, 1e-3 looked better in one noisy probe on validation pictures.
    """
    stream = StreamConfig(rows=32, support=(8, 16), noise=0.3)
    options: dict[str, Any] = {"tasks_a_step": 3, "learning_rate": 1e-3, "weight_decay": 1e-5, "few": 0.25}
    return AdapterTrainConfig(minutes=minutes, stream=stream, **{**options, **changes})


class PictureModule(AdapterModule):
    """As for texts, on standardised features."""

    def training_step(self, batch: AdapterBatch, batch_index: int) -> Tensor | None:
        generator, encode = self.generator, self._encode
        assert isinstance(generator, PictureGenerator)
        assert encode is not None
        zero, few = picture_losses(generator, batch, encode)
        loss = zero + self.config.few * few
        if not loss.isfinite():
            return None
        self.log("train/words", zero.detach(), prog_bar=True, batch_size=1)
        return loss


def fit(
    generator: PictureGenerator,
    config: AdapterTrainConfig,
    tasks: Sequence[AdapterTask],
    encoder: PictureEncoder,
    work: Path,
    *,
    progress: bool = False,
) -> AdapterModule:
    """Train in place; a run that was cut off goes on from `work/last.ckpt`, which is at most a minute old."""
    module = PictureModule(generator.train(), config, tasks, encoder.encode)
    fit_for_minutes(module, work, progress=progress)
    return module
