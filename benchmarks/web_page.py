"""The page of `export --format web` in Chromium: when it is ready, and how soon it answers.

    python benchmarks/web_page.py                        (two minutes, with the training of two networks)

ready       from the request to a page that has run its network once, from a server on this machine, without a cache;
            it is when the page says so, to which the browser adds the time to paint
pen stroke  from an event of the pen to the bars of the answer and the visible maps of the layers, while drawing
image       from the choice of a test image to its answer, with the maps of a window that shows the layers

The networks are trained for one epoch on 2,000 images of Fashion-MNIST; times do not depend on the weights. Needs
Chromium and the package playwright.
"""

from __future__ import annotations

import functools
import http.server
import importlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import classicnets as cn
from timing import Row, arguments, conditions, skip, write

NETS = ("lenet_d2l", "alexnet_28")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
WINDOW = {"width": 1440, "height": 900}
READY = """new MutationObserver(() => {
  if (document.body?.dataset.ready && !window.readyAt) window.readyAt = performance.now();
}).observe(document, { subtree: true, attributes: true, childList: true });"""
# one measurement: the time from an event to the end of the run of the network that it causes
TIMES = """
window.answered = () => new Promise((done) => {
  const observer = new MutationObserver(() => { observer.disconnect(); done(performance.now()); });
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-runs"] });
});
window.pause = () => new Promise((done) => setTimeout(done, 30));
window.drawing = async (count) => {
  const pad = document.getElementById("drawing"), box = pad.getBoundingClientRect(), times = [];
  const pen = (type, i) => pad.dispatchEvent(new PointerEvent(type, {
    bubbles: true, isPrimary: true, pointerId: 1, pointerType: "pen", button: 0, buttons: 1,
    clientX: box.left + box.width * (0.2 + 0.6 * i / count), clientY: box.top + box.height * (0.3 + 0.4 * i / count),
  }));
  document.getElementById("clear").click();
  pen("pointerdown", 0);
  await pause();
  for (let i = 1; i <= count; i++) {
    const end = answered(), start = performance.now();
    pen("pointermove", i);
    times.push((await end) - start);
    await pause();
  }
  pen("pointerup", count);
  return times;
};
window.choosing = async (count) => {
  document.querySelector(".strip-frame").scrollIntoView();
  await pause(); await pause(); await pause();
  const buttons = document.querySelectorAll("#example-list button"), times = [];
  for (let i = 0; i <= count; i++) {
    const end = answered(), start = performance.now();
    buttons[i % buttons.length].click();
    times.push((await end) - start);
    await pause();
  }
  return times.slice(1);
};
"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of the folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def measure(browser: Any, address: str, net: str, pairs: int) -> list[Row]:
    """The rows of one network."""
    ready = []
    for _ in range(pairs + 1):
        context = browser.new_context(viewport=WINDOW)
        context.add_init_script(READY)
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready=true]")
        ready.append(page.evaluate("window.readyAt") / 1000)
        if len(ready) <= pairs:
            context.close()
    page.evaluate(TIMES)
    times = {
        "pen stroke to bars and visible maps": page.evaluate("drawing(50)"),
        "test image to answer, the layers in view": page.evaluate("choosing(50)"),
    }
    context.close()
    targets = {"lenet_d2l": 0.01, "alexnet_28": 0.05}
    rows = [Row(what=f"web page of `{net}`", ours="ready", values=ready[1:], unit="s", reach=1.5, less_is_better=True)]
    rows += [
        Row(
            what=f"web page of `{net}`",
            ours=name,
            values=[t / 1000 for t in values],
            unit="s",
            reach=targets[net],
            less_is_better=True,
        )
        for name, values in times.items()
    ]
    return rows


def main() -> None:
    parser = arguments(__doc__, name="web_page", pairs=7)
    parser.add_argument("--chromium", default=shutil.which("chromium"), metavar="PATH")
    args = parser.parse_args()
    try:
        playwright_api: Any = importlib.import_module("playwright.sync_api")
    except ImportError:
        sys.exit(skip("playwright", "pip install playwright"))
    if args.chromium is None:
        sys.exit(skip("Chromium", "--chromium PATH"))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="web-page-") as name, playwright_api.sync_playwright() as playwright:
        folder = Path(name)
        for net in NETS:
            run = cn.train(net, recipe="fast", epochs=1, limit=2000, runs=folder / "runs", quiet=True)
            run.export(folder / net, format="web")
        browser = playwright.chromium.launch(executable_path=args.chromium, args=FLAGS)
        before = conditions()
        with served(folder) as address:
            for net in NETS:
                rows += measure(browser, f"{address}/{net}/", net, args.pairs)
        browser_version = browser.version
        browser.close()
    print(f"Chromium {browser_version}")
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
