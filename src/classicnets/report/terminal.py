"""Runs on a terminal: a live bar and lines that stay; in a pipe, the lines alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from classicnets.events import Advice, Epoch, Event
from classicnets.report.lines import advice_lines, epoch_lines
from classicnets.text import _


class Terminal:
    """Shows the events of a run on `console`: a line for an epoch and for advice.

    Use it as a context manager, so that the bar goes away whatever happens.
    """

    def __init__(self, console: Console, epochs_done: int = 0):
        self.console = console
        self.seconds: list[float] = []
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task(f"epoch {epochs_done + 1}", total=None, speed="")

    def __enter__(self) -> Terminal:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, event: Event) -> None:
        """Moves the bar for a step; prints lines for an epoch and for advice."""
        if isinstance(event, Epoch):
            self.seconds.append(event.seconds + event.evaluation_seconds)
            self.bar.reset(self.task, description=f"epoch {event.epoch + 1}", speed="")
            self._print(epoch_lines(event, sum(self.seconds) / len(self.seconds)))
        elif isinstance(event, Advice):
            self._print(advice_lines(event))
        else:
            self.bar.update(
                self.task,
                total=event.steps,
                completed=event.step,
                speed=f"{event.images / event.seconds:,.0f} images/s",
            )

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class SeedsTerminal:
    """Shows the events of several runs on `console`: a line for a run that ended and for advice, once; the bar says in
    which epoch each of the others is.
    """

    def __init__(self, console: Console, runs: int):
        self.console = console
        self.done, self.epochs = 0.0, dict[int, int]()
        self.topics: set[str] = set()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=runs)

    def __enter__(self) -> SeedsTerminal:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, seed: int, event: Event) -> None:
        """Moves the bar; prints advice that no other seed has been given."""
        if isinstance(event, Advice):
            if event.topic not in self.topics:
                self.topics.add(event.topic)
                self._print([f"seed {seed}: {line.strip()}" for line in advice_lines(event)])
        elif isinstance(event, Epoch):
            self.done += 1 / event.epochs
            self._move()
        else:
            self.epochs[seed] = event.epoch
            self._move()

    def ended(self, row: Mapping[str, Any]) -> None:
        """Prints the line of a run that ended."""
        self.epochs.pop(row["seed"], None)
        self._move()
        came = row.get("error") or f"test {row['test_accuracy']:.4f}, {row['seconds']:.0f} s"
        self._print([f"seed {row['seed']}: {came}"])

    def _move(self) -> None:
        under_way = sorted(self.epochs.items())
        said = ", ".join(f"seed {seed} epoch {epoch}" for seed, epoch in under_way)
        if len(under_way) > 4:
            said = f"{len(under_way)} seeds in epochs {min(self.epochs.values())} to {max(self.epochs.values())}"
        self.bar.update(self.task, completed=self.done, description=said)

    def _print(self, lines: list[str]) -> None:
        for line in lines:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(console: Console, total: int | None, *, visible: bool = True) -> Iterator[Callable[[], None]]:
    """A bar on `console` while something is done `total` times (None: nobody knows); call what it gives after each."""
    bar = Progress(
        TextColumn(_("images")),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not (visible and console.is_terminal),
        redirect_stdout=False,  # which is data and may go elsewhere
        redirect_stderr=False,
    )
    task = bar.add_task(_("images"), total=total)
    with bar:
        yield lambda: bar.advance(task)


@contextmanager
def progress_updates(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal's standard error, gone when all is done; call it with how many of how many are."""
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
