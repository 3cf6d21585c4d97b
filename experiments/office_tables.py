"""Stages of `experiments.office` beside zero-shot: seen domains (table 3), starts for training (table 6, figure 3)."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.office_models import Kit, Setting, held_out_models, untrained
from experiments.office_scores import Scores, mean_scores, top_scores, write_labelled_model
from experiments.office_seen import (
    PAPER_EPOCHS,
    UPDATES,
    Curve,
    enough_epochs,
    finetune,
    lora,
    parts_of,
    plain_start,
    seconds_of_epoch,
    seconds_of_prefix,
)
from experiments.plots import figure
from flame.files import atomic_text
from flame.picture.features import PictureEncoder
from flame.picture.fitting import PictureTrainConfig, fit
from flame.picture.sets import ImageDomain, ImageSet
from flame.picture.training import read_group
from flame.picture.writing import Group, domain_logits, new_generator, write_model
from hypernet.adapters.checkpoint import load_picture_generator, save_adapter_generator

RATES = {"LoRA": 1e-3, "Finetune": 3e-4, "FLAME-F": 3e-5}
"""Of Adam; table 7 has 1e-3 for all: too much for whole convolutions without their normalisations' help. At 3e-3, LoRA
had a greater loss on validation pictures (DSLR, art). An epoch at 3e-4 undoes generated weights (USPS, cartoon)."""
UNTRAINED = "FLAME, generator not trained"
FOREIGN = "FLAME, control: another domain's sentence"
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
    story = kept_story(output, {"epochs": options.epochs, "seeds": options.seeds}, "sets")
    for seed in options.seeds:
        folder = _generator_folder(list(groups.values()), encoder, kit, options, seed)
        for found in sets:
            runs = story["sets"].setdefault(found.name, {})
            if str(seed) not in runs:
                runs[str(seed)] = _seen_rows(found, groups[found.name], encoder, folder, kit, options, seed)
                _keep(output, story)
                print(_seen_table(found, list(runs.values()), options.epochs), flush=True)
    return "\n\n".join(_seen_table(s, list(story["sets"][s.name].values()), options.epochs) for s in sets)


def kept_story(output: Path, run: dict[str, Any], key: str) -> dict[str, Any]:
    """What an earlier start with the same settings found out, or nothing yet."""
    place = output.with_suffix(".json")
    kept: dict[str, Any] = json.loads(place.read_text("utf8")) if place.is_file() else {}
    return kept if all(kept.get(name) == value for name, value in run.items()) else {**run, key: {}}


def _keep(output: Path, story: dict[str, Any]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(output.with_suffix(".json"), json.dumps(story, indent=1) + "\n")


def _generator_folder(
    groups: Sequence[Group], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, seed: int
) -> dict[str, Path]:
    """Checkpoints of a generator that knows all domains, trained and not; those of an earlier start are read."""
    steps = options.steps * len(groups)
    places = {
        UNTRAINED: kit.work / f"seen-untrained-{options.kinds[0]}-seed{seed}",
        "FLAME": kit.work / f"seen-{options.kinds[0]}-seed{seed}-{steps}",
    }
    if not all(place.is_dir() for place in places.values()):
        torch.manual_seed(seed)
        generator = new_generator(encoder, groups, remembers=True)
        generator.base = {"family": "pictures"}
        save_adapter_generator(generator, places[UNTRAINED])
        with tempfile.TemporaryDirectory() as folder:
            fit(generator, PictureTrainConfig(600.0, steps, seed), groups, encoder, Path(folder))
        save_adapter_generator(generator, places["FLAME"])
    return places


def _seen_rows(
    found: ImageSet,
    group: Group,
    encoder: PictureEncoder,
    folders: dict[str, Path],
    kit: Kit,
    options: argparse.Namespace,
    seed: int,
) -> Rows:
    """Scores by domain, and end-to-end seconds for all domains; those of training are scaled to the paper's epochs."""
    rows: Rows = {}

    def add(method: str, scores: Scores, seconds: float) -> None:
        before = rows.get(method, ([], 0.0))
        rows[method] = ([*before[0], scores], before[1] + seconds)

    generators, loading = {}, {}
    for method, folder in folders.items():
        started = time.process_time()
        generators[method] = load_picture_generator(folder)
        loading[method] = (time.process_time() - started) / len(found.domains)
    for name, domain in found.domains.items():
        parts = parts_of(encoder, found, domain, kit.cache)
        k, (x, y) = len(group.words), parts["test"]
        reading = seconds_of_prefix(encoder, domain, ("test",))
        training = reading + seconds_of_prefix(encoder, domain, ("train", "validation"))
        epochs = options.epochs if options.quick else enough_epochs(len(parts["train"][1]), options.epochs)
        place = kit.work / f"seen-{found.name}-{name}-{options.kinds[0]}-seed{seed}-{epochs}.json"
        for method, curve in _trained(place, encoder, k, parts, epochs, seed).items():
            add(method, curve.test[curve.best], training + curve.train_seconds / epochs * PAPER_EPOCHS)
        add(WHOLE, (float("nan"),) * 3, reading + seconds_of_epoch(encoder, domain, k) * PAPER_EPOCHS)
        sentence = _first_sentence(found, domain, kit, name)
        for method, generator in generators.items():
            started = time.process_time()
            made = write_model(generator, encoder, kit.embed(sentence)[0], group.words)
            writing = time.process_time() - started + loading[method]
            started = time.process_time()
            logits = domain_logits(encoder, x, made)
            add(method, top_scores(logits, y), writing + reading + time.process_time() - started)
        foreign = [_first_sentence(found, other, kit, n) for n, other in found.domains.items() if n != name]
        wrong = [write_model(generators["FLAME"], encoder, kit.embed(s)[0], group.words) for s in foreign]
        add(FOREIGN, mean_scores([top_scores(domain_logits(encoder, x, w), y) for w in wrong]), float("nan"))
        tuned = finetune(encoder, made, parts, epochs=1, learning_rate=RATES["FLAME-F"], seed=seed)
        add("FLAME-F", tuned.test[1], writing + training + tuned.train_seconds)
    return rows


def _trained(place: Path, encoder: PictureEncoder, k: int, parts: Any, epochs: int, seed: int) -> dict[str, Curve]:
    """Curves of both ways of training one domain; those of an earlier start are read from their file."""
    if place.is_file():
        return {method: Curve(**kept) for method, kept in json.loads(place.read_text("utf8")).items()}
    start, rate = plain_start(encoder, k, seed), RATES["Finetune"]
    curves = {
        "LoRA": lora(encoder, k, parts, epochs=epochs, learning_rate=RATES["LoRA"], seed=seed),
        "Finetune": finetune(encoder, start, parts, epochs=epochs, learning_rate=rate, seed=seed, every=False),
    }
    atomic_text(place, json.dumps({method: asdict(curve) for method, curve in curves.items()}))
    return curves


def _first_sentence(found: ImageSet, domain: ImageDomain, kit: Kit, name: str) -> list[str]:
    return [*domain.sentences(), *kit.written[f"{found.name}/{name}"]][:1]


def _seen_table(found: ImageSet, seeds: Sequence[Rows], epochs: int) -> str:
    seconds = {m: float(np.mean([rows[m][1] for rows in seeds])) for m in seeds[0]}
    slowest = np.nanmax(list(seconds.values()))
    header = [found.title, *found.domains, "Average", "Top-3", "Top-5", "Epochs", "Seconds", "Relative"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    shown = dict.fromkeys(("LoRA", "Finetune", WHOLE), PAPER_EPOCHS) | {"FLAME-F": 1}
    for method in seeds[0]:
        scores = np.mean([rows[method][0] for rows in seeds], axis=0)
        cells = ["-" if np.isnan(v) else f"{100 * v:.1f}" for v in (*scores[:, 0], *scores.mean(0))]
        timed = np.isfinite(seconds[method])
        cells += [str(shown.get(method, 0))]
        cells += [f"{seconds[method]:.1f}", f"{slowest / seconds[method]:.0f}"] if timed else ["-", "-"]
        lines.append("| " + " | ".join([method, *cells]) + " |")
    note = (
        f"{len(seeds)} seed(s). LoRA and Finetune (of the last layers): best validation epoch of {epochs}, or of more "
        f"until there are {UPDATES} updates; seconds are those of an epoch times {PAPER_EPOCHS}, with the early layers "
        f"run once for each picture that a method reads; {WHOLE}: one batch timed and scaled, not trained. Seconds are "
        "CPU time of one thread for all domains, with predictions; pictures are decoded already."
    )
    return "\n".join([*lines, "", note])


def run_start(
    sets: Sequence[ImageSet], encoder: PictureEncoder, kit: Kit, options: argparse.Namespace, output: Path
) -> str:
    """Table 6: ordinary training of a held-out domain from five starts; writes `<output>.json` and `<output>.png`."""
    rate = options.rate or RATES["Finetune"]
    story = kept_story(output, {"epochs": options.epochs, "learning_rate": rate}, "curves")
    for seed in options.seeds:
        known = story["curves"].setdefault(str(seed), {})
        for found in sets:
            for held in found.domains:
                if (options.held and held not in options.held) or f"{found.name}/{held}" in known:
                    continue
                setting = Setting(kind=options.kinds[0], seed=seed, steps=options.steps)
                curves = _curves(found, held, encoder, setting, kit, options.epochs, rate)
                kept = {
                    n: {"validation": c.validation, "losses": c.losses, "test": [t[0] for t in c.test]}
                    for n, c in curves.items()
                }
                known[f"{found.name}/{held}"] = kept
                _keep(output, story)
                print(f"{found.name}/{held}, seed {seed}: {', '.join(_needed(kept))}", flush=True)
    _draw(story["curves"][str(options.seeds[0])], output.with_suffix(".png"))
    return f"{start_table(story['curves'])}\n\nAdam at {rate:g}, {options.epochs} epochs; one number a seed."


def start_table(curves: dict[str, dict[str, dict[str, dict[str, list[float]]]]]) -> str:
    """Every domain and start, and how many epochs each start needs where it gets there.

    Args:
        curves: of a seed, a domain and a start: validation, losses and test.
    """
    header = ["Held out", "Start", "Epochs to Finetune's best validation", "Epoch of the own best"]
    header += ["Test at the own best", "Test before training"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    needed: dict[str, list[int | None]] = {}
    tests: dict[str, list[tuple[float, float]]] = {}
    for domain in dict.fromkeys(d for of_seed in curves.values() for d in of_seed):
        runs = [of_seed[domain] for of_seed in curves.values() if domain in of_seed]
        for name in runs[0]:
            own = [_curve(run[name]) for run in runs]
            found = [c.reaches(max(run[FRESH]["validation"])) for c, run in zip(own, runs, strict=True)]
            needed[name] = [*needed.get(name, []), *found]
            best, first = (100 * float(np.mean([c.test[c.best * k][0] for c in own])) for k in (1, 0))
            tests.setdefault(name, []).append((best, first))
            cells = [", ".join(map(_told, found)), ", ".join(str(c.best) for c in own), f"{best:.1f}", f"{first:.1f}"]
            lines.append("| " + " | ".join([domain, name, *cells]) + " |")
    return "\n".join([*lines, "", *_summary(needed, tests)])


def _needed(starts: dict[str, dict[str, list[float]]]) -> list[str]:
    """Epochs of every start to the best validation score of ordinary training."""
    target = max(starts[FRESH]["validation"])
    return [_told(_curve(kept).reaches(target)) for kept in starts.values()]


def _told(epochs: int | None) -> str:
    return "never" if epochs is None else str(epochs)


def _curve(kept: dict[str, list[float]]) -> Curve:
    return Curve(kept["validation"], [(t, t, t) for t in kept["test"]], kept["losses"])


def _summary(needed: dict[str, list[int | None]], tests: dict[str, list[tuple[float, float]]]) -> list[str]:
    fresh = needed[FRESH]
    header = ["Start", "Reaches Finetune's best", "Mean epochs there", "Finetune's on the same domains", "In a sixth"]
    header += ["Test at the own best", "Test before training"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for name, epochs in needed.items():
        both = [(e, f) for e, f in zip(epochs, fresh, strict=True) if e is not None and f is not None]
        own, theirs = (float(np.mean([p[i] for p in both])) if both else float("nan") for i in (0, 1))
        sixth = sum(6 * e <= f for e, f in both)
        counts = f"{len(both)} of {len(epochs)} | {own:.1f} | {theirs:.1f} | {sixth} of {len(epochs)}"
        best, first = np.mean(tests[name], axis=0)
        lines.append(f"| {name} | {counts} | {best:.1f} | {first:.1f} |")
    return lines


def _curves(
    found: ImageSet, held: str, encoder: PictureEncoder, setting: Setting, kit: Kit, epochs: int, rate: float
) -> dict[str, Curve]:
    group, models = held_out_models(found, held, encoder, setting, kit, ("flame", "pooled"))
    models["untrained"] = untrained(encoder, group, setting)
    parts = parts_of(encoder, found, found.domains[held], kit.cache)
    told, (x, y) = kit.embed(_first_sentence(found, found.domains[held], kit, held))[0], parts["train"]
    starts = {
        FRESH: plain_start(encoder, len(group.words), setting.seed),
        "pooled model": write_model(models["pooled"], encoder, told, group.words),
        "FLAME, words and pictures": write_model(models["flame"], encoder, told, group.words, x),
        "head solved on the labelled pictures, generator not trained": write_labelled_model(
            models["untrained"], encoder, told, group.words, x, y
        ),
        "FLAME, words and labelled pictures": write_labelled_model(models["flame"], encoder, told, group.words, x, y),
    }
    return {
        name: finetune(encoder, made, parts, epochs=epochs, learning_rate=rate, seed=setting.seed)
        for name, made in starts.items()
    }


def _draw(curves: dict[str, dict[str, dict[str, list[float]]]], place: Path) -> None:
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    with figure(place, size=(3.6 * columns, 3.0 * rows), panels=len(curves), columns=columns) as panels:
        for axes, (title, of_start) in zip(panels, curves.items(), strict=True):
            for name, curve in of_start.items():
                best = _curve(curve).best
                (line,) = axes.plot(curve["test"], label=name)
                axes.plot(best, curve["test"][best], "o", color=line.get_color())
            axes.set(title=title, xlabel="epochs", ylabel="test accuracy")
            axes.xaxis.get_major_locator().set_params(integer=True)
        lines, names = panels[0].get_legend_handles_labels()
        panels[0].get_figure().legend(lines, names, loc="outside lower center", ncols=3)
