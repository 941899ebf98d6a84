"""Executes the notebooks of examples/notebooks and saves them with their outputs.

    python docs/execute_notebooks.py                   (all, in both languages: about fifteen minutes on two CPU cores)
    python docs/execute_notebooks.py --only lenet      (examples/notebooks/en/lenet.ipynb and zh/lenet.ipynb)
    python docs/execute_notebooks.py --only zh/lenet
    python docs/execute_notebooks.py --links           (writes the links and the first cell anew; executes nothing)

Each notebook runs in an empty folder, with the package in src/ and the data in the cache. What is saved depends on the
machine as little as possible: no absolute paths, no times of execution, no progress bars. The picture of the web page
is taken anew if Chromium is installed. Needs the extra `dev`.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbclient
import nbformat
from PIL import Image

from pages import notebooks

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_COLORS = 96  # of a figure; it has few, and a PNG with a palette has a third of the bytes
_COLORS_OF_PAGE = 256
_PNG = re.compile(r"(data:image/png;base64,)([A-Za-z0-9+/=\s]+)")
_NOISE = re.compile(r" at 0x[0-9a-f]+|\x1b\[[0-9;?]*[A-Za-z]")  # addresses and colors in text


def environment(folder: Path) -> dict[str, str]:
    """Variables that make outputs the same on every machine; `folder` is for the settings of IPython and matplotlib."""
    (folder / "matplotlibrc").write_text("svg.hashsalt: classicnets\n", encoding="utf-8")
    source = str(notebooks.ROOT / "src")
    return {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "MPLCONFIGDIR": str(folder),  # a list of fonts that is not older than the fonts
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "NO_COLOR": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        "SOURCE_DATE_EPOCH": "0",  # the date in an SVG
        "TERM": "dumb",  # no progress bars
    }


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """While open, the variables of this process, which kernels inherit, have other values."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def read(path: Path) -> Any:
    """The notebook in a file, with its links and its first cell as they have to be."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "links" in notebooks.tags(cell):
            cell.source = notebooks.links(path)
        elif "setup" in notebooks.tags(cell):
            cell.source = notebooks.setup()
    return notebook


def execute(notebook: Any, folder: Path) -> None:
    """Executes a notebook in `folder`.

    Raises:
        CellExecutionError: A cell fails that is not tagged `raises-exception`.
    """
    client = nbclient.NotebookClient(
        notebook, kernel_name="python3", timeout=None, startup_timeout=600, iopub_timeout=600, record_timing=False
    )
    client.execute(cwd=str(folder))


def clean(notebook: Any, name: str) -> None:
    """Removes what differs from one execution to the next, and makes images smaller."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"{name}-{number:02}".replace("_", "-")
        cell.metadata = nbformat.from_dict({"tags": tags} if (tags := notebooks.tags(cell)) else {})
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
            for output in cell.outputs:
                output.pop("transient", None)
                if "data" in output:
                    output.metadata = nbformat.from_dict({})
                    output.data = nbformat.from_dict(_smaller(output.data))


def take_picture(notebook: Any, site: Path, language: str) -> None:
    """Replaces the attached picture of a web page by one of the page in the folder `site`; needs Chromium."""
    from playwright.sync_api import sync_playwright

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            """Log nothing."""

    (cell,) = (cell for cell in notebook.cells if "page.png" in cell.get("attachments", {}))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": 1280, "height": 860}, locale={"en": "en-US", "zh": "zh-CN"}[language]
        )
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.locator(".layer canvas").nth(5).wait_for()
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(3000)  # until the small images are drawn
        png = page.screenshot()
        browser.close()
    server.shutdown()
    cell.attachments["page.png"]["image/png"] = _palette(base64.b64encode(png).decode(), _COLORS_OF_PAGE)


def write(notebook: Any, path: Path) -> None:
    """Saves a notebook."""
    path.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")


def _merged(outputs: list[Any]) -> list[Any]:
    """The outputs with consecutive pieces of one stream put together, and without colors."""
    merged: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = _as_shown(output.text)
        elif output.output_type == "error":
            output.traceback = [_NOISE.sub("", line) for line in output.traceback]
    return merged


def _as_shown(text: str) -> str:
    """What remains of a text on a terminal: the last state of a line that is overwritten, nothing of an erased line."""
    text = re.sub(r"\x1b\[\?25[lh]", "", text).replace("\r\n", "\n")
    text = re.sub(r"[^\n]*\n\r?\x1b\[1A(?:\r?\x1b\[2K)", "", re.sub(r"[^\n\r]*\r\x1b\[2K", "", text))
    return _NOISE.sub("", text)


def _smaller(data: Mapping[str, Any]) -> dict[str, Any]:
    """The forms of an output, with PNG images of few colors."""
    smaller = dict(data)
    if "image/png" in smaller:
        smaller["image/png"] = _palette(smaller["image/png"])
    if "text/html" in smaller:
        smaller["text/html"] = _PNG.sub(lambda match: match[1] + _palette(match[2]), smaller["text/html"])
    if "text/plain" in smaller:
        smaller["text/plain"] = _NOISE.sub("", smaller["text/plain"])
    return smaller


def _palette(png: str, colors: int = _COLORS) -> str:
    """A PNG in base64 with a palette, if that is smaller."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        image.convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    smaller = base64.b64encode(buffer.getvalue()).decode()
    return min(png, smaller, key=len)


def chosen(only: str | None) -> list[Path]:
    """The notebooks with a name, in both languages, or in one: "lenet" or "zh/lenet"."""
    return [path for path in notebooks.paths() if only in (None, path.stem, f"{path.parent.name}/{path.stem}")]


def list_fonts() -> None:
    """Let matplotlib list the fonts, which takes seconds and is reported in the first cell that draws otherwise."""
    subprocess.run([sys.executable, "-c", "from matplotlib import font_manager"], check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    """Executes the notebooks and prints the running time of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", help="execute one notebook, such as lenet or zh/lenet")
    parser.add_argument("--links", action="store_true", help="write links and first cells anew, without executing")
    args = parser.parse_args()
    if not (found := chosen(args.only)):
        parser.error(f"there is no notebook {args.only}; there are {', '.join(sorted({p.stem for p in chosen(None)}))}")
    for path in found:
        notebook, start = read(path), time.monotonic()
        if not args.links:
            with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as settings:
                with variables(environment(Path(settings))):
                    list_fonts()
                    execute(notebook, Path(folder))
                if (Path(folder) / "site").is_dir() and shutil.which("chromium"):
                    take_picture(notebook, Path(folder) / "site", path.parent.name)
            clean(notebook, path.stem)
        write(notebook, path)
        print(f"{path.relative_to(notebooks.ROOT)}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
