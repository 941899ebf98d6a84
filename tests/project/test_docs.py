"""The pages under docs/: the nets are counted by the built nets, each has its card, every link leads somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import make
import pytest

import classicnets as cn
from classicnets.models.registry import NETS

CARDS = Path(cn.__file__).parent / "models" / "cards"
HEADINGS = [
    "# {name}",
    "## As published",
    "## Differences",
    "## Not stated, so assumed",
    "## Reported results",
    "## How proven",
]


def test_the_page_of_nets_is_made_from_the_nets() -> None:
    page = (make.HERE / "nets.md").read_text(encoding="utf-8")
    assert page == make.nets_page(), f"docs/nets.md is not what the nets say; renew it: {make.COMMAND}"


def test_the_page_of_recipes_is_made_from_the_recipes() -> None:
    page = (make.HERE / "recipes.md").read_text(encoding="utf-8")
    assert page == make.recipes_page(), f"docs/recipes.md is not what the recipes say; renew it: {make.COMMAND}"


def test_the_page_of_performance_is_made_from_the_results() -> None:
    page = (make.HERE / "performance.md").read_text(encoding="utf-8")
    assert page == make.performance_page(), f"docs/performance.md is not what the results say; renew it: {make.COMMAND}"


def test_every_net_is_in_one_group() -> None:
    assert sorted(name for module in make.GROUPS for name in make.family(module)) == sorted(NETS)
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", make.nets_page(), re.MULTILINE)) == sorted(NETS)


@pytest.mark.parametrize("name", [name for name, entry in NETS.items() if entry.connections])
def test_connections_are_counted_as_the_source_counts(name: str) -> None:
    assert make.connections(make._table(name)) == NETS[name].connections


@pytest.mark.parametrize("name", NETS)
def test_a_card_has_six_headings_in_order(name: str) -> None:
    lines = (CARDS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == [heading.format(name=name) for heading in HEADINGS]


def test_every_net_has_a_card_and_every_card_a_net() -> None:
    assert {path.name for path in CARDS.iterdir()} == {f"{name}.md" for name in NETS}


@pytest.mark.parametrize("page", sorted(make.HERE.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def defined(path: Path) -> set[str]:
    """Functions, classes and methods (Class.method) of a module."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            found |= (
                {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
                if (isinstance(node, ast.ClassDef))
                else set()
            )
    return found


@pytest.mark.parametrize(
    ("label", "target"),
    re.findall(r"\[`([\w./]+:[\w.]+)`\]\(([^)]+)\)", (make.HERE / "architecture.md").read_text(encoding="utf-8")),
)
def test_the_page_of_architecture_names_functions_that_exist(label: str, target: str) -> None:
    path, name = label.split(":")
    assert target.endswith(path) and name in defined(make.HERE / target)


def test_the_page_of_architecture_shows_every_package() -> None:
    source = Path(cn.__file__).parent
    tree = (make.HERE / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    packages = {f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in source.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {line.split()[0] for line in tree.splitlines() if line.startswith("  ")} == packages | modules
