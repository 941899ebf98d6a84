"""The notebooks of examples/notebooks: every cell runs, both languages have the same code, outputs are there."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

import execute_notebooks
from pages import notebooks
from support.glossary import AVOIDED
from support.typed import present

PATHS = notebooks.paths()
IDS = [f"{path.parent.name}-{path.stem}" for path in PATHS]
NAMES = sorted({path.stem for path in PATHS})
MAX_BYTES = 400_000
# What the cell `parameters` of each notebook is replaced by.
SMALL = {
    "alexnet": "limit = 64\nepochs = 1\ntimed_images = 1",
    "lenet": "num_epochs = 1\nbatch_size = 64\nlr = 0.1",
    "lrn": "channels = 3\nn, k, alpha, beta = 5, 2.0, 1e-4, 0.75",
    "own_images": 'folder = "shapes"\nimages_per_class = 20\nepochs = 1\nimage_size = 16',
    "page": "epochs = 1\nlimit = 64",
    "study": "seeds = 3\nlimit = 200\nepochs = 4",
    "why_6400": "image_size = 224",
}
# Before the first cell: Fashion-MNIST is a small data set. The networks of the notebooks are tested elsewhere.
SMALL_DATA = """
import torch
from classicnets.images import loading
torch.set_num_threads(1)
def load(name, *arguments, full=loading.load, **options):
    return full({folder!r} if name == "fashion_mnist" else name, *arguments, **options)
loading.load = load
"""
NEXT = """
%reset -f
import os
os.makedirs({name!r})
os.chdir({name!r})
"""


def cells(path: Path, tag: str = "", kind: str = "code") -> list[dict[str, Any]]:
    """The cells of a kind, or those of them with a tag."""
    found = [cell for cell in notebooks.read(path)["cells"] if cell["cell_type"] == kind]
    return [cell for cell in found if not tag or tag in notebooks.tags(cell)]


def python_of(cell: dict[str, Any]) -> str:
    """The code of a cell without the commands of IPython."""
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", notebooks.source_of(cell), flags=re.MULTILINE)


def without_texts(cell: dict[str, Any]) -> str:
    """The code of a cell without comments and strings, which differ between the languages."""
    tree = ast.parse(python_of(cell))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.dump(tree)


def names_assigned(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def has_edition(path: Path) -> bool:
    """Whether a notebook has code of one edition of the book."""
    return bool(cells(path, "edition"))


@pytest.mark.slow
@pytest.mark.parametrize("language", notebooks.LANGUAGES)
def test_every_cell_runs(language: str, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebooks of a language in one kernel, one after the other, in folders of their own.

    Of the Chinese ones, those with code of their own: the others have that of the English ones.
    """
    for name, value in execute_notebooks.environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    whole = [nbformat.v4.new_code_cell(SMALL_DATA.format(folder=str(blobs)))]
    places = ["first"]
    for path in (path for path in PATHS if path.parent.name == language and (language == "en" or has_edition(path))):
        whole.append(nbformat.v4.new_code_cell(NEXT.format(name=str(tmp_path / path.stem))))
        places.append(f"before {path.stem}")
        for number, cell in enumerate(cells(path)):
            source = SMALL[path.stem] if "parameters" in notebooks.tags(cell) else notebooks.source_of(cell)
            whole.append(nbformat.v4.new_code_cell(source, metadata={"tags": [*notebooks.tags(cell)]}))
            places.append(f"{path.stem}, code cell {number}")
    book = nbformat.v4.new_notebook(cells=whole)
    execute_notebooks.execute(book, tmp_path)
    for place, cell in zip(places, book.cells, strict=True):
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(failed) == ("raises-exception" in notebooks.tags(cell)), place
        assert all(output.ename == "UsageError" for output in failed), place


def test_both_languages_have_the_same_notebooks() -> None:
    assert {f"{language}/{name}.ipynb" for language in notebooks.LANGUAGES for name in SMALL} == {
        path.relative_to(notebooks.FOLDER).as_posix() for path in notebooks.FOLDER.rglob("*.ipynb")
    }


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_cells_and_code(name: str) -> None:
    english, chinese = (notebooks.read(notebooks.FOLDER / folder / f"{name}.ipynb")["cells"] for folder in ("en", "zh"))
    kinds = [[(cell["cell_type"], notebooks.tags(cell)) for cell in both] for both in (english, chinese)]
    assert kinds[0] == kinds[1]
    for left, right in zip(english, chinese, strict=True):
        # an edition has its own code, and its own values of the parameters
        if left["cell_type"] == "code" and not {"edition", "parameters"} & {*notebooks.tags(left)}:
            assert without_texts(left) == without_texts(right), notebooks.source_of(right)


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_a_notebook_has_its_parts(path: Path) -> None:
    first, links, setup, _, parameters = notebooks.read(path)["cells"][:5]
    assert notebooks.source_of(first).startswith("# ")
    assert notebooks.tags(links) == ["links"] and notebooks.source_of(links) == notebooks.links(path)
    assert notebooks.tags(setup) == ["setup"] and notebooks.source_of(setup) == notebooks.setup()
    assert notebooks.tags(parameters) == ["parameters"]
    assert names_assigned(notebooks.source_of(parameters)) == names_assigned(SMALL[path.stem])
    languages = re.findall(r'cn\.set_language\("(\w+)"\)', "\n".join(map(notebooks.source_of, cells(path))))
    assert languages == [path.parent.name]


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_links_lead_to_the_repository(path: Path) -> None:
    repository, text = notebooks.repository(), "\n".join(map(notebooks.source_of, cells(path, kind="markdown")))
    place = path.relative_to(notebooks.ROOT).as_posix()
    owner_and_name = repository.removeprefix("https://github.com/")
    assert f"https://colab.research.google.com/github/{owner_and_name}/blob/main/{place})" in text
    assert f"https://mybinder.org/v2/gh/{owner_and_name}/main?labpath={place})" in text
    for target in re.findall(rf"{re.escape(repository)}/blob/main/([^)#\s]+)", text):
        assert (notebooks.ROOT / target).is_file(), target
    addresses = re.findall(r"\]\((?!attachment:)([^)]+)\)", text)
    assert all(address.startswith("https://") for address in addresses)  # others lead nowhere on Colab


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_outputs_are_saved_and_clean(path: Path) -> None:
    notebook = notebooks.read(path)
    assert path.stat().st_size < MAX_BYTES
    nbformat.validate(nbformat.from_dict(notebook))
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    counts = [cell["execution_count"] for cell in cells(path)]
    assert counts == [*range(1, len(counts) + 1)], "executed from the first cell to the last"
    for cell in cells(path):
        failed = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert bool(failed) == ("raises-exception" in notebooks.tags(cell))
        text = json.dumps([{k: v for k, v in output.items() if k != "data"} for output in cell["outputs"]])
        for output in cell["outputs"]:
            text += json.dumps({k: v for k, v in output.get("data", {}).items() if k in ("text/plain", "text/html")})
        assert not re.search(r"Traceback|/(?:tmp|root|home|work|usr|Users)/|\\\\u001b|Warning", text), text[:500]
    assert sum(bool(cell["outputs"]) for cell in cells(path)) >= 3


@pytest.mark.parametrize("path", PATHS, ids=IDS)
def test_a_page_of_the_website_has_text_code_and_images(path: Path) -> None:
    page = notebooks.page(path)
    assert page.text.startswith("# ") and "%pip" not in page.text and "attachment:" not in page.text
    assert "base64" not in page.text
    for name, content in page.images.items():
        assert name in page.text
        assert content.startswith((b"\x89PNG", b"<?xml", b"<svg", b"\xff\xd8")), name


def test_binder_installs_the_package_from_the_repository() -> None:
    lines = (notebooks.ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    extras = present(re.search(r"classicnets\[(.+?)\]", notebooks.setup()))[1]
    assert f".[{extras}]" in lines


def test_chosen_notebooks() -> None:
    assert [path.parent.name for path in execute_notebooks.chosen("lenet")] == ["en", "zh"]
    assert execute_notebooks.chosen("zh/lenet") == [notebooks.FOLDER / "zh" / "lenet.ipynb"]
    assert execute_notebooks.chosen("lenet5") == []


def test_cleaning_merges_output_and_removes_what_differs() -> None:
    cell = nbformat.v4.new_code_cell("1")
    stream = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("a\n", "\x1b[1mb\x1b[0m\n")]
    shown = nbformat.v4.new_output("display_data", data={"text/plain": "<Figure at 0x7f00>"}, metadata={"needs": 1})
    cell.outputs, cell.metadata = [*stream, shown], {"tags": ["x"], "execution": {"iopub.status.idle": "now"}}
    book = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.11"}})
    execute_notebooks.clean(book, "a_b")
    (cell,) = book.cells
    assert cell.id == "a-b-01" and cell.metadata == {"tags": ["x"]}
    assert [output.get("text") for output in cell.outputs] == ["a\nb\n", None]
    assert cell.outputs[1].data == {"text/plain": "<Figure>"} and cell.outputs[1].metadata == {}
    assert book.metadata.language_info == {"name": "python"}


def test_progress_bars_leave_nothing() -> None:
    cell = nbformat.v4.new_code_cell("1")
    bar = "\x1b[?25l\r\x1b[2Kchecking  50%\r\x1b[2Kchecking 100%\r\n\x1b[?25h\r\x1b[1A\x1b[2Kdone\r\nbye\r\n"
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=bar)]
    book = nbformat.v4.new_notebook(cells=[cell])
    execute_notebooks.clean(book, "name")
    assert book.cells[0].outputs[0].text == "done\nbye\n"


@pytest.mark.parametrize("name", NAMES)
def test_chinese_uses_the_terms_of_the_glossary(name: str) -> None:
    path = notebooks.FOLDER / "zh" / f"{name}.ipynb"
    texts = [notebooks.source_of(cell) for kind in ("markdown", "code") for cell in cells(path, kind=kind)]
    assert sorted(word for word in {*AVOIDED, "您"} if word in "\n".join(texts)) == []


@pytest.mark.parametrize("name", NAMES)
def test_chinese_paragraphs_have_no_line_breaks(name: str) -> None:
    """A line break is shown as a blank."""
    path = notebooks.FOLDER / "zh" / f"{name}.ipynb"
    texts = [notebooks.source_of(cell) for cell in cells(path, kind="markdown")]
    fault = re.compile(r".*[\u4e00-\u9fff，。、；：！？）]\n(?=[^\n\-|#*$]).*")
    assert [found for text in texts for found in fault.findall(text)] == []
