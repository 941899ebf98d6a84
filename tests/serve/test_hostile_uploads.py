"""Hostile requests: bodies that lie, names that are paths, and bytes on the wire that are no HTTP.

None gets a status of a fault of the server, leaves anything on its disk, or stops it from answering others.
"""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from serve.conftest import image_bytes
from serve.test_server import in_thread
from serve.test_upload_mutations import FORM, Request, check_answer, form, tensor, typed
from support.asgi import Application

RED = image_bytes()
JSON, OCTETS = typed(b"application/json"), typed(b"application/octet-stream")
INFER = b"/v2/models/colors/infer"
PART = b'---b\r\nContent-Disposition: form-data; name="images"; filename="x"\r\n'


@pytest.fixture(scope="module")
def application(model_file: Path) -> Iterator[Application]:
    """The application with limits that small requests exceed."""
    from classicnets.evaluation.onnx import OnnxClassifier
    from classicnets.serve.app import Settings, create
    from classicnets.serve.models import Source
    from classicnets.spec import ServeOptions

    source = Source(name="colors", origin=model_file, file=model_file, open=OnnxClassifier)
    options = ServeOptions(max_body=2_000_000, max_files=5, timeout=20.0)
    application = Application(create(Settings(sources=(source,), options=options)))
    yield application
    application.close()


def inputs(**changes: Any) -> bytes:
    """A request of the Open Inference Protocol whose input is changed."""
    return json.dumps({"inputs": [tensor(4) | {"data": [0] * 48} | changes]}).encode()


def binary(header: bytes, length: bytes, data: bytes = bytes(48)) -> Request:
    return INFER, [(b"inference-header-content-length", length), *OCTETS], header + data


FORMS: dict[str, Request] = {
    name: (b"/predict", typed(kind), body)
    for name, kind, body in (
        ("without a boundary", b"multipart/form-data", form(RED)),
        ("an empty boundary", b"multipart/form-data; boundary=", form(RED)),
        ("another boundary", b"multipart/form-data; boundary=x", form(RED)),
        ("a long boundary", b"multipart/form-data; boundary=" + b"b" * 100_000, form(RED, boundary=b"b" * 100_000)),
        ("a boundary of other bytes", b"multipart/form-data; boundary=\xff\x00", form(RED, boundary=b"\xff\x00")),
        ("two boundaries", b"multipart/form-data; boundary=-b; boundary=-c", form(RED)),
        ("an empty body", FORM, b""),
        ("without its end", FORM, form(RED)[:-8]),
        ("only the boundary", FORM, b"---b"),
        ("boundaries only", FORM, b"---b\r\n" * 10_000),
        ("10,000 files", FORM, form(*[b"x"] * 10_000)),
        ("10,000 fields", FORM, b'---b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 10_000),
        (
            "a field in place of a file",
            FORM,
            b'---b\r\nContent-Disposition: form-data; name="images"\r\n\r\n1\r\n---b--\r\n',
        ),
        ("a part without a name", FORM, b"---b\r\nContent-Disposition: form-data\r\n\r\n1\r\n---b--\r\n"),
        ("a part without headers", FORM, b"---b\r\n\r\n1\r\n---b--\r\n"),
        ("a part with 10,000 headers", FORM, PART + b"a: b\r\n" * 10_000 + b"\r\nx\r\n---b--\r\n"),
        ("a part with a long header", FORM, PART + b"a: " + b"b" * 1_000_000 + b"\r\n\r\nx\r\n---b--\r\n"),
        ("a part with an unknown charset", FORM, PART + b"Content-Type: a; charset=x\r\n\r\nx\r\n---b--\r\n"),
        ("an unknown charset", FORM + b"; charset=nothing", form(RED)),
        ("a form within a form", FORM, PART + b"Content-Type: " + FORM + b"\r\n\r\n" + form(RED) + b"\r\n---b--\r\n"),
        ("too large", FORM, form(bytes(2_000_000))),
    )
}
DOCUMENTS: dict[str, Request] = {
    name: (b"/predict", JSON, body)
    for name, body in (
        ("empty", b""),
        ("no JSON", b"\x89PNG"),
        ("deep lists", b"[" * 500_000 + b"]" * 500_000),
        ("deep objects", b'{"images":' * 100_000),
        ("a long number", b"1" * 1_000_000),
        ("NaN", b'{"images": [NaN]}'),
        ("a large exponent", b'{"images": [1e999999]}'),
        ("a repeated key", b'{"images": ["AA=="], "images": ["AA=="]}'),
        ("10,000 keys", json.dumps({f"{i}": i for i in range(10_000)}).encode()),
        ("10,000 images", json.dumps({"images": ["AA=="] * 10_000}).encode()),
        ("no images", b'{"images": []}'),
        ("images that are none", b'{"images": [null, 1, {}]}'),
        ("a text in place of a list", b'{"images": "AA=="}'),
        ("garbage in place of base64", b'{"images": ["%%%%", "\\u0000", "AA"]}'),
        ("letters beyond ASCII", '{"images": ["äöü＝"]}'.encode()),
        ("half a surrogate pair", b'{"images": ["\\ud800"], "\\udfff": 1}'),
        ("UTF-16", '{"images": ["AA=="]}'.encode("utf-16")),
        ("a byte order mark", b'\xef\xbb\xbf{"images": ["AA=="]}'),
        ("damaged UTF-8", b'{"images": ["\xff\xfe"]}'),
    )
}
SHAPES: tuple[Any, ...] = (
    [-1, 4, 4, 3],
    [0, 4, 4, 3],
    [1, 4, 4, -3],
    [10**18, 4, 4, 3],
    [10**400, 4, 4, 3],
    [1, 10**9, 10**9, 3],
    [1, 1, 2**31, 3],
    [1, 65_000, 65_000, 3],
    [True, 4, 4, 3],
    [1.0, 4, 4, 3],
    ["1", 4, 4, 3],
    [1, 4, 4],
    [1] * 10_000,
    [[1], 4, 4, 3],
    {},
    None,
    16,
)
DATA: tuple[Any, ...] = (
    [],
    {},
    "0" * 48,
    None,
    [0] * 47,
    [0] * 50_000,
    [-1] * 48,
    [256] * 48,
    [0.5] * 48,
    [10**30] * 48,
    [True] * 48,
    ["0"] * 48,
    [None] * 48,
    [[0], [0, 0]],
    [{}] * 48,
)
OUTPUTS: tuple[Any, ...] = (
    1,
    "probabilities",
    [1],
    [{}],
    [{"name": "x" * 100_000}],
    [{"name": ["probabilities"]}],
    [{"name": "probabilities"}] * 1000,
    [{"name": "probabilities", "parameters": {"classification": -1}}],
    [{"name": "probabilities", "parameters": {"classification": 1.5}}],
    [{"name": "probabilities", "parameters": {"classification": True}}],
)
TENSORS: dict[str, Request] = {
    **{
        f"the length {length!r} of its JSON": binary(inputs(), length)
        for length in (
            b"-1",
            b"0",
            b"99999999999999999999",
            b"0x10",
            b"1e1",
            b" 1",
            b"",
            "１".encode(),
            b"\xff",
            b"1\x00",
        )
    },
    **{
        f"{size!r} bytes of binary data": (
            INFER,
            [(b"inference-header-content-length", b"%d" % len(header)), *OCTETS],
            header + bytes(48),
        )
        for size in (-1, 0, 47, 49, 10**30, 48.0, True, "48", None, [48])
        for header in [json.dumps({"inputs": [tensor(4) | {"parameters": {"binary_data_size": size}}]}).encode()]
    },
    **{f"shape {i}": (INFER, JSON, inputs(shape=shape)) for i, shape in enumerate(SHAPES)},
    **{f"data {i}": (INFER, JSON, inputs(data=data)) for i, data in enumerate(DATA)},
    "the data as nested lists": (INFER, JSON, inputs(data=[[[[0] * 3] * 4] * 4])),
    "NaN": (INFER, JSON, inputs(data=["x"] * 48).replace(b'"x"', b"NaN")),
    "numbers beyond all bounds": (INFER, JSON, inputs(data=["x"] * 48).replace(b'"x"', b"1e999")),
    "10,000 inputs": (INFER, JSON, json.dumps({"inputs": [tensor(4)] * 10_000}).encode()),
    "another datatype": (INFER, JSON, inputs(datatype="BYTES")),
    "a list": (INFER, JSON, b"[" + inputs() + b"]"),
    "parameters that are none": (INFER, JSON, inputs(parameters=[])),
    "a long name": (INFER, JSON, json.dumps({"id": "x" * 100_000, "inputs": []}).encode()),
    **{
        f"output {i}": (INFER, JSON, inputs()[:-1] + b', "outputs": ' + json.dumps(output).encode() + b"}")
        for i, output in enumerate(OUTPUTS)
    },
}
TARGETS: dict[str, Request] = {
    f"{i}": (target, OCTETS, RED)
    for i, target in enumerate(
        (
            *(
                b"/predict?top=" + top
                for top in (b"-1", b"0", b"NaN", b"1e3", b"9" * 10_000, b"%EF%BC%91", b"", b"1&top=x")
            ),
            b"/predict?" + b"a=b&" * 10_000,
            b"/predict?activations=" + b"x," * 10_000,
            b"/predict?model=%00",
            b"/predict?model=../../etc/passwd",
            b"/predict?model=%FF",
            b"/predict?%FF=%FF",
            b"/predict?\xff",
            b"/models/..%2f..%2fetc%2fpasswd/predict",
            b"/models/%00/predict",
            b"/v2/models/%0a/infer",
            b"/v2/models/colors/versions/..%2f1/infer",
        )
    )
}
OTHERS: dict[str, Request] = {
    "a compressed body": (b"/predict", [(b"content-encoding", b"gzip"), *OCTETS], b"\x1f\x8b\x08\x00" + bytes(99)),
    "a compressed tensor": (INFER, [(b"content-encoding", b"gzip"), *JSON], b"\x1f\x8b\x08\x00" + bytes(99)),
    "an unknown encoding": (b"/predict", [(b"content-encoding", b"\xff"), *OCTETS], RED),
    "no type": (b"/predict", [], RED),
    "a long type": (b"/predict", typed(b"a" * 100_000), RED),
    "a type of other bytes": (b"/predict", typed(b"\xff\x00\x1b[2J"), RED),
    "two types": (b"/predict", [*JSON, *OCTETS], RED),
    "a length that is no number": (b"/predict", [(b"content-length", "１".encode()), *OCTETS], RED),
    "a length of thousands of digits": (b"/predict", [(b"content-length", b"9" * 10_000), *OCTETS], RED),
    "10,000 headers": (b"/predict", [*[(b"a%d" % i, b"b") for i in range(10_000)], *typed(b"text/plain")], RED),
    "a damaged cookie": (b"/predict", [(b"cookie", b"\xff;=;" * 1000), *typed(b"text/plain")], RED),
    "no image": (b"/predict", OCTETS, b""),
}
REQUESTS = {
    f"{kind}: {name}": request
    for kind, requests in (
        ("form", FORMS),
        ("JSON", DOCUMENTS),
        ("tensor", TENSORS),
        ("target", TARGETS),
        ("other", OTHERS),
    )
    for name, request in requests.items()
}
ANSWERED = {  # what is odd, and can be read
    "form: a boundary of other bytes",
    "form: an unknown charset",
    "tensor: the data as nested lists",
}


VALID: list[tuple[str, Request]] = [
    ("POST", (b"/predict", OCTETS, RED)),
    ("POST", (b"/models/colors/predict?top=1", typed(FORM), form(RED, b"x"))),
    ("POST", (INFER, JSON, inputs())),
    ("POST", (b"/v2/models/colors/versions/1/infer", JSON, inputs())),
    ("POST", (b"/v2/repository/index", [], b"")),
    *(
        ("GET", (path, [], b""))
        for path in (
            b"/health",
            b"/metrics",
            b"/v2",
            b"/v2/health/live",
            b"/v2/health/ready",
            b"/v2/models/colors",
            b"/v2/models/colors/ready",
            b"/v2/models/x/versions/1",
            b"/v2/models/x/versions/1/ready",
        )
    ),
]


def test_answers_are_those_that_the_schema_describes(application: Application) -> None:
    """For every path, with a known and an unknown host."""
    document = application.send("GET", b"/openapi.json").values
    requests = VALID + [("POST", request) for request in REQUESTS.values()]
    described = set()
    for method, (target, headers, body) in requests:
        path = unquote(target.partition(b"?")[0].decode("latin-1"))
        path = re.sub("/versions/[^/]*", "/versions/{version}", re.sub("/models/[^/]*", "/models/{name}", path))
        if path not in document["paths"]:  # a name with a slash
            continue
        for host in (b"localhost", b"elsewhere"):
            answer = application.send(method, target, headers, body, host=host)
            answers = document["paths"][path][method.lower()]["responses"]
            assert str(answer.status) in answers, (path, answer)
            described.add((path, answer.status))
            kind = answer.headers["content-type"].partition(";")[0]
            if kind == "application/json":
                jsonschema.validate(answer.values, answers[str(answer.status)]["content"][kind]["schema"])
    assert {path for path, _status in described} == {*document["paths"]}
    assert {403} == {*dict.fromkeys(status for _path, status in described)} - {200, 400, 404, 413, 415, 422}


def test_hostile_requests_are_refused(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    answered, logged = set(), {}
    for name, (target, headers, body) in REQUESTS.items():
        caplog.clear()
        for parts in ((body,), (body[:7], body[7:])):
            answer = application.send("POST", target, headers, *parts)
            check_answer(answer)
            if answer.status == 200:
                answered.add(name)
        if caplog.records:
            logged[name] = caplog.text
    print(answered)
    assert not logged
    assert answered == ANSWERED


NAMES = (
    b"../../../etc/passwd",
    b"/etc/passwd",
    b"C:\\\\Windows\\\\win.ini",
    b"a\x00b.png",
    b"a\x1b[2J\x07b.png",
    b"\xff\xfe\x80.png",
    "\u202egnp.exe".encode(),
    b"x" * 50_000,
    b"",
    b"<script>alert(1)</script>.png",
    b"CON",
    b".",
    b"%2e%2e%2f",
)


def test_names_of_files_are_only_repeated(application: Application, tmp_path: Path) -> None:
    for name in NAMES:
        body = form(RED).replace(b"0.png", name, 1)
        answer = application.send("POST", b"/predict", typed(FORM), body)
        values = check_answer(answer)
        if values is not None:
            shown = values["predictions"][0]["file"]
            assert len(shown) < 1100 and shown.isprintable(), name
    assert not [*tmp_path.iterdir()]  # the working folder


def conversation(address: tuple[str, int], *parts: bytes, ends: bool = False) -> bytes:
    """Send bytes, and return what comes until the server closes the connection, as it does with each."""
    received = b""
    with socket.create_connection(address, timeout=120) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        except TimeoutError:
            return b"the connection stays open"
        except OSError:  # the server has closed it while bytes are sent
            pass
    return received


CLOSE = b"Connection: close\r\n\r\n"
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(RED)
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WIRE: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {  # parts, and the allowed starts of the answer
    "HTTP/1.0": ((HEAD.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + RED,), (b"HTTP/1.1 200",)),
    "HTTP/1.0 without a host": ((b"GET /health HTTP/1.0\r\n\r\n",), (b"HTTP/1.1 403",)),
    "HTTP/0.9": ((b"GET /\r\n",), (b"", b"HTTP/1.1 400")),
    "HTTP/2": ((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), (b"", b"HTTP/1.1 400")),
    "TLS": ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),), (b"", b"HTTP/1.1 400")),
    "other bytes": ((bytes(range(256)) * 10,), (b"", b"HTTP/1.1 400")),
    "a body that ends too soon": ((HEAD + LENGTH + b"\r\n" + RED[:20],), (b"", b"HTTP/1.1 408")),
    "more than the length": ((HEAD + LENGTH + b"\r\n" + RED + b"X" * 50,), (b"HTTP/1.1 200", b"HTTP/1.1 400")),
    "a negative length": ((HEAD + b"Content-Length: -1\r\n\r\n" + RED,), (b"", b"HTTP/1.1 400")),
    "two lengths": ((HEAD + LENGTH + b"Content-Length: 3\r\n\r\n" + RED,), (b"", b"HTTP/1.1 400")),
    "a length and chunks": ((HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",), (b"", b"HTTP/1.1 400")),
    "an unknown transfer encoding": ((HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + RED,), (b"", b"HTTP/1.1 4")),
    "a chunk of a negative size": ((CHUNKED + b"-1\r\n" + RED,), (b"", b"HTTP/1.1 400")),
    "a chunk of a huge size": ((CHUNKED + b"ffffffffffffffffff\r\n" + RED,), (b"", b"HTTP/1.1 400")),
    "a chunk of almost any size": ((CHUNKED + b"7fffffffffffffff\r\n" + RED,), (b"", b"HTTP/1.1 408")),
    "chunks": ((CHUNKED + b"%x\r\n" % len(RED) + RED + b"\r\n0\r\n\r\n",), (b"HTTP/1.1 200",)),
    "chunks without end": ((CHUNKED, *[b"10000\r\n" + bytes(65536) + b"\r\n"] * 60), (b"", b"HTTP/1.1 4")),
    "chunks of one byte": ((CHUNKED, b"1\r\nx\r\n" * 5000), (b"HTTP/1.1 408",)),
    "a line in a header": ((b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n",), (b"", b"HTTP/1.1 400")),
    "a NUL in a header": ((b"GET /health HTTP/1.1\r\nHost: localhost\r\nA: \0\r\n\r\n",), (b"", b"HTTP/1.1 400")),
    "a method of other bytes": ((b"\xff\xff / HTTP/1.1\r\nHost: localhost\r\n\r\n",), (b"", b"HTTP/1.1 400")),
    "CONNECT": ((b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n",), (b"", b"HTTP/1.1 4")),
    "TRACE": ((b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n",), (b"HTTP/1.1 405",)),
    "every path": ((b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",), (b"HTTP/1.1 4",)),
    "another server": ((b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",), (b"HTTP/1.1 403",)),
    "a path above the root": ((b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",), (b"HTTP/1.1 404",)),
    "WebSocket": (
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",),
        (b"HTTP/1.1 200", b"HTTP/1.1 4"),
    ),
    "permission for a body that is too large": (
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",),
        (b"HTTP/1.1 413",),
    ),
    "many requests at once": ((b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200,), (b"HTTP/1.1 200",)),
}


def test_bytes_that_are_no_request_do_not_stop_the_server(
    model_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them hold their connections at the same time."""
    from classicnets.serve import server

    monkeypatch.setattr(server, "_KEEP_ALIVE", 0.1)
    with in_thread(model_file, timeout=1.0, max_body=2_000_000) as url:
        host, _colon, port = url.removeprefix("http://").rstrip("/").partition(":")
        address = host, int(port)
        with ThreadPoolExecutor(2 * len(WIRE)) as pool:
            answers = {
                (name, ends): pool.submit(conversation, address, *parts, ends=ends)
                for name, (parts, _allowed) in WIRE.items()
                for ends in (False, True)
            }
        wrong = {
            name: answer.result()[:200]
            for name, answer in answers.items()
            if not any(
                answer.result().startswith(start) if start else not answer.result() for start in WIRE[name[0]][1]
            )
            and not (name[1] and not answer.result())
        }
        again = conversation(address, HEAD + LENGTH + CLOSE + RED)
    assert not wrong
    assert again.startswith(b"HTTP/1.1 200") and b'"red"' in again
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_heads_are_bounded(model_file: Path) -> None:
    """A connection is closed that sends more than a head takes, long before that would be for its time."""
    long = bytes(1_000_000).replace(b"\0", b"a")
    endless = {
        "header": (HEAD + b"A: ", long),
        "headers": (HEAD, b"a: b\r\n" * 100_000),
        "URL": (b"GET /", long),
        "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n" * 100_000),
        "chunk extension": (CHUNKED + b"1;", long),
    }
    with in_thread(model_file) as url:
        host, _colon, port = url.removeprefix("http://").rstrip("/").partition(":")
        answers = {name: conversation((host, int(port)), *parts) for name, parts in endless.items()}
        chunks = (b"1000\r\n" + bytes(4096) + b"\r\n") * 100 + b"0\r\n\r\n"
        large = HEAD + b"Transfer-Encoding: chunked\r\n" + CLOSE + chunks
        body = conversation((host, int(port)), large)
    assert all(not answer or answer.startswith(b"HTTP/1.1 431") for answer in answers.values()), answers
    assert body.startswith(b"HTTP/1.1 422")  # a large body is none of them
