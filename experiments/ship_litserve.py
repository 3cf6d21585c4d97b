"""The same ONNX file behind LitServe, for comparison with this library's service.

    python -m experiments.ship_litserve PACKAGE PORT

As `experiments.ship_fastapi`, but with one worker process beside the one that holds the connections.
"""

# No `from __future__ import annotations` here: LitServe reads the annotations of `decode_request`.

import sys
from pathlib import Path
from typing import Any

import litserve

from experiments.service_process import HOST
from flame.export.rows import columns_of
from flame.export.runner import Runner
from flame.serve.answers import answer


class Api(litserve.LitAPI):
    """Requests one by one."""

    def __init__(self, package: Path) -> None:
        super().__init__()
        self.package = package

    def setup(self, device: str) -> None:
        self.runner = Runner(self.package / "model.onnx")

    def decode_request(self, request: dict[str, Any]) -> dict[str, list[Any]]:
        return columns_of(request["rows"], self.runner.reader.names)

    def predict(self, columns: dict[str, list[Any]]) -> Any:
        return self.runner.outputs(columns)

    def encode_response(self, outputs: Any) -> dict[str, Any]:
        return answer(self.runner, outputs)


if __name__ == "__main__":
    server = litserve.LitServer(Api(Path(sys.argv[1])), accelerator="cpu", workers_per_device=1)
    server.run(host=HOST, port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
