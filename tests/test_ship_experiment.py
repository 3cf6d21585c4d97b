"""The experiment on the life of models runs from the command line, and its client loses count of no request."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest
from text_fixtures import base_fixture, bases_fixture  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is not installed

for _package in ("onnx", "onnxscript", "onnxruntime", "fastapi", "uvicorn", "torchvision"):
    pytest.importorskip(_package, reason=f"needs the extras 'export', 'serve' and 'vision', which bring {_package}")

from experiments.ship_client import Client, prediction_request  # noqa: E402


def test_the_quick_experiment_writes_every_table(base, tmp_path):
    from experiments.ship import main

    main(["--quick", "--text-base", base, "--output", str(tmp_path / "ship")])
    story, text = json.loads((tmp_path / "ship.json").read_text("utf8")), (tmp_path / "ship.md").read_text("utf8")
    archs = {"iris": "mlp_base", "diabetes": "mlp_steps", "opinions": "bert", "shades": "mobilenet_v3_small"}
    assert {s["name"]: s["arch"] for s in story["exports"]} == archs
    assert story["refused"] == []
    assert all(s["difference"] < 1e-5 and s["same_class"] in (1.0, None) for s in story["exports"])
    assert all(len(one["checks"]) >= 3 and set(one["grades"]) <= {"W", "P"} for one in story["lives"])
    assert {s["service"] for s in story["load"]["speeds"]} >= {"flame", "fastapi"}
    stop = story["load"]["stop"]
    assert (stop["n_sent"] - stop["n_answered"], stop["exit_code"]) == (0, 0)
    assert stop["n_sent"] > stop["n_refused"] == 4
    assert all(name in text for name in (*archs, "SIGTERM", "p99", "growth"))


ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n%s\r\n{}"
ENDINGS = {
    "told": (ANSWER % b"connection: close\r\n", 0),
    "in silence": (b"", 1),
    "in the middle of an answer": (ANSWER[:20], 1),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_request_without_a_whole_answer_is_counted_as_dropped(ending):
    last, n_dropped = ENDINGS[ending]

    async def run() -> Client:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.close()  # nobody else gets in
            for content in (ANSWER % b"", last):
                await reader.readuntil(b"]}")
                writer.write(content)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        client = Client("127.0.0.1", server.sockets[0].getsockname()[1], [prediction_request([{"a": 1}])])
        await client.run(1, 20.0)
        return client

    client = asyncio.run(run())
    assert (client.n_sent, client.n_sent - client.n_answered, client.n_refused) == (2, n_dropped, 1)
