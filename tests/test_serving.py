"""A served model answers as the model does, refuses politely, and loses no request when it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ship_fixtures import LABELS, as_dicts, client_of, toy_model, toy_package, toy_rows
from waiting import within_seconds

from flame.errors import CheckpointError, ConfigError, MissingExtraError
from flame.serve import Limits, make_app, serve
from flame.serve.limits import MAX_CLIENTS, TokenBuckets

for _package in ("onnx", "onnxscript", "onnxruntime", "fastapi", "uvicorn", "httpx"):
    pytest.importorskip(_package, reason=f"needs the extras 'export' and 'serve', which bring {_package}")


@pytest.fixture(scope="module")
def client() -> Any:
    return client_of(make_app(toy_package()))


def ask(client: Any, rows: Any, **options: Any) -> Any:
    return client.post("/predict", json={"rows": rows}, **options)


def row() -> dict[str, Any]:
    return as_dicts(toy_rows(1, seed=3))[0]


# --- answers ----------------------------------------------------------------------------------------------------------


def test_classes_come_with_probabilities_by_label(client):
    answered = ask(client, as_dicts(toy_rows())).json()
    assert answered["target"] == "answer"
    assert [p["prediction"] for p in answered["predictions"]] == toy_model().predict(toy_rows()).tolist()
    found = [[p["probabilities"][label] for label in LABELS] for p in answered["predictions"]]
    np.testing.assert_allclose(found, toy_model().predict_proba(toy_rows()), atol=1e-6)


def test_numbers_come_as_numbers():
    client = client_of(make_app(toy_package("mlp_steps", classes=False)))
    found = [p["prediction"] for p in ask(client, as_dicts(toy_rows())).json()["predictions"]]
    expected = toy_model("mlp_steps", classes=False).predict(toy_rows())
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())


def test_a_csv_in_the_body_and_as_a_file_gives_what_json_gives(client):
    text = toy_rows().to_csv(index=False).encode()
    expected = ask(client, as_dicts(toy_rows())).json()
    in_body = client.post("/predict", content=text, headers={"content-type": "text/csv; charset=utf-8"})
    as_file = client.post("/predict", files={"file": ("rows.csv", text, "text/csv")})
    assert in_body.json() == as_file.json() == expected


def test_many_rows_and_few_are_answered_alike(client):
    rows = as_dicts(toy_rows(2000, seed=1))
    many = ask(client, rows).json()["predictions"]
    alone = [ask(client, [r]).json()["predictions"][0] for r in rows[:5]]
    assert [p["prediction"] for p in many[:5]] == [p["prediction"] for p in alone]
    for one, other in zip(many, alone, strict=False):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_a_saved_model_and_a_model_are_exported_at_the_start(tmp_path):
    toy_model().save(tmp_path / "saved")
    expected = toy_model().predict(toy_rows(3)).tolist()
    for source in (tmp_path / "saved", toy_package() / "model.onnx"):
        answered = ask(client_of(make_app(source)), as_dicts(toy_rows(3))).json()
        assert [p["prediction"] for p in answered["predictions"]] == expected


def test_health_spec_and_documentation_say_what_the_model_reads(client):
    assert client.get("/health").json() == {"status": "ok"}
    spec = client.get("/spec").json()
    assert [c["name"] for c in spec["columns"]] == list(toy_model().preprocessor.names)
    assert (spec["target"], spec["labels"], spec["output"]) == ("answer", list(LABELS), "probabilities")
    assert ask(client, spec["example"]["rows"]).status_code == 200
    assert client.get("/docs").status_code == 200


def test_the_examples_of_openapi_are_answered(client):
    said = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    bodies = said["requestBody"]["content"]
    asked = client.post("/predict", json=bodies["application/json"]["example"])
    as_csv = client.post("/predict", content=bodies["text/csv"]["example"], headers={"content-type": "text/csv"})
    assert asked.json() == as_csv.json() == said["responses"]["200"]["content"]["application/json"]["example"]
    assert {"400", "401", "408", "413", "415", "422", "429", "503"} <= set(said["responses"])


def test_the_metrics_count_answers_rows_and_seconds():
    client = client_of(make_app(toy_package()))
    ask(client, [row()] * 3)
    ask(client, [])
    client.get("/a/path/that/nobody/has")
    lines = client.get("/metrics").text.splitlines()
    assert 'flame_requests_total{path="/predict",status="200"} 1' in lines
    assert 'flame_requests_total{path="/predict",status="422"} 1' in lines
    assert 'flame_requests_total{path="other",status="404"} 1' in lines
    assert "flame_rows_total 3" in lines
    assert "flame_in_flight 1" in lines
    assert "flame_predict_seconds_count 2" in lines
    assert 'flame_predict_seconds_bucket{le="+Inf"} 2' in lines


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status", "why"),
    [
        (b"{", "application/json", 400, "is no JSON"),
        (b'{"rows": NaN', "application/json", 400, "is no JSON"),
        (b"[" * 100_000, "application/json", 400, "nested too deeply"),
        (b'{"rows": [' + b"1" * 5000 + b"]}", "application/json", 400, "is no JSON"),
        (b"\xff\xfe", "application/json", 400, "is no JSON"),
        (b"[]", "application/json", 422, "is expected in the body"),
        (b'{"rows": {}}', "application/json", 422, "is expected in the body"),
        (b'{"rows": []}', "application/json", 422, "at least one row"),
        (b'{"rows": [1]}', "application/json", 422, "row 1: an object of columns is expected"),
        (b"", "text/csv", 422, "it is missing"),
        (b"\xff", "text/csv", 400, "is not UTF-8 text"),
        (b"age\n" + b'"' * 300_001, "text/csv", 422, "column"),
        (b"x", "multipart/form-data", 400, "a form with a CSV file is expected"),
        (b"<rows/>", "application/xml", 415, "application/json, text/csv"),
        (b"1", "", 415, "however: 'none'"),
    ],
)
def test_bodies_that_cannot_be_read_are_refused_with_a_reason(client, body, kind, status, why):
    answered = client.post("/predict", content=body, headers={"content-type": kind})
    assert answered.status_code == status, answered.text
    assert why in answered.json()["detail"]


def test_rows_at_fault_are_named_with_their_columns(client):
    bad = [row(), {**row(), "age": "old", "code": [1]}, row()]
    answered = ask(client, bad)
    assert answered.status_code == 422
    assert [(f["row"], f["column"]) for f in answered.json()["faults"]] == [(2, "age"), (2, "code")]
    typo = {("Age" if k == "age" else k): v for k, v in row().items()}
    answered = ask(client, [typo])
    assert answered.json()["detail"] == "row 1, column 'age': it is missing; is it 'Age'?"


def test_too_many_rows_and_bytes_are_refused():
    client = client_of(make_app(toy_package(), limits=Limits(max_rows=2, max_bytes=1000)))
    assert ask(client, [row()] * 2).status_code == 200
    assert "at most 2 rows" in ask(client, [row()] * 3).json()["detail"]
    table = toy_rows(3).to_csv(index=False)
    assert client.post("/predict", content=table, headers={"content-type": "text/csv"}).status_code == 413
    answered = client.post("/predict", content=b" " * 1001, headers={"content-type": "text/csv"})
    assert (answered.status_code, answered.headers["connection"]) == (413, "close")
    parts = client.post("/predict", content=iter([b" " * 600] * 3), headers={"content-type": "text/csv"})
    assert parts.status_code == 413


def test_a_token_is_asked_for_everywhere_but_at_health():
    client = client_of(make_app(toy_package(), token="sesame, öffne"))
    good = {"authorization": "Bearer sesame, öffne".encode()}
    for headers in (
        {},
        {"authorization": "Bearer x"},
        {"authorization": "Basic c2VzYW1l"},
        {"authorization": "Bearer "},
    ):
        answered = ask(client, [row()], headers=headers)
        assert (answered.status_code, answered.headers["www-authenticate"]) == (401, "Bearer")
    assert {client.get(p).status_code for p in ("/spec", "/metrics", "/docs", "/openapi.json", "/other")} == {401}
    assert client.get("/health").status_code == 200
    assert ask(client, [row()], headers=good).status_code == 200
    with pytest.raises(ConfigError, match="a token of at least one character"):
        make_app(toy_package(), token=" ")


def test_a_client_above_its_rate_is_told_when_to_come_back():
    client = client_of(make_app(toy_package(), limits=Limits(rate=0.1, burst=2)))
    codes = [ask(client, [row()]).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert 1 <= int(client.get("/spec").headers["retry-after"]) <= 10
    assert client.get("/health").status_code == 200


def test_only_so_many_clients_are_remembered():
    buckets = TokenBuckets(rate=1.0, burst=1)
    for i in range(MAX_CLIENTS + 10):
        buckets.wait(str(i), 0.0)
    assert len(buckets._clients) == MAX_CLIENTS


def test_limits_that_are_none_are_refused():
    with pytest.raises(ConfigError, match=r"max_rows=0, rate=-1"):
        Limits(max_rows=0, rate=-1)


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no model at"):
        make_app(tmp_path)
    for name in ("model.onnx", "model.json"):
        (tmp_path / name).write_bytes((toy_package() / name).read_bytes())
    (tmp_path / "model.json").write_text((tmp_path / "model.json").read_text("utf8").replace("Bonn", "Berlin"), "utf8")
    with pytest.raises(CheckpointError, match="was changed"):
        make_app(tmp_path)


@pytest.mark.parametrize(("package", "call"), [("fastapi", make_app), ("uvicorn", serve)])
def test_a_missing_package_is_named(monkeypatch, package, call):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"'{package}'; .* pip install 'flame-hypernet\[serve\]'"):
        call(toy_package())


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.integers(), max_size=2)
)
KEYS = st.sampled_from(["age", "income", "city, town", "code", "smoker", "other"])
SLOW_IS_FINE = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@SLOW_IS_FINE
@given(rows=st.lists(st.dictionaries(KEYS, CELLS) | CELLS, max_size=4), whole=st.booleans())
def test_no_rows_whatever_bring_the_service_down(client, rows, whole):
    rows = [{**row(), **r} if whole and isinstance(r, dict) else r for r in rows]
    answered = client.post(
        "/predict", content=json.dumps({"rows": rows}).encode(), headers={"content-type": "application/json"}
    )
    assert answered.status_code in (200, 400, 422), answered.text
    assert (answered.status_code == 200) == ("predictions" in answered.json())


@SLOW_IS_FINE
@given(
    body=st.binary(max_size=60),
    kind=st.sampled_from(["application/json", "text/csv", "multipart/form-data; boundary=x"]),
)
def test_no_bytes_whatever_bring_the_service_down(client, body, kind):
    head = b'age,income,code,smoker,"city, town"\n' if kind == "text/csv" else b""
    answered = client.post("/predict", content=head + body, headers={"content-type": kind})
    assert 200 <= answered.status_code < 500, answered.text


# --- a process of its own ---------------------------------------------------------------------------------------------

PROGRAM = """
import sys
from flame.serve import Limits, serve, server
server.LINGER_S = float(sys.argv[4])
for name in ("torch", "pandas"):
    assert name not in sys.modules, name
serve(sys.argv[1], port=int(sys.argv[2]), limits=Limits(timeout_s=float(sys.argv[3])))
"""


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.fixture
def started():
    """Starts the service on a free port; what is left of it ends with the test."""
    running = []

    def start(timeout_s: float = 10.0, linger_s: float = 0.1) -> tuple[subprocess.Popen[bytes], int]:
        port = free_port()
        command = [sys.executable, "-c", PROGRAM, *map(str, (toy_package(), port, timeout_s, linger_s))]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)
        running.append(process)
        assert within_seconds(30, lambda: listens(port) or process.poll() is not None), "the service did not start"
        assert process.poll() is None, "the service ended at once"
        return process, port

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def head_of(body: bytes) -> bytes:
    return (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
    )


def received(connection: socket.socket) -> bytes:
    connection.settimeout(20)
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)


def test_a_request_under_way_is_finished_when_the_process_is_told_to_stop(started):
    process, port = started()
    body = json.dumps({"rows": [row()]}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head_of(body) + body[:10])
        time.sleep(1)  # its beginning has arrived
        os.kill(process.pid, signal.SIGTERM)
        assert within_seconds(10, lambda: not listens(port))
        assert process.poll() is None
        connection.sendall(body[10:])
        answered = received(connection)
    assert answered.startswith(b"HTTP/1.1 200 OK")
    assert toy_model().predict(toy_rows(1, seed=3))[0] in answered.decode()
    assert process.wait(20) == 0


def test_a_kept_connection_is_told_to_leave_before_it_is_closed(started):
    process, port = started(linger_s=60)
    body = json.dumps({"rows": [row()]}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        answers = []
        for told in (False, True):
            if told:
                os.kill(process.pid, signal.SIGTERM)
                assert within_seconds(10, lambda: not listens(port))  # told, and nothing is under way
            connection.sendall(head_of(body) + body)
            answer = HTTPResponse(connection)
            answer.begin()
            answers.append((answer.status, answer.getheader("connection"), answer.read()))
    assert [status for status, _, _ in answers] == [200, 200]
    assert [kept for _, kept, _ in answers] == [None, "close"]
    assert answers[0][2] == answers[1][2]
    assert process.wait(20) == 0  # at once: nobody is left to wait for


def test_a_body_that_never_ends_is_given_up(started):
    _, port = started(timeout_s=0.3)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        begun = time.monotonic()
        connection.sendall(head_of(b" " * 100) + b" ")
        answered = received(connection)
    assert answered.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 15  # a busy machine takes its time


def test_a_body_that_says_it_is_too_long_is_refused_before_it_comes(started):
    _, port = started()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head_of(b" " * 5_000_000))
        connection.settimeout(5)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_no_path_is_redirected(client):
    assert {client.get(path, follow_redirects=False).status_code for path in ("/health/", "/predict/")} == {404}


def test_a_port_that_is_taken_is_told():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        place.listen()
        with pytest.raises(ConfigError, match="a free address is expected"):
            serve(toy_package(), port=place.getsockname()[1])


def test_an_answer_that_takes_too_long_is_given_up(monkeypatch):
    from flame.serve import app

    client = client_of(make_app(toy_package(), limits=replace(Limits(), timeout_s=0.1)))
    monkeypatch.setattr(app, "predict", lambda *_, **__: time.sleep(1))
    answered = client.post("/predict", content=b" " * 10_000, headers={"content-type": "text/csv"})
    assert (answered.status_code, "no answer within 0.1 s" in answered.text) == (503, True)


def test_the_command_hands_its_options_to_the_service(monkeypatch):
    import typer
    from typer.testing import CliRunner

    from flame.cli import shipping as shipping_cli

    asked: list[Any] = []
    monkeypatch.setattr("flame.serve.serve", lambda *args, **options: asked.append((args, options)))
    app = typer.Typer()
    app.command()(shipping_cli.serve)
    arguments = ["iris", "--port", "81", "--max-rows", "5", "--rate", "2.5", "--json"]
    done = CliRunner().invoke(app, arguments, env={"FLAME_TOKEN": "sesame"})
    assert json.loads(done.stdout) == {"model": "iris", "url": "http://127.0.0.1:81", "token": True}
    limits = Limits(max_rows=5, rate=2.5)
    assert asked == [((Path("iris"),), {"host": "127.0.0.1", "port": 81, "token": "sesame", "limits": limits})]
