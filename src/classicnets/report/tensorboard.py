"""A run as TensorBoard's scalars, under the names that the events have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classicnets import machine
from classicnets.events import Advice, Event, Step

_OF_STEPS = ("loss", "accuracy")  # the last step of an epoch has the epoch's own
_OF_EPOCHS = (
    "validation_loss",
    "validation_accuracy",
    "test_accuracy",
    "lr",
    "images_per_second",
    "wait_share",
)


def summary_writer() -> Any:
    """Torch's class of that name. Raises MachineError CN403 without the package tensorboard."""
    return machine.require("torch.utils.tensorboard", extra="tensorboard").SummaryWriter


class TensorBoard:
    """Writes scalars into `folder`, against training steps since the first epoch began.

    An epoch has `steps` of them. What an earlier part of the run wrote after its first `done` steps happens again, and
    TensorBoard is told to forget it. Raises MachineError CN403 without the package tensorboard.
    """

    def __init__(self, folder: Path, steps: int, done: int = 0):
        self.folder, self.steps, self.done = folder, steps, done
        self.summary_writer = summary_writer()

    def __enter__(self) -> TensorBoard:
        self.writer = self.summary_writer(self.folder, purge_step=self.done + 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def show(self, event: Event) -> None:
        """Writes the numbers that the event has."""
        if isinstance(event, Advice):
            return
        if isinstance(event, Step):
            self.steps = event.steps
            self._write(event, _OF_STEPS, (event.epoch - 1) * self.steps + event.step)
        else:
            self._write(event, _OF_EPOCHS, event.epoch * self.steps)
            self.writer.flush()

    def _write(self, event: Event, names: tuple[str, ...], at: int) -> None:
        for name in names:
            value = getattr(event, name)
            if value is not None:
                self.writer.add_scalar(name, value, at)
