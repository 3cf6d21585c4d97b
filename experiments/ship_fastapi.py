"""The same ONNX file behind a minimal FastAPI application: what a service costs without this library.

    python -m experiments.ship_fastapi PACKAGE PORT

It reads and answers the same rows by the package's own runner, with the same options of onnxruntime, and has no limits,
no metrics, no documentation of the columns, and no CSV.
"""

# No `from __future__ import annotations` here: FastAPI reads the handler's annotations, whose names are local.

import sys
from pathlib import Path
from typing import Any

from experiments.service_process import HOST
from flame.export.rows import columns_of
from flame.export.runner import Runner
from flame.serve.answers import answer


def serve(package: Path, port: int) -> None:
    """In the event loop, which is faster here than a thread a request."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    runner, app = Runner(package / "model.onnx"), FastAPI()

    class Asked(BaseModel):
        rows: list[dict[str, Any]]

    @app.post("/predict")
    async def predict(asked: Asked) -> dict[str, Any]:
        return answer(runner, runner.outputs(columns_of(asked.rows, runner.reader.names)))

    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
