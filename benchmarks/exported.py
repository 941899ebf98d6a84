"""Exported files: photos that are shrunk before the graph, and the graph against that of an earlier version.

    python benchmarks/exported.py                           (two minutes on 2 quiet cores)
    python benchmarks/exported.py --parts photo --pairs 3

photo   a JPEG of 24 megapixels: `load(FILE).predict`, which decodes it at a fraction of its size and resizes it before
        the graph sees it, against decoding all of it and letting the graph resize it.
graph   onnxruntime's session with the file of today against the same network exported by --before, the last commit
        whose graph padded an image to a square and therefore needed memory for its longer side, twice. Images that have
        the size of the network, and larger ones.

The network is `lenet_d2l` with its initial weights; the time does not depend on them. Earlier code is taken from git.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classicnets.evaluation.onnx import INPUT, OUTPUT, OnnxClassifier
from classicnets.export import onnx
from classicnets.models.registry import NETS
from classicnets.values import Preprocess
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, skip, write

PARTS = ("photo", "graph")
NET, CLASSES = "lenet_d2l", 10
BEFORE = "3d4de0e"
PHOTO = (6000, 4000)  # width and height in pixels
SIZES = ((28, 28, 500), (500, 375, 20), (2000, 1500, 1))  # width, height, calls for each reading
ROOT = Path(__file__).parents[1]


def write_file(path: Path, fit: str) -> Path:
    """Export the network for images that are fitted this way; runs with earlier versions of the package, too."""
    preprocess = Preprocess(channels=1, image_size=28, fit=fit)
    facts: dict[str, Any] = {"format": 1, "classes": [str(i) for i in range(CLASSES)], "net": NET, "data_name": "none"}
    facts |= {"preprocess": preprocess.to_dict(), "int8": False, "licence": "none", "macs": NETS[NET].macs}
    facts |= {"test_accuracy": None, "test_pictures": 0}
    network = onnx.export_network(NETS[NET].load()(CLASSES, 1, 28).eval(), preprocess)
    path.write_bytes(onnx.assemble(network, preprocess, CLASSES, facts))
    return path


def write_earlier_file(commit: str, path: Path, fit: str) -> Path | None:
    """The same by the code of a commit; None without git or the commit."""
    with tempfile.TemporaryDirectory(prefix="exported-") as folder:
        try:
            archive = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([f"{folder}/src", str(Path(__file__).parent)])}
        code = f"from pathlib import Path; import exported; exported.write_file(Path({str(path)!r}), {fit!r})"
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return path


def make_photo(path: Path) -> Path:
    """A JPEG of 24 megapixels with structure of every size, the same each time."""
    random = np.random.default_rng(0)
    total = np.zeros((PHOTO[1], PHOTO[0], 3), np.float32)
    for size in (6, 60, 600):
        noise = Image.fromarray(random.integers(0, 256, (size * 2 // 3, size, 3), dtype=np.uint8))
        total += np.asarray(noise.resize(PHOTO, Image.Resampling.BICUBIC), np.float32)
    Image.fromarray((total / 3).astype(np.uint8)).save(path, quality=90)
    return path


def session_of(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Answers of the file in onnxruntime, as `load` opens it, for uint8 [N, H, W, 3]."""
    session = OnnxClassifier(path, trust=True).session

    def answer(pixels: np.ndarray) -> np.ndarray:
        probabilities: np.ndarray = session.run([OUTPUT], {INPUT: pixels})[0]
        return probabilities

    return answer


def photo(folder: Path, pairs: int) -> list[Row]:
    """A photo from its file to the classes, shrunk before the graph and in it."""
    from classicnets.api.models import load

    jpeg, rows = make_photo(folder / "photo.jpg"), []
    for fit in ("crop", "letterbox"):
        file = write_file(folder / f"{fit}.onnx", fit)
        model, answer = load(file), session_of(file)

        def whole(answer: Callable[[np.ndarray], np.ndarray] = answer) -> np.ndarray:
            with Image.open(jpeg) as image:
                return answer(np.asarray(image.convert("RGB"))[None])

        (prediction,) = model.predict(jpeg, top=CLASSES)
        ours = [dict(zip(prediction.classes, prediction.probabilities, strict=True))[name] for name in model.classes]
        readings = pair_by_pair(clock(lambda: model.predict(jpeg)), clock(whole), pairs=pairs)  # noqa: B023
        rows.append(
            compared(
                readings,
                what=f"prediction of a JPEG file of 24 megapixels by an exported file, `fit={fit}`",
                ours="`load(FILE).predict(PHOTO)`, shrunk while it is decoded, then resized",
                theirs="decoded by Pillow, resized in the graph of the same file",
                facts={"largest_difference": float(np.abs(np.array(ours) - whole()[0]).max())},
            )
        )
    return rows


def graph(folder: Path, pairs: int, commit: str) -> tuple[list[Row], list[str]]:
    """The file of today and the earlier one, for images of several sizes; and what was skipped."""
    rows, fit = [], "letterbox"
    earlier_file = write_earlier_file(commit, folder / "earlier.onnx", fit)
    if earlier_file is None:
        return [], [skip(f"the graph of {commit}", "needs the git repository with this commit")]
    today, earlier = session_of(write_file(folder / "today.onnx", fit)), session_of(earlier_file)
    for width, height, calls in SIZES:
        pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        readings = pair_by_pair(
            clock(lambda: today(pixels), calls),  # noqa: B023
            clock(lambda: earlier(pixels), calls),  # noqa: B023
            pairs=pairs,
        )
        rows.append(
            compared(
                readings,
                what=f"one image of {width}x{height} pixels by an exported file, `fit={fit}`",
                ours="onnxruntime's session with the file of today",
                theirs=f"with the file of commit {commit}, whose graph pads the image to a square",
            )
        )
    return rows, []


def main() -> None:
    parser = arguments(__doc__, name="exported", pairs=11)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--before", default=BEFORE, metavar="COMMIT", help=f"earlier version (default: {BEFORE})")
    args = parser.parse_args()
    before = conditions()
    rows: list[Row] = []
    skipped: list[str] = []
    with tempfile.TemporaryDirectory(prefix="exported-") as folder:
        if "photo" in args.parts:
            rows += photo(Path(folder), args.pairs)
        if "graph" in args.parts:
            compared_rows, skipped = graph(Path(folder), args.pairs, args.before)
            rows += compared_rows
    write(args.out, rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
