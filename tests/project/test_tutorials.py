"""Every command and every listing of the tutorials works: they are run, in order, on small stand-ins for the data."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import make_images
import pytest

import make
from classicnets.cli.main import parser
from classicnets.datasets.catalog import DATASETS
from classicnets.language import VARIABLE
from classicnets.training import loop
from support.idx import dataset_of, make_idx_folder

CommandLine = Callable[..., tuple[int, str, str]]  # of the fixture `cli`
TUTORIALS = sorted((make.DOCS / "tutorials").glob("*.md"))
FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Not run here: several processes, each of which imports torch; data that has to be downloaded after registration.
PARSED_ONLY = re.compile(r"--seeds|--data imagenet")


@dataclass(frozen=True)
class Block:
    """A fenced block of a tutorial: commands (sh), a listing (python), or expected output (text)."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(*groups) for groups in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands(block: Block) -> list[tuple[str, str]]:
    """Each command of a block with the error code that its comment announces, or ""."""
    lines = []
    for line in block.text.splitlines():
        command, _, comment = line.partition("#")
        code = re.search(r"CN\d{3}", comment) if re.search("fails with|报错", comment) else None
        lines.append((command.strip(), code[0] if code else ""))
    return lines


def arguments(command: str) -> list[str]:
    """The arguments of `classicnets ...`, without what the shell does with its output."""
    return shlex.split(command.partition(" > ")[0])[1:]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_command_is_understood(page: Path) -> None:
    lines = [command for block in blocks(page) if block.language == "sh" for command, _ in commands(block)]
    assert len(lines) >= 8
    for command in lines:
        assert command.startswith(("classicnets ", "python ", "curl ")), command
        if command.startswith("classicnets "):
            _, unknown = parser().parse_known_args(arguments(command))
            assert not unknown, command


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_export: None) -> None:
    """Fashion-MNIST has 500 synthetic images, and no listing opens a window."""
    system = make_idx_folder(tmp_path / "system", train=400, test=100, gz=True)
    monkeypatch.setitem(DATASETS, "fashion_mnist", dataset_of(system, name="fashion_mnist"))
    monkeypatch.setenv("MPLBACKEND", "agg")


class Reader:
    """Does what a reader of a tutorial does: types the commands, saves the files, and compares the output."""

    def __init__(self, cli: CommandLine, monkeypatch: pytest.MonkeyPatch):
        self.cli, self.monkeypatch = cli, monkeypatch
        self.output = ""  # of the last block of commands
        self.variables: dict[str, object] = {}

    def follow(self, block: Block) -> None:
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, "tutorial", "exec"), self.variables)
        elif block.language == "sh":
            self.output = "".join(self.run(command, code) for command, code in commands(block))
        elif self.output:
            missing = [line for line in block.text.splitlines() if line not in self.output]
            assert not missing, f"not in the output of the commands before: {missing}\n{self.output}"

    def run(self, command: str, code: str) -> str:
        program, *words = shlex.split(command)
        if program == "python":
            return self.run_script(words)
        if program == "curl":
            return classify_by_server(Path(words[1].removeprefix("@")))
        if PARSED_ONLY.search(command):
            return ""
        if "--resume" in words:
            self.interrupt(words[-1])
        exit_code, out, err = self.cli(*arguments(command))
        assert exit_code == (int(code[2]) if code else 0) and code in err, f"{command}\n{err}"
        return out + err

    def run_script(self, words: list[str]) -> str:
        if words[0] == "examples/make_images.py":
            for split, count in (("train", 120), ("test", 48)):
                make_images.write(Path(words[1]), split, count, seed=0, size=32)
        else:
            runpy.run_path(words[0], run_name="__main__")
        return ""

    def interrupt(self, run: str) -> None:
        """Trains again in the folder `run`, until Ctrl-C in the fifth step."""
        steps = iter(range(4))
        take_step = loop.take_step

        def interrupted(*values: Any) -> None:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            take_step(*values)

        shutil.rmtree(run)
        with self.monkeypatch.context() as patch:
            patch.setattr(loop, "take_step", interrupted)
            assert self.cli("train", "lenet_d2l")[0] == 130


def classify_by_server(image: Path) -> str:
    """The answer of the tutorial's server to an image."""
    handler = runpy.run_path("serve.py")["Classify"]
    with serving(HTTPServer(("127.0.0.1", 0), handler)) as address:
        request = urllib.request.Request(address, data=image.read_bytes(), method="POST")
        with urllib.request.urlopen(request) as answer:
            return str(answer.read(), encoding="utf-8")


class serving:
    """Serves in another thread while the block runs; gives the address."""

    def __init__(self, server: HTTPServer):
        self.server = server
        self.thread = threading.Thread(target=server.serve_forever)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_tutorial_works(page: Path, stand_ins: None, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, followed = Reader(cli, monkeypatch), blocks(page)
    if page.stem.endswith("zh-CN"):  # up to the last output, since the commands are those of the English page
        monkeypatch.setenv(VARIABLE, "zh")
        while followed[-1].language != "text":
            followed.pop()
    for block in followed:
        reader.follow(block)
