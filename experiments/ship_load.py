"""Load on a service in a process of its own, for `experiments.ship`: one-row requests over kept connections.

The client takes its share of the same cores. Three measurements: seconds of load on this library's service and on
others that hold the same ONNX file; minutes of load while the memory is watched; SIGTERM while requests are under way.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.service_process import HOST, Command, Service, flame_service, running
from experiments.ship_client import Client, prediction_request

WARM_S = 60.0
"""Memory after as many seconds of load, or a tenth of a shorter one, is what later memory is compared with."""
SAMPLE_S = 1.0
RIVALS = {"fastapi": "experiments.ship_fastapi", "litserve": "experiments.ship_litserve"}
"""Other services by the package that they need."""
N_ROWS = 50
"""Rows that the requests hold in turn."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long, and how much at once."""

    seconds: float
    """On every service."""
    minutes: float
    """While memory is watched."""
    connections: int = 32


@dataclass(frozen=True)
class Speed:
    """Answers of one service."""

    service: str
    n_answered: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Memory:
    """Resident memory of the service under load."""

    minutes: float
    n_answered: int
    warm_mib: float
    end_mib: float
    samples_mib: tuple[float, ...]
    """One a second, the last one after the load."""

    @property
    def growth_mib(self) -> float:
        """Since the service was warm."""
        return self.end_mib - self.warm_mib


@dataclass(frozen=True)
class Stop:
    """What became of requests when the process was told to stop."""

    n_sent: int
    """Written to the network, before and after the signal."""
    n_answered: int
    n_sent_after: int
    """Of the sent ones: after the signal."""
    n_refused: int
    """Connections that were refused: nothing was sent over them."""
    seconds: float
    """From the signal to the end of the process."""
    exit_code: int


@dataclass(frozen=True)
class Load:
    """All of it."""

    plan: Plan
    speeds: tuple[Speed, ...]
    memory: Memory
    stop: Stop
    left_out: tuple[str, ...] = field(default=())
    """Services that are not installed."""


def measure_load(package: Path, rows: Path, plan: Plan, *, tell: Tell) -> Load:
    """Every measurement on a packaged model of a table.

    Raises:
        RuntimeError: if a service does not start, answers otherwise than this library's, or fails.
    """
    asked = [{str(k): v for k, v in row.items()} for row in pd.read_csv(rows).head(N_ROWS).to_dict("records")]
    commands: dict[str, Command] = {"flame": flame_service}
    commands |= {name: partial(_rival, module) for name, module in RIVALS.items() if find_spec(name)}
    speeds, answers = [], []
    for name, command in commands.items():
        with running(command, package, lambda s: s.post(asked[:1])) as service:
            answers.append([p["prediction"] for p in service.post(asked)["predictions"]])
            if answers[-1] != answers[0]:
                raise RuntimeError(f"the answers of flame are expected of {name}, however others came")
            speeds.append(_speed(name, service, asked, plan))
            tell(f"{name}: {speeds[-1].per_second:.0f} requests a second")
    with running(flame_service, package, lambda s: s.post(asked[:1])) as service:
        memory = asyncio.run(_watched(service, asked, plan, tell))
        stop = asyncio.run(_stopped(service, asked, plan))
    return Load(plan, tuple(speeds), memory, stop, tuple(name for name in RIVALS if name not in commands))


def _rival(module: str, package: Path, port: int) -> list[str]:
    return [sys.executable, "-m", module, str(package), str(port)]


def _speed(name: str, service: Service, asked: Sequence[Any], plan: Plan) -> Speed:
    client = _client(service, asked)
    asyncio.run(client.run(plan.connections, min(1.0, plan.seconds)))  # to warm up
    client = _client(service, asked)
    asyncio.run(client.run(plan.connections, plan.seconds))
    _require_all(client, service)
    p50, p95, p99 = (float(v) for v in np.percentile(client.latencies_s, [50, 95, 99]) * 1000)
    return Speed(name, client.n_answered, client.n_answered / client.seconds, p50, p95, p99)


async def _watched(service: Service, asked: Sequence[Any], plan: Plan, tell: Tell) -> Memory:
    client, samples = _client(service, asked), [service.resident_mib()]
    load = asyncio.create_task(client.run(plan.connections, 60 * plan.minutes))
    while not load.done():
        await asyncio.wait({load}, timeout=SAMPLE_S)
        samples.append(service.resident_mib())
        if len(samples) % 60 == 0:
            tell(f"{len(samples) // 60} min of load: {client.n_answered} answers, {samples[-1]:.1f} MiB")
    await load
    _require_all(client, service)
    warm = samples[min(round(WARM_S / SAMPLE_S), max(1, len(samples) // 10))]
    return Memory(plan.minutes, client.n_answered, warm, samples[-1], tuple(round(s, 2) for s in samples))


async def _stopped(service: Service, asked: Sequence[Any], plan: Plan) -> Stop:
    client = _client(service, asked)
    load = asyncio.create_task(client.run(plan.connections, 60.0))
    await asyncio.sleep(min(2.0, plan.seconds))
    before, told = client.n_sent, time.perf_counter()
    service.process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(partial(service.process.wait, timeout=60))
    seconds = time.perf_counter() - told
    await load
    return Stop(client.n_sent, client.n_answered, client.n_sent - before, client.n_refused, seconds, code)


def _client(service: Service, asked: Sequence[Any]) -> Client:
    return Client(HOST, service.port, [prediction_request([row]) for row in asked])


def _require_all(client: Client, service: Service) -> None:
    if client.n_answered < client.n_sent or client.n_refused:
        raise RuntimeError(f"{client.n_sent - client.n_answered} requests had no answer: {service.said()}")


def load_markdown(load: Load) -> str:
    """Three tables."""
    lines = [
        f"| service, {load.plan.connections} connections, one row a request | requests/s | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|",
    ]
    for one in load.speeds:
        cells = f"{one.p50_ms:.1f} | {one.p95_ms:.1f} | {one.p99_ms:.1f}"
        lines.append(f"| {one.service} | {one.per_second:.0f} | {cells} |")
    lines += [f"\nleft out, as it is not installed: {name}" for name in load.left_out]
    m, s = load.memory, load.stop
    share = 100 * m.growth_mib / m.warm_mib
    grown = f"{m.warm_mib:.1f} | {m.end_mib:.1f} | {m.growth_mib:+.1f} ({share:+.1f} %)"
    sent = f"{s.n_sent} | {s.n_sent_after} | {s.n_answered} | {s.n_sent - s.n_answered} | {s.n_refused}"
    titles = "requests sent | after the signal | answered | dropped | connections refused | s to the end | exit code"
    lines += [
        "",
        "| flame under load | answers | memory when warm, MiB | at the end | growth |",
        "|---|---|---|---|---|",
        f"| {m.minutes:g} minutes | {m.n_answered} | {grown} |",
        "",
        f"| SIGTERM under load: {titles} |",
        "|---|---|---|---|---|---|---|",
        f"| {sent} | {s.seconds:.1f} | {s.exit_code} |",
    ]
    return "\n".join(lines)
