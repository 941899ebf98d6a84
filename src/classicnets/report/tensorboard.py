"""A display that writes a run as TensorBoard scalars, named after the fields of the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classicnets import machine
from classicnets.events import Advice, Event, Step

_STEP_SCALARS = ("loss", "accuracy")  # those of an epoch are in its last step
_EPOCH_SCALARS = (
    "validation_loss",
    "validation_accuracy",
    "test_accuracy",
    "lr",
    "images_per_second",
    "wait_share",
)


def summary_writer() -> Any:
    """Return torch.utils.tensorboard.SummaryWriter. Raises MachineError CN403 without the package tensorboard."""
    return machine.require("torch.utils.tensorboard", extra="tensorboard").SummaryWriter


class TensorBoard:
    """Writer of scalars into `folder`, indexed by training steps since the start of the run.

    Args:
        folder: TensorBoard's log folder of the run.
        steps: training steps per epoch.
        done: training steps before this part of a resumed run. Later scalars of an earlier part are purged, because
            those steps are repeated.

    Raises:
        MachineError: CN403 without the package tensorboard.
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
        """Write the scalars of a step or an epoch."""
        if isinstance(event, Advice):
            return
        if isinstance(event, Step):
            self.steps = event.steps
            self._write(event, _STEP_SCALARS, (event.epoch - 1) * self.steps + event.step)
        else:
            self._write(event, _EPOCH_SCALARS, event.epoch * self.steps)
            self.writer.flush()

    def _write(self, event: Event, names: tuple[str, ...], step: int) -> None:
        for name in names:
            value = getattr(event, name)
            if value is not None:
                self.writer.add_scalar(name, value, step)
