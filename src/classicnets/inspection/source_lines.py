"""Finds the line of the user's code that calls a torch operation, and the call of view or reshape in its source."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

_RESHAPING = ("view", "reshape")
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


def reshaping_call(net: nn.Module, rows: int, sizes: str = "") -> str:
    """The call of view or reshape in the network's code that makes so many rows, or has these sizes, as source."""
    candidates: dict[int, str] = {}
    for module in net.modules():
        if type(module).__module__.startswith("torch."):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
        except (OSError, TypeError, SyntaxError):
            continue
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _RESHAPING:
                of_torch = isinstance(call.func.value, ast.Name) and call.func.value.id == "torch"
                arguments = call.args[of_torch:]
                if len(arguments) == 1 and isinstance(arguments[0], ast.Tuple | ast.List):
                    arguments = arguments[0].elts
                words = [*map(ast.unparse, arguments)]
                first = words[0] if len(words) > 1 else ""
                likelihood = {str(rows): 1, "-1": 3}.get(first, 2 if first.isidentifier() else 4)
                if sizes and ", ".join(words) == sizes:
                    likelihood = 0
                source = f"{call.func.attr}({', '.join(map(ast.unparse, call.args))})"
                candidates.setdefault(likelihood, source)
    return next((candidates[likelihood] for likelihood in range(4) if likelihood in candidates), "")


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
