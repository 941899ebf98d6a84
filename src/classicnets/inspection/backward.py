"""Reads autograd's graph of a network's output: the last operation, the trained tensors, and dense layers in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor

# They only rearrange values.
_VIEWS = {
    "AliasBackward0",
    "CloneBackward0",
    "ExpandBackward0",
    "PermuteBackward0",
    "ReshapeAliasBackward0",
    "SliceBackward0",
    "SqueezeBackward0",
    "SqueezeBackward1",
    "TBackward0",
    "ToCopyBackward0",
    "TransposeBackward0",
    "UnsafeViewBackward0",
    "UnsqueezeBackward0",
    "ViewBackward0",
}
_DENSE = {"AddmmBackward0": (1, 2), "MmBackward0": (0, 1)}  # which of their inputs are the values and the weights
_AFFINE = _VIEWS | {"NativeBatchNormBackward0"}  # in evaluation mode


class Operation(NamedTuple):
    """An operation of forward(): its name, such as "Softmax" or "Relu", and the axis that it works along, if any."""

    name: str
    axis: int | None


def last_operation(output: Tensor) -> Operation:
    """The last operation that computes values, not a view, of an `output` that requires a gradient."""
    node: Any = output.grad_fn
    while node is not None and node.name() in _VIEWS:
        node = _input(node, 0)
    if node is None:
        return Operation("", None)
    axis = getattr(node, "_saved_dim", None)
    if not isinstance(axis, int):
        axis = None
    elif axis >= 2**63:  # torch stores it without a sign
        axis -= 2**64
    return Operation(node.name().removesuffix("Backward0"), axis)


def operation_names(output: Tensor) -> set[str]:
    """The names of all operations that led to the output and pass gradients."""
    return {node.name().removesuffix("Backward0") for node in _nodes(output)}


def leaves(output: Tensor) -> list[Tensor]:
    """The tensors that get a gradient from the output, parameters and others."""
    return [node.variable for node in _nodes(output) if hasattr(node, "variable")]


def dense_pairs(output: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights of two dense layers without a nonlinear operation between them, for an output of evaluation mode."""
    pairs = []
    for node in _nodes(output):
        if node.name() in _DENSE:
            before = _input(node, _DENSE[node.name()][0])
            while before is not None and before.name() in _AFFINE:
                before = _input(before, 0)
            if before is not None and before.name() in _DENSE:
                first, second = _weight(before), _weight(node)
                if first is not None and second is not None:
                    pairs.append((first, second))
    return pairs


def _weight(node: Any) -> Tensor | None:
    weight = _input(node, _DENSE[node.name()][1])
    while weight is not None and weight.name() in _VIEWS:
        weight = _input(weight, 0)
    return getattr(weight, "variable", None)


def _input(node: Any, index: int) -> Any:
    return node.next_functions[index][0] if index < len(node.next_functions) else None


def _nodes(output: Tensor) -> Iterator[Any]:
    """All nodes of the graph, each once."""
    stack, seen = [output.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            stack += [after for after, _ in node.next_functions]
