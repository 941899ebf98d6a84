"""Attribution of operations to layers: hooks record which layer runs, a dispatch mode records its operations."""

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

from classicnets.inspection.meta import Shape, forward_zeros, tensors, without_data

# Copies and layout changes are not reported, like the operations that torch marks as views.
_LAYOUT_OPERATIONS = {
    "unsafe_view",
    "clone",
    "to_copy",
    "copy",
    "detach",
    "lift_fresh",
    "contiguous",
    "alias",
    "expand",
}


@dataclass
class Call:
    """One call of a module, and the operations of its own forward(), without those of listed layers inside it."""

    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape = ()
    done: bool = False
    macs: int = 0
    counted_outputs: int = 0  # outputs of the operations with MACs
    new_bytes: int = 0
    operations: Counter[str] = field(default_factory=Counter)


class Observer(TorchDispatchMode):
    """Observer that attributes every operation to the innermost running module.

    After an error the stack stays as it is: its top is the module that failed, `operation` the operation that failed
    and `operands` the shapes of its inputs.
    """

    def __init__(self, net: nn.Module, shape: Shape, batch: int, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net, self.shape, self.batch, self.device = without_data(net, device), shape, batch, device
        self.stack: list[Call] = []
        self.calls: list[Call] = []
        self.operation = ""
        self.operands: tuple[Shape, ...] = ()
        self.storages: dict[int, torch.UntypedStorage] = {}  # kept alive, so that no address is used twice
        for name, module in layers(self.net):
            module.register_forward_pre_hook(partial(self.before_layer, name), with_kwargs=True, prepend=True)
            module.register_forward_hook(self.after_layer)

    def run(self) -> list[torch.Tensor]:
        """Run the copy of the network on a batch of zeros, record every call, and return the outputs."""
        with self:
            return forward_zeros(self.net, self.shape, self.batch, self.device)

    def before_layer(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Forward pre-hook: open a call."""
        inputs = tensors((args, kwargs))
        self.count_new_bytes(inputs)
        self.stack.append(Call(name, module, _without_batch(inputs)))
        self.calls.append(self.stack[-1])

    def after_layer(self, _module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        """Forward hook: close the call."""
        call, outputs = self.stack.pop(), tensors(output)
        call.outputs, call.done, call.new_bytes = _without_batch(outputs), True, self.count_new_bytes(outputs)

    def count_new_bytes(self, values: list[torch.Tensor]) -> int:
        """Return the bytes of the tensors whose storage is new."""
        size = 0
        for tensor in values:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.storages:
                size += tensor.numel() * tensor.element_size()
                self.storages[storage._cdata] = storage
        return size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = tensors((args, kwargs))
        operation = self.operation = _public_name(func._overloadpacket.__name__)
        self.operands = tuple(tuple(tensor.shape) for tensor in inputs)
        _check_transposed(func, args)
        output = func(*args, **kwargs)
        self.operation, self.operands = "", ()
        if not self.stack:
            return output
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.stack[-1].macs += formula(*args, **kwargs, out_val=output) // 2  # torch counts two operations per MAC
            self.stack[-1].counted_outputs += tensors(output)[0].numel()
        elif inputs and not func.is_view and operation not in _LAYOUT_OPERATIONS:
            self.stack[-1].operations[operation] += 1
        return output


def layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return all modules with their names: a shared one once, and none inside a module that declares its MACs."""
    hidden = {id(inner) for module in net.modules() if declares_macs(module) for inner in list(module.modules())[1:]}
    return [(name, module) for name, module in net.named_modules() if id(module) not in hidden]


def is_layer(module: nn.Module) -> bool:
    """Return whether the module is one layer: it has no children, or declares its own MACs."""
    return declares_macs(module) or not list(module.children())


def declares_macs(module: nn.Module) -> bool:
    """Return whether the module's class has a method `macs`."""
    return callable(getattr(type(module), "macs", None))


def own_parameters(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Return names and parameters that no listed layer inside it holds, without uninitialized lazy ones."""
    return [(name, p) for name, p in module.named_parameters(recurse=is_layer(module)) if not is_lazy(p)]


def _without_batch(values: list[torch.Tensor]) -> Shape:
    return tuple(values[0].shape[1:]) if values else ()


def _public_name(name: str) -> str:
    """The name that users call: max_pool2d_with_indices -> max_pool2d, relu_ -> relu, _softmax -> softmax."""
    return re.sub(r"^(_|native_)+|_with_indices|_$", "", name)


def _check_transposed(func: Any, args: Any) -> None:
    """Torch's meta kernel for transposed convolutions accepts wrong channels; the real kernel does not."""
    if func is torch.ops.aten.convolution.default and args[6] and args[0].shape[1] != args[1].shape[0]:
        raise RuntimeError(f"expected {args[1].shape[0]} channels, but got {args[0].shape[1]}")
