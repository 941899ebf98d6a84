"""The pages under docs/: generated pages are up to date, each network has its card, every link has a target."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

import classicnets as cn
import make
import timing
from classicnets import options, spec
from classicnets.errors import CODES
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import SETTINGS
from classicnets.values import Recipe
from pages import nets, performance, site
from pages import settings as settings_page
from pages.networks import connections, family, layer_table

ROOT = make.DOCS.parent
CARDS = Path(cn.__file__).parent / "models" / "cards"
HEADINGS = [
    "# {name}",
    "## As published",
    "## Differences",
    "## Assumptions",
    "## Reported results",
    "## How it is tested",
]


@pytest.mark.parametrize("name", make.pages())
def test_a_generated_page_is_up_to_date(name: str) -> None:
    page = (make.DOCS / name).read_text(encoding="utf-8")
    assert page == make.page(name), f"docs/{name} is out of date; renew it: {make.COMMAND} {name}"


def test_every_network_is_in_one_group() -> None:
    assert sorted(name for module in nets.GROUPS for name in family(module)) == sorted(NETS)
    assert sorted(re.findall(r"^\| \[`(\w+)`\]", (make.DOCS / "nets.md").read_text(), re.MULTILINE)) == sorted(NETS)


@pytest.mark.parametrize("name", [name for name, entry in NETS.items() if entry.connections])
def test_connections_are_counted_as_the_source_counts(name: str) -> None:
    assert connections(layer_table(name)) == NETS[name].connections


@pytest.mark.parametrize("name", NETS)
def test_a_card_has_six_headings_in_order(name: str) -> None:
    lines = (CARDS / f"{name}.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("#")] == [heading.format(name=name) for heading in HEADINGS]


def test_every_network_has_a_card_and_every_card_a_network() -> None:
    assert {path.name for path in CARDS.glob("*.md")} == {f"{name}.md" for name in NETS}


@pytest.mark.parametrize("page", sorted(make.DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(make.DOCS)))
def test_links_have_a_target(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", sorted(make.DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(make.DOCS)))
def test_scripts_that_a_page_names_exist(page: Path) -> None:
    scripts = re.findall(r"\bpython ((?:benchmarks|studies|examples)/\w+\.py)", page.read_text(encoding="utf-8"))
    assert [script for script in scripts if not (ROOT / script).exists()] == []


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
def test_architecture_links_to_functions_that_exist(label: str, target: str) -> None:
    path, name = label.split(":")
    assert target.endswith(path) and name in defined(make.DOCS / target)


def test_architecture_lists_every_package() -> None:
    source = Path(cn.__file__).parent
    tree = (make.DOCS / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    packages = {f"{path.name}/" for path in source.iterdir() if (path / "__init__.py").exists()}
    modules = {path.name for path in source.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert {line.split()[0] for line in tree.splitlines() if line.startswith("  ")} == packages | modules


# Each row of the table of speeds: the start of its first cell, the file of results, and a pattern for the row there.
SPEEDS = {
    "a later epoch of the book's LeNet": ("lenet", "a later epoch with evaluation, batches of 256"),
    "the whole command with ten epochs": ("lenet", "the whole command, cold"),
    "training steps of the book's AlexNet": ("alexnet", "2 training steps of 128"),
    "one image, by an exported file": ("lenet", "prediction of one .*, warm, by the file exported"),
    "local response normalization": ("lrn", "LRN forward and backward over 64x96x55x55, eager, channels first"),
    "training to the book's accuracy": ("reach", "training time of `lenet_d2l`"),
}


@pytest.mark.parametrize("label", SPEEDS)
def test_guaranteed_speeds_are_those_measured(label: str) -> None:
    name, pattern = SPEEDS[label]
    rows, _ = timing.read(timing.RESULTS / f"{name}.json")
    row = next(row for row in rows if re.match(pattern, row.what))
    page = (make.DOCS / "promises.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if line.startswith(f"| {label}"))
    assert performance.spread(row) in line


@pytest.mark.parametrize(
    "name", ["lenet_d2l-d2l", "lenet_d2l-fast", "lenet_d2l-fast-relu-max", "lenet_d2l_v1-d2l", "alexnet_28-fast"]
)
def test_accuracies_are_those_measured(name: str) -> None:
    facts = json.loads((timing.RESULTS / f"seeds-{name}.json").read_text(encoding="utf-8"))
    low, high = facts["test_accuracy_range"]
    accuracy = f"{facts['test_accuracy_mean']:.4f} ± {facts['test_accuracy_sd']:.4f} ({low:.4f} to {high:.4f})"
    assert f"| {facts['n']} | {accuracy} |" in (make.DOCS / "results.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the website."""
    folder = tmp_path_factory.mktemp("site") / "docs"
    site.write(folder)
    return folder


def test_only_an_older_version_of_the_sources_is_replaced(sources: Path, tmp_path: Path) -> None:
    older = sources / "older.md"
    older.touch()
    assert site.write(sources) > 40 and not older.exists()
    (tmp_path / "own.txt").touch()
    with pytest.raises(FileExistsError, match="other contents"):
        site.write(tmp_path)
    assert (tmp_path / "own.txt").exists()


def test_the_menu_lists_every_page(sources: Path) -> None:
    menu = re.findall(r": ([\w/.-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.relative_to(sources).as_posix() for path in sources.rglob("*.md")}
    assert len(menu) == len(set(menu)) and set(menu) == {
        page for page in pages if not page.startswith(("nets/", "studies/"))
    }


def test_links_between_pages_of_the_website_have_a_target(sources: Path) -> None:
    for page in sources.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)


def test_links_to_the_repository_need_its_address() -> None:
    files = {"docs/nets.md": "nets.md", "src/classicnets/models/cards/vgg16.md": "nets/vgg16.md"}
    text = "[card](../src/classicnets/models/cards/vgg16.md#x) [`spec.py`](../src/classicnets/spec.py)"
    assert site.relinked(text, "docs/nets.md", files) == "[card](nets/vgg16.md#x) `spec.py`"
    address = "https://example.org/classicnets"
    assert site.relinked(text, "docs/nets.md", files, address).endswith(
        f"({address}/blob/main/src/classicnets/spec.py)"
    )


def test_the_reference_has_every_option_setting_and_code(sources: Path) -> None:
    commands = (sources / "reference" / "commands.md").read_text(encoding="utf-8")
    for kind in (spec.RunSpec, spec.Output, spec.StudyOptions, spec.ExportOptions):
        for field in options.option_fields(kind):
            for flag in options.spelling(field).split("|") if options.about(field).group else []:
                assert f"`{flag}" in commands, flag
    settings = (sources / "reference" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in SETTINGS if f"| `{name}` |" not in settings] == []
    assert [*settings_page.meanings()] == [field.name for field in fields(Recipe)]
    codes = (sources / "reference" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (CN\d{3})$", codes, re.MULTILINE) == list(CODES)


def test_resources_of_other_servers_are_found(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">a link</a> <script src="https://cdn.example.org/a.js"></script>'
        "<link rel=stylesheet href=//fonts.example.org/b.css> <link rel=canonical href=https://example.org/page.html>"
        '<img src="images/own.png"> <img alt="x" src="http://example.org/c.png">'
    )
    (tmp_path / "style.css").write_text("@font-face { src: url(https://fonts.example.org/d.woff2) } p { color: red }")
    assert site.external_resources(tmp_path) == [
        "page.html: https://cdn.example.org/a.js",
        "page.html: //fonts.example.org/b.css",
        "page.html: http://example.org/c.png",
        "style.css: https://fonts.example.org/d.woff2",
    ]
