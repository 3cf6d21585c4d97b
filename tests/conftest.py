"""Shared by all tests: one seed, one thread, no network, and toys that train in a second."""

from __future__ import annotations

import copy
import os
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from hypernet import ParameterGenerator, TaskData

# Read when torch, tokenizers and the hub are imported, which happens later; scripts that tests start inherit them.
for _name, _value in (("OMP_NUM_THREADS", "1"), ("TOKENIZERS_PARALLELISM", "false"), ("HF_HUB_OFFLINE", "1")):
    os.environ.setdefault(_name, _value)
KIT = Path(os.environ.get("FLAME_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
LOCAL = ("127.0.0.1", "::1", "localhost", "", None)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _network_off(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def local_only(real: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOCAL:
                raise OSError(f"the network is off in tests, however: {address!r}")
            return real(self, address)

        return connect

    def local_resolve(host: Any, *args: Any, **options: Any) -> Any:
        if (host.decode() if isinstance(host, bytes) else host) not in LOCAL:
            raise socket.gaierror(f"the network is off in tests, however: {host!r}")
        return resolve(host, *args, **options)

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, local_only(getattr(socket.socket, name)))
    monkeypatch.setattr(socket, "getaddrinfo", local_resolve)


@pytest.fixture(scope="session")
def kit() -> Path:
    """The data kit: `FLAME_DATA`, or `shared/data` beside the repository."""
    if not (KIT / "tabular" / "tasks.json").is_file():
        pytest.skip("needs the data kit: set FLAME_DATA to a folder that holds tabular/tasks.json")
    return KIT


@pytest.fixture(scope="session")
def tasks() -> list[TaskData]:
    """Two toy tasks of different widths and numbers of classes."""
    from toys import toy_tasks

    return toy_tasks()


@pytest.fixture(scope="session")
def untrained(tasks: list[TaskData]) -> ParameterGenerator:
    """A tiny generator for the toy tasks; not to be changed."""
    import torch
    from toys import GENERATOR

    from flame.table.training import untrained_generator

    torch.manual_seed(0)
    return untrained_generator([t.record for t in tasks], GENERATOR).eval()


@pytest.fixture
def generator(untrained: ParameterGenerator) -> ParameterGenerator:
    """A copy of the tiny untrained generator, which a test may change."""
    return copy.deepcopy(untrained)


@pytest.fixture(scope="session")
def trained(tasks: list[TaskData], tmp_path_factory: pytest.TempPathFactory) -> ParameterGenerator:
    """A generator that has learnt the toy tasks; not to be changed."""
    from toys import toy_config

    from flame.table.training import fit_generator

    return fit_generator(tasks, toy_config(), work=tmp_path_factory.mktemp("trained"))
