"""Every printed command can be pasted: it is built by `text.command`, which quotes what a shell would interpret."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import classicnets
from classicnets.text import command

SOURCE = Path(classicnets.__file__).parent
PROGRAMS = ("classicnets", "cp", "export", "file", "ls", "pip", "python", "python3", "sudo", "tensorboard", "unset")
CATALOGS = {"_", "plural"}


def starts_a_command(text: str) -> bool:
    """Whether a text begins with a program and a space, or with an option."""
    first, space, _rest = text.lstrip().partition(" ")
    return bool(space) and (first in PROGRAMS or (first.startswith("--") and first[2:3].isalpha()))


def beginning(node: ast.expr) -> str:
    """The text before the first interpolated value of a string; "" if it has none."""
    if isinstance(node, ast.JoinedStr):
        first = node.values[0] if node.values else None
        return str(first.value) if len(node.values) > 1 and isinstance(first, ast.Constant) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return str(node.left.value) if isinstance(node.left, ast.Constant) else beginning(node.left)
    if isinstance(node, ast.Call):
        function = node.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "format"
            and isinstance(function.value, ast.Constant)
        ):
            return str(function.value.value)
        if isinstance(function, ast.Name) and function.id in CATALOGS and node.keywords:
            text = str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else ""
            return text.partition("{")[0] if text.startswith("classicnets ") and "{" in text else ""
    return ""


def glued_commands(tree: ast.AST) -> Iterator[int]:
    """The lines of commands and options with a value that is not quoted."""
    yield from sorted({n.lineno for n in ast.walk(tree) if isinstance(n, ast.expr) and starts_a_command(beginning(n))})


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_commands_are_built_by_command(path: Path) -> None:
    assert list(glued_commands(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "source",
    [
        'f"classicnets train {net}"',
        'f"python {path}"',
        'f"ls {path.parent}"',
        'f"--set {key}={value}"',
        'f"pip install {name}"',
        '"classicnets show " + name',
        '"file %s" % path',
        '"classicnets show " + name + " --why"',
        '"classicnets data get {}".format(name)',
        '_("classicnets evaluate {path}   # again", path=path)',
    ],
)
def test_finds_a_glued_command(source: str) -> None:
    assert list(glued_commands(ast.parse(source))) == [1]


@pytest.mark.parametrize(
    "source",
    [
        'command("classicnets", "train", net)',
        '_("{command}   # again", command=command("ls", path))',
        '"classicnets list"',
        'f"{name}: {value}"',
        '_("file {name} is damaged" if False else "{name}", name=name)',
    ],
)
def test_accepts_other_strings(source: str) -> None:
    assert list(glued_commands(ast.parse(source))) == []


@pytest.mark.parametrize(
    "name",
    ["plain", "two words", "$HOME", "[a]", "{b}", "it's", 'a"b', "*", "a;b", "~user", "a\\b", "é", "#1", ""],
)
def test_a_shell_splits_a_command_into_its_words(name: str) -> None:
    words = ["classicnets", "evaluate", name, f"runs/{name}"]
    assert shlex.split(command(*words)) == words


@pytest.mark.parametrize("name", ["-x", "--help", "-"])
def test_a_path_is_not_taken_for_an_option(name: str) -> None:
    assert command("ls", Path(name) / "run") == f"ls ./{name}/run"
    assert command("ls", "--", name) == f"ls -- {name}"  # a word that is not a path stays as it is
