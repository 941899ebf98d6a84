"""Consoles and plain tables. Data goes to standard output, messages to standard error."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classicnets.report import output
from classicnets.text import visible

_PIPE_WIDTH = 1000  # in a pipe nothing is wrapped or cut


class _Console(Console):
    """A console that names cannot control: see `text.visible`."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text), **options)


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console on standard output or standard error; in a pipe it has no colors and does not wrap."""
    stream = sys.stderr if stderr else output.stream()
    return _Console(
        file=stream,
        width=None if stream.isatty() else _PIPE_WIDTH,
        quiet=quiet,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def as_text(draw: Callable[[Console], None]) -> str:
    """Return what a function prints to a console as plain text, as wide as the terminal if there is one."""
    file, is_terminal = io.StringIO(), sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else _PIPE_WIDTH
    draw(
        _Console(
            file=file,
            width=width,
            force_jupyter=False,  # rich would display the text in the cell
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
            no_color=True,
        )
    )
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = (), title: str = ""
) -> Table:
    """Return a table with thousands separators in integers.

    Args:
        columns: the headers.
        rows: one cell per column.
        numbers: headers of the columns to align right.
        title: a line above the table.
    """
    result = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        result.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        result.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return result


def fit(
    console: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Table:
    """Return a table that fits the width of the console: drop `optional` columns, the first one first, as needed."""
    dropped: set[str] = set()
    for column in (None, *optional):
        dropped |= {column} if column else set()
        indices = [i for i, name in enumerate(columns) if name not in dropped]
        result = table([columns[i] for i in indices], [[row[i] for i in indices] for row in rows], numbers=numbers)
        unlimited = console.options.update(max_width=_PIPE_WIDTH)
        if console.measure(result, options=unlimited).maximum <= console.width:  # cells are not wrapped
            break
    return result
