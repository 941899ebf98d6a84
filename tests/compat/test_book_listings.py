"""Every cell of the book's chapters up to densenet, from listings of our own with its names and shapes.

A listing is one section: cells begin with `# %%`. A cell that needs what classicnets does not bring is empty and says
so; the last one, `# %% check`, asserts what the section establishes, with `printed()` for what has been printed.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from classicnets.compat import d2l
from classicnets.images import loading
from support.idx import make_idx_folder

FOLDER = Path(__file__).parent / "listings"
LISTINGS = sorted(FOLDER.glob("*/*.py"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.stem)])
LOAD = loading.load
LARGE = ("alexnet", "vgg", "nin", "googlenet", "resnet", "densenet")  # trained on four images
PAGES = ["d2l.md", "d2l.zh-CN.md"]
# cells of the sections in the books' sources, for PyTorch
BOOK_CELLS = {
    "zh": "3_1:7 3_2:14 3_3:11 3_5:11 3_6:20 3_7:6 4_1:7 4_2:8 4_3:4 4_4:9 4_5:10 4_6:7 4_8:2 4_10:20 6_2:10 6_3:4"
    " 6_4:9 6_5:10 6_6:6 7_1:4 7_2:6 7_3:4 7_4:8 7_5:7 7_6:9 7_7:9",
    "en": "3_1:6 3_2:11 3_3:10 3_4:10 3_5:7 3_7:9 4_2:10 4_3:4 4_4:12 4_5:4 5_1:7 5_2:7 5_4:3 5_6:7 5_7:12 7_2:10 7_3:5"
    " 7_4:8 7_5:10 7_6:5 8_1:4 8_2:5 8_3:5 8_4:10 8_5:8 8_6:12 8_7:9",
}


class Cell(NamedTuple):
    title: str
    code: str


def cells(path: Path) -> list[Cell]:
    _, *parts = re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.M)
    return [Cell(title.strip(), "\n" + code) for title, _, code in (part.partition("\n") for part in parts)]


def counts(path: Path) -> tuple[int, int]:
    """How many cells of the section run, and how many it has."""
    titles = [cell.title for cell in cells(path) if cell.title != "check"]
    return titles.count(""), len(titles)


def section(path: Path) -> str:
    return "_".join(re.findall(r"\d+", path.stem))


@pytest.fixture(autouse=True)
def classes_are_restored() -> Iterator[None]:
    """The English listings add methods to the classes of the package."""
    classes = [
        value for name in d2l.__all__ if isinstance(value := getattr(d2l, name), type) and "compat" in value.__module__
    ]
    saved = [dict(vars(c)) for c in classes]
    torch.set_warn_always(True)  # otherwise only the first listing of a process would get a warning
    yield
    torch.set_warn_always(False)
    plt.close("all")
    for c, members in zip(classes, saved, strict=True):
        for name in vars(c).keys() - members.keys():
            delattr(c, name)
        for name, value in members.items():
            if vars(c).get(name) is not value:
                setattr(c, name, value)


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four training and two test images."""
    return make_idx_folder(tmp_path_factory.mktemp("few"), train=4, test=2)


@pytest.mark.parametrize("path", LISTINGS, ids=[f"{path.parent.name}-{path.stem}" for path in LISTINGS])
def test_every_cell_of_the_section_runs(
    path: Path, blobs: Path, few: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = str(few if path.stem.endswith(LARGE) else blobs)
    monkeypatch.setattr(loading, "load", lambda name: LOAD(data))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    np.random.seed(0)
    output = io.StringIO()
    names: dict[str, Any] = {"__name__": "__main__", "printed": output.getvalue}
    line = 0
    for cell in cells(path):
        with contextlib.redirect_stdout(output):
            exec(compile("\n" * line + cell.code, str(path), "exec"), names)
        line += cell.code.count("\n")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("edition", ["zh", "en"])
def test_listings_have_all_sections_and_cells_of_the_book(edition: str) -> None:
    expected = {name: int(count) for name, count in (entry.split(":") for entry in BOOK_CELLS[edition].split())}
    assert {section(path): counts(path)[1] for path in LISTINGS if path.parent.name == edition} == expected
    for path in LISTINGS:
        assert cells(path)[-1].title == "check" and "assert" in cells(path)[-1].code
        assert all(re.fullmatch(r"(|check|not run: needs \w+)", cell.title) for cell in cells(path))
        assert all(not cell.code.strip() for cell in cells(path) if cell.title.startswith("not run"))


@pytest.mark.parametrize("page", PAGES)
def test_page_lists_the_sections(page: str) -> None:
    text = (FOLDER.parents[2] / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^\| (\d+\.\d+) [^|]*\| (\d+) / (\d+) \|", text, re.M)
    listed = [(number.replace(".", "_"), int(run), int(all_cells)) for number, run, all_cells in found]
    expected = [
        (section(path), *counts(path)) for edition in ("zh", "en") for path in LISTINGS if path.parent.name == edition
    ]
    assert listed == expected
    totals = [
        tuple(map(sum, zip(*(counts(p) for p in LISTINGS if p.parent.name == e), strict=True))) for e in ("zh", "en")
    ]
    assert all(f"{run} / {all_cells}" in text for run, all_cells in totals)
