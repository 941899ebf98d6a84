"""A run on a terminal: a live bar and one line an epoch that stays; in a pipe, the lines alone."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from classicnets.values import Epoch, Event


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
        """Moves the bar for a step; prints a line for an epoch."""
        if isinstance(event, Epoch):
            self.seconds.append(event.seconds + event.evaluation_seconds)
            self.bar.reset(self.task, description=f"epoch {event.epoch + 1}", speed="")
            self.console.print(self.line(event), highlight=False, soft_wrap=True)
            return
        self.bar.update(
            self.task,
            total=event.steps,
            completed=event.step,
            speed=f"{event.images / event.seconds:,.0f} images/s",
        )

    def line(self, event: Epoch) -> str:
        """One epoch: loss, accuracies, speed, share of the time spent waiting for data, time left."""
        width = len(str(event.epochs))
        parts = [
            f"epoch {event.epoch:>{width}}/{event.epochs}",
            f"loss {event.loss:.4f}",
            f"train {event.accuracy:.4f}",
        ]
        if event.validation_accuracy is not None:
            parts.append(f"validation {event.validation_accuracy:.4f}{'*' if event.best else ' '}")
        if event.test_accuracy is not None:
            parts.append(f"test {event.test_accuracy:.4f}")
        left = (event.epochs - event.epoch) * sum(self.seconds) / len(self.seconds)
        parts += [
            f"{event.images_per_second:,.0f} images/s",
            f"data {event.wait_share:.0%}",
            f"left {int(left) // 60}:{int(left) % 60:02d}" if event.epoch < event.epochs else "done",
        ]
        return "  ".join(parts)
