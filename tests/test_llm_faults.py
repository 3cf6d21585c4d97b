"""However a server misbehaves, it ends in a checked object or in our error, in time, and without the key."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import threading
import time
import traceback
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from llm_server import LLMServer, body, cut_short, drip, envelope, flood, hang, say, status, unless
from llm_toys import ASK, KEY, PATIENT, Count, endpoint, own_surroundings_fixture  # noqa: F401
from waiting import within_seconds

from flame.llm import Endpoint, LanguageModelError, Limits

pytest.importorskip("openai")

HASTY = Limits(timeout_s=0.7, max_seconds=1.5, backoff_s=0.01)  # for what never ends


def echo_key(handler: Any, _: Any) -> None:
    said = handler.headers["Authorization"]
    handler.send(401, {"error": {"message": f"wrong key: {said}"}}, {"X-Echo": said})


def echo_key_in_reply(handler: Any, _: Any) -> None:
    hidden = KEY.replace("s", "\\u0073", 1)  # escaped, so that looking at the bytes is not enough
    handler.send(200, envelope(f'{{"n": 3, "unit": "{hidden}"}}'))


def echo_key_in_a_bad_header(handler: Any, _: Any) -> None:
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nX {KEY} : \x01\r\n\r\n".encode())
    handler.close_connection = True


GOOD = say({"n": 3})
FINE: dict[str, tuple[Any, ...]] = {
    "a proper reply": (GOOD,),
    "prose around JSON": (say('Sure! {not json} Here: ```json\n{"n": 3}\n``` Anything else?'),),
    "thoughts before JSON": (say('<think>maybe {"n": 9}?</think>{"n": 3}'),),
    "the schema first": (say('For {"properties": {}} I say {"n": 3}'),),
    "a number as text": (say('{"n": "3"}'),),
    "wrong types, then fine": (say('{"n": "many"}'), GOOD),
    "truncated JSON, then fine": (say('{"n": 3, "un', finish="length"), GOOD),
    "empty choices, then fine": (body({"choices": []}), GOOD),
    "null content, then fine": (say(None), GOOD),
    "content in parts": (body({"choices": [{"message": {"content": [{"type": "text", "text": '{"n": 3}'}]}}]}),),
    "an envelope of the barest kind": (body({"choices": [{"message": {"content": '{"n": 3}'}}]}),),
    "senseless usage": (say({"n": 3}, usage={"prompt_tokens": "many", "completion_tokens": -5}),),
    "429 without Retry-After": (status(429), GOOD),
    "429 with Retry-After": (status(429, Retry_After="0.2"), GOOD),
    "429 with a broken Retry-After": (status(429, Retry_After="soon"), GOOD),
    "429 with a date that has passed": (status(429, Retry_After=formatdate(0, usegmt=True)), GOOD),
    "500, then fine": (status(500), status(503), GOOD),
    "a hang, then fine": (hang, GOOD),
    "a body that breaks off, then fine": (cut_short, GOOD),
    "invalid UTF-8, then fine": (body(b'{"choices": "\xff\xfe"}'), GOOD),
    "half an envelope, then fine": (body(json.dumps(envelope("x"))[:40]), GOOD),
    "a lone surrogate, then fine": (say('{"n": "\ud800"}'), GOOD),
    "response_format refused": (unless(lambda r: "response_format" in r, GOOD),),
    "json_schema refused": (unless(lambda r: "json_schema" in str(r.get("response_format")), GOOD, 422),),
    "an overload said with status 200": (body({"error": {"code": 503, "message": "busy"}}), GOOD),
}
BROKEN: dict[str, tuple[tuple[Any, ...], str]] = {
    "wrong types for ever": (
        (say('{"n": "many"}'),),
        r"no usable reply in 3 tries: n: Input should be a valid integer",
    ),
    "a negative number": ((say('{"n": -1}'),), "greater than or equal to 0, however: -1"),
    "prose for ever": ((say("I would rather not."),), "holds no complete JSON object, it begins 'I would rather not"),
    "truncated for ever": ((say('{"n": 3, "un', finish="length"),), "cut off at the limit of tokens"),
    "a refusal": ((body({"choices": [{"message": {"content": None, "refusal": "no"}}]}),), "the model refuses: 'no'"),
    "empty choices for ever": ((body({"choices": []}),), "no choices"),
    "null content for ever": ((say(None),), "empty"),
    "braces": ((say("{" * 900_000),), "no complete JSON object"),
    "deep nesting": ((say('{"n":' * 100_000),), "no complete JSON object"),
    "a list": ((body([1, 2]),), "no JSON object"),
    "429 for ever": ((status(429),), r"error 429: 'scripted fault' \(5 times\)"),
    "429 with a long Retry-After": (
        (status(429, Retry_After="3600"),),
        "next try would be in 3.6e.03 s, and max_seconds=1.5",
    ),
    "429 with an endless Retry-After": ((status(429, Retry_After="inf"),), "next try would be in inf s"),
    "500 for ever": ((status(500),), r"error 500: 'scripted fault' \(5 times\)"),
    "a hang for ever": ((hang,), r"no complete reply within 0.7 s|did not answer in time"),
    "a slow drip": ((drip(0.02),), "in time|within"),
    "headers that drip": ((drip(0.02, headers=True),), "in time|within"),
    "10 MB": ((flood(10_000_000),), "larger than 1000000 bytes"),
    "10 MB of an error": ((flood(10_000_000, code=500),), "error 500"),
    "refused whatever is left out": ((status(400, "bad request"),), "error 400: 'bad request'"),
    "an unknown model": ((status(404, "no such model"),), "error 404.*check the model's name"),
    "a web page": ((body("<!doctype html><p>Hi", content_type="text/html"),), "web page; is base_url right"),
    "a web page with status 502": ((body("<p>Bad gateway", code=502),), r"error 502 \(5 times\)"),
    "another place": ((status(307, Location="http://127.0.0.1:1/v1"),), "307.*points elsewhere"),
    "invalid UTF-8 for ever": ((body(b"\xff\xfe"),), "not valid UTF-8"),
    "an error said with status 200": ((body({"error": "out of memory"}),), "answered with an error: 'out of memory'"),
    "the key in an error": ((echo_key,), r"error 401: 'wrong key: Bearer \[key\]'; check OPENAI_API_KEY"),
    "the key in a reply": ((echo_key_in_reply,), "repeats the API key"),
    "the key in a bad header": ((echo_key_in_a_bad_header,), "cannot be reached"),
}


ENDLESS = ("hang", "drip", "long Retry-After", "endless Retry-After")


@pytest.mark.parametrize("steps", FINE.values(), ids=FINE)
def test_a_reply_is_read_however_the_server_puts_it(steps: tuple[Any, ...]) -> None:
    limits = Limits(timeout_s=1, max_seconds=30, backoff_s=0.01) if hang in steps else PATIENT
    with LLMServer(*steps) as server:
        found, _ = endpoint(server, limits).ask(ASK, Count)
    assert found == Count(n=3)


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_ends_in_our_error_in_time_and_without_the_key(
    case: str, caplog: pytest.LogCaptureFixture, capfd: Any, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    steps, message = BROKEN[case]
    limits = HASTY if any(words in case for words in ENDLESS) else PATIENT
    with LLMServer(*steps) as server:
        model = endpoint(server, limits, cache=True)
        start = time.monotonic()
        with pytest.raises(LanguageModelError, match=message) as caught:
            model.ask(ASK, Count)
        took_s = time.monotonic() - start
    assert took_s < (6 if limits is HASTY else 20)  # a busy machine takes its time
    chain, shown = caught.value, []
    while chain is not None:
        shown += [str(chain), repr(chain), *map(repr, vars(chain).values())]
        chain = chain.__cause__ or chain.__context__
    trace = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    files = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    shown += [
        trace.replace(repr(KEY), ""),
        caplog.text,
        *capfd.readouterr(),
        repr(model),
        repr(vars(model)),
        str(files),
    ]
    assert KEY not in "\n".join(shown)


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(LanguageModelError, match=r"toy at http://127.*cannot be reached: .*refused \(3 times\)"):
        Endpoint("toy", base_url=url, limits=PATIENT).ask(ASK, Count)


def test_a_large_reply_is_cut_off_while_it_is_read() -> None:
    with LLMServer(flood(10_000_000)) as server, pytest.raises(LanguageModelError):
        endpoint(server, Limits(reply_bytes=20_000)).ask(ASK, Count)
    assert server.sent < 9_000_000
    assert len(server.requests) == 1


def test_a_compressed_reply_is_neither_asked_for_nor_unpacked() -> None:
    bomb = gzip.compress(json.dumps(envelope('{"n": 3}' + " " * 5_000_000)).encode())

    def send(handler: Any, _: Any) -> None:
        handler.send(200, bomb, {"Content-Encoding": "gzip"})

    with LLMServer(send) as server, pytest.raises(LanguageModelError, match="the reply is compressed"):
        endpoint(server).ask(ASK, Count)
    assert server.requests[0]["headers"]["accept-encoding"] == "identity"


def test_a_call_that_was_given_up_stops_reading() -> None:
    with LLMServer(drip(0.02)) as server:
        with pytest.raises(LanguageModelError):
            endpoint(server, Limits(timeout_s=0.2, max_seconds=0.2)).ask(ASK, Count)
        assert within_seconds(10, lambda: "flame-llm" not in {thread.name for thread in threading.enumerate()})
