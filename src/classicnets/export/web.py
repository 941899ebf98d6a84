"""Writes a web page that shows networks: the built page of this package, site.json, and images of the data.

The page is built from the folder web/ of the repository; all that it knows of a network is in site.json.
"""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from classicnets import __version__, schema
from classicnets.errors import CheckFailed, MachineError, UsageError
from classicnets.export.folders import reason_to_keep
from classicnets.export.source import ExportSource
from classicnets.images.decode import fit_images
from classicnets.inspection.shapes import Table
from classicnets.runs import formats
from classicnets.strict_json import dump
from classicnets.text import _, byte_count, command, join
from classicnets.values import Preprocess

PAGE = Path(__file__).parent / "page"
PAGE_FILES = ("index.html", "page.js", "page.css", "runtime.wasm.gz", "LICENSE-onnxruntime.txt")
SITE = "site.json"
# From localhost, Chromium opens a page of 28 MB in 1.7 s and then answers in 0.2 s; phones download for seconds.
MAX_BYTES = 30_000_000
MAX_SINGLE_FILE_BYTES = 100_000_000  # chosen, too: a browser reads all of it before it shows anything

_MAX_EXAMPLES, _MAX_EXAMPLES_OF_CLASS = 30, 3
_INT8_SHARE = 0.27  # of the bytes in float32: a quarter for the weights, and the scales
_VERSION = 1


@dataclass(frozen=True)
class Example:
    """An image of the test split, as PNG, and its class."""

    png: bytes = field(repr=False)
    name: str


# --- before the export -------------------------------------------------------------------------------------------


def require_page() -> None:
    """Raise MachineError CN403 if the page was not built, as in a copy of the repository without it."""
    missing = [name for name in PAGE_FILES if not (PAGE / name).is_file()]
    if missing:
        raise MachineError(
            "CN403",
            _("the web page is not built"),
            where=str(PAGE),
            why=_("these files are missing: {names}", names=join(missing)),
            hint=(
                _("{command}   # installs a release, which has the page", command="pip install --upgrade classicnets"),
                _("{command}   # builds it in a copy of the repository", command="make web"),
            ),
        )


def check_size(net: nn.Module, preprocess: Preprocess, table: Table, *, as_int8: bool) -> None:
    """Raise CheckFailed CN107 if a network is too large for a web page: its weights, or its layer outputs."""
    size = sum(4 * tensor.numel() for tensor in (*net.parameters(), *net.buffers()))
    if as_int8:
        size = round(size * _INT8_SHARE)
    if size > MAX_BYTES:
        small_enough = not as_int8 and size * _INT8_SHARE <= MAX_BYTES
        other_format = _("{option}   # a file without a page", option="--format onnx")
        raise CheckFailed(
            "CN107",
            _("the network is too large for a web page"),
            where=_("its file has about {size}", size=byte_count(size)),
            why=_("a page may have {limit}, because phones download it and keep it in memory", limit=_limit()),
            hint=("--int8", other_format) if small_enough else other_format,
        )
    outputs = preprocess.views * sum(row.activation_bytes for row in table.rows)
    if outputs > MAX_BYTES:
        raise CheckFailed(
            "CN107",
            _("the outputs of the layers are too large for a web page"),
            where=_("for one image, they have {size}", size=byte_count(outputs)),
            why=_("a page may have {limit}, because phones keep them in memory", limit=_limit()),
            hint=_("{option}   # a file without a page", option="--format onnx"),
        )


def _limit() -> str:
    return byte_count(MAX_BYTES)


def check_replaceable(path: Path) -> None:
    """Check that nothing is lost if a page is written to `path`.

    Raises:
        UsageError: CN206 if there is a file, or a folder with other files than those of a page.
    """
    if why := reason_to_keep(path, _own_files):
        raise _not_ours(path, why)


def check_replaceable_file(path: Path) -> None:
    """Check that nothing is lost if a page in one file is written to `path`. Raises UsageError CN206."""
    try:
        if path.is_file() and _mark(f"{SITE}.gz") not in path.read_bytes():
            raise _not_ours(path, _("it is a file of something else"))
    except OSError:  # whether the file can be written is checked elsewhere
        return


def _own_files(path: Path) -> set[str]:
    """The files of a page that is in the folder `path`; none if there is no page."""
    try:
        facts = schema.read((path / SITE).read_bytes(), formats.SITE)
    except (OSError, ValueError):
        return set()
    return {SITE, *facts["files"]}


def _not_ours(path: Path, why: str) -> UsageError:
    return UsageError(
        "CN206",
        _("{name} exists, and is no page that classicnets has written", name=path.name),
        where=str(path),
        why=why,
        hint=command("-o", path.with_name(f"{path.stem}-page{path.suffix}")),
    )


def examples(sources: Sequence[ExportSource]) -> list[Example]:
    """Return some test images of each class, as the network reads them before it normalizes them.

    Args:
        sources: the runs; the images are those of the run with data that reads the largest ones.
    """
    with_data = [source for source in sources if source.splits is not None]
    if not with_data:
        return []
    source = max(with_data, key=lambda source: (source.preprocess.side, source.preprocess.channels))
    assert source.splits is not None
    test, classes = source.splits.test, source.splits.classes
    count = max(1, min(_MAX_EXAMPLES_OF_CLASS, _MAX_EXAMPLES // len(classes)))
    chosen = [i for label in range(len(classes)) for i in np.flatnonzero(test.labels == label)[:count]]
    return [
        Example(_png(fit_images(test.images[i : i + 1], source.preprocess)[0]), classes[test.labels[i]])
        for i in chosen[:_MAX_EXAMPLES]
    ]


def _png(image: np.ndarray) -> bytes:
    """An image uint8 [1 or 3, H, W] as PNG."""
    content = io.BytesIO()
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(content, "PNG", optimize=True)
    return content.getvalue()


# --- the files ---------------------------------------------------------------------------------------------------


def write_page(folder: Path, networks: Sequence[dict[str, Any]], images: Sequence[Example] = ()) -> None:
    """Add the page, the images and site.json, with what it says of networks, to their folder. Raises OSError."""
    for name in PAGE_FILES:
        (folder / name).write_bytes((PAGE / name).read_bytes())
    if images:
        (folder / "examples").mkdir()
    entries = []
    for number, example in enumerate(images):
        entries.append({"file": f"examples/{number}.png", "class": example.name})
        (folder / entries[-1]["file"]).write_bytes(example.png)
    site = {
        "version": _VERSION,
        "classicnets": __version__,
        "files": sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()),
        "examples": entries,
        "networks": [*networks],
    }
    (folder / SITE).write_text(dump(site, ascii=False), encoding="utf-8")


def single_file(folder: Path) -> bytes:
    """Return the page in a folder as one HTML file.

    Script and style are in the document, and every other file is the text of an element, in base64 of gzip.

    Raises:
        CheckFailed: CN107 if the file is too large for browsers.
    """
    html, script, style = ((folder / name).read_text("utf-8") for name in ("index.html", "page.js", "page.css"))
    html, style_count = _STYLE.subn(lambda _match: f"<style>{style}</style>", html)
    html, script_count = _SCRIPT.subn("", html)
    if style_count != 1 or script_count != 1:
        raise ValueError("index.html must load page.css and page.js once")
    others = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.name not in _INLINE]
    elements = [_element(file.relative_to(folder).as_posix(), file.read_bytes()) for file in others]
    elements.append(f"<script>{_in_script(script)}</script>".encode())
    before, end, after = html.rpartition("</body>")
    parts = (before, end, after) if end else (html, "", "")
    content = b"\n".join([parts[0].encode(), *elements, (parts[1] + parts[2]).encode()])
    if len(content) > MAX_SINGLE_FILE_BYTES:
        limit = byte_count(MAX_SINGLE_FILE_BYTES)
        raise CheckFailed(
            "CN107",
            _("the web page is too large for one file"),
            where=_("it would have {size}", size=byte_count(len(content))),
            why=_("it may have {limit}, because a browser reads all of it first", limit=limit),
            hint=_("without {option}", option="--single-file"),
        )
    return content


_INLINE = {"index.html", "page.js", "page.css"}
_STYLE = re.compile(r'<link\b[^>]*\bhref="(?:\./)?page\.css"[^>]*>')
_SCRIPT = re.compile(r'<script\b[^>]*\bsrc="(?:\./)?page\.js"[^>]*>\s*</script>')
_STORED = {".gz", ".png"}  # compressed already


def _element(name: str, content: bytes) -> bytes:
    """A file as an element of the document."""
    if Path(name).suffix not in _STORED:
        name, content = f"{name}.gz", gzip.compress(content, mtime=0)
    return b"".join([b'<script type="text/plain" ', _mark(name), b">", base64.b64encode(content), b"</script>"])


def _mark(name: str) -> bytes:
    """The attribute by which the page finds a file."""
    return f'data-file="{name}"'.encode()


def _in_script(code: str) -> str:
    """Code without what would end or comment out the element that it is in; in strings, the escape means the same."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", code, flags=re.IGNORECASE)
