"""Consoles and plain tables. stdout is data, stderr is talk."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

_WIDE = 1000  # in a pipe nothing is wrapped or cut


def console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """A console on standard output or error; in a pipe it has no colors and does not wrap."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _WIDE,
        quiet=quiet,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
    )


def table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: Sequence[str] = (), title: str = ""
) -> Table:
    """A table whose columns in `numbers` are right-aligned; integers get thousands separators."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", no_wrap=True)
    for row in rows:
        made.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return made


def fit(
    to: Console,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    numbers: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> Table:
    """The table, without as many of the `spare` columns (in that order) as it takes to fit the console's width."""
    gone: set[str] = set()
    for column in (None, *spare):
        gone |= {column} if column else set()
        kept = [i for i, name in enumerate(columns) if name not in gone]
        made = table([columns[i] for i in kept], [[row[i] for i in kept] for row in rows], numbers=numbers)
        if to.measure(made).minimum <= to.width:
            break
    return made
