"""The notebooks of examples/notebooks as pages of the website: their text, code and outputs, with images as files."""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "notebooks"
LANGUAGES = ("en", "zh")
_HOSTS = {
    "Colab": "https://colab.research.google.com/github/{owner_and_name}/blob/main/{path}",
    "Binder": "https://mybinder.org/v2/gh/{owner_and_name}/main?labpath={path}",
}
_LINKS = {
    "en": ("Open it in {hosts}. 中文版：[{other}]({address}).", " or "),
    "zh": ("在 {hosts} 中打开。英文版：[{other}]({address})。", " 或 "),
}
_FILE = {"en": " File: [{name}]({address}).", "zh": "文件：[{name}]({address})。"}
_IMAGES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_EMBEDDED = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/=\s]+)")
_FORMULA = re.compile(r"^\$\$(.+?)\$\$$", re.MULTILINE | re.DOTALL)
_SYMBOLS = re.compile(r"(?<!\$)\$([^$\n]+)\$(?!\$)")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Page:
    """A page in Markdown, and its images by file name."""

    text: str = ""
    images: dict[str, bytes] = field(default_factory=dict)


@cache
def repository() -> str:
    """The address of the repository, from pyproject.toml."""
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    address: str = facts["project"]["urls"]["Repository"]
    return address.rstrip("/")


def paths() -> list[Path]:
    """All notebooks, the English ones first."""
    return [path for language in LANGUAGES for path in sorted((FOLDER / language).glob("*.ipynb"))]


def links(path: Path) -> str:
    """The line of a notebook with its links: where it can be opened without an installation, and its translation."""
    other = FOLDER / next(language for language in LANGUAGES if language != path.parent.name) / path.name
    text, separator = _LINKS[path.parent.name]
    owner_and_name = repository().removeprefix("https://github.com/")
    hosts = (
        f"[{host}]({address.format(owner_and_name=owner_and_name, path=_place(path))})"
        for host, address in _HOSTS.items()
    )
    return text.format(
        hosts=separator.join(hosts), other=other.name, address=f"{repository()}/blob/main/{_place(other)}"
    )


def setup() -> str:
    """The first code cell of every notebook."""
    return (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("classicnets") is None:\n'
        f'    %pip install -q "classicnets[export,study] @ git+{repository()}"'
    )


def read(path: Path) -> dict[str, Any]:
    """The notebook in a file."""
    notebook: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, which a file may hold as lines."""
    return _joined(cell["source"])


def tags(cell: dict[str, Any]) -> Sequence[str]:
    """The tags of a cell."""
    found: list[str] = cell["metadata"].get("tags", [])
    return found


def page(path: Path) -> Page:
    """The page of a notebook. Its links are those of the notebook; `pages.site` leads them to other pages."""
    made = Page()
    parts: list[str] = []
    for cell in read(path)["cells"]:
        if "setup" in tags(cell):
            continue
        if cell["cell_type"] == "markdown":
            parts.append(_text(cell, made, path.stem))
            if "links" in tags(cell):
                address = f"{repository()}/blob/main/{_place(path)}"
                parts[-1] += _FILE[path.parent.name].format(name=_place(path), address=address)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source_of(cell)}\n```")
            parts += [part for output in cell["outputs"] for part in _output(output, made, path.stem)]
    made.text = "\n\n".join(parts) + "\n"
    return made


def _place(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _text(cell: dict[str, Any], made: Page, name: str) -> str:
    """The text of a cell of Markdown, with its attached images as files."""
    text = source_of(cell)
    for attachment, contents in cell.get("attachments", {}).items():
        ((kind, data),) = contents.items()
        text = text.replace(f"(attachment:{attachment})", f"({_add(made, name, _IMAGES[kind], _bytes(data))})")
    text = _FORMULA.sub(lambda match: f"![{match[1]}]({_add(made, name, 'svg', _drawn(match[1]))})", text)
    return _SYMBOLS.sub(_in_line, text)


def _drawn(formula: str) -> bytes:
    """A formula as SVG, since a website without external resources has no MathJax."""
    from matplotlib import mathtext, rc_context
    from matplotlib.font_manager import FontProperties

    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "classicnets", "mathtext.fontset": "cm"}):
        mathtext.math_to_image(f"${formula}$", buffer, prop=FontProperties(size=16), format="svg")
    return buffer.getvalue()


def _in_line(match: re.Match[str]) -> str:
    """Symbols in a sentence as HTML."""
    text = re.sub(r"_(\w)", r"<sub>\1</sub>", re.sub(r"\^\{(.+?)\}", r"<sup>\1</sup>", match[1]))
    return "<i>" + text.replace(r"\cdot", "·") + "</i>"


def _output(output: dict[str, Any], made: Page, name: str) -> Iterator[str]:
    """An output of a cell: the richest form that it has."""
    if output["output_type"] == "stream":
        yield _plain(_joined(output["text"]))
    elif output["output_type"] == "error":
        yield _plain("\n".join(output["traceback"]))
    else:
        data = {kind: _joined(value) for kind, value in output["data"].items()}
        image = next((kind for kind in _IMAGES if kind in data), None)
        if image:
            content = data[image].encode() if image == "image/svg+xml" else _bytes(data[image])
            yield f"![{_alternative(data)}]({_add(made, name, _IMAGES[image], content)})"
        elif "text/html" in data:
            yield _html(data["text/html"], made, name)
        elif "text/plain" in data:
            yield _plain(data["text/plain"])


def _html(text: str, made: Page, name: str) -> str:
    """HTML as one block of Markdown: without empty lines, and with its images as files."""

    def moved(match: re.Match[str]) -> str:
        return _add(made, name, {"png": "png", "jpeg": "jpg"}[match[1]], _bytes(match[2]))

    return re.sub(r"\n\s*\n", "\n", f'<div class="notebook-output">\n{_EMBEDDED.sub(moved, text).strip()}\n</div>')


def _plain(text: str) -> str:
    """Text as a block of code that looks like an output."""
    return f"```text\n{_ANSI.sub('', text).rstrip()}\n```"


def _alternative(data: dict[str, str]) -> str:
    """The text for readers who do not see the image."""
    text = data.get("text/plain", "")
    return "figure" if text.startswith("<") or not text else text.replace("[", "(").replace("]", ")").replace("\n", " ")


def _add(made: Page, name: str, suffix: str, content: bytes) -> str:
    """Adds an image to the page and returns the name of its file."""
    file = f"{name}-{len(made.images) + 1}.{suffix}"
    made.images[file] = content
    return file


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=False)
    except binascii.Error as error:
        raise ValueError("an image in a notebook is damaged") from error
