"""A guard that makes a network reject inputs of any size except the one it was built for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import format_inputs
from classicnets.inspection.meta import Shape
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import validate_shape
from classicnets.models.registry import NETS
from classicnets.text import _
from classicnets.text import shape as shape_text


def guard(net: nn.Module, input_shape: Sequence[int], *, name: str = "") -> nn.Module:
    """Make `net` reject every input that is not a batch of exactly `input_shape`, and return it.

    Many networks run on sizes they were not built for: global pooling and dropped borders hide the mistake. The hook
    is copied and pickled with the network and does not touch its parameters. A rejected call raises UsageError CN201.
    """
    shape = validate_shape(input_shape)
    net.register_forward_pre_hook(partial(_check_shape, shape=shape, name=name))
    return net


class Guard(NamedTuple):
    """What a guard has recorded: the shape of one image, and the name of the network."""

    shape: Shape
    name: str


def guarded(net: nn.Module) -> Guard | None:
    """Return the guard of a network; None if it has none."""
    for hook in net._forward_pre_hooks.values():
        if isinstance(hook, partial) and hook.func is _check_shape:
            return Guard(hook.keywords["shape"], hook.keywords["name"] or _("the network"))
    return None


def _check_shape(net: nn.Module, args: tuple[Any, ...], *, shape: Shape, name: str) -> None:
    """The hook. It is a function of this module so that copies and pickles of the network find it."""
    for x in args[:1]:
        if tuple(x.shape[1:]) != shape:
            raise torch.compiler.disable(_shape_error)(net, tuple(x.shape), shape, name)  # it need not compile


_refuse_other = _check_shape  # the name in networks that earlier versions pickled


def _shape_error(net: nn.Module, input_shape: Shape, shape: Shape, name: str) -> UsageError:
    name = name or _("the network")
    size = shape_text(shape)
    if input_shape == shape:
        what = _("{name} takes batches and got one {size} image without a batch axis", name=name, size=size)
        why = _("the first axis counts the images: a batch of one image has the shape 1x{size}", size=size)
        return UsageError("CN201", what, why=why, hint="net(x[None])")
    if len(input_shape) != len(shape) + 1:
        what = _(
            "{name} was built for batches of {inputs} and got an input of shape {shape}",
            name=name,
            inputs=format_inputs(shape),
            shape=shape_text(input_shape),
        )
        hint = f"x.reshape(-1, {str(shape)[1:-1]})"
        return UsageError("CN201", what, why=_("the number of axes differs"), hint=hint)
    return _size_error(net, input_shape[1:], shape, name)


def _size_error(net: nn.Module, input_shape: Shape, shape: Shape, name: str) -> UsageError:
    where = ""
    why = _("it would run, but the network was built for one size, and nothing is resized silently")
    hints: tuple[str, ...] = (_("use a batch of shape Nx{shape}", shape=shape_text(shape)),)
    try:
        check_input(net, input_shape, name=name)
    except UsageError as error:
        where, why = error.where, error.why
        if input_shape[0] != shape[0]:
            hints = error.hints
    if len(shape) == 3 and input_shape[0] == shape[0]:
        resize = f"torch.nn.functional.interpolate(x, size={shape[1:]})"
        hints = (_("{resize} makes them {shape}", resize=resize, shape=shape_text(shape)),)
        if input_shape[1] == input_shape[2] and name in NETS:  # others are built for one size
            create = f'classicnets.create("{name}", image_size={input_shape[1]})'
            hints += (_("{create} builds it for {shape}", create=create, shape=shape_text(input_shape)),)
    what = _(
        "{name} was built for {inputs} and got {shape}",
        name=name,
        inputs=format_inputs(shape),
        shape=shape_text(input_shape),
    )
    return UsageError("CN201", what, where=where, why=why, hint=hints)
