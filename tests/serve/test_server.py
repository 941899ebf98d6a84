"""Real servers: the command, workers, signals, and what happens when a process is killed."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pytest

from classicnets import machine
from classicnets.errors import MachineError
from classicnets.spec import ServeOptions
from serve.conftest import image_bytes
from support.command_line import CommandLine
from support.onnx_files import colors_onnx, sealed

RED = image_bytes()
pytestmark = pytest.mark.slow


def predict(url: str) -> str:
    request = Request(f"{url}predict", RED, {"Content-Type": "image/png"})
    with urlopen(request, timeout=60) as answer:
        return str(json.load(answer)["predictions"][0]["top"][0]["label"])


def wait_until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.02)


@contextmanager
def running(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server in a process of its own, and what it has printed."""
    words = [sys.executable, "-m", "classicnets", "serve", *map(str, arguments), "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield process, json.loads(line)
    finally:
        process.kill()
        process.communicate()


def children(process: subprocess.Popen[str]) -> set[int]:
    """The workers of a server: the processes that its fork server has started."""
    return {worker.pid for child in psutil.Process(process.pid).children() for worker in child.children()}


def received(connection: socket.socket) -> bytes:
    """All that comes before the connection is closed."""
    content = b""
    while part := connection.recv(65536):
        content += part
    return content


def exists(pid: int) -> bool:
    return bool(psutil.pid_exists(pid)) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def slow_request(url: str) -> socket.socket:
    """A connection whose request lacks the end of its body, which `rest` sends."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    connection = socket.create_connection((host, int(port)))
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: {len(RED)}\r\n\r\n"
    connection.sendall(head.encode() + RED[:-1])
    return connection


def test_sigterm_lets_a_request_end(cli: CommandLine, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, whose main thread runs the server, as that of the command does."""
    urls, answers = list[str](), list[bytes]()
    monkeypatch.setattr("classicnets.cli.serve._print_start", lambda url, _settings, _chosen: urls.append(url))

    def client() -> None:
        wait_until(lambda: urls)
        assert predict(urls[0]) == "red"
        with slow_request(urls[0]) as slow:
            predict(urls[0])  # the server has seen the slow request before this one
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: not accepts(urls[0]))
            slow.sendall(RED[-1:])
            answers.append(received(slow))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=client)
    thread.start()
    code, _out, err = cli("serve", model_file, "--port", 0)
    thread.join()
    assert code == 0 and err == ""
    assert b"200 OK" in answers[0] and b'"red"' in answers[0]
    assert signal.getsignal(signal.SIGTERM) == before


def accepts(url: str) -> bool:
    """Whether a server still takes connections."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError:
        return False
    return True


def test_a_killed_worker_is_replaced_and_workers_end_with_their_parent(model_file: Path) -> None:
    with running(model_file, "--workers", 2) as (process, started):
        url = started["url"]
        assert predict(url) == "red"  # waits for the first worker
        wait_until(lambda: len(children(process)) == 2)
        victim = min(children(process))
        os.kill(victim, signal.SIGKILL)
        assert predict(url) == predict(url) == "red"
        wait_until(lambda: len(children(process) - {victim}) == 2)
        count = b'classicnets_requests_total{path="/predict",status="200"} 3.0'  # by all workers
        wait_until(lambda: count in urlopen(f"{url}metrics").read())
        workers = children(process)
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(exists, workers)))


def test_workers_stop_at_sigterm(model_file: Path, tmp_path: Path) -> None:
    from classicnets.evaluation.onnx import OnnxClassifier
    from classicnets.serve import server
    from classicnets.serve.app import Settings
    from classicnets.serve.models import Source

    options = ServeOptions(port=0, workers=2)
    source = Source(name="colors", origin=model_file, file=model_file, open=OnnxClassifier)

    before = signal.getsignal(signal.SIGTERM)

    def stop() -> None:
        wait_until(lambda: signal.getsignal(signal.SIGTERM) != before)
        os.kill(os.getpid(), signal.SIGTERM)

    with server.listen(options) as sock:
        thread = threading.Thread(target=stop)
        server.run(Settings(sources=(source,), options=options), sock, tmp_path, thread.start)
        thread.join()
        assert sock.fileno() == -1  # closed, and no worker is left, or this would not return


@contextmanager
def in_thread(file: Path, **options: Any) -> Iterator[str]:
    """A real server in a thread of this process; it is stopped at the end."""
    from classicnets.evaluation.onnx import OnnxClassifier
    from classicnets.serve import server
    from classicnets.serve.access import shown_address
    from classicnets.serve.app import Settings
    from classicnets.serve.models import Source

    values = ServeOptions(port=0, **options)
    source = Source(name="colors", origin=file, file=file, open=OnnxClassifier)
    with server.listen(values) as sock:
        url = shown_address(sock)
        prepared = server.prepare(Settings(sources=(source,), options=values, watch_seconds=0.02))
        thread = threading.Thread(target=prepared.run, args=([sock],))
        thread.start()
        try:
            yield url
        finally:
            prepared.should_exit = True
            thread.join()


def test_no_request_is_lost_when_the_file_is_replaced(model_file: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "x.onnx", tmp_path / "new.onnx"
    file.write_bytes(model_file.read_bytes())
    sealed(colors_onnx(new, classes=("rot", "grün", "blau"), checksum="sha256"))
    answers = list[str]()
    with in_thread(file) as url:

        def ask() -> None:
            while "rot" not in answers[-2:]:
                answers.append(predict(url))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) > 8)
        new.replace(file)
        for thread in threads:
            thread.join()
    assert set(answers) == {"red", "rot"} and answers[0] == "red"


def test_bodies_and_headers_that_come_slowly_end(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classicnets.serve import server

    monkeypatch.setattr(server, "_KEEP_ALIVE", 0.1)
    heads = (
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n1",
        b"GET / HT",
    )
    with in_thread(model_file, timeout=0.1) as url:
        host, port = url.removeprefix("http://").rstrip("/").split(":")
        answers = []
        for head in heads:
            with socket.create_connection((host, int(port))) as slow:
                slow.sendall(head)
                answers.append(received(slow))
    assert b"408 Request Timeout" in answers[0] and b"CN506" in answers[0]
    assert answers[1] == b""  # the connection is closed


def test_the_client_of_triton(model_file: Path) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[..., 1] = 255
    with in_thread(model_file) as url:
        client = triton.InferenceServerClient(url.removeprefix("http://").rstrip("/"))
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("colors", "1")
        assert [model["name"] for model in client.get_model_repository_index()] == ["colors"]
        assert client.get_model_metadata("colors")["inputs"][0]["name"] == "pixels"
        for binary in (True, False):
            pixels = triton.InferInput("pixels", [1, 8, 8, 3], "UINT8")
            pixels.set_data_from_numpy(image, binary_data=binary)
            outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary)]
            probabilities = client.infer("colors", [pixels], outputs=outputs).as_numpy("probabilities")
            assert probabilities.shape == (1, 3) and probabilities.argmax() == 1
            outputs = [triton.InferRequestedOutput("probabilities", binary_data=binary, class_count=1)]
            (named,) = client.infer("colors", [pixels], outputs=outputs).as_numpy("probabilities").ravel()
            assert (named.decode() if binary else named).endswith(":1:green")
        with pytest.raises(triton.InferenceServerException, match="CN504"):
            client.infer("none", [pixels])
        client.close()


def test_only_a_token_that_was_chosen_here_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from classicnets.cli import serve
    from classicnets.serve.app import Settings

    settings = Settings(sources=(), options=ServeOptions(), token="a-secret-token")
    for show in (serve._print_start, serve._print_json):
        show("http://localhost:8000/", settings, True)
        assert "a-secret-token" in capsys.readouterr().out
        show("http://localhost:8000/", settings, False)
        assert "a-secret-token" not in capsys.readouterr().out


def test_the_access_log_has_no_parameters() -> None:
    from classicnets.serve.server import _without_query

    record = logging.makeLogRecord({"args": ("127.0.0.1", "GET", "/?token=secret", "1.1", 200)})
    assert _without_query(record) and record.args == ("127.0.0.1", "GET", "/", "1.1", 200)


def test_a_port_in_use_is_an_error(cli: CommandLine, model_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _out, err = cli("serve", model_file, "--port", other.getsockname()[1])
    assert code == 4 and "error[CN404]" in err and "--port 0" in err


def test_wrong_models_are_errors(cli: CommandLine, model_file: Path, tmp_path: Path) -> None:
    (tmp_path / "colors.onnx").write_bytes(b"x")
    for models, code, text in (
        ([tmp_path / "colors.onnx"], 3, "CN308"),
        ([model_file, tmp_path / "colors.onnx"], 2, "two models have the name colors"),
        ([tmp_path / "none"], 2, "CN207"),
        ([tmp_path / "none.onnx"], 3, "does not exist"),
    ):
        assert cli("serve", *models, "--port", 0)[0] == code
        assert text in cli("serve", *models, "--port", 0)[2]


def test_without_the_extra_the_error_names_it(
    cli: CommandLine, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    code, _out, err = cli("serve", model_file)
    assert code == 4 and "error[CN403]" in err and "pip install 'classicnets[serve]'" in err
    with pytest.raises(MachineError):
        machine.require("fastapi", extra="serve")
