"""Counters of a service in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the latency histogram, in seconds."""


class Metrics:
    """What happened since the start. Changed by the event loop only, so nothing is locked."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = frozenset(paths)
        self.requests: Counter[tuple[str, int]] = Counter()
        self.rows = 0
        self.in_flight = 0
        self._seconds = 0.0
        self._buckets = [0] * (len(BUCKETS) + 1)

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count an answer; unknown paths are one, so that nobody can fill the memory with names."""
        self.requests[path if path in self._paths else "other", status] += 1
        if path == "/predict":
            self._seconds += seconds
            self._buckets[next((i for i, end in enumerate(BUCKETS) if seconds <= end), len(BUCKETS))] += 1

    def text(self) -> str:
        """All counters, as Prometheus reads them."""
        total, lines = 0, []
        for end, count in zip((*map(str, BUCKETS), "+Inf"), self._buckets, strict=True):
            total += count
            lines.append(f'flame_predict_seconds_bucket{{le="{end}"}} {total}')
        parts = [
            ("flame_requests_total", "counter", "Answered requests.", self._counts()),
            ("flame_rows_total", "counter", "Predicted rows.", [f"flame_rows_total {self.rows}"]),
            ("flame_in_flight", "gauge", "Requests under way.", [f"flame_in_flight {self.in_flight}"]),
            (
                "flame_predict_seconds",
                "histogram",
                "Seconds from the head of a prediction request to its answer.",
                [*lines, f"flame_predict_seconds_sum {self._seconds:.6f}", f"flame_predict_seconds_count {total}"],
            ),
        ]
        return "".join(
            f"# HELP {name} {said}\n# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in values)
            for name, kind, said, values in parts
        )

    def _counts(self) -> list[str]:
        return [
            f'flame_requests_total{{path="{path}",status="{status}"}} {n}'
            for (path, status), n in sorted(self.requests.items())
        ]
