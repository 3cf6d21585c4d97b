"""A hundred thousand random requests to the service: only 2xx and 4xx come back, it stays alive, right and no larger.

    python -m experiments.serve_fuzz --output experiments/results/serve_fuzz     # 100,000 requests
    python -m experiments.serve_fuzz --requests 2000

`flame serve` runs in a process of its own with a model for a table of all kinds of columns, one for texts and one for
pictures (made up). Requests go over real connections, those that are whole over a kept one; half go to the table, five
in a hundred are made by schemathesis, fifteen by hypothesis. Ends with code 1 where anything else than 2xx and 4xx
came, or no answer where one was due, or where the rows of the documentation are no longer answered as before.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import flame
from experiments.fuzz_bytes import from_bytes
from experiments.fuzz_requests import Document, Wire, example_of, from_hypothesis, from_schemathesis
from experiments.report import processor, write_results
from experiments.service_process import HOST, Service, running
from experiments.ship_subjects import opinions_subject, shades_subject
from flame.export import package_model

SHARES = {"table": 0.5, "text": 0.25, "picture": 0.25}
"""Of the requests, by what the model reads."""
SCHEMATHESIS, HYPOTHESIS = 0.05, 0.15
"""Of a model's requests; the rest are broken bytes."""
WAIT_S = 30.0
"""For an answer that is due."""
GLANCE_S = 0.2
"""For one that is not."""
SHOWN = 20
PATHS = ("/predict", "/health", "/spec", "/metrics", "/docs", "/openapi.json")
NO_ANSWER = "none"


@dataclass
class Found:
    """What one service answered."""

    model: str
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """By source, path and status."""
    faults: list[str] = field(default_factory=list)
    """The first requests that got something else than 2xx and 4xx."""
    memory_mib: list[float] = field(default_factory=list)
    """After every hundredth part of the requests."""
    seconds: float = 0.0
    right: bool = False
    """Whether the same rows got the same answer before and after."""

    @property
    def bad(self) -> int:
        """Answers that must not be."""
        return sum(n for (_, _, status), n in self.counts.items() if status[0] not in "24(")

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**asdict(self), "counts": [[*key, n] for key, n in sorted(self.counts.items())]}


class Sender:
    """Sends requests and counts what comes back."""

    def __init__(self, service: Service, found: Found, n: int) -> None:
        self.service, self.found = service, found
        self.every = max(1, n // 100)
        self.n_sent = 0
        self._kept: socket.socket | None = None

    def __call__(self, wire: Wire) -> None:
        status = self._status(wire)
        place = wire.path.partition("?")[0]
        key = (wire.source, place if place in PATHS else "other", status)
        self.found.counts[key] += 1
        if status[0] not in "24(" and len(self.found.faults) < SHOWN:
            self.found.faults.append(f"{status}: {wire.encoded()[:2000]!r}")
        self.n_sent += 1
        if self.n_sent % self.every == 0:
            self.found.memory_mib.append(round(self.service.resident_mib(), 1))
            if len(self.found.memory_mib) % 10 == 0:
                print(f"{self.found.model}: {self.n_sent} requests, {self.found.bad} bad", file=sys.stderr, flush=True)

    def _status(self, wire: Wire) -> str:
        if not wire.whole:
            return self._answer_anew(wire, GLANCE_S) or "(not due)"
        kept, self._kept = self._kept, None
        # A kept connection may have been closed since, as it is after some seconds.
        status = self._answer(kept, wire, WAIT_S) if kept is not None else ""
        return status or self._answer_anew(wire, WAIT_S) or NO_ANSWER

    def _answer_anew(self, wire: Wire, wait_s: float) -> str:
        try:
            connection = socket.create_connection((HOST, self.service.port), timeout=WAIT_S)
        except OSError:
            return ""  # nobody listens any more
        return self._answer(connection, wire, wait_s)

    def _answer(self, connection: socket.socket, wire: Wire, wait_s: float) -> str:
        """The status, or an empty text; the connection is kept if it may be."""
        connection.settimeout(wait_s)
        with suppress(OSError):  # refused before it was all sent; the answer may be there
            connection.sendall(wire.encoded())
        response = http.client.HTTPResponse(connection, method=wire.method)
        try:
            response.begin()
            response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return ""
        if wire.whole and not response.will_close:
            self._kept = connection
        else:
            connection.close()
        return str(response.status)


def fuzz(name: str, package: Path, n: int, start: int) -> Found:
    """All requests to the model of one package."""
    found = Found(name)
    with running(_command, package, lambda s: s.get("/health")) as service:
        document: Document = service.get("/openapi.json")
        rows = example_of(document)["rows"]
        before, begun = service.post(rows), time.perf_counter()
        send = Sender(service, found, n)
        parts = {from_schemathesis: SCHEMATHESIS, from_hypothesis: HYPOTHESIS}
        if find_spec("schemathesis") is None:
            del parts[from_schemathesis]
            print("left out: schemathesis is not installed", file=sys.stderr)
        for make, share in parts.items():
            make(document, round(n * share), start, send)
        from_bytes(document, max(0, n - send.n_sent), start, send)
        found.seconds = time.perf_counter() - begun
        found.right = _answered(service, rows) == before
        if found.bad:
            found.faults.append(service.said())
    return found


def _command(package: Path, port: int) -> list[str]:
    limits = ["--max-bytes", "100000", "--max-rows", "200"]
    return [sys.executable, "-m", "flame", "serve", str(package), "--port", str(port), *limits]


def _answered(service: Service, rows: list[dict[str, Any]]) -> Any:
    try:
        return service.post(rows)
    except (OSError, RuntimeError) as error:
        return repr(error)


# --- models -----------------------------------------------------------------------------------------------------------


def packaged(name: str, folder: Path, text_base: str, picture_base: str | None) -> Path:
    """A model of one kind."""
    folder.mkdir()
    if name == "table":
        model = flame.generate_model("Who comes again?", guests(), target="again")
    else:
        made = opinions_subject(text_base, folder) if name == "text" else shades_subject(picture_base, folder)
        model = flame.generate_model(made.asked, made.train, **made.options)
    package_model(model, folder / "package")
    return folder / "package"


def guests(n: int = 120) -> pd.DataFrame:
    """Made-up rows with numbers, words, codes and truth values, some of them missing."""
    rng = np.random.default_rng(0)
    nights, town = rng.integers(1, 15, n), rng.choice(["Köln", "Bonn, Beuel", 'the "Eifel"'], n)
    paid, pool = rng.normal(300, 90, n), rng.random(n) < 0.5
    frame = pd.DataFrame({"nights": nights, "town": town, "paid €": paid, "pool": pool})
    frame.loc[::9, "town"] = None
    frame.loc[::7, "paid €"] = np.nan
    return frame.assign(again=np.where(nights + 5 * pool > 8, "yes", "no"))


# --- the report -------------------------------------------------------------------------------------------------------


def markdown(results: Sequence[Found]) -> str:
    """Counts by status, memory, seconds."""
    statuses = sorted({status for r in results for _, _, status in r.counts})
    lines = [f"| model | source | path | {' | '.join(statuses)} |", "|---" * (3 + len(statuses)) + "|"]
    for r in results:
        for source, path in sorted({key[:2] for key in r.counts}):
            cells = " | ".join(str(r.counts[source, path, status] or "") for status in statuses)
            lines.append(f"| {r.model} | {source} | {path} | {cells} |")
    lines += [
        "",
        "| model | requests | neither 2xx nor 4xx | right at the end | MiB after 10 % | 50 % | all | seconds |",
    ]
    lines.append("|---" * 8 + "|")
    for r in results:
        n, memory = sum(r.counts.values()), r.memory_mib
        at = " | ".join(f"{memory[min(len(memory) - 1, len(memory) * p // 100)]:.1f}" for p in (10, 50, 100))
        lines.append(f"| {r.model} | {n} | {r.bad} | {'yes' if r.right else 'NO'} | {at} | {r.seconds:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--models", nargs="+", choices=list(SHARES), default=list(SHARES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--text-base", default="minilm", help="as for flame generate")
    parser.add_argument("--picture-base", help="as for flame generate; a random network if not given")
    parser.add_argument("--output", type=Path, help="write <output>.md and <output>.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = []
    whole = sum(SHARES[name] for name in options.models)
    with tempfile.TemporaryDirectory(prefix="flame-fuzz-") as folder:
        for name in options.models:
            n = round(options.requests * SHARES[name] / whole)
            package = packaged(name, Path(folder) / name, options.text_base, options.picture_base)
            results.append(fuzz(name, package, n, options.seed))
            print(f"{name}: {n} requests in {results[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    text = f"{markdown(results)}\n\n(not due): requests that were cut off or broken in their framing. {processor()}."
    print(text)
    for fault in (f for r in results for f in r.faults):
        print(fault, file=sys.stderr)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_results(options.output, text + "\n", {"seed": options.seed, "results": [r.to_json() for r in results]})
    return int(any(r.bad or not r.right for r in results))


if __name__ == "__main__":
    sys.exit(main())
