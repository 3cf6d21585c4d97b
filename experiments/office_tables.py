"""Stages of `experiments.office` beside zero-shot: seen domains (table 3), starts for training (table 6, figure 3)."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.office_models import Kit, Scores, Setting, held_out_models
from experiments.office_seen import (
    PAPER_EPOCHS,
    Curve,
    finetune,
    lora,
    parts_of,
    plain_start,
    seconds_of_epoch,
    seconds_of_prefix,
    top_scores,
)
from experiments.plots import figure
from flame.files import atomic_text
from flame.picture.features import PictureEncoder
from flame.picture.sets import ImageDomain, ImageSet
from flame.picture.training import read_group
from flame.picture.writing import Group, domain_logits, new_generator, write_model
from hypernet.adapters.checkpoint import load_picture_generator
from hypernet.adapters.pictures import PictureGenerator

RATES = {"LoRA": 3e-3, "Finetune": 3e-4, "FLAME-F": 3e-4}
"""Of Adam; table 7 has 1e-3 for all: too much for a pretrained network without its normalisations' help."""
WHOLE = "Finetune, all layers"
"""Row of seconds only: what the paper's fine-tuning, through the whole network, would take."""
FRESH = "base model, fresh classifier (Finetune)"
Rows = dict[str, tuple[list[Scores], float]]
"""By method: scores of the domains, and seconds for all of them."""


def run_seen(
    sets: Sequence[ImageSet], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, output: Path
) -> str:
    """Table 3: one generator for all domains against training each one; writes `<output>.json`."""
    groups = {s.name: read_group(s, encoder, kit.embed, written=kit.written, cache=kit.cache) for s in sets}
    started = time.process_time()
    generator = _generator(options, encoder, list(groups.values()))
    loading = (time.process_time() - started) * (options.checkpoint is not None)
    story = kept_story(output, {"epochs": options.epochs, "seeds": options.seeds}, "sets")
    for found in sets:
        if found.name in story["sets"]:
            continue
        runs: dict[str, list[tuple[list[Scores], float]]] = {}
        for seed in options.seeds:
            for method, made in _seen_rows(found, groups[found.name], encoder, generator, kit, options, seed).items():
                runs.setdefault(method, []).append(made)
        story["sets"][found.name] = {m: [[s, t + loading * (m[:5] == "FLAME")] for s, t in v] for m, v in runs.items()}
        _keep(output, story)
        print(_seen_table(found, story["sets"][found.name], options.epochs), flush=True)
    return "\n\n".join(_seen_table(s, story["sets"][s.name], options.epochs) for s in sets)


def kept_story(output: Path, run: dict[str, Any], key: str) -> dict[str, Any]:
    """What an earlier start with the same settings found out, or nothing yet."""
    place = output.with_suffix(".json")
    kept: dict[str, Any] = json.loads(place.read_text("utf8")) if place.is_file() else {}
    return kept if all(kept.get(name) == value for name, value in run.items()) else {**run, key: {}}


def _keep(output: Path, story: dict[str, Any]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(output.with_suffix(".json"), json.dumps(story, indent=1) + "\n")


def _generator(options: argparse.Namespace, encoder: PictureEncoder, groups: Sequence[Group]) -> PictureGenerator:
    if options.checkpoint is None:
        torch.manual_seed(0)
        return new_generator(encoder, groups, by_domain=True, remembers=True)
    return load_picture_generator(options.checkpoint)


def _seen_rows(
    found: ImageSet,
    group: Group,
    encoder: PictureEncoder,
    generator: PictureGenerator,
    kit: Kit,
    options: argparse.Namespace,
    seed: int,
) -> Rows:
    """Scores by domain, and end-to-end seconds for all domains; those of training are scaled to the paper's epochs."""
    rows: Rows = {}

    def add(method: str, scores: Scores, seconds: float) -> None:
        before = rows.get(method, ([], 0.0))
        rows[method] = ([*before[0], scores], before[1] + seconds)

    for name, domain in found.domains.items():
        parts = parts_of(encoder, found, domain, kit.cache)
        k, (x, y) = len(group.words), parts["test"]
        reading = seconds_of_prefix(encoder, domain, ("test",))
        training = reading + seconds_of_prefix(encoder, domain, ("train", "validation"))
        for method, curve in _trained(encoder, k, parts, options.epochs, seed).items():
            epoch = curve.train_seconds / options.epochs
            add(method, curve.test[curve.best], training + epoch * PAPER_EPOCHS)
        add(WHOLE, (float("nan"),) * 3, reading + seconds_of_epoch(encoder, domain, k) * PAPER_EPOCHS)
        started = time.process_time()
        told = kit.embed(_first_sentence(found, domain, kit, name))[0]
        made = write_model(generator, encoder, told, group.words)
        writing = time.process_time() - started
        started = time.process_time()
        logits = domain_logits(encoder, x, made)
        add("FLAME", top_scores(logits, y), writing + reading + time.process_time() - started)
        curve = finetune(encoder, made, parts, epochs=1, learning_rate=RATES["FLAME-F"], seed=seed)
        add("FLAME-F", curve.test[1], writing + training + curve.train_seconds)
    return rows


def _trained(encoder: PictureEncoder, k: int, parts: Any, epochs: int, seed: int) -> dict[str, Curve]:
    start = plain_start(encoder, k, seed)
    return {
        "LoRA": lora(encoder, k, parts, epochs=epochs, learning_rate=RATES["LoRA"], seed=seed),
        "Finetune": finetune(encoder, start, parts, epochs=epochs, learning_rate=RATES["Finetune"], seed=seed),
    }


def _first_sentence(found: ImageSet, domain: ImageDomain, kit: Kit, name: str) -> list[str]:
    return [*domain.sentences(), *kit.written[f"{found.name}/{name}"]][:1]


def _seen_table(found: ImageSet, rows: dict[str, Any], epochs: int) -> str:
    seconds = {m: float(np.mean([t for _, t in v])) for m, v in rows.items()}
    slowest = max(seconds.values())
    header = [found.title, *found.domains, "Average", "Top-3", "Top-5", "Epochs", "Seconds", "Relative"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    shown = {"LoRA": PAPER_EPOCHS, "Finetune": PAPER_EPOCHS, WHOLE: PAPER_EPOCHS, "FLAME": 0, "FLAME-F": 1}
    for method, runs in rows.items():
        scores = np.mean([s for s, _ in runs], axis=0)
        cells = ["-" if np.isnan(v) else f"{100 * v:.1f}" for v in (*scores[:, 0], *scores.mean(0))]
        cells += [str(shown[method]), f"{seconds[method]:.1f}", f"{slowest / seconds[method]:.0f}"]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    note = (
        f"LoRA and Finetune (of the last layers): best validation epoch of {epochs}; seconds are those of {epochs} "
        f"epochs, scaled to {PAPER_EPOCHS}, with the early layers run once for each picture that a method reads; "
        f"{WHOLE}: one batch timed and scaled, not trained. Seconds are CPU time of one thread for all domains, with "
        "predictions; pictures are decoded already."
    )
    return "\n".join([*lines, "", note])


def run_start(
    sets: Sequence[ImageSet], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, output: Path
) -> str:
    """Table 6: ordinary training of a held-out domain from three starts; writes `<output>.json` and `<output>.png`."""
    story = kept_story(output, {"epochs": options.epochs, "learning_rate": RATES["Finetune"]}, "curves")
    for found in sets:
        for held in found.domains:
            wanted = options.held is None or held in options.held
            if not wanted or f"{found.name}/{held}" in story["curves"]:
                continue
            setting = Setting(kind=options.kinds[0], seed=options.seeds[0], steps=options.steps)
            curves = _curves(found, held, encoder, setting, kit, options.epochs)
            story["curves"][f"{found.name}/{held}"] = {
                n: {"validation": c.validation, "test": [t[0] for t in c.test]} for n, c in curves.items()
            }
            _keep(output, story)
            print(start_table(story["curves"]), flush=True)
    _draw(story["curves"], output.with_suffix(".png"))
    return f"{start_table(story['curves'])}\n\nAdam at {RATES['Finetune']:g}, {options.epochs} epochs."


def start_table(curves: dict[str, dict[str, dict[str, list[float]]]]) -> str:
    """Every domain and start, and how many epochs each start needs over the domains in which it gets there."""
    header = ["Held out", "Start", "Epochs to Finetune's best validation", "Epoch of the own best"]
    header += ["Test at the own best", "Test before training"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    needed: dict[str, list[int | None]] = {}
    for domain, starts in curves.items():
        target = max(starts[FRESH]["validation"])
        for name, kept in starts.items():
            curve = Curve(kept["validation"], [(t, t, t) for t in kept["test"]], 0.0)
            needed.setdefault(name, []).append(curve.reaches(target))
            epochs = "never" if needed[name][-1] is None else str(needed[name][-1])
            tests = f"{100 * kept['test'][curve.best]:.1f} | {100 * kept['test'][0]:.1f}"
            lines.append(f"| {domain} | {name} | {epochs} | {curve.best} | {tests} |")
    return "\n".join([*lines, "", *_summary(needed)])


def _summary(needed: dict[str, list[int | None]]) -> list[str]:
    fresh = needed[FRESH]
    lines = ["| Start | Reaches Finetune's best | Mean epochs there | Finetune's on the same domains | In a sixth |"]
    lines.append("|---" * 5 + "|")
    for name, epochs in needed.items():
        both = [(e, f) for e, f in zip(epochs, fresh, strict=True) if e is not None and f is not None]
        own, theirs = (float(np.mean([p[i] for p in both])) if both else float("nan") for i in (0, 1))
        sixth = sum(6 * e <= f for e, f in both)
        counts = f"{len(both)} of {len(epochs)} | {own:.1f} | {theirs:.1f} | {sixth} of {len(epochs)}"
        lines.append(f"| {name} | {counts} |")
    return lines


def _curves(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit, epochs: int
) -> dict[str, Curve]:
    group, models = held_out_models(found, held, encoder, setting, kit, ("flame-pictures", "pooled"))
    parts = parts_of(encoder, found, found.domains[held], kit.cache)
    told, unlabelled = kit.embed(_first_sentence(found, found.domains[held], kit, held))[0], parts["train"][0]
    starts = {
        FRESH: plain_start(encoder, len(group.words), setting.seed),
        "pooled model": write_model(models["pooled"], encoder, told, group.words),
        "FLAME, words and pictures": write_model(models["flame-pictures"], encoder, told, group.words, unlabelled),
    }
    return {
        name: finetune(encoder, made, parts, epochs=epochs, learning_rate=RATES["Finetune"], seed=setting.seed)
        for name, made in starts.items()
    }


def _draw(curves: dict[str, dict[str, dict[str, list[float]]]], place: Path) -> None:
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    with figure(place, size=(3.6 * columns, 3.0 * rows), panels=len(curves), columns=columns) as panels:
        for axes, (title, of_start) in zip(panels, curves.items(), strict=True):
            for name, curve in of_start.items():
                best = int(np.argmax(curve["validation"]))
                (line,) = axes.plot(curve["test"], label=name)
                axes.plot(best, curve["test"][best], "o", color=line.get_color())
            axes.set(title=title, xlabel="epochs", ylabel="test accuracy")
        panels[0].legend(fontsize=7)
