"""Standard output of a command: only for its results. Whatever else prints, such as the user's code, is on stderr."""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

_reserved: TextIO | None = None  # the standard output, while it is reserved


def stream() -> TextIO:
    """The standard output of the command."""
    return _reserved or sys.stdout


def print(*values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print a result, as the function of Python does, to `stream` by default."""
    builtins.print(*values, sep=sep, end=end, file=file or stream(), flush=flush)


@contextmanager
def reserved(*, until_exit: bool = False) -> Iterator[None]:
    """While open, `stream` and `print` write to standard output, and everything else that does, to standard error.

    That includes programs that the process starts, if it has a standard output of its own.

    Args:
        until_exit: Reserves it until the process exits, because code may print even then.
    """
    global _reserved  # noqa: PLW0603
    stdout, descriptor = sys.stdout, _own_descriptor()
    if descriptor is not None and isinstance(stdout, io.TextIOWrapper):
        stdout.flush()
        _reserved = io.TextIOWrapper(
            os.fdopen(os.dup(descriptor), "wb", 0 if stdout.write_through else -1),
            encoding=stdout.encoding,
            errors=stdout.errors,
            line_buffering=stdout.line_buffering,
            write_through=stdout.write_through,
        )
        os.dup2(sys.stderr.fileno(), descriptor)
    else:
        _reserved = stdout or io.StringIO()  # None if the caller has closed it
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        if not until_exit:
            sys.stdout, out, _reserved = stdout, _reserved, None
            if descriptor is not None:
                with suppress(ValueError):
                    stdout.flush()  # what was printed through the old object belongs to standard error, too
                os.dup2(out.fileno(), descriptor)
                with suppress(OSError):  # a closed pipe, which the command has reported already
                    out.close()


def _own_descriptor() -> int | None:
    """The file descriptor of standard output if it and standard error are the ones of the process, else None."""
    try:
        descriptors = sys.stdout.fileno(), sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by an object that has none
        return None
    return 1 if descriptors == (1, 2) else None
