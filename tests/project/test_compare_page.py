"""docs/compare.md: its studies are valid, its commands are understood, and its table has every measure."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import classicnets as cn
import make
from classicnets.cli.main import parser
from classicnets.studies import definition as definitions
from classicnets.studies.arms import resolve
from classicnets.studies.measures import CURVES, MEASURES, OF_CLASSIC, measure
from classicnets.studies.statistics import pairs_needed

ROOT = make.DOCS.parent
PAGE = (make.DOCS / "compare.md").read_text(encoding="utf-8")
TITLED = dict(re.findall(r"^```\w+ title=\"([^\"]+)\"\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
STUDIES = [name for name in TITLED if name.endswith(".toml")]


def untitled(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def table(heading: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading."""
    _, lines = PAGE.split(f"\n| {heading} |", 1)
    rows = lines.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the page lie in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, text in TITLED.items():
        Path(name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", STUDIES)
def test_its_studies_can_be_trained(name: str, saved: None) -> None:
    study = definitions.read(Path(name))
    assert study.name == Path(name).stem and len(resolve(study)) == len(study.arms) >= 2


def test_its_comparison_belongs_to_its_study() -> None:
    (text,) = untitled("toml")
    study = definitions.make({**tomllib.loads(TITLED["layers.toml"]), **tomllib.loads(text)})
    assert study.compare[0].claim == 1.2 and study.reported


def test_its_listing_makes_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    class Trained(Exception):
        """What would be trained."""

    def study(values: Mapping[str, Any], *, quiet: bool) -> None:
        raise Trained(definitions.make(values))

    (listing,) = untitled("python")
    monkeypatch.setattr(cn, "study", study, raising=False)
    with pytest.raises(Trained) as trained:
        exec(compile(listing, "compare.md", "exec"), {})
    assert [*resolve(trained.value.args[0])] == ["small", "large"]


def test_its_commands_are_understood() -> None:
    lines = [line.partition("#")[0].strip() for block in untitled("sh") for line in block.splitlines()]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for line in lines:
        program, *words = shlex.split(line)
        if program == "pip":
            assert words[-1].removeprefix("classicnets[").removesuffix("]") in extras, line
        else:
            assert program == "classicnets" and not parser().parse_known_args(words)[1], line
    assert len(lines) >= 8


def test_its_table_has_every_measure() -> None:
    rows = {row[0].strip("`"): row[2] for row in table("measure")}
    thresholds = {"epochs to CURVE VALUE", "seconds to CURVE VALUE"}
    assert {*rows} == {*MEASURES} | thresholds
    for name, compared in rows.items():
        found = measure(name.replace("CURVE VALUE", "train_loss 0.5"))
        assert compared == ("ratio" if found.ratio else "difference, in points" if found.scale == 100 else "difference")
    paragraph = PAGE.split("`CURVE` is", 1)[1].split("\n\n## ", 1)[0]
    assert [f"`{name}`" for name in (*CURVES, *OF_CLASSIC) if f"`{name}`" not in paragraph] == []


def test_its_numbers_of_pairs_are_those_computed() -> None:
    for difference, *pairs in table("difference / standard deviation"):
        for comparisons, n in zip((1, 4, 10), pairs, strict=True):
            assert pairs_needed(float(difference), 1.0, comparisons) == int(n)
