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
    seconds_of_prefix,
    top_scores,
    written,
)
from experiments.plots import figure
from flame.picture.features import PictureEncoder
from flame.picture.sets import ImageSet
from flame.picture.training import Group, domain_logits, new_generator, read_group
from hypernet.adapters.checkpoint import load_picture_generator
from hypernet.adapters.pictures import PictureGenerator

RATES = {"LoRA": 3e-3, "Finetune": 3e-4, "FLAME-F": 3e-4}
"""Of Adam; table 7 has 1e-3 for all: too much for a pretrained network without its normalisations' help."""


def run_seen(
    sets: Sequence[ImageSet], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, output: Path
) -> str:
    """Table 3: one generator for all domains against training each one; writes `<output>.json`."""
    groups = {s.name: read_group(s, encoder, kit.embed, written=kit.written, cache=kit.cache) for s in sets}
    started = time.perf_counter()
    generator = _generator(options, encoder, list(groups.values()))
    loading = time.perf_counter() - started
    story: dict[str, Any] = {"epochs": options.epochs, "seeds": options.seeds, "sets": {}}
    texts = []
    for found in sets:
        rows: dict[str, list[tuple[list[Scores], float]]] = {}
        for seed in options.seeds:
            for method, made in _seen_rows(found, groups[found.name], encoder, generator, kit, options, seed).items():
                rows.setdefault(method, []).append(made)
        story["sets"][found.name] = {m: [[s, t + loading * (m[:5] == "FLAME")] for s, t in v] for m, v in rows.items()}
        texts.append(_seen_table(found, story["sets"][found.name], options.epochs))
        print(texts[-1], flush=True)
    output.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
    return "\n\n".join(texts)


def _generator(options: argparse.Namespace, encoder: PictureEncoder, groups: Sequence[Group]) -> PictureGenerator:
    if options.checkpoint is None:
        torch.manual_seed(0)
        return new_generator(encoder, groups)
    return load_picture_generator(options.checkpoint)


def _seen_rows(
    found: ImageSet,
    group: Group,
    encoder: PictureEncoder,
    generator: PictureGenerator,
    kit: Kit,
    options: argparse.Namespace,
    seed: int,
) -> dict[str, tuple[list[Scores], float]]:
    """Scores by domain, and end-to-end seconds for all domains; those of training are scaled to the paper's epochs."""
    rows: dict[str, tuple[list[Scores], float]] = {}

    def add(method: str, scores: Scores, seconds: float) -> None:
        before = rows.get(method, ([], 0.0))
        rows[method] = ([*before[0], scores], before[1] + seconds)

    for task, domain in zip(group.tasks, found.domains.values(), strict=True):
        parts = parts_of(encoder, found, domain, kit.cache)
        x, y = parts["test"]
        reading = seconds_of_prefix(encoder, domain, ("test",))
        training = reading + seconds_of_prefix(encoder, domain, ("train", "validation"))
        curves = {
            "LoRA": lora(
                encoder, len(group.words), parts, epochs=options.epochs, learning_rate=RATES["LoRA"], seed=seed
            ),
            "Finetune": finetune(
                encoder,
                plain_start(encoder, len(group.words), seed),
                parts,
                epochs=options.epochs,
                learning_rate=RATES["Finetune"],
                seed=seed,
            ),
        }
        for method, curve in curves.items():
            epoch = curve.train_seconds / options.epochs
            add(method, curve.test[curve.best], training + epoch * PAPER_EPOCHS)
        started = time.perf_counter()
        logits = domain_logits(generator, encoder, x, task.descriptions[0], group.words)
        add("FLAME", top_scores(logits, y), reading + time.perf_counter() - started)
        made = written(encoder, generator, task.descriptions[0], group.words)
        curve = finetune(encoder, made, parts, epochs=1, learning_rate=RATES["FLAME-F"], seed=seed)
        add("FLAME-F", curve.test[1], training + curve.train_seconds)
    return rows


def _seen_table(found: ImageSet, rows: dict[str, Any], epochs: int) -> str:
    seconds = {m: float(np.mean([t for _, t in v])) for m, v in rows.items()}
    slowest = max(seconds.values())
    header = [found.title, *found.domains, "Average", "Top-3", "Top-5", "Epochs", "Seconds", "Relative"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    shown = {"LoRA": PAPER_EPOCHS, "Finetune": PAPER_EPOCHS, "FLAME": 0, "FLAME-F": 1}
    for method, runs in rows.items():
        scores = np.mean([s for s, _ in runs], axis=0)
        cells = [f"{100 * v:.1f}" for v in (*scores[:, 0], *scores.mean(0))]
        cells += [str(shown[method]), f"{seconds[method]:.0f}", f"{slowest / seconds[method]:.0f}"]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    note = (
        f"LoRA and Finetune: best validation epoch of {epochs}; seconds are those of {epochs} epochs, scaled to "
        f"{PAPER_EPOCHS}. Pictures are decoded already; the early layers run once for each picture that a method reads."
    )
    return "\n".join([*lines, "", note])


def run_start(
    sets: Sequence[ImageSet], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, output: Path
) -> str:
    """Table 6: ordinary training of a held-out domain from four starts; writes `<output>.json` and `<output>.png`."""
    lines = [
        "| Held out | Start | Epoch of the best validation | Test there | Test before training |",
        "|---" * 5 + "|",
    ]
    story: dict[str, Any] = {"epochs": options.epochs, "learning_rate": RATES["Finetune"], "curves": {}}
    for found in sets:
        for held in found.domains:
            setting = Setting(kind=options.kinds[0], seed=options.seeds[0], steps=options.steps)
            curves = _curves(found, held, encoder, setting, kit, options.epochs)
            story["curves"][f"{found.name}/{held}"] = {
                n: {"validation": c.validation, "test": [t[0] for t in c.test]} for n, c in curves.items()
            }
            for name, c in curves.items():
                best, first = 100 * c.test[c.best][0], 100 * c.test[0][0]
                lines.append(f"| {found.name}/{held} | {name} | {c.best} | {best:.1f} | {first:.1f} |")
            print("\n".join(lines[-len(curves) :]), flush=True)
    output.with_suffix(".json").write_text(json.dumps(story, indent=1) + "\n", "utf8")
    _draw(story["curves"], output.with_suffix(".png"))
    return "\n".join(lines)


def _curves(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit, epochs: int
) -> dict[str, Curve]:
    group, models = held_out_models(found, held, encoder, setting, kit, ("flame", "pooled"))
    torch.manual_seed(setting.seed)
    untrained = new_generator(encoder, [group])
    sentence = kit.embed([*found.domains[held].sentences(), *kit.written[f"{found.name}/{held}"]])[0]
    starts = {
        "base model, fresh classifier": plain_start(encoder, len(group.words), setting.seed),
        "untrained generator": written(encoder, untrained, sentence, group.words),
        "pooled model": written(encoder, models["pooled"], sentence, group.words),
        "FLAME": written(encoder, models["flame"], sentence, group.words),
    }
    parts = parts_of(encoder, found, found.domains[held], kit.cache)
    return {
        name: finetune(encoder, made, parts, epochs=epochs, learning_rate=RATES["Finetune"], seed=setting.seed)
        for name, made in starts.items()
    }


def _draw(curves: dict[str, dict[str, dict[str, list[float]]]], place: Path) -> None:
    with figure(place, size=(4.0 * len(curves), 3.4), panels=len(curves)) as panels:
        for axes, (title, of_start) in zip(panels, curves.items(), strict=True):
            for name, curve in of_start.items():
                best = int(np.argmax(curve["validation"]))
                (line,) = axes.plot(curve["test"], label=name)
                axes.plot(best, curve["test"][best], "o", color=line.get_color())
            axes.set(title=title, xlabel="epochs", ylabel="test accuracy")
        panels[0].legend(fontsize=7)
