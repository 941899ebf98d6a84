"""Checks whether several threads can compute the images of a batch at the same time."""

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
from classicnets.models.messages import reason
from classicnets.models.modules import MODULE_ATTRIBUTES
from classicnets.text import _

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
_CONTAINERS = ("_parameters", "_buffers", "_modules")
_IMMUTABLE = (types.NoneType, bool, int, float, complex, str, bytes, type, torch.dtype, torch.device, torch.Size)


def obstacle(net: nn.Module, shape: Sequence[int]) -> str:
    """Return why batches of `net` cannot be split over threads, in words; "" if they can.

    Rows of a batch must be independent, unlike in BatchNorm. forward() must change no state and draw no random numbers,
    except in dropout layers with masks by row. There must be no hooks, which would be called once per thread. All this
    is tested with a forward pass of five random images, in one and in two parts, which has no side effects. Modules
    that are neither of torch nor of classicnets must also have immutable attributes.
    """
    for name, parameter in net.named_parameters():
        if isinstance(parameter, UninitializedParameter):
            return _("{name} has no shape yet", name=name)
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            return _("{name} has a hook", name=name)
    for name, module in net.named_modules():
        label = f"{name or _('the network')} ({type(module).__name__})"
        if any(not _is_ours(hook) for kind in _HOOKS for hook in getattr(module, kind).values()):
            return _("{name} has a hook", name=label)
        if isinstance(module, _BatchNorm):
            return _("{name} normalizes over the batch", name=label)
        if is_parametrized(module):
            return _("{name} is parametrized", name=label)
        if not type(module).__module__.startswith(("torch.nn.", "classicnets.")):
            for key, value in vars(module).items():
                if key not in MODULE_ATTRIBUTES and not _is_immutable(value):
                    return _("{name} may have state of its own: {attribute}", name=label, attribute=key)
    if any(getattr(torch_module, kind) for kind in _GLOBAL_HOOKS):
        return _("there are global hooks for all modules")
    return _trial(net, shape)


def _is_ours(hook: Any) -> bool:
    """Whether a hook belongs to classicnets, such as the check of the input size: these have no state."""
    return str(getattr(getattr(hook, "func", hook), "__module__", "")).startswith("classicnets.")


def _is_immutable(value: Any) -> bool:
    """Whether the value cannot be changed in place, so that forward() could only replace it."""
    if isinstance(value, tuple | frozenset):
        return all(map(_is_immutable, value))
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None
    return isinstance(value, (*_IMMUTABLE, types.BuiltinFunctionType))


def _trial(net: nn.Module, shape: Sequence[int]) -> str:
    """Why five images cannot be computed in two parts in training mode, in words; "" if they can."""
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    images = images.to(next((p.dtype for p in net.parameters()), torch.float32))

    def output(start: int, stop: int) -> Tensor:
        with rows_of_batch((0,), start, stop - start):
            y: Tensor = net(images[start:stop])
        return y

    original = _Snapshot(net)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), faster_layers(net):
            before, generator = _Snapshot(net.train()), torch.get_rng_state()
            whole, parts = output(0, 5), torch.cat([output(0, 2), output(2, 5)])
            if not torch.equal(torch.get_rng_state(), generator):
                return _("forward() uses torch's random generator")
            if before.has_changed():
                return _("forward() changes a buffer or an attribute")
            if whole.shape != parts.shape or not torch.allclose(whole, parts, rtol=1e-3, atol=1e-5):
                return _("the output of an image depends on other images of the batch")
    except Exception as error:  # whatever a user's forward() raises, batches are not split
        why = reason(error, _).partition("\n")[0] or type(error).__name__
        return _("five images cannot be computed in two parts: {reason}", reason=why)
    finally:
        original.restore()
    return ""


class _Snapshot:
    """The attributes of all modules of a network, and the values of its buffers."""

    def __init__(self, net: nn.Module):
        attributes = [vars(module) for module in net.modules()]
        containers = [module[name] for module in attributes for name in _CONTAINERS]
        self.dictionaries = [(current, dict(current)) for current in [*attributes, *containers]]
        self.buffers = [(buffer, buffer.clone()) for buffer in net.buffers()]

    def has_changed(self) -> bool:
        """Return whether an attribute is a different object, or a buffer has different values."""
        for current, saved in self.dictionaries:
            if current.keys() != saved.keys() or any(current[key] is not value for key, value in saved.items()):
                return True
        return any(not torch.equal(buffer, values) for buffer, values in self.buffers)

    def restore(self) -> None:
        """Restore all attributes and values."""
        for current, saved in self.dictionaries:
            current.clear()
            current.update(saved)
        with torch.no_grad():
            for buffer, values in self.buffers:
                buffer.copy_(values)
