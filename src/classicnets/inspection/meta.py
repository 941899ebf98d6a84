"""A copy of any module on the meta device: tensors have shapes but no data, so that a forward pass costs nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from classicnets.errors import UsageError
from classicnets.models.messages import reason
from classicnets.models.modules import tensor_copies
from classicnets.text import _

Shape = tuple[int, ...]

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def without_data(net: nn.Module, device: str = "meta") -> nn.Module:
    """Return a copy of `net` in eval mode with every tensor on `device` (empty on "meta"), without the user's hooks.

    Raises:
        UsageError: CN205 if the module cannot be copied.
    """
    with _creating_on(device):
        memo = tensor_copies(net, device)
        for module in net.modules():
            for hooks, key in _user_hooks(module):
                memo[id(hooks[key])] = None  # a bound method would bring its object along
        try:
            clone = copy.deepcopy(net, memo)
        except Exception as error:
            raise UsageError(
                "CN205",
                _("{module} cannot be copied, so its layers cannot be listed", module=type(net).__name__),
                why=f"{type(error).__name__}: {one_line(error)}",
                hint=_("do not store open files, locks or generators as attributes of the module"),
            ) from error
    for module in clone.modules():
        for hooks, key in _user_hooks(module):
            del hooks[key]
    return clone.eval()


def forward_zeros(net: nn.Module, shape: Shape, batch: int, device: str) -> list[torch.Tensor]:
    """Run `net`, a copy by `without_data` for `device`, on a batch of zeros and return its output tensors."""
    with _creating_on(device):
        dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())
        return tensors(net(torch.zeros((batch, *shape), dtype=dtype, device=device)))


def batch_length(outputs: list[torch.Tensor]) -> int:
    """Return the length of the batch axis of the first output; 0 if there is none."""
    return len(outputs[0]) if outputs and outputs[0].dim() else 0


def tensors(value: object) -> list[torch.Tensor]:
    """Return all tensors in nested tuples, lists, dicts and dataclasses, in order, without lazy parameters."""
    leaves = [
        inner
        for leaf in tree_leaves(value)
        for inner in (vars(leaf).values() if is_dataclass(leaf) and not isinstance(leaf, type) else [leaf])
    ]
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not is_lazy(leaf)]


def one_line(error: object) -> str:
    """Return the text of an error on one line."""
    return " ".join((reason(error, _) if isinstance(error, BaseException) else str(error)).split())


@contextmanager
def _creating_on(device: str) -> Iterator[None]:
    """No gradients, new tensors on `device`, and random generators restored at the end."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.no_grad(), torch.device(device):
        yield


def _user_hooks(module: nn.Module) -> list[tuple[dict[int, Any], int]]:
    """The user's hooks, as (dict, key). Torch's own hooks create weights (lazy layers, pruning) and are not listed."""
    return [
        (hooks, key)
        for hooks in (getattr(module, name) for name in _HOOKS)
        for key, hook in hooks.items()
        if not str(getattr(hook, "__module__", "")).startswith("torch.")
    ]
