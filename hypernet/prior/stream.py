"""An endless, resumable stream of synthetic tables."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset, get_worker_info

from flame.errors import ConfigError
from hypernet.prior.config import PriorConfig
from hypernet.prior.sample import TableBatch, sample_tables


class TablePrior(IterableDataset[TableBatch]):
    """Batch i depends on the seed and on i alone, so a run resumes by remembering i.

    In a `DataLoader(prior, batch_size=None, num_workers=w)` the workers share the batches out and the loader gives them
    in the same order for any w; what was handed out is then known to the caller only: `load_state_dict` takes it.

    >>> prior = TablePrior(PriorConfig(rows=(40, 60)), seed=1, n_tasks=2)
    >>> first = next(iter(prior))
    >>> prior.state_dict()
    {'seed': 1, 'step': 1}
    """

    def __init__(
        self, config: PriorConfig, *, seed: int = 0, n_tasks: int = 16, device: str | torch.device = "cpu"
    ) -> None:
        super().__init__()
        self.config = config
        self.seed = seed
        self.n_tasks = n_tasks
        self.device = device
        self.step = 0

    def __iter__(self) -> Iterator[TableBatch]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        while True:
            batch = self.batch(self.step + first)
            self.step += stride
            yield batch

    def batch(self, step: int) -> TableBatch:
        """The batch of a given step."""
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)
        return sample_tables(self.config, generator, n_tasks=self.n_tasks, device=self.device)

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands."""
        return {"seed": self.seed, "step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where another stream stood.

        Raises:
            ConfigError: if the state does not hold a seed and a step.
        """
        if set(state) != {"seed", "step"}:
            raise ConfigError(f"the state of a prior holds 'seed' and 'step', however: {sorted(state)}")
        self.seed, self.step = state["seed"], state["step"]
