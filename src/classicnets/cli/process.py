"""The process of the command line: how Ctrl-C and SIGTERM end it, from the first import on."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from classicnets.cli import streams

_STOPPED = b"stopped\n"
_NATIVE_PACKAGES = ("numpy", "torch")

signals: list[int] = []  # those that this process has received
endings: list[Callable[[int], None]] = []  # what ends this process with an exit code, if it must not end as usual
stops_quietly = False  # whether another process says that the command is stopped


def is_one_of_several() -> bool:
    """Return whether torchrun has started this process, as one of several that train a run together."""
    return bool({"RANK", "WORLD_SIZE"} & os.environ.keys()) and sys.argv[1:2] == ["train"]


def run() -> int:
    """Run the command line of this process and return its exit code; 130 after Ctrl-C, 143 after SIGTERM."""
    code = 1
    try:
        code = _run()
    finally:
        for end in endings:
            end(code)
    return code


def _run() -> int:
    streams.prepare()
    if is_one_of_several():
        global stops_quietly  # noqa: PLW0603
        stops_quietly = True
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is our error, not a stack of C++
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # a shell ignores Ctrl-C in its background jobs
            signal.signal(number, _interrupt)
    try:
        from classicnets.cli.main import main

        code = main()
    except KeyboardInterrupt:  # during the imports
        _say_stopped()
        code = 130
    if code == 130:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to stop but the end of the process
        return 128 + signals[0] if signals else 130
    return code


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Record the signal and raise KeyboardInterrupt, as Ctrl-C does in Python.

    While native code is imported, which an exception would abort with a core dump, the process ends at once instead;
    nothing is being written then.
    """
    signals.append(number)
    if any(_is_being_imported(name) for name in _NATIVE_PACKAGES):
        _say_stopped()
        os._exit(128 + number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # a training that has a handler of its own for Ctrl-C stops in the same way


def _say_stopped() -> None:
    if not stops_quietly:
        os.write(2, _STOPPED)


def _is_being_imported(name: str) -> bool:
    return bool(getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False))
