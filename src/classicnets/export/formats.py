"""The formats of the file that has the network: how each is written, described, and run to check it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from classicnets.evaluation.executorch import ExecutorchClassifier
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.program import ProgramClassifier
from classicnets.export import executorch, int8, observed, onnx, page_facts, parity, program
from classicnets.export.source import ExportSource

if TYPE_CHECKING:
    from onnx import ModelProto

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How the file of a network is written and run.

    Attributes:
        suffix: the suffix of the file; "" if the export is a folder.
        require_packages: raises MachineError CN403 if a package is missing.
        content: the content of the file in float32.
        with_facts: the content of the file with other facts.
        classifier: the function that runs a file.
    """

    suffix: str
    require_packages: Callable[[], None]
    content: Callable[[ExportSource, nn.Module, Facts], bytes]
    with_facts: Callable[[bytes, ExportSource, nn.Module, Facts], bytes]
    classifier: Callable[[Path, ExportSource], parity.Classify]


def onnx_network(source: ExportSource, net: nn.Module) -> ModelProto:
    """The network as an ONNX model, without pre- and postprocessing; for a web page, with the outputs of its layers."""
    if source.options.format == "web":
        if net not in source.models:
            calls = observed.layer_calls(net, source.preprocess)
            source.models[net] = observed.export_observed(net, source.preprocess, calls)
        return copy.deepcopy(source.models[net])
    return onnx.export_network(net, source.preprocess, one_image=source.options.input == "float")


def onnx_content(network: ModelProto, source: ExportSource, net: nn.Module, facts: Facts) -> bytes:
    """The content of the file with a model of `onnx_network`; that of a web page has the weights as outputs, too."""
    if source.options.format == "web":
        observed.add_weights(network, page_facts.layer_weights(observed.layer_calls(net, source.preprocess)))
    return onnx.assemble(network, source.preprocess, len(source.classes), facts)


def int8_content(source: ExportSource, network: ModelProto, net: nn.Module, facts: Facts) -> bytes:
    """The same quantized to int8."""
    quantized = int8.quantize(network, source.calibration_images(), source.preprocess)
    return onnx_content(quantized, source, net, facts)


def _onnx_classifier(path: Path, source: ExportSource) -> parity.Classify:
    return OnnxClassifier(path).probabilities if source.options.input == "float" else parity.onnx_classifier(path)


_ONNX = Format(
    suffix=".onnx",
    require_packages=onnx.require_packages,
    content=lambda source, net, facts: onnx_content(onnx_network(source, net), source, net, facts),
    with_facts=lambda content, _source, _net, facts: onnx.with_facts(content, facts),
    classifier=_onnx_classifier,
)
FORMATS = {
    "onnx": _ONNX,
    "torch": Format(
        suffix=".pt2",
        require_packages=lambda: None,
        content=lambda source, net, facts: program.program(net, source.preprocess, facts),
        with_facts=lambda _content, source, net, facts: program.program(net, source.preprocess, facts),
        classifier=lambda path, _source: ProgramClassifier(path, trust=True).probabilities,
    ),
    "executorch": Format(
        suffix=".pte",
        require_packages=executorch.require_packages,
        content=lambda source, net, facts: executorch.executorch_program(net, source.preprocess, facts),
        with_facts=lambda content, _source, _net, facts: executorch.with_facts(content, facts),
        classifier=lambda path, _source: ExecutorchClassifier(path).probabilities,
    ),
    "web": replace(_ONNX, suffix=""),  # in the folder of a page
    "triton": replace(_ONNX, suffix=""),  # in the folder of a model
}
