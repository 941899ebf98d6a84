"""Whole numbers of 8 bits for weights and outputs of layers, by onnxruntime's static quantization (QDQ)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from classicnets import machine
from classicnets.export import graph
from classicnets.export.onnx import quiet
from classicnets.images import transforms
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

_BATCH = 32


def quantized(part: ModelProto, images: np.ndarray, preprocess: Preprocess) -> ModelProto:
    """The net's part with int8 weights, one scale a channel; the ranges of outputs are those on training images
    `images` uint8 [N, C, H, W]. What comes before and after the net stays exact.
    """
    onnx = machine.require("onnx", extra="export")
    quantization = machine.require("onnxruntime.quantization", extra="export")
    shapes = machine.require("onnxruntime.quantization.shape_inference", extra="export")
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, ready, done = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "done.onnx"))
        onnx.save(part, plain)
        shapes.quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            done,
            _Reader(images, preprocess),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        made: ModelProto = onnx.load(done)
    return made


class _Reader:
    """The images in batches, as onnxruntime asks for them."""

    def __init__(self, images: np.ndarray, preprocess: Preprocess):
        self.batches = (
            transforms.prepare(torch.from_numpy(images[start : start + _BATCH]), preprocess).numpy()
            for start in range(0, len(images), _BATCH)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next one, None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {graph.PREPARED: batch}

    def __iter__(self) -> _Reader:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch
