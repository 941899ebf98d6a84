"""int8 quantization of weights and layer outputs by onnxruntime's static quantization (QDQ).

x86 processors without VNNI add pairs of products of an unsigned and a signed byte in 16 bits, and sums beyond that are
clipped. Here they cannot be: layer outputs are unsigned, and weights have 7 bits (-64 to 64), so a pair is at most
2 * 255 * 64 = 32640. A file therefore gives the same probabilities on every processor and in the browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from classicnets import machine
from classicnets.export import graph
from classicnets.files import temporary_folder
from classicnets.images import transforms
from classicnets.machine import quiet
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

_BATCH_SIZE = 32


def quantize(network: ModelProto, images: np.ndarray, preprocess: Preprocess) -> ModelProto:
    """Quantize a network to int8, with one scale per channel of its weights; no processor clips its sums.

    Args:
        network: the network without pre- and postprocessing, which stay in float32.
        images: training images uint8 [N, C, H, W] that set the ranges of the layer outputs.
        preprocess: their preprocessing.

    Raises:
        MachineError: CN401 if temporary files cannot be written, CN403 if a package is missing.
    """
    onnx = machine.require("onnx", extra="export")
    quantization = machine.require("onnxruntime.quantization", extra="export")
    shapes = machine.require("onnxruntime.quantization.shape_inference", extra="export")
    with temporary_folder() as folder, quiet():
        original, prepared, result = (folder / name for name in ("plain.onnx", "ready.onnx", "done.onnx"))
        onnx.save(network, original)
        shapes.quant_pre_process(original, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared,
            result,
            _CalibrationReader(images, preprocess),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,  # products of two layer outputs have no signed byte
            weight_type=quantization.QuantType.QInt8,
        )
        quantized: ModelProto = onnx.load(result)
    return quantized


class _CalibrationReader:
    """Preprocessed batches of images, in the interface that onnxruntime calls."""

    def __init__(self, images: np.ndarray, preprocess: Preprocess):
        self.batches = (
            transforms.prepare(torch.from_numpy(images[start : start + _BATCH_SIZE]), preprocess).numpy()
            for start in range(0, len(images), _BATCH_SIZE)
        )

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch; None at the end."""
        batch = next(self.batches, None)
        return None if batch is None else {graph.PREPARED: batch}

    def __iter__(self) -> _CalibrationReader:
        return self

    def __next__(self) -> dict[str, Any]:
        batch = self.get_next()
        if batch is None:
            raise StopIteration
        return batch
