"""An empty copy of any module: its layers on tensors that have a shape and no data, so that a call costs nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from classicnets.errors import UsageError

Shape = tuple[int, ...]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def without_data(net: nn.Module, device: str = "meta") -> nn.Module:
    """A copy of `net` in eval mode with every tensor on `device` (empty on "meta"), without the user's hooks.

    Raises UsageError CN205 for a module that cannot be copied.
    """
    memo: dict[int, Any] = {}  # what deepcopy takes instead of copying
    with _quiet(device):
        for module in net.modules():
            plain = [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
            for tensor in (*module._parameters.values(), *module._buffers.values(), *plain):
                if tensor is not None and id(tensor) not in memo:  # a tied weight stays one tensor
                    memo[id(tensor)] = _copied(tensor, device)
            for hooks, key in _hooks_of_the_user(module):
                memo[id(hooks[key])] = None  # a bound method would drag its object along
        try:
            twin = copy.deepcopy(net, memo)
        except Exception as error:
            raise UsageError(
                "CN205",
                f"{type(net).__name__} cannot be copied, so its layers cannot be listed",
                why=f"{type(error).__name__}: {one_line(error)}",
                hint="keep open files, locks and generators out of the module's attributes",
            ) from error
    for module in twin.modules():
        for hooks, key in _hooks_of_the_user(module):
            del hooks[key]
    return twin.eval()


def zeros_through(net: nn.Module, shape: Shape, batch: int, device: str) -> list[torch.Tensor]:
    """What `net`, made by `without_data` for `device`, gives for a batch of zeros (on "meta" without even those)."""
    with _quiet(device):
        dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())
        return tensors(net(torch.zeros((batch, *shape), dtype=dtype, device=device)))


def results(output: list[torch.Tensor]) -> int:
    """The length of the batch axis of what came out; 0 where there is none."""
    return len(output[0]) if output and output[0].dim() else 0


def tensors(value: object) -> list[torch.Tensor]:
    """All tensors in tuples, lists and dicts, in order, but for those that a lazy layer has yet to fill in."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, torch.Tensor) and not is_lazy(leaf)]


def one_line(error: object) -> str:
    """The text of an error on one line."""
    return " ".join(str(error).split())


@contextmanager
def _quiet(device: str) -> Iterator[None]:
    """No gradients, factory calls in forward() land on the device, and the generators are as before."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.no_grad(), torch.device(device):
        yield


def _copied(tensor: torch.Tensor, device: str) -> torch.Tensor:
    if is_lazy(tensor):
        kind: Any = type(tensor)
        unknown: torch.Tensor = kind(requires_grad=tensor.requires_grad, device=device, dtype=tensor.dtype)
        return unknown
    data = tensor.detach()
    twin = torch.empty_like(data, device=device) if device == "meta" else data.to(device, copy=True)
    return nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def _hooks_of_the_user(module: nn.Module) -> list[tuple[dict[int, Any], int]]:
    """Where they are kept; torch's own hooks make weights (lazy layers, pruning), the user's may record or refuse."""
    return [
        (hooks, key)
        for hooks in (getattr(module, name) for name in _HOOKS)
        for key, hook in hooks.items()
        if not str(getattr(hook, "__module__", "")).startswith("torch.")
    ]
