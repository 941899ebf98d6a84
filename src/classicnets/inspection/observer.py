"""Which layer does what in a pass: hooks note which layer runs, a dispatch mode sees the operations it is made of."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from classicnets.inspection.meta import Shape, tensors, without_data, zeros_through

# Copies and changes of layout are not worth a line, like the views that torch itself marks.
_LAYOUT = {"unsafe_view", "clone", "to_copy", "copy", "detach", "lift_fresh", "contiguous", "alias", "expand"}


@dataclass
class Call:
    """A module while it runs, and what it did itself (not through a listed layer inside it)."""

    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape = ()
    done: bool = False
    macs: int = 0
    counted_outputs: int = 0  # of the operations with MACs
    new_bytes: int = 0
    operations: Counter[str] = field(default_factory=Counter)


class Observer(TorchDispatchMode):
    """Attributes every operation to the innermost running module.

    The stack is left as it is when something fails: its top is then the module that could not go on, `operation` what
    it was doing and `operands` the shapes that this got.
    """

    def __init__(self, net: nn.Module, shape: Shape, batch: int, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net, self.shape, self.batch, self.device = without_data(net, device), shape, batch, device
        self.stack: list[Call] = []
        self.calls: list[Call] = []
        self.operation = ""
        self.operands: tuple[Shape, ...] = ()
        self.storages: dict[int, torch.UntypedStorage] = {}  # kept alive, or an address could come twice
        for name, module in layers(self.net):
            module.register_forward_pre_hook(partial(self.enter, name), with_kwargs=True, prepend=True)
            module.register_forward_hook(self.leave)

    def watch(self) -> list[torch.Tensor]:
        """What a copy of the net gives for the batch, while everything is noted."""
        with self:
            return zeros_through(self.net, self.shape, self.batch, self.device)

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The hook before a module runs."""
        given = tensors((args, kwargs))
        self.new_bytes(given)
        self.stack.append(Call(name, module, _without_batch(given)))
        self.calls.append(self.stack[-1])

    def leave(self, _module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        """The hook after it ran."""
        call, made = self.stack.pop(), tensors(output)
        call.outputs, call.done, call.new_bytes = _without_batch(made), True, self.new_bytes(made)

    def new_bytes(self, some: list[torch.Tensor]) -> int:
        """Bytes of those tensors whose storage has not been seen before."""
        size = 0
        for tensor in some:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.storages:
                size += tensor.numel() * tensor.element_size()
                self.storages[storage._cdata] = storage
        return size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tensors((args, kwargs))
        operation = self.operation = _plain(func._overloadpacket.__name__)
        self.operands = tuple(tuple(tensor.shape) for tensor in given)
        _check_transposed(func, args)
        output = func(*args, **kwargs)
        self.operation, self.operands = "", ()
        if not self.stack:
            return output
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.stack[-1].macs += formula(*args, **kwargs, out_val=output) // 2  # torch counts two for one MAC
            self.stack[-1].counted_outputs += tensors(output)[0].numel()
        elif given and not func.is_view and operation not in _LAYOUT:
            self.stack[-1].operations[operation] += 1
        return output


def layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """All modules by name, a shared one once, without those inside what counts as one layer."""
    hidden = {id(inner) for module in net.modules() if declares_macs(module) for inner in list(module.modules())[1:]}
    return [(name, module) for name, module in net.named_modules() if id(module) not in hidden]


def is_layer(module: nn.Module) -> bool:
    """Whether there are no modules inside, or none that matter as the module declares its MACs."""
    return declares_macs(module) or not list(module.children())


def declares_macs(module: nn.Module) -> bool:
    """Whether the module's class has a method `macs`."""
    return callable(getattr(type(module), "macs", None))


def own_parameters(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Name and tensor of those that no listed layer inside it holds; without those a lazy layer has yet to make."""
    return [(name, p) for name, p in module.named_parameters(recurse=is_layer(module)) if not is_lazy(p)]


def _without_batch(some: list[torch.Tensor]) -> Shape:
    return tuple(some[0].shape[1:]) if some else ()


def _plain(name: str) -> str:
    """max_pool2d_with_indices -> max_pool2d, relu_ -> relu, _softmax -> softmax: as the user calls it."""
    return re.sub(r"^(_|native_)+|_with_indices|_$", "", name)


def _check_transposed(func: Any, args: Any) -> None:
    """Torch's meta kernel for transposed convolutions lets wrong channels pass; the real one does not."""
    if func is torch.ops.aten.convolution.default and args[6] and args[0].shape[1] != args[1].shape[0]:
        raise RuntimeError(f"expected {args[1].shape[0]} channels, but got {args[0].shape[1]}")
