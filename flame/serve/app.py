"""The FastAPI application of a model."""

# No `from __future__ import annotations` here: FastAPI reads the handlers' annotations, whose names are local to a
# function, because fastapi is imported where it is used.

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from flame.errors import ConfigError
from flame.export.kinds import kind_of
from flame.export.picture_reader import PictureReader
from flame.export.runner import Runner
from flame.serve.answers import predict
from flame.serve.bodies import JSON, Bodies, bodies_of
from flame.serve.gate import Gate, too_large
from flame.serve.limits import Limits
from flame.serve.metrics import Metrics
from flame.serve.refused import RefusedError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

PATHS = ("/predict", "/health", "/spec", "/metrics", "/docs", "/openapi.json")


def app_of(runner: Runner, *, token: str | None, limits: Limits) -> "FastAPI":
    """The application; see `flame.serve.make_app`.

    Raises:
        ConfigError: if the token is empty.
    """
    from fastapi import FastAPI, Request, Response
    from fastapi.responses import PlainTextResponse

    if token is not None and not token.strip():
        raise ConfigError("a token of at least one character is expected, however: ''; leave it out for no token")
    card, bodies = runner.card, bodies_of(runner.card)
    max_rows = bodies.row_limit(limits)
    if isinstance(runner.reader, PictureReader):
        runner.reader.max_pixels = limits.max_pixels
    app = FastAPI(
        title=f"Predicts {card['target']}",
        description=card["requirement"],
        version=card["sha256"][:12],
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics = Metrics(PATHS)
    app.add_middleware(Gate, limits=limits, metrics=metrics, token=token, refuse=_refusal)

    @app.exception_handler(RefusedError)
    async def _refused(_: Request, error: RefusedError) -> Response:
        return _refusal(error)

    extra = _documented(runner, bodies)

    @app.post("/predict", openapi_extra=extra, description=bodies.said, responses=_refusals(), response_model=None)
    async def _predict(request: Request) -> Response:
        body = await _read_body(request, limits)
        kind = request.headers.get("content-type", "")
        work = partial(predict, runner, body, kind, max_rows=max_rows)
        content, n_rows = work() if len(body) <= bodies.in_loop else await _in_thread(work, limits)
        metrics.rows += n_rows
        return Response(content, media_type="application/json")

    @app.get("/health")
    async def _health() -> dict[str, str]:
        """Whether the service is up."""
        return {"status": "ok"}

    @app.get("/spec")
    async def _spec() -> dict[str, Any]:
        """What the model reads and what it answers."""
        return spec_of(card, limits)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def _metrics() -> str:
        """How the service is used, for Prometheus."""
        return metrics.text()

    return app


def spec_of(card: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """The public part of a card, and the limits."""
    bodies = bodies_of(card)
    told = {key: card[key] for key in ("task", "arch", "requirement", "target", "labels", "output")}
    sizes = {"max_rows": bodies.row_limit(limits), "max_bytes": limits.max_bytes}
    return {
        **told,
        "columns": bodies.columns(card),
        "example": {"rows": [kind_of(card).row(card)]},
        **sizes,
        "card_sha256": card["sha256"],
    }


async def _read_body(request: "Request", limits: Limits) -> bytes:
    """The body, if it is neither too long nor too slow.

    Raises:
        RefusedError: if it is, or the client has gone.
    """
    from starlette.requests import ClientDisconnect

    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.timeout_s):
            async for part in request.stream():
                size += len(part)
                if size > limits.max_bytes:
                    raise too_large(limits)
                parts.append(part)
    except TimeoutError as error:
        said = f"the whole body is expected within {limits.timeout_s:g} s"
        raise RefusedError(408, said, headers={"Connection": "close"}) from error
    except ClientDisconnect as error:
        raise RefusedError(400, "the client went before its body was whole") from error
    return b"".join(parts)


async def _in_thread(work: Any, limits: Limits) -> tuple[bytes, int]:
    try:
        async with asyncio.timeout(limits.timeout_s):
            result: tuple[bytes, int] = await asyncio.to_thread(work)
            return result
    except TimeoutError as error:
        raise RefusedError(503, f"no answer within {limits.timeout_s:g} s; send fewer rows") from error


def _refusal(error: RefusedError) -> "Response":
    from fastapi.responses import JSONResponse

    return JSONResponse(error.content, status_code=error.status, headers=error.headers)


def _documented(runner: Runner, bodies: Bodies) -> dict[str, Any]:
    """Request and answer in OpenAPI's words, with an example that the model has answered."""
    content = bodies.content(runner.card)
    answered, _ = predict(runner, json.dumps(content[JSON]["example"]).encode(), JSON, max_rows=1)
    shown = {"description": "A prediction per row.", "content": {JSON: {"example": json.loads(answered)}}}
    return {"requestBody": {"required": True, "content": content}, "responses": {"200": shown}}


def _refusals() -> dict[int | str, dict[str, Any]]:
    said = {
        400: "The body cannot be read.",
        401: "The token is missing or wrong.",
        408: "The body came too slowly.",
        413: "Too many bytes or rows.",
        415: "The body is of another type.",
        422: "Rows are at fault; `faults` names row (from 1) and column.",
        429: "Too many requests; `Retry-After` says when to come back.",
        503: "The answer took too long, or too many requests are under way.",
    }
    return {status: {"description": text} for status, text in said.items()}
