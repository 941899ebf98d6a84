"""Displays for a terminal: lines that stay, and a progress bar below them. In a pipe there are only lines.

`python -m classicnets.report.terminal` shows the display of a made-up run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from classicnets.events import Advice, Epoch, Event
from classicnets.report.lines import advice_lines, epoch_lines
from classicnets.studies.folder import Key
from classicnets.text import _, listed, plural

_MAX_RUNS = 4  # runs that the progress bar lists one by one


class Terminal:
    """Display of a run on `console`: a progress bar for the epoch, and lines for finished epochs and advice.

    Args:
        console: where to print.
        epochs_done: finished epochs of a run that is resumed.
    """

    def __init__(self, console: Console, epochs_done: int = 0):
        self.console = console
        self.epoch_seconds: list[float] = []
        self.bar = _bar(console, TextColumn("{task.fields[speed]}"))
        self.task = self.bar.add_task(_("epoch {epoch}", epoch=epochs_done + 1), total=None, speed="")

    def __enter__(self) -> Terminal:
        self.bar.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self.bar.stop()

    def show(self, event: Event) -> None:
        """Move the bar for a step; print lines for an epoch and for advice."""
        if isinstance(event, Epoch):
            following = min(event.epoch + 1, event.epochs)
            self.epoch_seconds.append(event.seconds + event.evaluation_seconds)
            self.bar.reset(self.task, description=_("epoch {epoch}", epoch=following), speed="")
            _print(self.console, epoch_lines(event, sum(self.epoch_seconds) / len(self.epoch_seconds)))
        elif isinstance(event, Advice):
            _print(self.console, advice_lines(event))
        else:
            speed = _("{speed:,.0f} images/s", speed=event.images / event.seconds)
            self.bar.update(self.task, total=event.steps, completed=event.step, speed=speed)


class StudyTerminal:
    """Display of the runs of a study on `console`: a progress bar, and lines for finished runs and advice.

    The bar says in which epoch each active run is. Advice on a topic is printed once for each arm.

    Args:
        console: where to print.
        runs: number of runs.
    """

    def __init__(self, console: Console, runs: int):
        self.console = console
        self.completed = 0.0  # in runs
        self.epochs: dict[Key, int] = {}  # current epoch of each active run
        self.topics: set[tuple[str, str]] = set()
        self.bar = _bar(console)
        self.task = self.bar.add_task("", total=runs)

    def __enter__(self) -> StudyTerminal:
        self.bar.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self.bar.stop()

    def show(self, key: Key, event: Event) -> None:
        """Move the bar; print advice on a new topic."""
        if isinstance(event, Advice):
            if (key[0], event.topic) not in self.topics:
                self.topics.add((key[0], event.topic))
                lines = [line.strip() for line in advice_lines(event)]
                _print(self.console, [_("{run}: {text}", run=_run_label(key), text=line) for line in lines])
        elif isinstance(event, Epoch):
            self.completed += 1 / event.epochs
            self._update_bar()
        else:
            self.epochs[key] = event.epoch
            self._update_bar()

    def show_result(self, row: Mapping[str, Any]) -> None:
        """Print the result of a finished run, or its error; of a run of a study only that it has finished.

        Whoever sees accuracies of some runs of a study may be led to stop it where they look good.
        """
        key = (row.get("arm", ""), row["seed"])
        self.epochs.pop(key, None)
        self._update_bar()
        text = row.get("error", "")
        if not text and row.get("arm"):
            text = _("finished, {seconds:.0f} s", seconds=row["seconds"])
        elif not text:
            text = _("test {accuracy:.4f}, {seconds:.0f} s", accuracy=row["test_accuracy"], seconds=row["seconds"])
        _print(self.console, [_("{run}: {text}", run=_run_label(key), text=text)])

    def _update_bar(self) -> None:
        if len(self.epochs) > _MAX_RUNS:
            first, last = min(self.epochs.values()), max(self.epochs.values())
            description = plural(
                "{n} run in epochs {first} to {last}",
                "{n} runs in epochs {first} to {last}",
                len(self.epochs),
                first=first,
                last=last,
            )
        else:
            running = sorted(self.epochs.items())
            description = listed(_("{run} epoch {epoch}", run=_run_label(key), epoch=epoch) for key, epoch in running)
        self.bar.update(self.task, completed=self.completed, description=description)


def _run_label(key: Key) -> str:
    """A run of a study in a few words."""
    arm, seed = key
    return _("{arm}, seed {seed}", arm=arm, seed=seed) if arm else _("seed {seed}", seed=seed)


def _bar(console: Console, *columns: ProgressColumn) -> Progress:
    """A progress bar with these columns before the remaining time; it shows nothing in a pipe."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        *columns,
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bar(console: Console, total: int | None, *, visible: bool = True) -> Iterator[Callable[[], None]]:
    """Show a progress bar that counts images on `console` while the context is open.

    Args:
        console: where to draw; nothing is drawn unless it is a terminal.
        total: number of images; None if it is unknown.
        visible: whether to draw at all.

    Yields:
        A function to call after each image.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        disable=not (visible and console.is_terminal),
        redirect_stdout=False,  # standard output is data and may be piped elsewhere
        redirect_stderr=False,
    )
    task = bar.add_task(_("images"), total=total)
    with bar:
        yield lambda: bar.advance(task)


@contextmanager
def progress_updates(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error, if that is a terminal, while the context is open.

    Yields:
        A function to call with the number of finished items and the number of all items.
    """
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    from classicnets.report import demo

    with Terminal(Console()) as display:
        for event in demo.events(pause=0.02):
            display.show(event)
