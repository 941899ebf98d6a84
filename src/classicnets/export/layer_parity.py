"""Compares what an exported file gives for each layer with the network: outputs, inputs and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from classicnets import machine
from classicnets.errors import CheckFailed
from classicnets.evaluation.onnx import INPUT
from classicnets.export import graph
from classicnets.export.observed import LayerCall, hooked, layer_names
from classicnets.export.parity import to_color
from classicnets.images import transforms
from classicnets.images.decode import fit_images
from classicnets.text import _
from classicnets.values import Preprocess

# Relative to the largest number that a layer reads or gives: twice what `parity` grants the logits.
_LAYER_ERROR = 2e-5
_INT8_STEP = 1 / 64  # of the largest weight: int8 has 7 bits and a sign (see `int8`)


def layer_values(net: nn.Module, calls: Sequence[LayerCall], x: Tensor) -> dict[str, np.ndarray]:
    """Return the outputs of the calls by their names, and under "NAME/input" their inputs, for a batch `x`."""
    inputs, outputs = list[Tensor | None](), list[Tensor | None]()
    open_calls: list[int] = []

    def before(_name: str, values: list[Tensor]) -> None:
        open_calls.append(len(inputs))
        inputs.append(values[0].clone() if values else None)
        outputs.append(None)

    def after(values: list[Tensor]) -> None:
        outputs[open_calls.pop()] = values[0].clone() if values else None

    with torch.no_grad(), hooked(net, layer_names(net), before, after):
        net(x)
    recorded = {call.output: outputs[call.index] for call in calls}
    recorded |= {f"{call.output}/input": inputs[call.index] for call in calls if call.source is not None}
    return {name: value.numpy() for name, value in recorded.items() if value is not None}


class FileOutputs:
    """The outputs of an ONNX file by their names. Runs in onnxruntime on the CPU."""

    def __init__(self, path: Path):
        runtime = machine.require("onnxruntime", extra="export")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = frozenset(output.name for output in self._session.get_outputs())

    def values(self, names: Sequence[str], images: np.ndarray) -> dict[str, np.ndarray]:
        """Return the values of these outputs for images uint8 [N, C, H, W]."""
        pixels = np.ascontiguousarray(to_color(images).transpose(0, 2, 3, 1))
        return dict(zip(names, self._session.run([*names], {INPUT: pixels}), strict=True))


def check_layers(
    outputs: FileOutputs,
    net: nn.Module,
    calls: Sequence[LayerCall],
    images: np.ndarray,
    preprocess: Preprocess,
    weights: Mapping[str, Tensor],
    *,
    as_int8: bool,
) -> None:
    """Check that a file gives what the layers of the network read, compute and contain.

    Of a file in int8, only the shapes of layer outputs are compared, because quantization changes their values.

    Args:
        outputs: those of the file.
        net: the network.
        calls: the calls that the file shows.
        images: images of any size, uint8 [N, C, H, W].
        preprocess: how they are preprocessed.
        weights: the tensors that the file has as outputs, by their names.
        as_int8: whether the file is quantized.

    Raises:
        CheckFailed: CN102 if a value differs by more than rounding explains.
    """
    fitted = fit_images(images, preprocess)
    x = torch.cat(transforms.views(torch.from_numpy(fitted), preprocess))
    values = layer_values(net, calls, x.clone())
    own_inputs = [call.own_input for call in calls if call.own_input]
    names = [graph.PREPARED, *(call.output for call in calls), *own_inputs, *weights]
    file = outputs.values(names, fitted)
    _compare(graph.PREPARED, file[graph.PREPARED], x.numpy(), _LAYER_ERROR * max(1.0, float(x.abs().max())))
    for call in calls:
        expected, given = values[call.output], values.get(f"{call.output}/input")
        largest = max(1.0, *(float(np.abs(a).max(initial=0)) for a in (expected, given) if a is not None))
        bound = float("inf") if as_int8 else _LAYER_ERROR * largest
        _compare(call.name, file[call.output], expected, bound)
        if call.source is not None and given is not None:
            _compare(call.name, file[call.source], given, bound)
    for name, tensor in weights.items():
        expected = tensor.detach().float().numpy()
        step = _INT8_STEP * float(np.abs(expected).max(initial=0)) if as_int8 else 0.0
        _compare(name, file[name], expected, step)


def _compare(name: str, file: np.ndarray, expected: np.ndarray, bound: float) -> None:
    """Raise CheckFailed CN102 if an output of the file differs from that of the network; `name` is that of the layer.

    A value that is not finite differs.
    """
    same_shape = file.shape == expected.shape
    difference = float(np.abs(file - expected).max(initial=0)) if same_shape else float("inf")
    if same_shape and difference <= bound:
        return
    raise CheckFailed(
        "CN102",
        _("the outputs of the exported file differ from those of the network; it was not written"),
        where=_("the layer {name}", name=name),
        why=_(
            "its values differ by up to {difference:.2g}, and rounding explains only {bound:.2g}",
            difference=difference,
            bound=bound,
        ),
        hint="--format onnx",
    )
