"""`flame train` and `flame pretrain`: generators from configuration files, and from synthetic tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flame.cli_options import Json
from flame.cli_output import show


def train(
    config: Annotated[Path, typer.Argument(help="YAML configuration; see experiments/configs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the checkpoint.")],
    data: Annotated[Path | None, typer.Option(help="Folder with the tables' files.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; one is fastest for small targets.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a generator. Killed and started again, it goes on from the last finished epoch."""
    import torch

    from flame.training import train as run

    if threads and not torch.cuda.is_available():
        torch.set_num_threads(threads)
    command = f"flame train {config} --output {output}"
    generator = run(config, output, data=data, progress=not as_json, command=command)
    scores = {t.name: t.scores for t in generator.tasks.values()}
    show({"saved_to": str(output), **{name: s["test_accuracy"] for name, s in scores.items()}}, as_json)


def pretrain(
    output: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Length of this run.")] = 30.0,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to continue from; nothing if not given.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=999_982, help="Another seed reads other synthetic tables.")] = 0,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = 2e-3,
    tables: Annotated[int, typer.Option(min=1, help="Tables a step; 32 or more keep a GPU busy.")] = 4,
    bf16: Annotated[bool, typer.Option(help="Learned layers in bfloat16.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Pre-train the generator for any table on synthetic tables; killed and started again, it goes on."""
    import torch

    from flame.pretraining import PretrainConfig
    from flame.pretraining import pretrain as run

    if threads and not torch.cuda.is_available():
        torch.set_num_threads(threads)
    config = PretrainConfig(minutes=minutes, seed=seed, learning_rate=learning_rate, n_tasks=tables)
    options = {"--start": start, "--seed": seed, "--learning-rate": learning_rate, "--tables": tables}
    command = f"flame pretrain {output} --minutes {minutes:g}" + "".join(
        f" {name} {value}" for name, value in options.items() if value is not None
    )
    generator = run(
        output,
        config,
        start=start,
        precision="bf16-mixed" if bf16 else "32-true",
        progress=not as_json,
        command=command + " --bf16" * bf16,
    )
    show({"saved_to": str(output), **generator.provenance["validation"]}, as_json)
