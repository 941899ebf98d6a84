"""The house: which way imports point, what importing costs, and that no room but models and recipes knows a net."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import classicnets
from classicnets import errors
from classicnets.errors import CODES
from classicnets.models.registry import NETS

SOURCE = Path(classicnets.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
# A room may import rooms of earlier lines only; rooms on one line do not know each other.
FLOORS = [
    {"errors", "values", "machine"},
    {"report", "models", "data", "recipes"},
    {"inspection", "runs"},
    {"evaluation", "weights", "parallel"},
    {"training"},
    {"export", "study"},
    {"api", "serve", "cli", "compat", "__main__", "__init__"},
]
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Modules of our own that are imported anywhere in the file, with the line."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "classicnets":
            if node.module == "classicnets":
                found += [(alias.name, node.lineno) for alias in node.names if alias.name != "__version__"]
            else:
                found.append((node.module.split(".")[1], node.lineno))
        elif isinstance(node, ast.Import):
            found += [(a.name.split(".")[1], node.lineno) for a in node.names if a.name.startswith("classicnets.")]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path):
    room = room_of(path)
    for other, line in imports(ast.parse(path.read_text())):
        if other == room or FLOOR[room] == len(FLOORS) - 1:
            continue
        same_ground = room in FLOORS[0] and other in FLOORS[0]  # errors and values are known to all
        assert FLOOR[other] < FLOOR[room] or same_ground, f"{path.name}:{line} imports {other} from {room}"


@pytest.mark.parametrize("path", sorted((SOURCE / "models").glob("[a-z]*.py")), ids=lambda p: p.name)
def test_the_room_of_models_needs_torch_alone(path: Path):
    allowed = {"__future__", "collections", "copy", "math", "torch"}
    if path.name == "registry.py":
        allowed |= {"dataclasses", "importlib", "pathlib", "typing"}
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        if isinstance(node, ast.Import | ast.ImportFrom):
            strangers = {name for name in names if not name.startswith("classicnets.models.")}  # its neighbours may
            assert {name.split(".")[0] for name in strangers} <= allowed


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_room_but_models_and_recipes_names_a_net(path: Path):
    if room_of(path) in {"models", "recipes"}:
        return
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.match_case | ast.Dict | ast.Subscript):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Constant) and id(inner) not in prose:
                    assert inner.value not in NETS, f"{path.name}:{inner.lineno} asks for {inner.value}"


def in_fresh_python(code: str, *options: str) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_importing_the_package_does_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = in_fresh_python("import sys, classicnets; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert out == "False False\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["list"], ["list", "--json"], ["train", "--help"], ["export", "--help"], ["show", "CN201"]],
)
def test_help_and_list_answer_without_torch(arguments):
    out = in_fresh_python(
        f"import sys; from classicnets.cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit: pass\n"
        f"print(sorted({{'torch', 'numpy', 'matplotlib', 'PIL'}} & set(sys.modules)))"
    )
    assert out.endswith("[]\n")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_nothing_runs_on_import(path: Path):
    """At the top of a module there are definitions, imports and constants only: no call whose result is thrown away."""
    if path.name == "__main__.py":
        return
    for node in ast.parse(path.read_text()).body:
        assert not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)), f"{path.name}:{node.lineno}"
        assert not isinstance(node, ast.For | ast.While | ast.With), f"{path.name}:{node.lineno}"


def test_public_names_are_the_listed_ones():
    assert classicnets.__all__ == sorted(classicnets.__all__)
    for name in classicnets.__all__:
        assert getattr(classicnets, name).__doc__
    with pytest.raises(AttributeError):
        classicnets.nonsense  # noqa: B018


def test_every_error_code_is_explained_and_used():
    text = {path: path.read_text() for path in FILES if path.name != "errors.py"}
    assert {code for t in text.values() for code in re.findall(r'"(CN\d{3})"', t)} == set(CODES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_the_first_digit_of_a_code_is_the_exit_code(path: Path):
    for name, code in re.findall(r'(\w+)\(\s*"(CN\d{3})"', path.read_text()):
        if name.endswith(("Error", "CheckFailed")) and hasattr(errors, name):
            assert getattr(errors, name).exit_code == int(code[2])


def test_the_repository_speaks_of_the_project_alone():
    banned = ["pypi." + "org", "files.python" + "hosted", "deb." + "debian.org", "registry.npm" + "js"]
    root = SOURCE.parents[1]
    for path in [*root.glob("*.md"), *root.glob("docs/**/*.md"), *FILES, root / "Makefile", root / "pyproject.toml"]:
        text = path.read_text()
        assert not [word for word in banned if word in text], path
