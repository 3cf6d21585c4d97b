"""Tables 3, 4, 6 and 10-12 of the paper on free sets: adapters for a domain that is only described.

    python -m experiments.office --data DATA                    # zero-shot, three seeds; resumable with --work DIR
    python -m experiments.office --data DATA --stage seen       # table 3: domains that were trained on
    python -m experiments.office --data DATA --stage start      # table 6 and figure 3: generated weights as a start
    python -m experiments.office --data DATA --stage start --seeds 0 --rate 1e-4 --epochs 40     # the same, slower
    python -m experiments.office --quick                        # made-up pictures, a random network, under two minutes

A generator is trained on all domains of a set but one, and writes the model of that one from sentences (five made from
the pixels of its training pictures, five by hand), and where a row says so from these pictures themselves; their labels
are not read, but in rows that say so. Test pictures are never trained on, measured or selected by. Base model:
MobileNetV2 1.0/224 of ImageNet (data kit), pictures of 128 pixels, adapters from `features.15` on. Another one:
`--arch resnet50 --weights DEFAULT`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from experiments.office_models import Kit, Setting
from experiments.office_quick import WRITTEN, quick_embedding, quick_encoder, quick_set
from experiments.office_report import summary_markdown, zero_shot_markdown
from experiments.office_scores import (
    FOREIGN,
    POOLED,
    POOLED_PICTURES,
    READS,
    SHARED_PICTURES,
    UNTRAINED_PICTURES,
    WORDS,
    Scores,
    held_out_scores,
)
from experiments.report import processor
from flame.files import atomic_text
from flame.picture.features import PictureEncoder, picture_encoder
from flame.picture.sets import IMAGE_SETS, ImageSet, image_folder, load_image_set
from flame.picture.training import read_written, word_embedding

HERE = Path(__file__).parent
WRITTEN_FILE = HERE / "image_requests.json"
WEIGHTS = "weights/mobilenet_v2_1.0_224"

Case = dict[str, Any]
"""set, held, setting, and the scores by method."""


def settings_of(seeds: Sequence[int], kinds: Sequence[str], *, steps: int) -> list[Setting]:
    """Every kind, seed by seed: what is cut off has whole seeds."""
    return [Setting(kind=k, seed=seed, steps=steps) for seed in seeds for k in kinds]


def run_zero_shot(
    sets: Sequence[ImageSet], encoders: dict[str, PictureEncoder], settings: Sequence[Setting], kit: Kit, output: Path
) -> list[Case]:
    """Every held-out domain under every setting; what `output` holds already is not run again."""
    cases: list[Case] = json.loads(output.read_text("utf8"))["cases"] if output.is_file() else []
    known = {_key(c) for c in cases}
    for setting in settings:
        for found in sets:
            for held in found.domains:
                case = {"set": found.name, "held": held, "setting": setting.name}
                if _key(case) in known:
                    continue
                scores = held_out_scores(found, held, encoders[setting.kind], setting, kit)
                cases.append({**case, "scores": {m: [round(v, 4) for v in s] for m, s in scores.items()}})
                _keep(output, cases, sets)
                print(_line(case, scores), flush=True)
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run one stage, print Markdown, and keep the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the data kit; FLAME_DATA if not given")
    parser.add_argument("--stage", choices=["zero-shot", "seen", "start"], default="zero-shot")
    parser.add_argument("--sets", nargs="+", default=list(IMAGE_SETS), choices=list(IMAGE_SETS))
    parser.add_argument("--kinds", nargs="+", default=["lora"], choices=["lora", "film"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=80, help="updates, of 126 pictures each")
    parser.add_argument("--epochs", type=int, default=15, help="of ordinary training in the other stages")
    parser.add_argument("--rate", type=float, help="of Adam in --stage start; 3e-4 if not given")
    parser.add_argument("--held", nargs="+", metavar="DOMAIN", help="domains of --stage start; all if not given")
    parser.add_argument("--arch", default="mobilenet_v2")
    parser.add_argument("--weights", help="of the base model; the data kit's MobileNetV2 if not given")
    parser.add_argument("--cache", type=Path, help="folder for decoded pictures")
    parser.add_argument("--work", type=Path, help="folder for trained models; kept and resumed if given")
    parser.add_argument("--output", type=Path, help="write <output>.json and .md, and <output>_summary.md of zero-shot")
    parser.add_argument("--quick", action="store_true", help="made-up pictures and a random network")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        output = options.output or Path(temporary) / options.stage
        work = options.work or Path(temporary)
        sets, encoders, kit = quick_parts(options, work) if options.quick else real_parts(options, work)
        if options.stage == "zero-shot":
            settings = settings_of(options.seeds, options.kinds, steps=options.steps)
            cases = run_zero_shot(sets, encoders, settings, kit, output.with_suffix(".json"))
            text = zero_shot_markdown(cases, sets)
            options.seeds = sorted({int(c["setting"].rsplit(" ", 1)[1]) for c in cases})
            if options.output:
                summary = f"{summary_markdown(cases, sets)}\n\n{hardware(options)}\n"
                output.with_name(f"{output.name}_summary.md").write_text(summary, "utf8")
        else:
            from experiments.office_tables import run_seen, run_start

            run = run_seen if options.stage == "seen" else run_start
            text = run(sets, encoders[options.kinds[0]], kit, options, output)
    text += f"\n\n{hardware(options)}\n"
    print(text)
    if options.output:
        output.with_suffix(".md").write_text(text, "utf8")


def real_parts(options: argparse.Namespace, work: Path) -> tuple[list[ImageSet], dict[str, PictureEncoder], Kit]:
    """The data kit's sets, the base model, and the sentence encoder."""
    weights = options.weights or image_folder(options.data) / WEIGHTS
    sets = [load_image_set(name, data=options.data, cache=options.cache) for name in options.sets]
    encoders = {kind: picture_encoder(options.arch, weights, kind=kind) for kind in options.kinds}
    return sets, encoders, Kit(word_embedding(), read_written(WRITTEN_FILE), options.cache, work)


def quick_parts(options: argparse.Namespace, work: Path) -> tuple[list[ImageSet], dict[str, PictureEncoder], Kit]:
    """Made-up pictures, a random network, one seed and few steps."""
    options.steps, options.epochs, options.seeds = 3, 2, options.seeds[:1]
    kit = Kit(quick_embedding, WRITTEN, options.cache or work, work)
    return [quick_set()], {kind: quick_encoder(kind) for kind in options.kinds}, kit


def hardware(options: argparse.Namespace) -> str:
    """What the figures were measured on, without any path."""
    network = "a random ResNet-18" if options.quick else options.arch
    return f"one thread of {processor()}, torch {torch.__version__}; base model {network}; seeds {options.seeds}"


def _key(case: Case) -> tuple[str, str, str]:
    return case["set"], case["held"], case["setting"]


def _keep(output: Path, cases: Sequence[Case], sets: Sequence[ImageSet]) -> None:
    sizes = {s.name: {d: len(v.y) for d, v in s.domains.items()} for s in sets}
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(output, json.dumps({"pictures": sizes, "cases": list(cases)}, indent=1) + "\n")


def _line(case: Case, scores: dict[str, Scores]) -> str:
    shown = {m: s[0] for m, s in scores.items()}
    keys = (POOLED, POOLED_PICTURES, WORDS, UNTRAINED_PICTURES, SHARED_PICTURES, READS, FOREIGN)
    return f"{case['set']}/{case['held']} ({case['setting']}): " + ", ".join(f"{k} {shown[k]:.3f}" for k in keys)


if __name__ == "__main__":
    main()
