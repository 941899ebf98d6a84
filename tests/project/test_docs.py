"""The pages under docs/: generated pages are up to date, each network has its card, every link has a target."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import classicnets as cn
import make
from classicnets.models.registry import NETS
from pages import nets
from pages.networks import connections, family, layer_table

CARDS = Path(cn.__file__).parent / "models" / "cards"
HEADINGS = [
    "# {name}",
    "## As published",
    "## Differences",
    "## Not stated, so assumed",
    "## Reported results",
    "## How proven",
]


@pytest.mark.parametrize("name", make.PAGES)
def test_a_generated_page_is_up_to_date(name):
    page = (make.DOCS / name).read_text(encoding="utf-8")
    assert page == make.page(name), f"docs/{name} is out of date; renew it: {make.COMMAND} {name}"


def test_every_network_is_in_one_group():
    assert sorted(name for module in nets.GROUPS for name in family(module)) == sorted(NETS)
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", make.page("nets.md"), re.MULTILINE)) == sorted(NETS)


@pytest.mark.parametrize("name", [name for name, entry in NETS.items() if entry.connections])
def test_connections_are_counted_as_the_source_counts(name):
    assert connections(layer_table(name)) == NETS[name].connections


@pytest.mark.parametrize("name", NETS)
def test_a_card_has_six_headings_in_order(name):
    lines = (CARDS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == [heading.format(name=name) for heading in HEADINGS]


def test_every_network_has_a_card_and_every_card_a_network():
    assert {path.name for path in CARDS.iterdir()} == {f"{name}.md" for name in NETS}


@pytest.mark.parametrize("page", sorted(make.DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(make.DOCS)))
def test_links_have_a_target(page):
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def defined(path: Path) -> set[str]:
    """Functions, classes and methods (Class.method) of a module."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


@pytest.mark.parametrize(
    ("label", "target"),
    re.findall(r"\[`([\w./]+:[\w.]+)`\]\(([^)]+)\)", (make.DOCS / "architecture.md").read_text(encoding="utf-8")),
)
def test_architecture_links_to_functions_that_exist(label, target):
    path, name = label.split(":")
    assert target.endswith(path) and name in defined(make.DOCS / target)


def test_architecture_lists_every_package():
    source = Path(cn.__file__).parent
    tree = (make.DOCS / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    packages = {f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in source.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {line.split()[0] for line in tree.splitlines() if line.startswith("  ")} == packages | modules
