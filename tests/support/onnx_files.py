"""Tiny .onnx files in the form that export writes, built node by node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from classicnets.evaluation import exported
from classicnets.values import LUMA_BITS, LUMA_HALF, LUMA_WEIGHTS, Preprocess

SHARPNESS = 12.0


def colors_onnx(
    path: Path,
    classes: tuple[str, ...] = ("red", "green", "blue"),
    preprocess: Preprocess | dict[str, Any] = Preprocess(channels=3, image_size=8),  # noqa: B008 - frozen
    pixels: str = "pixels",
    factors: tuple[float, float, float] = (1.0, 1.0, 1.0),
    **changes: Any,
) -> Path:
    """Writes a network that names the strongest channel of images uint8 [N, H, W, 3].

    It computes the softmax of the channel means, in 0..1, times SHARPNESS and `factors`; if images are preprocessed to
    one channel, of the means of the grayscale image. `changes` replace entries of its metadata;
    with format=None it has no metadata.
    """
    channels = preprocess.get("channels") if isinstance(preprocess, dict) else preprocess.channels
    mix = np.eye(3) * 2**LUMA_BITS if channels == 3 else np.repeat(np.array([LUMA_WEIGHTS]).T, 3, axis=1)
    nodes = [
        helper.make_node("Cast", [pixels], ["whole"], to=TensorProto.INT32),
        helper.make_node("MatMul", ["whole", "mix"], ["mixed"]),
        helper.make_node("Add", ["mixed", "half"], ["added"]),
        helper.make_node("Div", ["added", "unit"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["means", "factor"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "colors",
        [helper.make_tensor_value_info(pixels, TensorProto.UINT8, ["N", "H", "W", 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(np.array([1, 2]), "axes"),
            numpy_helper.from_array(mix.astype(np.int32), "mix"),
            numpy_helper.from_array(np.array(LUMA_HALF, np.int32), "half"),
            numpy_helper.from_array(np.array(2**LUMA_BITS, np.int32), "unit"),
            numpy_helper.from_array(np.array(factors, np.float32) * np.float32(SHARPNESS / 255), "factor"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    facts = {
        "format": 1,
        "net": "colors",
        "classes": classes,
        "preprocess": preprocess if isinstance(preprocess, dict) else preprocess.to_dict(),
        "macs": 9,
        "data_name": "animals",
        "fingerprint": "none",
    } | changes
    if facts["format"] is not None:
        helper.set_model_props(model, {"classicnets": json.dumps(facts)})
    save(model, str(path))
    return path


def sealed(path: Path) -> Path:
    """Give the file a checksum, as export does."""
    path.write_bytes(exported.seal_onnx(path.read_bytes()))
    return path


def expected(images: np.ndarray) -> np.ndarray:
    """The probabilities of that network for images uint8 [N, 3, H, W], in float64."""
    logits = images.mean(axis=(2, 3)) / 255 * SHARPNESS
    powers: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities
