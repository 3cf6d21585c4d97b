"""`flame export`, `package`, `push` and `serve`: saved models in other engines, as a folder, on a hub, behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flame.cli.options import Json
from flame.cli.output import busy, note, show

Model = Annotated[Path, typer.Argument(help="Folder of a saved model.", metavar="MODEL")]
CheckRows = Annotated[
    Path | None, typer.Option("--rows", help="Table, texts or folder of pictures to compare on; made up if not given.")
]


def export(
    model: Model,
    output: Annotated[
        Path, typer.Argument(help="File to write: .pt2, .onnx, .int8.onnx, .xml (OpenVINO) or .ncnn.param.")
    ],
    format: Annotated[
        str | None, typer.Option("--format", "-f", help="pt2, onnx, int8, openvino or ncnn, if the name does not say.")
    ] = None,
    rows: CheckRows = None,
    as_json: Json = False,
) -> None:
    """Write a saved model for another engine; an export that answers differently is refused.

    Example: flame export iris/ iris.onnx --rows iris.csv
    """
    import flame
    from flame.export import export_model

    with busy("exporting, and comparing the export with the model", quiet=as_json):
        report = export_model(flame.load(model), output, format=format, rows=rows)
    show({"saved_to": str(output.with_name(report.file)), **report.to_json()}, as_json)


def package(
    model: Model,
    output: Annotated[Path, typer.Argument(help="Folder to write.")],
    rows: CheckRows = None,
    as_json: Json = False,
) -> None:
    """Write a folder that predicts with numpy and onnxruntime: model, reader of rows, Dockerfile, README.

    Packages of text models need tokenizers, too, those of picture models Pillow.

    Example: flame package iris/ iris-package/
    """
    import flame
    from flame.export import package_model

    with busy("exporting, and comparing the export with the model", quiet=as_json):
        report = package_model(flame.load(model), output, rows=rows)
    files = sorted(p.name for p in output.iterdir())
    show({"saved_to": str(output), "files": files, **report.to_json()}, as_json)


def push(
    model: Model,
    repo: Annotated[str, typer.Argument(help="Name at the hub: owner/name.")],
    public: Annotated[bool, typer.Option("--public", help="Let everybody see a new repository.")] = False,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.")] = None,
    as_json: Json = False,
) -> None:
    """Upload a saved model to a model hub (token: HF_TOKEN, or hf auth login); GeneratedModel.from_pretrained reads it.

    Example: flame push iris/ me/iris
    """
    import flame

    with busy("uploading", quiet=as_json):
        address = flame.load(model).push_to_hub(repo, private=not public, message=message)
    show({"pushed_to": address}, as_json)


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of a saved or packaged model, or an .onnx file.")],
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all of the machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen at.")] = 8000,
    token: Annotated[
        str | None, typer.Option(envvar="FLAME_TOKEN", help="Ask for 'Authorization: Bearer TOKEN'.")
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows of a request; of texts 1,000, of pictures 64.")] = 10_000,
    max_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request's body.")] = 4_000_000,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second that one client may send; no limit if not given.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to receive a request, and to answer it.")] = 10.0,
    as_json: Json = False,
) -> None:
    """Answer predictions over HTTP: /predict, /spec, /health, /metrics, /docs. On this machine only, unless told.

    Example: flame serve iris/ --port 8000
    """
    from flame.serve import Limits
    from flame.serve import serve as run

    limits = Limits(max_rows=max_rows, max_bytes=max_bytes, rate=rate, timeout_s=timeout)
    started: dict[str, Any] = {"model": str(model), "url": f"http://{host}:{port}", "token": token is not None}
    if as_json:
        show(started, as_json)
    else:
        note(f"serving {model} at {started['url']} (documentation: {started['url']}/docs)")
    run(model, host=host, port=port, token=token, limits=limits)
