"""How well a request is understood: our request set, strict scores, LAMP's scores, and milliseconds.

    python -m experiments.requests                              # all requests: the rules beside two controls
    python -m experiments.requests --split test --json
    python -m experiments.requests --split dev --writer offline --errors
    python -m experiments.requests --writer package.module:function    # any `str -> TaskSpec` (or its JSON object)

The set and its conventions are in `requests_data/`. The rules were tuned on split "dev" only; "test" is every request
whose text has a SHA-256 that is a multiple of three. Controls: `empty` reads nothing, `keywords` looks up single words.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from experiments.request_scores import KEYS, LampScore, flat, truth_spec, wrong_keys
from flame.taskspec import TASKS, TaskSpec
from flame.understanding import understand

DATA = Path(__file__).parent / "requests_data"
Writer = Callable[[str], TaskSpec]


@dataclass(frozen=True)
class Request:
    """One request with its truth."""

    id: str
    origin: str
    """hand or template."""
    split: str
    """dev or test."""
    text: str
    truth: TaskSpec


def load_requests(split: str = "all", folder: Path = DATA) -> list[Request]:
    """The requests of a split ("dev", "test" or "all"), hand-written ones first."""
    rows = [
        json.loads(line) for name in ("hand", "template") for line in (folder / f"{name}.jsonl").open(encoding="utf-8")
    ]
    return [
        Request(r["id"], r["origin"], r["split"], r["text"], truth_spec(r["truth"]))
        for r in rows
        if split in ("all", r["split"])
    ]


def empty(text: str) -> TaskSpec:
    """Control: reads nothing, and takes everything for a request."""
    return TaskSpec(intent="build", text=text)


_WORDS: dict[str, dict[str, str]] = {
    "task": {
        **{task: task for task in TASKS},
        **dict.fromkeys(("classify", "classifier", "sort", "recognise"), "classification"),
        **dict.fromkeys(("detect", "detector", "find", "locate"), "detection"),
        **dict.fromkeys(("predict", "estimate"), "regression"),
        **{"segment": "segmentation", "forecast": "forecasting", "cluster": "clustering", "pose": "keypoints"},
    },
    "modality": {
        **dict.fromkeys(("image", "images", "photo", "photos", "pictures", "camera"), "image"),
        **dict.fromkeys(("text", "tweets", "reviews", "emails", "sentence"), "text"),
        **dict.fromkeys(("table", "csv", "spreadsheet", "columns"), "table"),
        **{"video": "video", "audio": "audio", "series": "time_series"},
    },
    "device": {"cpu": "cpu", "gpu": "gpu", "phone": "mobile", "android": "mobile", "raspberry": "edge", "edge": "edge"},
    "engine": {
        "onnx": "onnxruntime",
        "openvino": "openvino",
        "ncnn": "ncnn",
        "tensorrt": "tensorrt",
        "pytorch": "torch",
    },
}


def keywords(text: str) -> TaskSpec:
    """Control: the first known word of each kind, and accuracy where a percentage stands."""
    words = re.findall(r"[a-z]+", text.lower())
    found = {key: next((table[w] for w in words if w in table), None) for key, table in _WORDS.items()}
    percent = re.search(r"(\d+(?:\.\d+)?) ?%", text)
    value = float(percent[1]) if percent else 0.0
    limit = {
        "kind": "metric",
        "name": "accuracy",
        "operator": ">=",
        "value": value,
        "unit": "%",
        "si_value": value / 100,
    }
    return TaskSpec.from_json(
        {
            "intent": "build" if found["task"] else "unclear",
            "task": found["task"],
            "inputs": {"modality": found["modality"]},
            "constraints": [limit] if percent else [],
            "deployment": {"device": found["device"], "engine": found["engine"]},
        }
    )


WRITERS: dict[str, Writer] = {"offline": understand, "keywords": keywords, "empty": empty}


def score(requests: Sequence[Request], writer: Writer) -> dict[str, Any]:
    """All scores of a writer in percent, its milliseconds, and its errors by request."""
    seconds, lamp, errors = [], LampScore(), {}
    for request in requests:
        started = time.perf_counter()
        read = writer(request.text)
        seconds.append(time.perf_counter() - started)
        predicted = read if isinstance(read, TaskSpec) else TaskSpec.from_json(read)
        lamp.add(predicted, request.truth)
        if wrong := wrong_keys(predicted, request.truth):
            got, want = flat(predicted), flat(request.truth)
            errors[request.id] = {key: {"got": got[key], "want": want[key]} for key in wrong}
    by_key = Counter(key for wrong in errors.values() for key in wrong)
    n = max(len(requests), 1)
    share = {o: [r.id not in errors for r in requests if r.origin == o] for o in ("hand", "template")}
    return {
        "requests": len(requests),
        "strict keys": 100 * (1 - by_key.total() / (n * len(KEYS))),
        "strict requests": 100 * (1 - len(errors) / n),
        **{f"strict requests ({o})": 100 * sum(right) / max(len(right), 1) for o, right in share.items()},
        "by key": {key: 100 * (1 - by_key[key] / n) for key in KEYS},
        "lamp": {"requests scored": lamp.n, **lamp.percent()},
        "ms median": 1000 * median(seconds) if seconds else 0.0,
        "ms p95": 1000 * (quantiles(seconds, n=20)[-1] if len(seconds) > 1 else sum(seconds)),
        "errors": errors,
    }


def find_writer(name: str) -> Writer:
    """A writer by name, or any function by "module:function"."""
    if name in WRITERS:
        return WRITERS[name]
    module, _, function = name.partition(":")
    if not function:
        raise SystemExit(f"no writer {name!r}; known are {list(WRITERS)}, or give module:function")
    return getattr(importlib.import_module(module), function)


def _table(scores: dict[str, dict[str, Any]]) -> str:
    columns = ("strict keys", "strict requests", "strict requests (hand)", "strict requests (template)")
    lamp = [k for k in next(iter(scores.values()))["lamp"] if k != "requests scored"]
    header = ["", *columns, *(f"LAMP {k}" for k in lamp), "ms median", "ms p95"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, s in scores.items():
        cells = [f"{s[c]:.2f}" for c in columns] + [f"{s['lamp'][k]:.2f}" for k in lamp]
        lines.append("| " + " | ".join([name, *cells, f"{s['ms median']:.2f}", f"{s['ms p95']:.2f}"]) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "test", "all"), default="all")
    parser.add_argument("--writer", action="append", help="offline, keywords, empty, or module:function [all three]")
    parser.add_argument("--errors", action="store_true", help="list every wrong key")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(arguments)
    requests = load_requests(options.split)
    writers = {name: find_writer(name) for name in options.writer or WRITERS}
    for writer in writers.values():
        writer("a first request, to load what is loaded once")
    scores = {name: score(requests, writer) for name, writer in writers.items()}
    if options.json:
        kept = {n: {k: v for k, v in s.items() if k != "errors" or options.errors} for n, s in scores.items()}
        print(json.dumps({"split": options.split, "writers": kept}, indent=1))
        return
    n_lamp = next(iter(scores.values()))["lamp"]["requests scored"]
    print(f"{len(requests)} requests ({options.split}), {n_lamp} of them scored as LAMP; percent\n\n{_table(scores)}")
    first = next(iter(scores))
    print(f"\n{first}, by key: " + ", ".join(f"{k} {v:.1f}" for k, v in scores[first]["by key"].items()))
    if options.errors:
        texts = {r.id: r.text for r in requests}
        for name, s in scores.items():
            for id_, wrong in s["errors"].items():
                print(f"\n{name} {id_}: {texts[id_]}")
                for key, pair in wrong.items():
                    print(f"  {key}: got {pair['got']!r}, want {pair['want']!r}")


if __name__ == "__main__":
    main()
