"""Random requests bring no service down; and what they are counted by would notice if they did."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ship_fixtures import toy_picture_model
from text_fixtures import LABELS, TEXTS, base_fixture, bases_fixture  # noqa: F401

from flame import generate_model
from flame.export import package_model

sys.path.insert(0, str(Path(__file__).parents[1]))  # experiments/ is not installed

for _package in ("onnx", "onnxscript", "onnxruntime", "fastapi", "uvicorn", "torchvision", "PIL"):
    pytest.importorskip(_package, reason=f"needs the extras 'export', 'serve' and 'vision', which bring {_package}")

from experiments.fuzz_requests import Wire  # noqa: E402
from experiments.serve_fuzz import Found, Sender, fuzz, main  # noqa: E402


@pytest.fixture(name="package", params=["text", "picture"])
def package_fixture(request, base, tmp_path) -> Path:
    if request.param == "picture":
        model = toy_picture_model()
    else:
        model = generate_model("Sentiment", (TEXTS, LABELS), base_model=base)
    package_model(model, tmp_path / "package")
    return tmp_path / "package"


def test_random_requests_to_texts_and_pictures_get_2xx_and_4xx_only(package):
    found = fuzz(package.name, package, 200, 1)
    assert (found.bad, found.faults, found.right) == (0, [], True)
    assert {"200", "400", "422"} <= {status for _, _, status in found.counts}


def test_the_experiment_counts_what_requests_of_every_source_got(tmp_path):
    code = main(["--requests", "200", "--models", "table", "--output", str(tmp_path / "fuzz")])
    (found,) = json.loads((tmp_path / "fuzz.json").read_text("utf8"))["results"]
    assert (code, found["faults"], found["right"]) == (0, [], True)
    assert {"200", "400", "404", "415", "422"} <= {status for _, _, status, _ in found["counts"]}
    assert {"hypothesis", "bytes"} <= {source for source, *_ in found["counts"]}
    assert sum(n for *_, n in found["counts"]) == 200
    assert "| table | 200 | 0 | yes |" in (tmp_path / "fuzz.md").read_text("utf8")


class Faulty(BaseHTTPRequestHandler):
    """Answers a path with the status that it names, or not at all."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/none":
            self.close_connection = True
            return
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class Watched:
    """Stands for a service."""

    def __init__(self, port: int) -> None:
        self.port = port

    def resident_mib(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    ("path", "bad"), [("/200", 0), ("/404", 0), ("/500", 1), ("/302", 1), ("/503", 1), ("/none", 1)]
)
def test_what_is_neither_2xx_nor_4xx_is_a_fault(path, bad):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = Found("toy")
    send = Sender(Watched(server.server_port), found, 3)  # type: ignore[arg-type]
    for asked in ("/200", path, "/200"):
        send(Wire("bytes", "GET", asked))
    server.shutdown()
    server.server_close()
    assert (found.bad, len(found.faults)) == (bad, bad)
    assert sum(found.counts.values()) == len(found.memory_mib) == 3


def test_a_request_in_chunks_holds_its_whole_body():
    sent = Wire("bytes", "POST", "/", b"abcdefgh", chunks=(1, 3)).encoded()
    head, _, body = sent.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"1\r\na\r\n3\r\nbcd\r\n4\r\nefgh\r\n0\r\n\r\n"
