"""The page of examples/browser: its functions, run by node, read and prepare what Python reads and prepares."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classicnets.images.decode import read_fitted
from classicnets.values import Preprocess
from images.test_image_mutations import saved
from support.onnx_files import colors_onnx

PAGE = Path(__file__).parents[2] / "examples" / "browser" / "index.html"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="needs node")

SIZES = [(8, 8), (1, 1), (7, 31), (100, 9), (9, 100), (64, 50), (3, 5)]
DRIVER = """
const fs = require("fs"), lines = JSON.parse(fs.readFileSync(0, "utf8"));
const results = lines.map((line) => {
  try {
    if (line.file) return readFacts(new Uint8Array(fs.readFileSync(line.file)));
    if (line.probabilities) return answerOf(line.probabilities, line.facts);
    const rgba = line.rgba ? Uint8Array.from(line.rgba) : new Uint8Array(4 * line.width * line.height).fill(255);
    return Array.from(preparePixels(rgba, line.width, line.height, line.preprocess));
  } catch (error) { return error.message; }
});
console.log(JSON.stringify(results));
"""


def functions() -> str:
    """The functions of the page that are to be copied."""
    script = PAGE.read_text(encoding="utf-8").split("// --- functions to copy")[1].split("// --- this page")[0]
    return "//" + script


def by_node(lines: list[dict[str, Any]]) -> list[Any]:
    process = subprocess.run(
        [str(NODE), "-e", functions() + DRIVER], input=json.dumps(lines), capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    results: list[Any] = json.loads(process.stdout)
    return results


def test_prepares_images_as_python_does_bit_for_bit() -> None:
    """Also images with transparent parts, which show the background of the file."""
    random, lines, expected = np.random.default_rng(0), [], []
    for fit, background in (("stretch", "#ff8000"), ("crop", "#12abef"), ("letterbox", "#ffffff")):
        for channels in (1, 3):
            for pad, resize in ((0, None), (2, None), (1, 9)):
                preprocess = Preprocess(
                    channels=channels, image_size=8, pad=pad, resize=resize, fit=fit, background=background
                )
                for height, width in SIZES:
                    rgba = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
                    rgba[..., 3] = np.where(rgba[..., 3] < 128, 255, rgba[..., 3])  # half of the pixels are opaque
                    values = {"rgba": rgba.ravel().tolist(), "width": width, "height": height}
                    lines.append(values | {"preprocess": preprocess.to_dict()})
                    planes = read_fitted(io.BytesIO(saved(Image.fromarray(rgba), "PNG")), preprocess)
                    color = np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0)
                    expected.append(color.ravel().tolist())
    assert by_node(lines) == expected


def test_a_long_strip_needs_no_square() -> None:
    preprocess = Preprocess(channels=1, image_size=8, fit="letterbox").to_dict()
    lines = [{"width": 200_000, "height": 4, "preprocess": preprocess}]
    lines.append({"width": 4, "height": 200_000, "preprocess": preprocess})
    assert all(len(pixels) == 3 * 8 * 8 for pixels in by_node(lines))


def test_reads_the_metadata_of_a_file(tmp_path: Path) -> None:
    classes = ("red", "grün", "青")
    file = colors_onnx(tmp_path / "x.onnx", classes=classes, min_confidence=0.5)
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:-7])
    other = colors_onnx(tmp_path / "other.onnx", format=None)
    facts, cut, unknown = by_node([{"file": str(path)} for path in (file, tmp_path / "cut.onnx", other)])
    assert facts["classes"] == list(classes) and facts["preprocess"]["image_size"] == 8
    assert cut == "the file is damaged" and unknown == "the file was not exported by classicnets"


def test_answers_unknown_below_the_smallest_confidence() -> None:
    cases: list[tuple[dict[str, float | None], bool]] = [
        ({"min_confidence": 0.6}, True),
        ({"min_confidence": 0.5}, False),
        ({"min_confidence": None}, False),
        ({}, False),
    ]
    names: dict[str, Any] = {"classes": ["a", "b", "c"]}
    lines = [{"probabilities": [0.2, 0.5, 0.3], "facts": names | facts} for facts, _ in cases]
    answers = by_node(lines)
    assert [answer["rejected"] for answer in answers] == [rejected for _, rejected in cases]
    assert [entry["name"] for entry in answers[0]["classes"]] == ["b", "c", "a"]
