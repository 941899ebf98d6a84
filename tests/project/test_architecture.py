"""Architecture: imports point one way, importing is cheap, only models and recipes know networks by name."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import classicnets
from classicnets import errors
from classicnets.errors import CODES
from classicnets.models.registry import NETS

SOURCE = Path(classicnets.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
NAMES: dict[str, Any] = {"argvalues": FILES, "ids": lambda path: path.relative_to(SOURCE).as_posix()}
# A package or module imports those of earlier lines only. Those on one line do not import each other, except GROUND.
GROUND = {"errors", "values", "machine", "options", "spec", "text", "files", "workers", "events", "strict_json"}
GROUND |= {"schema", "checksum", "trust", "hints", "language"}
TOOLS = {"audit", "coach", "forecast", "studies", "handwriting", "export", "serve", "parallel", "conversion"}
TOOLS |= {"exercises"}
ORDER = [
    GROUND,
    {"models", "recipes"},
    {"acceleration"},
    {"inspection"},
    {"datasets"},
    {"images"},
    {"runs"},
    {"evaluation", "weights"},
    {"training"},  # the core ends here: it trains, evaluates and predicts without any tool
    TOOLS,
    {"report"},
    {"api", "compat"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {package: level for level, packages in enumerate(ORDER) for package in packages}
# How many imports of our own package each file has inside functions. These numbers only ever go down.
INSIDE_FUNCTIONS = {
    "cli/process.py": 1,  # the rest of the program, after it is known how Ctrl-C ends it
    "studies/cluster.py": 1,  # within a class that is sent to machines that may have another version, and must say so
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def package_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> list[tuple[str, int]]:
    """Packages of our own that are imported anywhere in the tree, each with the line."""
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "classicnets":
            if node.module == "classicnets":
                imported += [(alias.name, node.lineno) for alias in node.names if alias.name != "__version__"]
            else:
                imported.append((node.module.split(".")[1], node.lineno))
        elif isinstance(node, ast.Import):
            imported += [(a.name.split(".")[1], node.lineno) for a in node.names if a.name.startswith("classicnets.")]
    return imported


def inside_functions(tree: ast.AST) -> set[tuple[str, int]]:
    """The imports that are inside functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {name for function in functions for name in imports(function)}


def may_import(package: str, other: str) -> bool:
    if package == "cli":
        return other in {"cli", "api", "report"} | GROUND
    return other == package or LEVEL[other] < LEVEL[package] or {package, other} <= GROUND


@pytest.mark.parametrize("path", **NAMES)
def test_imports_point_one_way(path: Path) -> None:
    """No core package imports a tool, no tool another tool or an edge, and report neither api nor cli."""
    package = package_of(path)
    for other, line in imports(ast.parse(path.read_text())):
        assert may_import(package, other), f"{path.name}:{line}: {package} imports {other}"


def test_import_rules_reject_wrong_imports() -> None:
    """The rules above, applied to imports that break them."""
    for package, other in (
        ("training", "coach"),
        ("images", "audit"),
        ("coach", "forecast"),
        ("export", "api"),
        ("studies", "report"),
        ("report", "api"),
        ("report", "cli"),
        ("api", "cli"),
        ("cli", "training"),
        ("text", "models"),
        ("models", "recipes"),
    ):
        assert not may_import(package, other)
    assert may_import("text", "errors") and may_import("report", "coach") and may_import("cli", "api")


def test_imports_inside_functions_become_fewer() -> None:
    """An import at the top says what a file needs; one in a function has a reason, such as matplotlib's half second."""
    counts = {name_of(path): len(inside_functions(ast.parse(path.read_text()))) for path in FILES}
    worst = sorted(((n, name) for name, n in counts.items() if n), reverse=True)
    print(f"{sum(counts.values())} imports inside functions:", ", ".join(f"{name} {n}" for n, name in worst[:5]))
    more = {name: (n, INSIDE_FUNCTIONS.get(name, 0)) for name, n in counts.items() if n > INSIDE_FUNCTIONS.get(name, 0)}
    assert not more, "more imports of classicnets inside functions than before (now, allowed)"


@pytest.mark.parametrize("path", sorted((SOURCE / "models").glob("[a-z]*.py")), ids=lambda p: p.name)
def test_models_need_only_torch(path: Path) -> None:
    allowed = {"__future__", "collections", "copy", "math", "torch", "typing"}
    if path.name == "registry.py":
        allowed |= {"dataclasses", "importlib", "pathlib"}
    if path.name == "graph.py":
        allowed |= {"dataclasses"}
    if path.name == "messages.py":
        allowed |= {"re"}
    if path.name == "modules.py":
        allowed |= {"contextlib", "itertools"}
    for node in ast.walk(ast.parse(path.read_text())):
        names = (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in getattr(node, "names", [])]
        )
        if isinstance(node, ast.Import | ast.ImportFrom):
            outside = {name for name in names if not name.startswith("classicnets.models.")}  # its neighbors may
            assert {name.split(".")[0] for name in outside} <= allowed


@pytest.mark.parametrize("path", **NAMES)
def test_only_models_and_recipes_name_a_net(path: Path) -> None:
    if package_of(path) in {"models", "recipes"}:
        return
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.match_case | ast.Dict | ast.Subscript):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Constant) and id(inner) not in prose:
                    assert inner.value not in NETS, f"{path.name}:{inner.lineno} asks for {inner.value}"


def in_fresh_python(code: str, *options: str) -> str:
    process = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return process.stdout


def test_importing_the_package_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = in_fresh_python("import sys, classicnets; print('torch' in sys.modules, 'numpy' in sys.modules)")
    assert out == "False False\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["--help"], ["list"], ["list", "--json"], ["train", "--help"], ["export", "--help"], ["show", "CN201"]],
)
def test_help_and_list_answer_without_torch(arguments: list[str]) -> None:
    out = in_fresh_python(
        f"import sys; from classicnets.cli.main import main\n"
        f"try: main({arguments!r})\n"
        f"except SystemExit: pass\n"
        f"print(sorted({{'torch', 'numpy', 'matplotlib', 'PIL'}} & set(sys.modules)))"
    )
    assert out.endswith("[]\n")


@pytest.mark.parametrize("path", **NAMES)
def test_json_is_written_in_one_place(path: Path) -> None:
    """`strict_json.dump` refuses NaN and infinity, which are no JSON."""
    if path.name == "strict_json.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "json":
            assert node.attr not in {"dump", "dumps", "JSONEncoder"}, f"{path.name}:{node.lineno}"
        assert not (isinstance(node, ast.ImportFrom) and node.module == "json"), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", **NAMES)
def test_nothing_runs_on_import(path: Path) -> None:
    """At the top of a module there are definitions, imports and constants only: no call whose result is thrown away."""
    if path.name == "__main__.py":
        return
    for node in ast.parse(path.read_text()).body:
        assert not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)), f"{path.name}:{node.lineno}"
        assert not isinstance(node, ast.For | ast.While | ast.With), f"{path.name}:{node.lineno}"


def test_public_names_are_the_listed_ones() -> None:
    assert classicnets.__all__ == sorted(classicnets.__all__)
    for name in classicnets.__all__:
        assert getattr(classicnets, name).__doc__
    with pytest.raises(AttributeError):
        classicnets.nonsense  # noqa: B018


def test_every_error_code_is_explained_and_used() -> None:
    text = {path: path.read_text() for path in FILES if path.name != "errors.py"}
    assert {code for t in text.values() for code in re.findall(r'"(CN\d{3})"', t)} == set(CODES)


@pytest.mark.parametrize("path", **NAMES)
def test_the_first_digit_of_a_code_is_the_exit_code(path: Path) -> None:
    for name, code in re.findall(r'(\w+)\(\s*"(CN\d{3})"', path.read_text()):
        if name.endswith(("Error", "CheckFailed")) and hasattr(errors, name):
            assert getattr(errors, name).exit_code == int(code[2])


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by their names, so that it collects only one of two with the same name."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("package", ["report", "api"])
def test_modules_that_are_used_are_loaded(package: str) -> None:
    """A package that loads its modules on first access knows each that is used as its attribute."""
    used = {
        node.attr
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == package
    }
    modules = {path.stem for path in (SOURCE / package).glob("*.py")}
    known = importlib.import_module(f"classicnets.{package}").__all__
    assert len(used & modules) > 5 and sorted(used & modules - {*known}) == []
