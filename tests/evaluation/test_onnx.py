"""Classification with an exported .onnx file, and errors for files that are not valid."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classicnets.errors import DataError, MachineError
from classicnets.evaluation import onnx
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.values import Preprocess
from support.onnx_files import colors_onnx, expected


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_probabilities_do_not_depend_on_the_batch_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pixels(23, 3, 8, 8)
    classifier = OnnxClassifier(colors_onnx(tmp_path / "x.onnx"))
    probabilities = classifier.probabilities(images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (23, 3)
    np.testing.assert_allclose(probabilities, expected(images), atol=1e-6)
    monkeypatch.setattr(onnx, "_MAX_BATCH_BYTES", 5 * 3 * 8 * 8)
    np.testing.assert_array_equal(classifier.probabilities(images), probabilities)


def test_grayscale_images_are_converted_to_color(tmp_path: Path) -> None:
    classifier = OnnxClassifier(colors_onnx(tmp_path / "x.onnx", preprocess=Preprocess(channels=1, image_size=8)))
    np.testing.assert_allclose(classifier.probabilities(pixels(4, 1, 8, 8)), 1 / 3, atol=1e-6)


def test_classes_and_preprocessing_come_from_the_file(tmp_path: Path) -> None:
    preprocess = Preprocess(channels=1, image_size=32, pad=2, fit="letterbox", mean=(0.1,), std=(0.3,))
    classifier = OnnxClassifier(colors_onnx(tmp_path / "x.onnx", classes=("a", "b", "ç"), preprocess=preprocess))
    assert (classifier.classes, classifier.preprocess) == (("a", "b", "ç"), preprocess)


@pytest.mark.parametrize(("macs", "threads"), [(9, 1), (10**9, 0), (None, 1)])
def test_small_network_uses_one_thread(tmp_path: Path, macs: int | None, threads: int) -> None:
    session = OnnxClassifier(colors_onnx(tmp_path / "x.onnx", macs=macs)).session
    assert session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": None}, "no entry 'classicnets'"),
        ({"format": 2}, "its format version is 2, but this version of classicnets reads 1"),
        ({"classes": ["one", "two"]}, "its metadata names 2 classes, but it has 3 outputs"),
        ({"format": "1"}, "its format version is 1,"),
        ({"pixels": "images"}, "its inputs are {'images'"),
    ],
)
def test_rejects_file_of_other_software(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError) as caught:
        OnnxClassifier(colors_onnx(tmp_path / "x.onnx", **changes))
    assert caught.value.code == "CN308" and why in caught.value.why


def test_rejects_unknown_preprocessing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Preprocess, "to_dict", lambda self: {"channels": 1, "image_size": 8, "mean": [], "std": [], "x": 1}
    )
    path = colors_onnx(tmp_path / "x.onnx")
    with pytest.raises(DataError) as caught:
        OnnxClassifier(path)
    assert caught.value.code == "CN308" and "is not valid" in caught.value.why


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_rejects_damaged_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(DataError) as caught:
        OnnxClassifier(tmp_path / "x.onnx")
    assert caught.value.code == "CN308" and caught.value.why


def test_missing_onnxruntime_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = colors_onnx(tmp_path / "x.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MachineError) as caught:
        OnnxClassifier(path)
    assert caught.value.hints == ("pip install 'classicnets[export]'",)
