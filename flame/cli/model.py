"""The commands of `flame` on saved models: predict, evaluate, verify, finetune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flame.cli.options import BaseModel, Json, Target
from flame.cli.output import busy, note, show, warnings_as_notes

if TYPE_CHECKING:
    import pandas as pd

    from flame.model import GeneratedModel
    from flame.taskspec import TaskSpec

ModelFolder = Annotated[Path, typer.Argument(help="Folder of a saved model.", metavar="MODEL")]


def predict(
    model: ModelFolder,
    rows: Annotated[
        Path | None, typer.Argument(help="Table or texts with the model's columns, a picture, or a folder of them.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="A text to predict; may be repeated.")] = None,
    second: Annotated[
        list[str] | None, typer.Option("--second", help="Second text of a pair; one for each --text.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV to write instead of the screen.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Add the probability of every label.")] = False,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Predict the label, or the number, of every row of a table, every text or every picture."""
    import flame
    from flame.files import atomic_text

    data = _given(rows, text, second)
    with warnings_as_notes():
        loaded = flame.load(model, base_model=base_model)
        if text and loaded.preprocessor.modality != "text":
            reads = {"table": "a table; give a file with its rows", "image": "pictures; give a file or a folder"}
            what = reads[loaded.preprocessor.modality]
            raise typer.BadParameter(f"{model} reads {what}", param_hint="--text")
        result = _predictions(loaded, data, proba=proba)
    if output is not None:
        atomic_text(output, result.to_csv(index=False))
        if as_json:
            show({"n_rows": len(result), "saved_to": str(output)}, as_json)
        else:
            note(f"{len(result)} predictions written to {output}")
    elif as_json:
        typer.echo(result.to_json(orient="records", force_ascii=False))
    else:
        typer.echo(result.to_csv(index=False), nl=False)


def evaluate(
    model: ModelFolder,
    data: Annotated[Path, typer.Argument(help="Labelled rows, texts or pictures that it was not written from.")],
    target: Target = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write one page with tables and plots as well.", metavar="FILE")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Write the scores into the model's card as well.")] = False,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Score a saved model on labelled rows: scores with 95 % intervals, beside what guessing would give.

    Example: flame evaluate iris/ new-rows.csv --html iris.html
    """
    import flame

    with busy("scoring", quiet=as_json or data.is_dir()), warnings_as_notes():
        loaded = flame.load(model, base_model=base_model)
        evaluation = loaded.evaluate(data, target=target)
        if card:
            loaded.with_scores(evaluation).save(model)
        if html is not None:
            evaluation.save_html(html, title=f"{model.resolve().name} on {data.name}")
    if as_json:
        show(evaluation.to_json(), as_json)
    else:
        typer.echo(str(evaluation))
        if html is not None:
            note(f"written to {html}")


def verify(
    model: ModelFolder,
    data: Annotated[Path, typer.Argument(help="Labelled rows, texts or pictures that it was not written from.")],
    request: Annotated[str | None, typer.Argument(help="What was asked for, in words.")] = None,
    spec: Annotated[
        Path | None, typer.Option(help="A specification instead: JSON of flame understand --json.", metavar="FILE")
    ] = None,
    target: Target = None,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Measure a saved model against a request: P meets everything, W misses something, F does not run.

    The exit code is 0 for P and 1 otherwise.

    Example: flame verify iris/ rows.csv "At least 90 % accuracy, under 20 ms and at most 50k parameters"
    """
    import flame

    asked = _asked(request, spec)
    with busy("measuring", quiet=as_json), warnings_as_notes():
        found = flame.load(model, base_model=base_model).verify(data, asked, target=target)
    if as_json:
        show(found.to_json(), as_json)
    else:
        typer.echo(str(found))
    if found.grade != "P":
        raise typer.Exit(1)


def finetune(
    model: ModelFolder,
    data: Annotated[Path, typer.Argument(help="Labelled rows, texts or pictures.")],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the rows [1, or as many as fit in --seconds].")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="full, lora or head [tables, pictures: full; texts: lora].", metavar="METHOD")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="Time for all of it.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-9, help="[tables: 0.002; texts: 0.001; pictures: 0.0001].")
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without progress after which it ends.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Other rows are held out, in another order.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the new model [MODEL-finetuned].")
    ] = None,
    target: Target = None,
    base_model: BaseModel = None,
    as_json: Json = False,
) -> None:
    """Train a saved model further on labelled rows and save the result as a new model, never a worse one.

    Killed and started again with the same options, it goes on from the last finished epoch.

    Example: flame finetune iris/ rows.csv --seconds 30
    """
    import shutil

    import flame
    from flame.files import check_place

    named = model if model.name not in ("", "..") else model.resolve()
    place = check_place(output or named.with_name(named.name + "-finetuned"), marker="flame.json")
    work = place.with_name(place.name + ".work")
    with warnings_as_notes():
        tuned = flame.load(model, base_model=base_model).finetune(
            data,
            epochs=epochs,
            method=method,
            seconds=seconds,
            learning_rate=learning_rate,
            patience=patience,
            seed=seed,
            target=target,
            work=work,
            progress=False if as_json else None,
        )
        tuned.save(place)
    shutil.rmtree(work, ignore_errors=True)
    show({**tuned.provenance["finetune"], "saved_to": str(place)}, as_json)


def _asked(request: str | None, spec: Path | None) -> TaskSpec:
    """What was asked for: words, or a file.

    Raises:
        BadParameter: if both came or neither.
        DataError: if the file cannot be read.
        MetadataError: if it holds no specification.
    """
    import flame
    from flame.errors import DataError

    if (request is None) == (spec is None):
        raise typer.BadParameter("give either the request in words, or --spec FILE", param_hint="REQUEST")
    if spec is None:
        return flame.understand(str(request))
    try:
        return flame.TaskSpec.from_json(spec.read_text("utf8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{spec} cannot be read: {error}") from error


def _given(rows: Path | None, text: list[str] | None, second: list[str] | None) -> Any:
    """What is to be predicted: a file, or the texts of the options.

    Raises:
        BadParameter: if both came or neither, or not as many second texts as first ones.
    """
    if (rows is None) == (not text):
        raise typer.BadParameter("give either a file of rows, or texts, as in --text 'great phone'", param_hint="ROWS")
    if rows is not None or text is None:
        return rows
    if second and len(second) != len(text):
        counts = f"{len(text)} and {len(second)}"
        raise typer.BadParameter(f"one for each --text is expected, however: {counts}", param_hint="--second")
    return list(zip(text, second, strict=True)) if second else text


def _predictions(loaded: GeneratedModel, data: Any, *, proba: bool) -> pd.DataFrame:
    import pandas as pd

    frame = loaded.preprocessor.read(data)
    if loaded.is_regression:
        return pd.DataFrame({loaded.target: loaded.predict(frame)})
    probabilities = loaded.predict_proba(frame).astype("float64")
    result = pd.DataFrame({loaded.target: [loaded.labels[i] for i in probabilities.argmax(1)]})
    result["probability" if loaded.target != "probability" else "p"] = probabilities.max(1, initial=0.0).round(4)
    if proba:
        for i, label in enumerate(loaded.labels):
            result[f"p({label})"] = probabilities[:, i].round(4)
    if loaded.preprocessor.modality == "image":  # a folder says by itself neither order nor names
        names = [cell if isinstance(cell, str) else "" for cell in frame[loaded.preprocessor.names[0]]]
        result.insert(0, "file" if loaded.target != "file" else "path", names)
    return result
