"""Any module as it arrives: taken out of its wrappers, completed if it is lazy, and copied. Needs only torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel
from torch.utils._pytree import tree_leaves

MODULE_ATTRIBUTES = frozenset(vars(nn.Module()))  # those that torch gives every module
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(net: nn.Module) -> nn.Module:
    """Return the module inside torch.compile, DataParallel, DistributedDataParallel or AveragedModel.

    The wrapped module has the same parameters, under names without the prefix of the wrapper.
    """
    while True:
        inner = net.module if isinstance(net, _WRAPPERS) else getattr(net, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return net
        net = inner


def has_lazy_layers(net: nn.Module) -> bool:
    """Whether a layer of `net` still waits for its first input to know the shape of its weights."""
    return any(is_lazy(tensor) for tensor in chain(net.parameters(), net.buffers()))


def complete(net: nn.Module, shape: Sequence[int]) -> nn.Module:
    """Give lazy layers their weights with one pass of two zero images [2, *shape], and return `net`.

    The weights are drawn from torch's generator. A network without lazy layers is not called.
    """
    if has_lazy_layers(net):
        with restored_modes(net), torch.no_grad():
            net.eval()
            net(torch.zeros(2, *shape, device=next(net.parameters()).device))
    return net


def layers_with_weights(net: nn.Module) -> dict[str, nn.Module]:
    """All modules with weights of their own, by name; a parametrized layer is one layer."""
    return {
        name: layer
        for name, layer in net.named_modules()
        if own_weights(layer) and "parametrizations" not in name.split(".")
    }


def own_weights(layer: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module itself, and those that its parametrizations compute its weights from."""
    parametrizations: Any = getattr(layer, "parametrizations", {})
    computed = (p for parametrization in parametrizations.values() for p in parametrization.parameters())
    return [*layer.parameters(recurse=False), *computed]


def in_dtype_of(net: nn.Module, images: Tensor) -> Tensor:
    """Return images in the precision of the network's weights: float32 unless it was built with another one."""
    return images.to(next((p.dtype for p in net.parameters() if p.is_floating_point()), images.dtype))


def copy_module(net: nn.Module, device: str | None = None) -> nn.Module:
    """Return a copy of `net` with the same modes, hooks and memory formats, and with every tensor on `device`.

    Unlike copy.deepcopy, this also copies lazy layers and tensors that are computed from parameters, such as the weight
    of torch.nn.utils.weight_norm. On "meta", tensors have no data.
    """
    return copy.deepcopy(net, tensor_copies(net, device))


def tensor_copies(net: nn.Module, device: str | None = None) -> dict[int, Any]:
    """A memo for copy.deepcopy with a copy of every tensor of `net`; a tied weight stays one tensor."""
    memo: dict[int, Any] = {}
    for module in net.modules():
        attributes = [value for value in tree_leaves(list(vars(module).values())) if isinstance(value, Tensor)]
        for tensor in (*module._parameters.values(), *module._buffers.values(), *attributes):
            if tensor is not None and id(tensor) not in memo:
                memo[id(tensor)] = _copy_tensor(tensor, device)
    return memo


@contextmanager
def restored_modes(net: nn.Module) -> Iterator[None]:
    """Restore training or evaluation mode of every module on exit."""
    modes = [(module, module.training) for module in net.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _copy_tensor(tensor: Tensor, device: str | None) -> Tensor:
    if is_lazy(tensor):
        kind: Any = type(tensor)
        device = device or str(tensor.device)
        uninitialized: Tensor = kind(requires_grad=tensor.requires_grad, device=device, dtype=tensor.dtype)
        return uninitialized
    data = tensor.detach()
    clone = torch.empty_like(data, device="meta") if device == "meta" else data.to(device or data.device, copy=True)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(clone, tensor.requires_grad)
    return clone.requires_grad_(tensor.requires_grad and tensor.is_leaf)
