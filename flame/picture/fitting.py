"""One run of Lightning's trainer on the generator for pictures; killed and started again, it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from flame.picture.features import PictureEncoder
from flame.picture.writing import Group, remember
from flame.timed_runs import fit_for_minutes
from hypernet.adapters.episodes import Episode, EpisodeConfig, EpisodeStream, episode_loss
from hypernet.adapters.latents import tell_apart
from hypernet.adapters.pictures import PictureGenerator
from hypernet.adapters.stream import AdapterTask
from hypernet.decoder import SharedHeads
from hypernet.timed import TimedModule

SCALES_FASTER = 3.0
"""Factor of the learning rate of what all domains share, and of the scales of what a description adds."""


@dataclass(frozen=True)
class PictureTrainConfig:
    """One run of training; it ends with whichever of `minutes` and `steps` is over first.

    NOTE[PAPER]: table 7 trains for 100 epochs at a rate of 1e-4. Some hundred pictures a domain are learned by heart
    within a few hundred updates; 80 were better than 160 on domains that were left out (`experiments/office_tried.md`).
    """

    minutes: float = 30.0
    steps: int | None = 80
    """Updates, of one episode each."""
    seed: int = 0
    """Another seed draws other episodes: runs that continue each other want different ones."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    warm: float = 0.1
    """Part of the run in which the learning rate rises; then half a cosine."""
    stream: EpisodeConfig = field(default_factory=EpisodeConfig)


class PictureModule(TimedModule):
    """Learns the adapters; heads are solved in closed form in every step, and never learned."""

    generator: PictureGenerator
    config: PictureTrainConfig

    def __init__(
        self,
        generator: PictureGenerator,
        config: PictureTrainConfig,
        groups: Sequence[Sequence[AdapterTask]],
        encoder: PictureEncoder,
    ) -> None:
        super().__init__(generator, config)
        self._groups = groups
        # In a list it is no part of what Lightning moves and saves.
        self._encoder = [encoder]

    def train_dataloader(self) -> DataLoader[Episode]:
        stream = EpisodeStream(self._groups, self.config.stream, seed=self.config.seed)
        stream.step = self.n_batches
        return DataLoader(stream, batch_size=None)

    def training_step(self, batch: Episode, batch_index: int) -> Tensor | None:
        loss = episode_loss(self.generator, batch, self._encoder[0].encode)
        if not loss.isfinite():
            return None
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=1)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        made, heads = self.generator, self.generator.static_heads
        assert isinstance(heads, SharedHeads)
        fast = [*made.common, heads.scale, *made.gates.parameters()]
        known = {id(p) for p in fast}
        rest = [p for p in made.parameters() if id(p) not in known]
        groups = [{"params": fast, "faster": SCALES_FASTER}, {"params": rest, "faster": 1.0}]
        return torch.optim.AdamW(groups, lr=self.config.learning_rate, weight_decay=self.config.weight_decay)


def fit(
    generator: PictureGenerator,
    config: PictureTrainConfig,
    groups: Sequence[Group],
    encoder: PictureEncoder,
    work: Path,
    *,
    progress: bool = False,
) -> PictureModule:
    """Train in place; a run that was cut off goes on from `work/last.ckpt`, which is at most a minute old.

    The heads are then solved again, on the features of the trained adapters.
    """
    if generator.fingerprint == "untrained":
        tell_apart(generator, [t.descriptions for g in groups for t in g.tasks], noise=config.stream.noise)
    module = PictureModule(generator.train(), config, [g.tasks for g in groups], encoder)
    fit_for_minutes(module, work, progress=progress)
    generator.cpu().eval()
    encoder.model.cpu()
    remember(generator, encoder, groups)
    return module
