"""Options that several commands of `flame` share, and the language model that they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flame.errors import ConfigError

if TYPE_CHECKING:
    from flame.llm.endpoint import Endpoint
    from flame.llm.writer import LLMWriter

Target = Annotated[str | None, typer.Option("--target", "-t", help="Column to predict.")]
Labels = Annotated[
    str | None, typer.Option("--labels", help="Names of the classes of unlabelled texts or pictures: negative,positive")
]
BaseModel = Annotated[
    str | None,
    typer.Option("--base-model", help="Base of a model for texts or pictures: name, file or folder.", metavar="NAME"),
]
PictureGenerator = Annotated[
    Path | None,
    typer.Option(
        "--picture-generator", help="Folder of `flame train-images`, or pictures-mobilenetv2; none if not given."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
LLM = Annotated[
    str | None,
    typer.Option(help="Let this language model write the requirement: its name at the endpoint.", metavar="MODEL"),
]
BaseURL = Annotated[
    str | None, typer.Option(help="OpenAI-compatible endpoint; OPENAI_BASE_URL or OpenAI's if not given.")
]
Rows = Annotated[
    bool, typer.Option("--rows/--no-rows", help="Show the language model a few rows, or the columns' profile only.")
]
ShowPrompt = Annotated[
    bool, typer.Option("--show-prompt", help="Print what a language model would be sent, send nothing, and stop.")
]


MORE = {"allow_extra_args": True}
"""Settings of a command that says itself what is wrong with one argument more than it takes."""


def refuse_more(context: typer.Context, advice: str) -> None:
    """Refuse arguments that a command has no place for.

    Raises:
        ConfigError: naming the first one, and where it may belong.
    """
    if context.args:
        raise ConfigError(f"{context.args[0]!r} is one argument more than `flame {context.info_name}` takes; {advice}")


def language_model(llm: str | None, base_url: str | None, *, rows: bool) -> tuple[Endpoint | None, LLMWriter | None]:
    """The endpoint and the writer that the options name; None and None for the offline rules.

    Raises:
        ConfigError: for an address without the name of a model.
    """
    if base_url and not llm:
        raise ConfigError("--base-url needs --llm MODEL: the name of the model to ask there")
    if llm is None:
        return None, None
    from flame.llm import Endpoint
    from flame.llm.writer import LLMWriter

    endpoint = Endpoint(llm, base_url=base_url)
    return endpoint, LLMWriter(endpoint, send_rows=rows)


def label_names(labels: str | None) -> list[str] | None:
    """The names that stand between commas.

    >>> label_names("negative, positive")
    ['negative', 'positive']
    """
    return None if labels is None else [name.strip() for name in labels.split(",") if name.strip()]


def silent_writer(*, rows: bool) -> LLMWriter:
    """A writer that can say what it would send, and sends nothing."""
    from flame.llm import Replay
    from flame.llm.writer import LLMWriter

    return LLMWriter(Replay([]), send_rows=rows)
