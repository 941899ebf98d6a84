"""Standard output that cannot be written: one error with exit code 4; a closed pipe is no error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from classicnets.cli.process import run
from classicnets.report import output

FULL = Path("/dev/full")
MESSAGE = "error[CN401]: cannot write the results to standard output\n  why:   No space left on device\n"

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def full(*arguments: str, unbuffered: bool) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
    with FULL.open("w") as file:
        command = [sys.executable, "-m", "classicnets", *arguments]
        done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, env=environment)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("words", ["--help", "train --help", "list", "list --json", "explain CN101", "data list"])
def test_a_full_disk(words: str, unbuffered: bool) -> None:
    code, err = full(*words.split(), unbuffered=unbuffered)
    assert code == 4 and err.startswith(MESSAGE) and "Traceback" not in err and "ignored" not in err


def test_an_error_is_still_named() -> None:
    code, err = full("explain", "CN999", "--json", unbuffered=False)
    assert code == 2 and err.startswith("error[CN202]: there is no error code CN999") and "Traceback" not in err


def test_a_closed_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "classicnets", "explain"]
    process = subprocess.Popen([*command, "CN101"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 0
    process.stderr.close()


def test_the_program_is_the_entry_point(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["classicnets", "explain", "CN999"])
    for place, name in ((output, "_reserved"), (sys, "stdout"), (sys, "stderr")):
        monkeypatch.setattr(place, name, getattr(place, name))  # the program keeps them until the process ends
    assert run() == 2 and "CN999" in capsys.readouterr().err
