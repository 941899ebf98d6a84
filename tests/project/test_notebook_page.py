"""docs/notebook.md: its cells run, and its commands and calls work as they are written.

docs/notebook.zh-CN.md has the same cells and calls (test_chinese_pages.py).
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import classicnets as cn
import make
from support.command_line import CommandLine

PAGE = (make.DOCS / "notebook.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_cells_and_calls_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"cn": cn}
    for block in blocks("python"):
        exec(block, names)
    for call in re.findall(r"^\| `(cn\.[^`]+)` \|", PAGE, re.MULTILINE):
        assert eval(call, names)
    assert cn.show(names["net"]).table.parameters == cn.show("lenet_d2l").table.parameters


def test_a_lenet_without_padding_is_shown_as_the_page_says() -> None:
    source = blocks("python")[0].replace(", padding=2", "").replace("cn.show(net)", "shown = cn.show(net)")
    names: dict[str, Any] = {}
    exec(source, names)
    assert names["shown"].table.input_shape == (1, 32, 32)


def test_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: CommandLine) -> None:
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks("sh")).splitlines():
        assert cli(*shlex.split(line)[1:])[0] == 0, line
    assert (tmp_path / "my_net.py").is_file()
