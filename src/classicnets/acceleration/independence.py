"""Whether the images of a batch can be computed by several threads at the same time."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils.parametrize import is_parametrized

from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.layers import faster_layers

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
_HOLDERS = ("_parameters", "_buffers", "_modules")
_OF_EVERY_MODULE = {*vars(nn.Module())}
_CONSTANTS = (types.NoneType, bool, int, float, complex, str, bytes, type, torch.dtype, torch.device, torch.Size)


def obstacle(net: nn.Module, shape: Sequence[int]) -> str:
    """Why a batch of `net` cannot be divided among threads, in words; empty if it can.

    Rows of a batch must not meet, as in BatchNorm; forward() must change nothing and draw from no generator, except in
    the dropout layers that draw by rows; there must be no hooks, which would be called for each share. A pass of five
    random images, whole and in two parts, finds out, and leaves no trace. Modules that are neither torch's nor ours
    must also have attributes that cannot change in place.
    """
    for name, parameter in net.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            return f"{name} has no shape yet"
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return f"{name} has a hook"
    for name, module in net.named_modules():
        label = f"{name or 'the network'} ({type(module).__name__})"
        if any(not _is_ours(hook) for kind in _HOOKS for hook in getattr(module, kind).values()):
            return f"{label} has a hook"
        if isinstance(module, _BatchNorm):
            return f"{label} normalizes over the batch"
        if is_parametrized(module):
            return f"{label} is parametrized"
        if not type(module).__module__.startswith(("torch.nn.", "classicnets.")):
            for key, value in vars(module).items():
                if key not in _OF_EVERY_MODULE and not _is_constant(value):
                    return f"{label} may have state of its own: {key}"
    if any(getattr(torch_module, kind) for kind in _GLOBAL_HOOKS):
        return "there are hooks for all modules"
    return _trial(net, shape)


def _is_ours(hook: Any) -> bool:
    """Whether it is a hook of this package, such as the check of the input's size: they keep nothing."""
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("classicnets.")


def _is_constant(value: Any) -> bool:
    """Whether the value cannot change, so that forward() could only put another in its place."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_constant, value))
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None
    return isinstance(value, (*_CONSTANTS, types.BuiltinFunctionType))


def _trial(net: nn.Module, shape: Sequence[int]) -> str:
    """What goes wrong when five images are computed in two parts, in training mode."""
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    images = images.to(next((p.dtype for p in net.parameters()), torch.float32))

    def output(start: int, stop: int) -> Tensor:
        with rows_of_batch((0,), start, stop - start):
            y: Tensor = net(images[start:stop])
        return y

    as_it_was = _Snapshot(net)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), faster_layers(net):
            before, generator = _Snapshot(net.train()), torch.get_rng_state()
            whole, parts = output(0, 5), torch.cat([output(0, 2), output(2, 5)])
            if not torch.equal(torch.get_rng_state(), generator):
                return "forward() draws from torch's generator"
            if before.has_changed():
                return "forward() changes a buffer or an attribute"
            if whole.shape != parts.shape or not torch.allclose(whole, parts, rtol=1e-3, atol=1e-5):
                return "images of a batch influence each other's output"
    except Exception as error:  # whatever a user's forward() raises: the batch stays whole
        reason = str(error).partition("\n")[0]
        return f"five images cannot be computed in two parts: {reason or type(error).__name__}"
    finally:
        as_it_was.restore()
    return ""


class _Snapshot:
    """The attributes of all modules of a net, and the values of its buffers."""

    def __init__(self, net: nn.Module):
        attributes = [vars(module) for module in net.modules()]
        holders = [held[kind] for held in attributes for kind in _HOLDERS]
        self.dictionaries = [(held, dict(held)) for held in [*attributes, *holders]]
        self.buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]

    def has_changed(self) -> bool:
        """Whether an attribute is another object, or a buffer has another value."""
        for now, before in self.dictionaries:
            if now.keys() != before.keys() or any(now[key] is not value for key, value in before.items()):
                return True
        return any(not torch.equal(buffer, values) for buffer, values in self.buffers)

    def restore(self) -> None:
        """Puts everything back."""
        for now, before in self.dictionaries:
            now.clear()
            now.update(before)
        with torch.no_grad():
            for buffer, values in self.buffers:
                buffer.copy_(values)
