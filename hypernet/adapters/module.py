"""The LightningModule that trains the adapter generator on tasks with words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils.data import DataLoader

from hypernet.adapters.generator import AdapterGenerator
from hypernet.adapters.objective import Encode, batch_losses, head_loss
from hypernet.adapters.stream import AdapterBatch, AdapterStream, AdapterTask, StreamConfig
from hypernet.decoder import SharedHeads
from hypernet.timed import TimedModule

SCALES_FASTER = 3.0
"""Factor of the learning rate of the adapters' scales, and of what the description makes of them."""
HEADS_FASTER = 10.0
"""Factor of the learning rate of a trained task's classifier, once it is written."""


@dataclass(frozen=True)
class AdapterTrainConfig:
    """One run of training; it ends with whichever of `minutes` and `steps` is over first."""

    minutes: float = 30.0
    steps: int | None = None
    """Updates; the only way to stop that does not depend on the machine."""
    seed: int = 0
    """Another seed draws other batches: runs that continue each other want different ones."""
    frozen: bool = False
    """Train classifier rows and solve settings on features of the base model, which are computed once."""
    tasks_a_step: int = 2
    """Tasks whose gradients are averaged in an update."""
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    few: float = 1.0
    """Weight of the loss after the solve; that from words alone has weight 1."""
    shrink: float = 1e-3
    """Weight of what classifier rows change in the logits of label-name similarity, squared."""
    warm: float = 0.05
    """Part of the run in which the learning rate rises; then half a cosine."""
    stream: StreamConfig = field(default_factory=StreamConfig)


class AdapterModule(TimedModule):
    """Minimises the loss of rows under the adapters and classifiers that the generator writes (equation 4).

    Rows of a task that has a head train adapter and head; those of others the classifier rows from label words.
    """

    generator: AdapterGenerator
    config: AdapterTrainConfig

    def __init__(
        self,
        generator: AdapterGenerator,
        config: AdapterTrainConfig,
        tasks: Sequence[AdapterTask],
        encode: Encode | None = None,
    ) -> None:
        """`encode` runs the frozen base model; None: the tasks hold features."""
        super().__init__(generator, config, batches_per_step=config.tasks_a_step)
        self._tasks = list(tasks)
        self._encode = encode

    def train_dataloader(self) -> DataLoader[AdapterBatch]:
        stream = AdapterStream(self._tasks, self.config.stream, seed=self.config.seed)
        stream.step = self.n_batches
        return DataLoader(stream, batch_size=None)

    def training_step(self, batch: AdapterBatch, batch_index: int) -> Tensor | None:
        if batch.task in self.generator.tasks:
            loss = head_loss(self.generator, batch, self._encode)
            shown = {"heads": loss}
        else:
            zero, few, change = batch_losses(self.generator, batch, self._encode)
            loss = zero + self.config.few * few + self.config.shrink * change
            shown = {"words": zero, "rows": few}
        if not loss.isfinite():
            return None
        for name, value in shown.items():
            self.log(f"train/{name}", value.detach(), prog_bar=True, batch_size=1)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        made, decay = self.generator, self.config.weight_decay
        # A step of Adam changes all d_latent terms of a linear map's output, and with them the output as many times.
        linear = 1.0 / made.config.d_latent
        gates = list(made.gates.parameters())
        groups = [{"params": list(made.task_heads.parameters()), "faster": HEADS_FASTER * linear}]
        if isinstance(made.static_heads, SharedHeads):
            # One number scales a whole B factor and starts at zero: at the rate of the others it would be late.
            scales = [made.static_heads.scale, *gates]
            groups.append({"params": scales, "faster": SCALES_FASTER, "weight_decay": 0.0})
        else:
            # So does a step of the encoder with the latent, and every tensor follows the latent without a norm between.
            direct = [*made.encoder.parameters(), made.static_heads.weight, *gates]
            groups.append({"params": direct, "faster": linear})
        known = {id(p) for group in groups for p in cast("list[Parameter]", group["params"])}
        groups.append({"params": [p for p in made.parameters() if id(p) not in known], "faster": 1.0})
        filled = [group for group in groups if group["params"]]
        return torch.optim.AdamW(filled, lr=self.config.learning_rate, weight_decay=decay)
