"""Finds the line of the user's code that calls a torch operation."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_NOT_THE_USERS = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))  # torch and classicnets


def find_line(net: nn.Module, images: Tensor, matches: Callable[[str, tuple[Any, ...]], bool]) -> str:
    """Run `net` and return the first line outside of torch that calls a matching operation, as "file:line: source".

    Args:
        net: the network, in the mode in which it is called.
        images: its input.
        matches: decides by the name of an operation, such as "squeeze", and its arguments.

    Returns:
        The line, or "" if no operation matches or no user's code calls it.
    """
    finder = _Finder(matches)
    try:
        with finder:
            net(images)
    except Exception:
        return finder.line  # the caller reports the error itself
    return finder.line


def line_of(error: BaseException) -> str:
    """The innermost line of code that is neither torch's nor ours in the traceback of an error raised by forward()."""
    line, frame = "", error.__traceback__
    while frame:
        file = frame.tb_frame.f_code.co_filename
        if _is_users(file):
            line = f"{file}:{frame.tb_lineno}: {linecache.getline(file, frame.tb_lineno).strip()}"
        frame = frame.tb_next
    return line


class _Finder(TorchDispatchMode):
    def __init__(self, matches: Callable[[str, tuple[Any, ...]], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.matches, self.line = matches, ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.line and self.matches(func._overloadpacket.__name__, args):
            self.line = _users_line()
        return func(*args, **(kwargs or {}))


def _users_line() -> str:
    """The innermost line of code that is neither torch's nor ours, between the operation and `find_line`."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_code is not find_line.__code__:
        file = frame.f_code.co_filename
        if _is_users(file):
            return f"{file}:{frame.f_lineno}: {linecache.getline(file, frame.f_lineno).strip()}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""


def _is_users(file: str) -> bool:
    return not file.startswith((*_NOT_THE_USERS, "<frozen"))
