"""The standard streams of the process, if the caller has closed them, or if messages cannot be written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

# in place of a closed stream: how the empty file is opened, and how Python uses it
_STREAMS = {"stdin": (os.O_RDONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_WRONLY, "w")}


class _Messages(io.TextIOWrapper):
    """A standard error: what cannot be written is lost, because messages are no results; a closed pipe is an error."""

    def write(self, text: str) -> int:
        with _lossy():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with _lossy():
            super().flush()


def prepare() -> None:
    """Make the three standard streams of the process usable.

    A stream that the caller has closed is replaced by an empty file, because the next file that is opened would get
    its number, and messages would be written into it. In place of standard output, that file is open for reading only,
    so that results that are not written are an error.
    """
    for number, (name, (access, mode)) in enumerate(_STREAMS.items()):
        if not _is_open(number):
            os.open(os.devnull, access)  # gets the lowest number that is free
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if _number(sys.stderr) == 2:
        file = open(2, "wb", closefd=False)  # noqa: SIM115
        sys.stderr = _Messages(file, sys.stderr.encoding, "backslashreplace", line_buffering=True)


def lack_chinese() -> bool:
    """Return whether standard output or standard error has an encoding without Chinese characters, such as cp1252."""
    for name in ("stdout", "stderr"):
        try:
            "中文，（）".encode(getattr(sys, name).encoding or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return True
    return False


def _number(stream: TextIO) -> int | None:
    """The file descriptor of a stream; None for an object that has none."""
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@contextmanager
def _lossy() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError:
        pass
