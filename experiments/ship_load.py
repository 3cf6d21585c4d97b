"""Load on a service in a process of its own, for `experiments.ship`: one-row requests over kept connections."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def requests_per_second(package: Path, *, seconds: float, connections: int) -> dict[str, float]:
    """One-row requests over kept connections against a service in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from flame.serve import serve; serve(sys.argv[1], port=int(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(package), str(port)], stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        row = json.loads(_get(port, "/spec"))["example"]
        latencies = asyncio.run(_load(port, json.dumps(row).encode(), seconds, connections))
    finally:
        process.terminate()
        process.wait(30)
    p50, p95 = (float(v) for v in np.percentile(latencies, [50, 95]) * 1000)
    return {"connections": connections, "per_second": len(latencies) / seconds, "p50_ms": p50, "p95_ms": p95}


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("the service did not start")


def _get(port: int, path: str) -> str:
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}{path}") as answered:
        text: str = answered.read().decode()
    return text


async def _load(port: int, body: bytes, seconds: float, connections: int) -> list[float]:
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    end = time.perf_counter() + seconds
    found = await asyncio.gather(*(_ask(port, request, end) for _ in range(connections)))
    return [one for latencies in found for one in latencies]


async def _ask(port: int, request: bytes, end: float) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    while (begun := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"an answer is expected, however: {head[:60]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        seconds.append(time.perf_counter() - begun)
    writer.close()
    return seconds
