"""`flame train`, `train-texts` and `pretrain`: generators from tables, from texts, and from synthetic tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flame.cli.options import Json
from flame.cli.output import show


def train(
    config: Annotated[Path, typer.Argument(help="YAML configuration; see experiments/configs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the checkpoint.")],
    data: Annotated[Path | None, typer.Option(help="Folder with the tables' files.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; one is fastest for small targets.")] = 1,
    as_json: Json = False,
) -> None:
    """Train a generator. Killed and started again, it goes on from the last finished epoch."""
    import torch

    from flame.table.training import train as run

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
    temper: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="What was learned is multiplied by this in the end.")
    ] = 0.25,
    bf16: Annotated[bool, typer.Option(help="Learned layers in bfloat16.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Pre-train the generator for any table on synthetic tables; killed and started again, it goes on."""
    import torch

    from flame.table.pretraining import PretrainConfig
    from flame.table.pretraining import pretrain as run

    if threads and not torch.cuda.is_available():
        torch.set_num_threads(threads)
    config = PretrainConfig(minutes=minutes, seed=seed, learning_rate=learning_rate, n_tasks=tables, temper=temper)
    options: dict[str, object] = {"--start": start, "--seed": seed, "--learning-rate": learning_rate}
    options |= {"--tables": tables, "--temper": temper}
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


def train_texts(
    output: Annotated[Path, typer.Argument(help="Folder of the checkpoint.")],
    data: Annotated[Path, typer.Option(help="Folder with text/<task>/task.json and its rows.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Length of this run.")] = 30.0,
    frozen: Annotated[
        bool, typer.Option("--frozen", help="Train classifier rows on features of the base model; thousands of steps.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint folder to continue from; nothing if not given.")
    ] = None,
    base: Annotated[str, typer.Option(help="Base model: minilm, a folder or a hub name.")] = "minilm",
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other batches.")] = 0,
    learning_rate: Annotated[float, typer.Option(min=1e-6, max=1.0)] = 1e-3,
    rows: Annotated[int, typer.Option(min=8, help="Rows of one task a step.")] = 32,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks a step.")] = 2,
    derived: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Part of the batches that ask another question of the same texts.")
    ] = 0.4,
    mute: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Part of the few-shot batches whose labels say nothing.")
    ] = 0.25,
    heads: Annotated[
        bool, typer.Option("--heads", help="Give every task a head of its own, which its description alone then finds.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(help="Train on this task alone; may be given again.")] = None,
    task_rows: Annotated[int | None, typer.Option(min=8, help="Training rows of a task that are read.")] = None,
    decoder: Annotated[str, typer.Option(help="What writes adapters: shared or per_tensor.")] = "shared",
    bf16: Annotated[bool, typer.Option(help="Run the base model in bfloat16.")] = True,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Json = False,
) -> None:
    """Train the generator of adapters for texts; killed and started again, it goes on.

    Example: flame train-texts rows --data DATA --minutes 5 --frozen --rows 128
    """
    import torch

    from flame.text.training import AdapterTrainConfig, StreamConfig
    from flame.text.training import train_texts as run

    if threads and not torch.cuda.is_available():
        torch.set_num_threads(threads)
    config = AdapterTrainConfig(
        minutes=minutes,
        seed=seed,
        frozen=frozen,
        tasks_a_step=tasks,
        learning_rate=learning_rate,
        stream=StreamConfig(rows=rows, support=(4, max(4, rows // 2)), mute=mute),
    )
    # The folders of data and checkpoint are left out: they are those of one machine.
    options = {"--seed": seed, "--learning-rate": learning_rate, "--rows": rows, "--tasks": tasks}
    options |= {"--derived": derived, "--mute": mute}
    command = f"flame train-texts {output.name} --data DATA --minutes {minutes:g}" + " --frozen" * frozen
    command += "".join(f" {name} {value}" for name, value in options.items())
    command += "" if start is None else f" --start {start.name}"
    command += "" if bf16 else " --no-bf16"
    command += " --heads" * heads + "".join(f" --only {name}" for name in only or ())
    command += "" if task_rows is None else f" --task-rows {task_rows}"
    command += "" if decoder == "shared" else f" --decoder {decoder}"
    generator = run(
        output,
        config,
        data=data,
        base=base,
        start=start,
        derived=derived,
        heads=heads,
        only=only,
        rows=task_rows,
        decoder=decoder,
        bf16=bf16,
        progress=not as_json,
        command=command,
    )
    show({"saved_to": str(output), **generator.provenance["runs"][-1]["development_rows"]["after"]}, as_json)
