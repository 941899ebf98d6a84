"""Classification with an exported .onnx file, and errors for files that are not valid."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import load, save

from classicnets import machine
from classicnets.errors import DataError, MachineError
from classicnets.evaluation import exported, onnx
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


@pytest.mark.parametrize(("macs", "threads"), [(9, 1), (10**9, 3), (None, 1)])
def test_small_network_uses_one_thread(
    tmp_path: Path, macs: int | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    session = OnnxClassifier(colors_onnx(tmp_path / "x.onnx", macs=macs)).session
    assert session.get_session_options().intra_op_num_threads == threads


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": None}, "no entry 'classicnets'"),
        ({"format": 2}, "its format version is 2, but this version of classicnets reads 1"),
        ({"classes": ["one", "two"]}, "its metadata names 2 classes, but it has 3 outputs"),
        ({"format": "1"}, 'format is "1"; allowed is an integer from 1'),
        ({"preprocess": {"channels": 1, "image_size": "64"}}, 'preprocess.image_size is "64"; allowed is an integer'),
        ({"preprocess": {"channels": 1, "image_size": 0}}, "preprocess.image_size is 0; allowed"),
        ({"preprocess": {"channels": 1, "image_size": 8, "resize": 100_000}}, "preprocess.resize is 100000; allowed"),
        ({"preprocess": {"channels": 1, "image_size": 8, "fit": "bogus"}}, 'preprocess.fit is "bogus"; allowed is one'),
        (
            {"preprocess": {"channels": 1, "image_size": 8, "background": "red"}},
            'preprocess.background is "red"; allowed',
        ),
        ({"preprocess": {"channels": 1, "image_size": 8, "views": 10**9}}, "preprocess.views is 1000000000; allowed"),
        ({"preprocess": {"channels": 1, "image_size": 8, "mean": [0.1, 0.2]}}, "preprocess.mean has 2 values for 1"),
        ({"preprocess": {"channels": 1, "image_size": 8, "pad": 4}}, "images are resized to 0 and padded by 4"),
        ({"preprocess": {"channels": 1, "image_size": 8, "std": [0]}}, "preprocess.std is 0"),
        ({"classes": []}, "classes is []; allowed is a list of 1"),
        ({"classes": ["a", 2, "c"]}, "classes[1] is 2; allowed is text"),
        ({"macs": -1}, "macs is -1; allowed is one of null; an integer from 0"),
        ({"test_accuracy": float("nan")}, "NaN is not a number in JSON"),
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
    assert caught.value.code == "CN308" and "preprocess.x is not known; a newer version" in caught.value.why


def optimized(path: Path, target: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def renamed(path: Path, target: Path) -> None:
    model = load(str(path))
    model.graph.name = "other"
    save(model, str(target))


def without_last_entry(path: Path, target: Path) -> None:
    model = load(str(path))
    del model.metadata_props[-1]
    save(model, str(target))


@pytest.mark.parametrize("rewrite", [optimized, renamed, without_last_entry])
def test_a_file_that_another_program_has_changed_needs_trust(
    rewrite: Callable[[Path, Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = colors_onnx(tmp_path / "x.onnx", checksum="sha256")
    path.write_bytes(exported.seal_onnx(path.read_bytes()))
    intact = OnnxClassifier(path)
    assert capsys.readouterr().err == ""
    rewrite(path, tmp_path / "y.onnx")
    with pytest.raises(DataError) as caught:
        OnnxClassifier(tmp_path / "y.onnx")
    assert caught.value.code == "CN308" and "another program has changed it" in caught.value.what
    changed = OnnxClassifier(tmp_path / "y.onnx", trust=True)
    assert "used because of --trust" in capsys.readouterr().err
    images = pixels(3, 3, 8, 8)
    np.testing.assert_allclose(changed.probabilities(images), intact.probabilities(images), atol=1e-6)


def test_a_file_without_a_checksum_opens_with_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    OnnxClassifier(colors_onnx(tmp_path / "x.onnx"))
    assert capsys.readouterr().err.startswith("note: x.onnx has no checksum")


@pytest.mark.parametrize(("actual", "stated"), [(3, 1), (1, 3)])
def test_metadata_that_contradicts_the_network_is_refused(actual: int, stated: int, tmp_path: Path) -> None:
    """In a file without a checksum: the network sees the colors of an image, or does not."""
    preprocess = Preprocess(channels=actual, image_size=8)
    path = colors_onnx(tmp_path / "x.onnx", preprocess=preprocess, factors=(1.0, 0.5, 0.0))
    assert OnnxClassifier(path).preprocess.channels == actual
    model = load(path)
    facts = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps(facts | {"preprocess": facts["preprocess"] | {"channels": stated}})
    save(model, path)
    with pytest.raises(DataError) as caught:
        OnnxClassifier(path)
    assert f"preprocess.channels is {stated}, but its network sees {actual} channel" in caught.value.why


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
