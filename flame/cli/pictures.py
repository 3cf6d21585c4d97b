"""`flame train-images`: the generator of adapters for pictures, from sets of domains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flame.cli.options import Json
from flame.cli.output import show


def train_images(
    output: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    data: Annotated[Path, typer.Option(help="Folder that holds vision/ with the sets' files.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Most that this run may take.")] = 30.0,
    steps: Annotated[int, typer.Option(min=1, help="Updates; many more learn the pictures by heart.")] = 80,
    weights: Annotated[
        str, typer.Option(help="Weights of the base model: torchvision's name, a file, or a folder with spec.json.")
    ] = "DEFAULT",
    arch: Annotated[str, typer.Option(help="torchvision's name of the base model.")] = "mobilenet_v2",
    kind: Annotated[str, typer.Option(help="What is generated: lora or film.")] = "lora",
    sets: Annotated[str, typer.Option(help="Sets to train on, with commas between them.")] = "office,pacs,digits",
    sentences: Annotated[Path | None, typer.Option(help="JSON of descriptions by hand: set/domain to a list.")] = None,
    own: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of updates on one domain alone; 0: for unseen domains only.")
    ] = 0.5,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to continue from; nothing if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other batches.")] = 0,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = 1e-3,
    side: Annotated[int, typer.Option(min=32, help="Pixels of a picture's side.")] = 128,
    limit: Annotated[int, typer.Option(min=10, help="Pictures of a domain.")] = 600,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded pictures.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train the generator of adapters for pictures; killed and started again, it goes on.

    Example: flame train-images pictures --data DATA --weights DATA/weights/mobilenet_v2_1.0_224 --minutes 10
    """
    import torch

    from flame.picture.fitting import PictureTrainConfig
    from flame.picture.training import read_written
    from flame.picture.training import train_images as run
    from hypernet.adapters.episodes import EpisodeConfig

    if threads and not torch.cuda.is_available():
        torch.set_num_threads(threads)
    # The folders are left out: they are those of one machine.
    named = Path(weights).name if Path(weights).exists() else weights
    command = f"flame train-images {output.name} --data DATA --minutes {minutes:g} --arch {arch} --weights {named}"
    options = {"--kind": kind, "--sets": sets, "--seed": seed, "--learning-rate": learning_rate}
    options |= {"--steps": steps, "--own": own, "--side": side, "--limit": limit}
    command += "".join(f" {name} {value}" for name, value in options.items())
    command += "" if sentences is None else f" --sentences {sentences.name}"
    command += "" if start is None else f" --start {start.name}"
    generator = run(
        output,
        PictureTrainConfig(minutes, steps, seed, learning_rate, stream=EpisodeConfig(own=own)),
        data=data,
        arch=arch,
        weights=weights,
        kind=kind,
        sets=tuple(name.strip() for name in sets.split(",") if name.strip()),
        written=None if sentences is None else read_written(sentences),
        start=start,
        side=side,
        limit=limit,
        cache=cache,
        progress=not as_json,
        command=command,
    )
    checked = generator.provenance["runs"][-1]["validation_pictures"]
    show({"saved_to": str(output), "accuracy_before": checked["before"]["accuracy"], **checked["after"]}, as_json)
