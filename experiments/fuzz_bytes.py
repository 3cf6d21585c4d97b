"""Random requests that are broken: the examples of a service's documentation with wrong bytes, under wrong types, paths
and methods, with wrong lengths, in chunks, and cut off.
"""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Sequence

from experiments.fuzz_requests import PREDICT, Document, Headers, Send, Wire, example_of

MAX_BODY = 120_000
"""Bytes of the longest; more than the service takes."""
BITS = (
    *(b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xef\xbb\xbf", b"%00", b"\\ud800", b"\\"),
    *(b'"', b"{", b"[", b"]}", b",", b"\r\n", b"\n", b"=", b"--", b"null", b'{"rows":', b"data:;base64,"),
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 400),
)
TYPES = (
    *("application/json", "application/json; charset=utf-16", "APPLICATION/JSON ; a=b", "text/csv"),
    *("text/csv; charset=latin-1", "multipart/form-data", "multipart/form-data; boundary=x", "multipart/mixed"),
    *('multipart/form-data; boundary="\u00e4"', "image/png", "image/*", "application/x-www-form-urlencoded"),
    *("text/plain", "", ";", "/", "a/b/c", "x" * 3000),
)
METHODS = ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "PREDICT", "post")
PATHS = (
    *("/", "/health", "/spec", "/metrics", "/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect", "*"),
    *("/predict/", "//predict", "/predict/../health", "/Predict", "/predict%2f", "/predict?rows=1&%ff=%00"),
    *("/%00", "/%F0%9F%98%80", "/" + "a" * 4000),
)
ODD_HEADERS = (
    *(("Expect", "100-continue"), ("Expect", "the worst"), ("Connection", "Upgrade"), ("Upgrade", "websocket")),
    *(("Sec-WebSocket-Key", "x"), ("Authorization", "Bearer \u00e4"), ("Accept", "text/html;q=x"), ("TE", "trailers")),
    *(("Content-Encoding", "gzip"), ("Range", "bytes=9-1"), ("Cookie", "a=b; " * 200), ("X-Forwarded-For", "\u00e9")),
    *(("Origin", "null"), ("Content-Type", "a"), ("Host", "two"), ("Transfer-Encoding", "gzip, chunked")),
    *(("Content-Length", "1" * 30), ("Content-Length", "-1")),
)
FRAMING = ("transfer-encoding", "content-length", "host", "upgrade", "expect")
"""Headers that may change where a request ends, or whether it is one: only the service can say."""


def from_bytes(document: Document, n: int, start: int, send: Send) -> None:
    """The document's examples, broken at random."""
    rng, seeds = random.Random(start), _seeds(document)
    for _ in range(n):
        send(_broken(rng, seeds))


def _seeds(document: Document) -> list[tuple[str, bytes]]:
    """Types and bodies that the service can read, and some that only look so."""
    content = document["paths"][PREDICT]["post"]["requestBody"]["content"]
    example = example_of(document)
    row = example["rows"][0]
    seeds = [("application/json", json.dumps(v).encode()) for v in (example, {"rows": [row] * 7})]
    names = [key for key in content["application/json"]["schema"]["properties"] if key != "rows"]
    seeds += [("application/json", json.dumps({key: list(row.values())}).encode()) for key in names]
    if "text/csv" in content:
        seeds += [(kind, content["text/csv"]["example"].encode()) for kind in ("text/csv", "multipart/form-data")]
    if "image/png" in content:
        seeds += [seed for picture in _pictures() for seed in _ways(picture)]
    return [(kind, _form(body)) if kind.startswith("multipart") else (kind, body) for kind, body in seeds]


def _ways(picture: bytes) -> list[tuple[str, bytes]]:
    encoded = json.dumps({"images": [base64.b64encode(picture).decode()]}).encode()
    return [("image/png", picture), ("multipart/form-data", picture), ("application/json", encoded)]


def _form(content: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


def _pictures() -> list[bytes]:
    """One of every format that is read here."""
    from PIL import Image, features

    image, found = Image.effect_noise((24, 18), 80).convert("RGB"), []
    formats = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM"] + ["WEBP"] * bool(features.check("webp"))
    for name in formats:
        out = io.BytesIO()
        image.save(out, name)
        found.append(out.getvalue())
    return found


def _broken(rng: random.Random, seeds: Sequence[tuple[str, bytes]]) -> Wire:
    kind, body = rng.choice(seeds)
    kind = "multipart/form-data; boundary=x" if kind.startswith("multipart") else kind
    if rng.random() < 0.8:
        body = _mutated(rng, body)
    kind = rng.choice(TYPES) if rng.random() < 0.1 else kind
    method = rng.choice(METHODS) if rng.random() < 0.06 else "POST"
    path = rng.choice(PATHS) if rng.random() < 0.08 else PREDICT
    headers: Headers = [("Content-Type", kind)]
    chunks: tuple[int, ...] = ()
    chance = rng.random()
    if chance < 0.05:
        chunks = tuple(rng.randint(1, 40) for _ in range(rng.randint(1, 30)))
    elif chance < 0.08:
        headers.append(rng.choice(ODD_HEADERS))
    elif chance < 0.1:
        headers.append(("Content-Length", str(len(body) + rng.randint(-30, 30))))
    whole = method != "post" and not any(name.lower() in FRAMING for name, _ in headers)
    return Wire("bytes", method, path, body, headers, chunks, whole)


def _mutated(rng: random.Random, body: bytes) -> bytes:
    """Some changes of a body, or none of it at all."""
    if rng.random() < 0.02:
        return rng.choice(
            [b"", b"[" * 50_000, rng.randbytes(rng.randint(1, 300)), b'{"rows":' * 5_000, b" " * MAX_BODY]
        )
    made = bytearray(body)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        at, end, way = rng.randrange(len(made) + 1), rng.randrange(len(made) + 1), rng.random()
        if way < 0.35 and at < len(made):
            made[at] ^= rng.randint(1, 255)
        elif way < 0.6:
            made[at:at] = rng.choice(BITS)
        elif way < 0.75:
            del made[min(at, end) : max(at, end)]
        elif way < 0.85:
            del made[at:]
        else:
            made[at:at] = made[min(at, end) : max(at, end)][:2000] * rng.choice([1, 1, 3])
    return bytes(made)
