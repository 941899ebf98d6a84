"""One pass of a network without data, to see what its forward() gives to each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.inspection.meta import tensors, without_data

ROWS = 7  # images in the pass, a number that no other axis is likely to have


@dataclass
class Call:
    """One call of a layer; `input` is None unless it is a single tensor."""

    input: Tensor | None
    output: Any


@dataclass
class Trace:
    """The calls of each layer in training mode, and how often forward() uses each parameter.

    Both are by name; modules and parameters that are registered twice have the first of their names.
    """

    calls: dict[str, list[Call]] = field(default_factory=dict)
    uses: Counter[str] = field(default_factory=Counter)


def trace(net: nn.Module, shape: Sequence[int]) -> Trace:
    """Pass images of `shape` (channels, height, width) through a copy of `net`; nothing is changed.

    The copy has no data, unless forward() needs them.
    """
    try:
        return _trace(without_data(net), shape)
    except Exception:  # forward() depends on values, or creates tensors on the CPU
        return _trace(without_data(net, "cpu"), shape)


def _trace(net: nn.Module, shape: Sequence[int]) -> Trace:
    result = Trace()
    for name, module in net.named_modules():
        module.register_forward_hook(partial(_record, calls=result.calls.setdefault(name, [])), with_kwargs=True)
    net.train()
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    parameter = next((p for p in net.parameters() if p.is_floating_point()), torch.zeros(()))
    for weight in net.parameters():
        weight.requires_grad_(weight.is_floating_point())
    device = parameter.device
    with torch.random.fork_rng(devices=[]), torch.device(device), torch.enable_grad():
        output = net(torch.zeros(ROWS, *shape, dtype=parameter.dtype, device=device))
    for tensor in tensors(output):
        for variable in _edges_to_leaves(tensor):
            result.uses[names.get(id(variable), "")] += 1
    return result


def _record(
    _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, *, calls: list[Call]
) -> None:
    only = args[0] if len(args) == 1 and not kwargs and isinstance(args[0], Tensor) else None
    calls.append(Call(only, output))


def _edges_to_leaves(output: Tensor) -> list[Tensor]:
    """The leaves of autograd's graph, once for each operation that reads them."""
    stack, seen, leaves = [output.grad_fn], set(), []
    while stack:
        node: Any = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for after, _ in node.next_functions:
            if hasattr(after, "variable"):
                leaves.append(after.variable)
            stack.append(after)
    return leaves
