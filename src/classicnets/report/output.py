"""Standard output of a command: only for its results. Whatever else prints, such as the user's code, is on stderr."""

from __future__ import annotations

import builtins
import codecs
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TextIO

from classicnets.errors import MachineError
from classicnets.text import _, csv_row, visible


class Unwritable(MachineError):
    """Standard output cannot be written."""


class _Results(io.TextIOWrapper):
    """A standard output whose errors are `Unwritable`, except for that of a closed pipe."""

    def write(self, text: str) -> int:
        with _unwritable():
            return super().write(text)

    def flush(self) -> None:
        with _unwritable():
            super().flush()


_ERRORS = "classicnets.escape"  # the handler of characters that the encoding of standard output lacks


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    r"""Names of files keep their bytes, valid text or not; other characters become escapes of JSON, such as \u6b65."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    escaped = b""
    for c in error.object[error.start : error.end]:
        if "\udc80" <= c <= "\udcff":
            escaped += c.encode("ascii", "surrogateescape")
        else:
            escaped += json.dumps(c)[1:-1].encode("ascii")
    return escaped, error.end


codecs.register_error(_ERRORS, _escape)
_reserved: TextIO | None = None  # the standard output, while it is reserved
_muted: tuple[int, int] | None = None  # copies of the descriptors of standard output and error, while they are muted


def stream() -> TextIO:
    """The standard output of the command."""
    return _reserved or sys.stdout


def flush() -> None:
    """Write what has been printed. Raises Unwritable."""
    with _unwritable():
        stream().flush()


def discard() -> None:
    """Let nothing more be written to standard output, also when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream().fileno())


def mute() -> None:
    """Print nothing any more, neither results nor messages, as one of several processes of which another one prints."""
    global _muted  # noqa: PLW0603
    if _muted is None:
        _flush_all()
        _muted = os.dup(stream().fileno()), os.dup(2)
        null = os.open(os.devnull, os.O_WRONLY)
        for descriptor in {1, 2, stream().fileno()}:
            os.dup2(null, descriptor)
        os.close(null)


def unmute() -> None:
    """Print again after `mute`; what was printed in between is lost."""
    global _muted  # noqa: PLW0603
    if _muted is not None:
        _flush_all()
        out, err = _muted
        os.dup2(err, 2)
        if stream().fileno() != 1:  # it is reserved
            os.dup2(err, 1)
        os.dup2(out, stream().fileno())
        _muted = None


def _flush_all() -> None:
    for file in (sys.stdout, sys.stderr, stream()):
        with suppress(OSError, ValueError, Unwritable):
            file.flush()


@contextmanager
def inherited() -> Iterator[None]:
    """While open, programs that the process starts write to standard output, although it is reserved."""
    if _reserved is None or _reserved.fileno() == 1:
        yield
        return
    _reserved.flush()
    os.dup2(_reserved.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(2, 1)


@contextmanager
def _unwritable() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Unwritable(
            "CN401",
            _("cannot write the results to standard output"),
            why=error.strerror or str(error),
            hint=_("{redirection}   # a file on a disk with free space", redirection="> FILE"),
        ) from error


def print(*values: object, sep: str = " ", end: str = "\n", file: TextIO | None = None, flush: bool = False) -> None:
    """Print a result, as the function of Python does, to `stream` by default. Raises Unwritable.

    On a terminal, what would control it is escaped: see `text.visible`. A file or a pipe gets it as it is.
    """
    text, target = sep.join(map(str, values)) + end, file or stream()
    with _unwritable() if file is None else nullcontext():
        builtins.print(visible(text) if target.isatty() else text, end="", file=target, flush=flush)


def print_csv_row(cells: Iterable[object]) -> None:
    """Print a line of a CSV, on a terminal as one line. Raises Unwritable."""
    texts = map(str, cells)
    print(csv_row(visible(text, one_line=True) for text in texts) if stream().isatty() else csv_row(texts), end="")


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
        _reserved = _Results(
            os.fdopen(os.dup(descriptor), "wb", 0 if stdout.write_through else -1),
            encoding=stdout.encoding,
            errors=_ERRORS if stdout.errors == "strict" else stdout.errors,
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
                with suppress(OSError, Unwritable):  # which the command has reported already
                    out.close()


def _own_descriptor() -> int | None:
    """The file descriptor of standard output if it and standard error are the ones of the process, else None."""
    try:
        descriptors = sys.stdout.fileno(), sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or replaced by an object that has none
        return None
    return 1 if descriptors == (1, 2) else None
