"""Exports a network as an ExecuTorch program: a .pte file for phones, whose layers XNNPACK computes."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from classicnets import machine
from classicnets.errors import CheckFailed
from classicnets.evaluation.executorch import require_runtime
from classicnets.evaluation.exported import METHOD, executorch_facts, facts_text, seal_executorch
from classicnets.evaluation.rejection import applied_temperature
from classicnets.export.layers import replace_layers
from classicnets.export.onnx import export_error
from classicnets.export.program import Program
from classicnets.inspection.meta import without_data
from classicnets.machine import quiet
from classicnets.text import _
from classicnets.values import Preprocess

_NET = "program.net"  # the path of the network in the module that is exported
_SPARE = 64  # bytes of facts that are only known when the file was measured, such as its accuracy
_NOT_CORE = re.compile(r"Operator (?:torch\._ops\.)?aten\.(\w+)\S* is not in Core ATen opset")


class _PixelsLast(nn.Module):
    """From pixels uint8 [1, side, side, 3], as images lie in memory, to probabilities [1, classes]."""

    def __init__(self, program: Program):
        super().__init__()
        self.program = program

    def forward(self, pixels: Tensor) -> Tensor:
        probabilities: Tensor = self.program(pixels.permute(0, 3, 1, 2))
        return probabilities


def require_packages() -> None:
    """Raise MachineError CN403 if ExecuTorch is not installed."""
    require_runtime()
    with quiet():
        machine.require("executorch.backends.xnnpack.partition.xnnpack_partitioner", extra="executorch")


def executorch_program(net: nn.Module, preprocess: Preprocess, facts: dict[str, Any]) -> bytes:
    """Return the content of a .pte file.

    Raises:
        CheckFailed: CN105 if torch cannot export the network, or if ExecuTorch has no kernel for one of its operators.
    """
    network = replace_layers(without_data(net, "cpu").float())
    module = _PixelsLast(Program(network, preprocess, applied_temperature(facts))).eval()
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = tensor.data.contiguous()
    pixels = torch.zeros(1, preprocess.side, preprocess.side, 3, dtype=torch.uint8)
    message = _("torch cannot export this network as an ExecuTorch program")
    try:
        with quiet():
            exported = torch.export.export(module, (pixels,))
    except Exception as error:
        raise export_error(error, message, net) from error
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.runtime import Runtime
    try:
        with quiet():
            edge = to_edge_transform_and_lower(
                exported,
                partitioner=[XnnpackPartitioner()],
                constant_methods={METHOD: facts_text(facts) + " " * _SPARE},
            )
            lowered = edge.to_executorch()
            kernels = Runtime.get().operator_registry.operator_names
    except Exception as error:
        if match := _NOT_CORE.search(str(error)):
            _reject(match[1], exported)
        raise export_error(error, message, net) from error
    for plan in lowered.executorch_program.execution_plan:
        for operator in plan.operators:
            if f"{operator.name}.{operator.overload}".rstrip(".") not in kernels:
                _reject(operator.name.partition("::")[2], exported)
    return seal_executorch(bytes(lowered.buffer))


def with_facts(content: bytes, facts: dict[str, Any]) -> bytes:
    """Return the content of a .pte file with other facts, which need not be much longer."""
    place = executorch_facts(content)
    text = facts_text(facts).encode()
    if place is None or len(text) > place.stop - place.start:
        raise ValueError("the program has no room for these facts")
    program = content[: len(content) - len(seal_executorch(b""))]
    padded = text.ljust(place.stop - place.start)
    return seal_executorch(program[: place.start] + padded + program[place.stop :])


def _reject(operator: str, exported: torch.export.ExportedProgram) -> NoReturn:
    """Raise CheckFailed CN105 for an operator without a kernel, with the layer that needs it."""
    names = {node: _name(node) for node in exported.graph.nodes}
    kernel = operator.lstrip("_")  # of a decomposition, such as max_pool3d_with_indices of max_pool3d
    similar = [node for node, name in names.items() if name and (kernel.startswith(name) or name.startswith(kernel))]
    layer = _layer(max(similar, key=lambda node: len(names[node]))) if similar else ""
    raise CheckFailed(
        "CN105",
        _("ExecuTorch cannot run this network"),
        where=layer,
        why=_("it has no kernel for the operator {operator}", operator=operator),
        hint=("--format onnx", "--format torch"),
    )


def _name(node: torch.fx.Node) -> str:
    """The name of the operator of a node, such as avg_pool3d; "" if it is none."""
    return str(node.target._schema.name).partition("::")[2] if hasattr(node.target, "_schema") else ""


def _layer(node: torch.fx.Node) -> str:
    """Path and class of the innermost module that a node is part of, as the user's network names it."""
    stack = [*(node.meta.get("nn_module_stack") or {}).values()]
    if not stack:
        return ""
    path, kind = str(stack[-1][0]).removeprefix(_NET), str(stack[-1][1]).rpartition(".")[2]
    return f"{path.lstrip('.')} ({kind})" if path != stack[-1][0] else ""
