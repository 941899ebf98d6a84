"""A net that was built for one size of image refuses every other, with the doctor's explanation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from classicnets.errors import UsageError
from classicnets.inspection.arithmetic import images
from classicnets.inspection.meta import Shape
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import checked_shape
from classicnets.text import shape as shape_text


def guard(net: nn.Module, input_shape: Sequence[int], *, name: str = "the net") -> nn.Module:
    """Make `net` refuse (CN201) every input that is not a batch of exactly `input_shape`, and return it.

    Many nets run on a size they were not made for: global pooling and dropped borders hide it. The hook travels with
    copies and pickles of the net and leaves its parameters alone.
    """
    shape = checked_shape(input_shape)
    net.register_forward_pre_hook(partial(_refuse_other, shape=shape, name=name))
    return net


def _refuse_other(net: nn.Module, args: tuple[Any, ...], *, shape: Shape, name: str) -> None:
    """The hook; a function of this module, so that copies and pickles of the net find it."""
    for x in args[:1]:
        if tuple(x.shape[1:]) != shape:
            raise torch.compiler.disable(_refusal)(net, tuple(x.shape), shape, name)  # it need not compile


def _refusal(net: nn.Module, given: Shape, shape: Shape, name: str) -> UsageError:
    size = shape_text(shape)
    if given == shape:
        what = f"{name} takes batches and got one {size} image without a batch axis"
        why = f"the first axis counts the images: a batch of one is 1x{size}"
        return UsageError("CN201", what, why=why, hint="net(x[None])")
    if len(given) != len(shape) + 1:
        what = f"{name} was built for batches of {images(shape)} and got an input of shape {shape_text(given)}"
        return UsageError("CN201", what, why="the number of axes differs", hint=f"x.reshape(-1, {str(shape)[1:-1]})")
    return _other_size(net, given[1:], shape, name)


def _other_size(net: nn.Module, got: Shape, shape: Shape, name: str) -> UsageError:
    where, why = "", "it would run, but the net was built for one size, and nothing is resized silently"
    hints: tuple[str, ...] = (f"give it a batch of shape Nx{shape_text(shape)}",)
    try:
        check_input(net, got, name=name)
    except UsageError as error:
        where, why = error.where, error.why
        if got[0] != shape[0]:
            hints = error.hints
    if len(shape) == 3 and got[0] == shape[0]:
        hints = (f"torch.nn.functional.interpolate(x, size={shape[1:]}) makes them {shape_text(shape)}",)
        if got[1] == got[2]:
            hints += (f'classicnets.create("{name}", image_size={got[1]}) builds it for {shape_text(got)}',)
    what = f"{name} was built for {images(shape)} and got {shape_text(got)}"
    return UsageError("CN201", what, where=where, why=why, hint=hints)
