"""A run on a terminal: a live bar and lines that stay for an epoch and for advice; in a pipe, the lines alone."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from classicnets.report.lines import advice_lines, epoch_lines
from classicnets.values import Advice, Epoch, Event


class Terminal:
    """Shows events on `console`. Use it as a context manager, so that the bar goes away whatever happens."""

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
