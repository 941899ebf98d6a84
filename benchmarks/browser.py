"""An exported file in Chromium with onnxruntime-web against onnxruntime in Python, on test images of Fashion-MNIST.

    classicnets train lenet_d2l --recipe fast --set epochs=1
    classicnets export runs/lenet_d2l-fashion_mnist-1 --int8 -o int8.onnx
    python benchmarks/browser.py int8.onnx --web node_modules/onnxruntime-web/dist --chromium /usr/bin/chromium

Needs Chromium, the Python package playwright and the npm package onnxruntime-web. The backend is WebAssembly with one
thread. Nothing is timed.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import importlib
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.images import loading
from classicnets.images.decode import fit_images

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PAGE = """<!DOCTYPE html><meta charset="utf-8"><script src="ort.min.js"></script><script>
ort.env.wasm.numThreads = 1;
async function classify(count, side) {
  const read = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
  const pixels = await read("pixels"), size = 3 * side * side, rows = [];
  const session = await ort.InferenceSession.create(await read("model.onnx"), { executionProviders: ["wasm"] });
  for (let i = 0; i < count; i++) {
    const image = new ort.Tensor("uint8", pixels.subarray(i * size, (i + 1) * size), [1, side, side, 3]);
    rows.push(Array.from((await session.run({ pixels: image })).probabilities.data));
  }
  return rows;
}
</script>"""


def by_browser(folder: Path, count: int, side: int, chromium: str) -> tuple[np.ndarray, str]:
    """The probabilities of the file in `folder`, and the versions of browser and runtime."""
    playwright_api: Any = importlib.import_module("playwright.sync_api")

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/index.html")
        rows: Any = page.evaluate(f"classify({count}, {side})")
        versions = f"Chromium {browser.version}, onnxruntime-web {page.evaluate('ort.env.versions.web')}"
        browser.close()
    server.shutdown()
    return np.array(rows, np.float32), versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--web", type=Path, required=True, metavar="FOLDER", help="dist of onnxruntime-web")
    parser.add_argument("--chromium", default=shutil.which("chromium"), metavar="PATH")
    parser.add_argument("--images", type=int, default=200, metavar="N")
    args = parser.parse_args()
    classifier = OnnxClassifier(args.file)
    images = fit_images(loading.load("fashion_mnist").test.images[: args.images], classifier.preprocess)
    color = np.broadcast_to(images, (len(images), 3, *images.shape[2:])).transpose(0, 2, 3, 1)
    with tempfile.TemporaryDirectory(prefix="browser-") as name:
        folder = Path(name)
        for source in (args.web / "ort.min.js", *args.web.glob("ort-wasm-simd-threaded*")):
            shutil.copy(source, folder)
        shutil.copy(args.file, folder / "model.onnx")
        (folder / "index.html").write_text(PAGE, encoding="utf-8")
        (folder / "pixels").write_bytes(np.ascontiguousarray(color).tobytes())
        answers, versions = by_browser(folder, len(images), images.shape[-1], args.chromium)
    expected = np.concatenate([classifier.probabilities(image[None]) for image in images])
    same = int((answers.argmax(1) == expected.argmax(1)).sum())
    difference = np.abs(answers - expected).max()
    print(f"{versions}: {same} of {len(images)} classes agree, probabilities differ by at most {difference:.2g}")


if __name__ == "__main__":
    main()
