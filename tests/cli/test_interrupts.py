"""Ctrl-C at any moment: one line, exit code 130, and no file that is half-written."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch

import classicnets as cn
from support.command_line import CommandLine

# the process sends itself the signal when it begins to import a module
PROCESS = """
import signal, sys
class Signal:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal({number})
sys.meta_path.insert(0, Signal())
from classicnets.cli.process import run
sys.exit(run())
"""


def process(module: str, number: int, *arguments: str) -> tuple[int, str, str]:
    script = PROCESS.format(module=module, number=int(number))
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("module", "number", "code"),
    [
        ("classicnets.errors", signal.SIGINT, 130),
        ("classicnets.cli.data", signal.SIGTERM, 143),
        ("torch", signal.SIGINT, 130),
        ("torch._C", signal.SIGINT, 130),
        ("numpy._core._multiarray_umath", signal.SIGINT, 130),
        ("torch.nn.modules.conv", signal.SIGTERM, 143),
        ("torch._dynamo", signal.SIGINT, 130),
    ],
)
def test_while_the_program_starts(module: str, number: int, code: int) -> None:
    assert process(module, number, "show", "lenet_d2l") == (code, "", "stopped\n")


def test_background_jobs_ignore_ctrl_c_as_their_shell_wants() -> None:
    script = (
        f"import signal; signal.signal(2, signal.SIG_IGN)\n{PROCESS.format(module='classicnets.cli.main', number=2)}"
    )
    done = subprocess.run([sys.executable, "-c", script, "explain", "CN101"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout and not done.stderr


PARTS = 6  # a command is interrupted at the end of each but the last


FINALIZED = {"__del__", "<genexpr>"}  # Python ignores exceptions while it deletes objects


class Interruption:
    """Raises KeyboardInterrupt once, at the call with this number of a function of classicnets, counted from 0."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.calls, self.place = at, 0, ""

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and "/classicnets/" in frame.f_code.co_filename and frame.f_code.co_name not in FINALIZED:
            self.calls += 1
            if self.calls - 1 == self.at:
                self.place = frame.f_code.co_qualname
                raise KeyboardInterrupt

    def during(self, do: Callable[[], tuple[int, str, str]]) -> tuple[int, str, str]:
        sys.setprofile(self)
        try:
            return do()
        finally:
            sys.setprofile(None)


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    return cn.train("lenet_d2l", data=str(folder), epochs=1, limit=24, image_size=28, runs=runs, quiet=True).path


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "RUN", "DATA"],
        ["evaluate", "RUN", "DATA"],
        ["data", "check", "DATA"],
        ["data", "preview", "DATA", "-o", "preview.png"],
        ["train", "lenet_d2l", "--data", "DATA", "--limit", "24", "--set", "epochs=1", "image_size=28"],
        ["train", "--resume", "STOPPED"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_at_any_call(words: list[str], run: Path, folder: Path, cli: CommandLine, tmp_path: Path) -> None:
    def do() -> tuple[int, str, str]:
        if "STOPPED" in words:
            stopped = shutil.copytree(run, tmp_path / str(next(numbers)))
            facts = json.loads((stopped / "run.json").read_text())
            del facts["result"]
            (stopped / "run.json").write_text(json.dumps(facts))
            places["STOPPED"] = stopped
        return cli(*(places.get(word, word) for word in words))

    numbers, places = itertools.count(), {"RUN": run, "DATA": folder}
    before = files(run)
    do()  # fills caches, which the others find
    whole = Interruption()
    code, _, err = whole.during(do)
    assert code == 0, err
    written = {path.name for path in files(tmp_path)} | {"last.safetensors", ".lock"}  # this lock ends with its process
    for part in range(1, PARTS):
        interruption = Interruption(whole.calls * part // PARTS)
        code, _, err = interruption.during(do)
        lines = [line for line in err.splitlines() if line.startswith("stopped")]
        assert code == 130 and len(lines) == 1 and "error" not in err, (interruption.place, err)
        assert {path.name for path in files(tmp_path)} <= written, interruption.place
    assert files(run) == before


def test_errors_that_a_library_makes_of_ctrl_c(
    run: Path, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("cannot convert") from error

    monkeypatch.setattr(torch.onnx, "export", export)
    assert cli("export", run, "-o", tmp_path / "out.onnx") == (130, "", "stopped\n")
    assert list(tmp_path.glob("*.onnx")) == []
