"""The `flame` command. Heavy imports happen inside the commands, so that `flame --help` answers at once."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flame.cli.model import evaluate, finetune, predict, verify
from flame.cli.options import (
    LLM,
    MORE,
    BaseModel,
    BaseURL,
    Json,
    Labels,
    PictureGenerator,
    Rows,
    ShowPrompt,
    Target,
    label_names,
    language_model,
    refuse_more,
    silent_writer,
)
from flame.cli.output import busy, show, show_card, story, table, warnings_as_notes
from flame.cli.pictures import train_images
from flame.cli.prior import prior
from flame.cli.shipping import export, package, push, serve
from flame.cli.training import pretrain, train, train_texts
from flame.errors import ConfigError, FlameError

app = typer.Typer(
    name="flame",
    help="Describe a task or hand over rows, and get a small private model in one forward pass.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="The tables that the experiments use.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Description = Annotated[str | None, typer.Option("--description", "-d", help="What the task is, in your words.")]
Checkpoint = Annotated[str | None, typer.Option("--checkpoint", "-c", help="Built-in name, folder or hub name.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("flame-hypernet"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Describe a task or hand over rows, and get a small private model in one forward pass."""


@app.command(context_settings=MORE)
def generate(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="Rows, texts or pictures: CSV, TSV, Parquet, JSON, JSONL, or a folder of pictures by class."
        ),
    ] = None,
    description: Description = None,
    target: Target = None,
    labels: Labels = None,
    base_model: BaseModel = None,
    picture_generator: PictureGenerator = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder to save the model in.")] = None,
    merged: Annotated[
        bool, typer.Option("--merged", help="Save a plain transformers folder, base model included; texts only.")
    ] = False,
    checkpoint: Checkpoint = None,
    llm: LLM = None,
    base_url: BaseURL = None,
    rows: Rows = True,
    show_prompt: ShowPrompt = False,
    as_json: Json = False,
) -> None:
    """Write a model for a described task and/or rows of a table, texts or pictures, without training it.

    Nothing leaves the machine unless --llm names a language model (key: OPENAI_API_KEY).

    Example: flame generate iris.csv --target species -d "Tell iris species apart from petal sizes." -o iris/

    Example: flame generate photos/ -d "Sort office objects photographed by a webcam" -o office/

    Example: flame generate -d "Which of mug, laptop or dog does the photo show?" -o things/
    """
    import flame
    from flame.api import DEFAULT_CHECKPOINT, preview_prompt

    refuse_more(context, "words that describe the task follow -d")
    checkpoint = checkpoint or DEFAULT_CHECKPOINT
    if merged and output is None:
        raise ConfigError("--merged says how a model is saved, however no folder is named; add --output FOLDER")
    if show_prompt:
        silent = silent_writer(rows=rows)
        typer.echo(preview_prompt(description, data, silent, target=target, checkpoint=checkpoint))
        return
    endpoint, writer = language_model(llm, base_url, rows=rows)
    counted = data is not None and data.is_dir()  # pictures, which are counted while they are read
    with busy("reading the request and writing the model", quiet=as_json or counted), warnings_as_notes():
        model = flame.generate_model(
            description,
            data,
            target=target,
            labels=label_names(labels),
            base_model=base_model,
            picture_generator=picture_generator,
            checkpoint=checkpoint,
            writer=writer,
        )
        if output is not None:
            model.save(output, merged=merged)
    extra = {"saved_to": str(output)} if output else {}
    show(story(model) | extra | ({"language_model": asdict(endpoint.ledger)} if endpoint else {}), as_json)


@app.command(context_settings=MORE)
def plan(
    context: typer.Context,
    description: Annotated[str | None, typer.Argument(help="What the task is, in your words.")] = None,
    data: Annotated[Path | None, typer.Option(help="Rows, texts or pictures; their facts outrank the words.")] = None,
    target: Target = None,
    llm: LLM = None,
    base_url: BaseURL = None,
    rows: Rows = True,
    show_prompt: ShowPrompt = False,
    as_json: Json = False,
) -> None:
    """Show what model a task needs, and why: requirement sentence, metadata, notes. Nothing is generated.

    Example: flame plan "Sort product reviews into 5 classes; it runs on a phone"
    """
    import flame
    from flame.planning import preview_plan

    refuse_more(context, "rows, texts or pictures follow --data, and words of a description stand in quotes")
    if show_prompt:
        typer.echo(preview_plan(description, data, silent_writer(rows=rows), target=target))
        return
    endpoint, writer = language_model(llm, base_url, rows=rows)
    with busy("reading the request", quiet=as_json):
        made = flame.plan(description, data, target=target, writer=writer)
    extra = {"language_model": asdict(endpoint.ledger)} if endpoint else {}
    if as_json:
        show(made.to_json() | extra, as_json)
    else:
        values = {"requirement": made.requirement, "metadata": made.metadata.model_dump(exclude_none=True)}
        show({**values, "notes": "\n".join(made.notes), "writer": made.writer, **extra}, as_json)


@app.command()
def understand(
    text: Annotated[str, typer.Argument(help="What you want, in your words.")],
    data: Annotated[Path | None, typer.Option(help="Rows; their facts outrank the words.")] = None,
    target: Target = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="Ask the open questions one by one.")] = False,
    as_json: Json = False,
) -> None:
    """Read a request: task, inputs, limits, deployment, and what is still to be asked.

    Example: flame understand "Sort bean photos into 7 varieties on a phone, under 20 ms and at least 95 % accuracy"
    """
    import flame
    from flame.spec_report import report
    from flame.understanding import ask_back

    spec = flame.understand(text, data, target=target)
    if interactive:
        spec = ask_back(spec, lambda question: typer.prompt(question, default=""), data=data, target=target)
    typer.echo(spec.model_dump_json(indent=2) if as_json else report(spec))


for on_model in (predict, evaluate, verify, finetune):
    app.command()(on_model)


@app.command()
def info(
    place: Annotated[
        str | None, typer.Argument(help="Checkpoint (name, folder, hub name) or saved model.", metavar="CHECKPOINT")
    ] = None,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Show what a checkpoint can write, or how a saved model came about."""
    import flame
    from flame.api import BUILTIN, DEFAULT_CHECKPOINT
    from flame.table.task_heads import column_names

    if place is not None and os.path.isfile(Path(place) / "flame.json"):
        show(story(flame.load(place, base_model=base_model)), as_json)
        return
    name = place or DEFAULT_CHECKPOINT
    for folder in (BUILTIN / name, Path(name)):
        # Generators without heads: for any table, for texts.
        if not os.path.isfile(folder / "tasks.json") and os.path.isfile(folder / "config.json"):
            show_card(folder, as_json)
            return
    generator = flame.load_generator(name)
    tasks = [
        {
            "task": t.name,
            "predicts": t.target,
            "labels": list(t.labels),
            "columns": column_names(t),
            **t.scores,
        }
        for t in generator.tasks.values()
    ]
    head = {
        "checkpoint": name,
        "built_in": sorted(p.parent.name for p in BUILTIN.glob("*/config.json")),
        "arch": generator.config.arch,
        "decoder": generator.config.decoder,
        "parameters": sum(p.numel() for p in generator.parameters()),
        "sha256": generator.fingerprint,
    }
    if as_json:
        show({**head, "provenance": generator.provenance, "tasks": tasks}, as_json)
    else:
        show(head, as_json)
        table(tasks)


for command in (export, package, push, serve, train, train_texts, train_images, pretrain, prior):
    app.command()(command)


@app.command()
def demo(as_json: Json = False) -> None:
    """Three tables that scikit-learn carries: generate, score beside ordinary training, predict a CSV."""
    from flame.demo import run

    run(as_json=as_json)


@data_app.command("list")
def data_list(as_json: Json = False) -> None:
    """Show the tables that can be fetched."""
    from flame.table.tables import TABLES

    rows = [
        {
            "name": t.name,
            "title": t.title,
            "rows": t.n_rows,
            "columns": len(t.columns),
            "classes": len(t.labels),
            "licence": t.licence,
        }
        for t in TABLES.values()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        table(rows)


@data_app.command("fetch")
def data_fetch(
    names: Annotated[list[str], typer.Argument(help="Table names, or 'all'.")],
    force: Annotated[bool, typer.Option(help="Download again.")] = False,
    as_json: Json = False,
) -> None:
    """Download tables of the UCI repository into the cache folder."""
    from flame.table.tables import TABLES, fetch_table

    wanted = list(TABLES) if names == ["all"] else names
    places = {}
    for name in wanted:
        with busy(f"fetching {name}", quiet=as_json):
            places[name] = str(fetch_table(name, force=force))
    show(places, as_json)


def main() -> None:
    """Run the command; our errors and wrong arguments end with exit code 2 and one message."""
    try:
        app(prog_name="flame")
    except FlameError as error:
        typer.echo(f"error: {' '.join(str(error).splitlines())}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
