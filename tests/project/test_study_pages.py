"""The pages of finished studies, and the script that adds a study to them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import add_study
import make
from pages import studies as pages
from support import studies


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return studies.facts()


@pytest.fixture
def folder(tmp_path: Path, facts: dict[str, Any]) -> Path:
    """The folder of a finished study, with stand-ins for its figures."""
    folder = tmp_path / "study-pooling-1"
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(facts))
    for name in ("arms", "differences", "curves"):
        (folder / f"{name}.png").write_bytes(name.encode())
    return folder


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of results that has those of another experiment only, for pages beside it."""
    results = tmp_path / "results"
    results.mkdir()
    monkeypatch.setattr(pages, "RESULTS", results)
    monkeypatch.setattr(pages, "FIGURES", results / "figures")
    monkeypatch.setattr(make, "DOCS", tmp_path)
    (results / "coach.json").write_text('{"values": [1, 2]}')
    (results / "list.json").write_text("[1, 2]")
    return results


def test_without_studies_the_index_says_so(results: Path) -> None:
    assert pages.names() == [] and "No study has been finished yet." in pages.index("make")
    assert not [name for name in make.pages() if name.startswith("studies/")]


def test_an_added_study_is_in_the_index_and_has_a_page(folder: Path, results: Path, facts: dict[str, Any]) -> None:
    figures = results / "figures"
    assert add_study.add(folder) == "pooling" == add_study.add(folder)
    assert pages.names() == ["pooling"]
    (row,) = [line for line in pages.index("make").splitlines() if line.startswith("| [")]
    assert "[`pooling`](studies/pooling.md)" in row and facts["definition"]["question"] in row
    assert facts["result"]["comparisons"][0]["verdict"] in row and "| 23 of 24 |" in row and "Scherer" in row
    assert row.endswith("2026-11-29 |") and row.count("|") == 7
    page = pages.page("make", "pooling")
    assert re.findall(r"!\[[^]]+\]\((\S+)\)", page) == [
        f"../images/studies/pooling-{name}.png" for name in ("arms", "differences", "curves")
    ]
    assert {path.name for path in figures.iterdir()} == {
        f"pooling-{name}.png" for name in ("arms", "differences", "curves")
    }
    assert re.findall(r"(?<!!)\[[^]]+\]\((\S+)\)", page) == ["../studies.md"]  # none to a run


def test_the_script_writes_the_pages(
    folder: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["add_study.py", str(folder)])
    add_study.main()
    assert (tmp_path / "studies" / "pooling.md").read_text() == make.page("studies/pooling.md")
    assert "(studies/pooling.md)" in (tmp_path / "studies.md").read_text()
    monkeypatch.setattr("sys.argv", ["add_study.py", str(results)])
    with pytest.raises(SystemExit, match="no finished study"):
        add_study.main()


def test_a_figure_that_a_study_no_longer_has_is_removed(folder: Path, results: Path) -> None:
    figures = results / "figures"
    add_study.add(folder)
    (figures / "pooling-relu-arms.png").write_bytes(b"of another study")
    (folder / "differences.png").unlink()
    add_study.add(folder)
    assert sorted(path.name for path in figures.iterdir()) == [
        "pooling-arms.png",
        "pooling-curves.png",
        "pooling-relu-arms.png",
    ]


def test_what_is_no_finished_study_is_refused(folder: Path, results: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no finished study"):
        add_study.add(results)
    (folder / "study.json").write_text(json.dumps({key: facts[key] for key in facts if key != "result"}))
    with pytest.raises(ValueError, match="study resume"):
        add_study.add(folder)
    for name, reason in (("coach", "another experiment"), ("a/b", "name of a page")):
        changed = {**facts, "definition": {**facts["definition"], "name": name}}
        (folder / "study.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=reason):
            add_study.add(folder)
    assert pages.names() == []
