"""How long a training takes: a forecast after its first steps, and signs of life while an epoch is long."""

from __future__ import annotations

import time
from typing import Any

import torch

from classicnets.compat.drawing import in_notebook, say
from classicnets.text import _, duration

_FIRST = 2.0  # seconds of steps that are enough for a forecast
_SHORT = 60.0  # seconds of a training that needs no forecast
_LONG = 20 * 60.0  # seconds of a training on a CPU for which there is a faster way
_EVERY = 30.0  # seconds between signs of life
_LARGE_IMAGE = 64  # height and width in pixels


def tell(*lines: str) -> None:
    """Print lines below the cell of a notebook, or on standard error."""
    for line in lines:
        if in_notebook():
            print(line)
        else:
            say(line)


class Pace:
    """Measures the steps of a training and tells how long it will take.

    Args:
        epochs: The number of epochs.
        steps: The number of steps in an epoch.
        device: The device that trains.
        image_size: Height and width of the images in pixels.
    """

    def __init__(self, epochs: int, steps: int, device: torch.device, image_size: int):
        self.epochs, self.steps, self.device, self.image_size = epochs, steps, device, image_size
        self.times: list[float] = []  # at the ends of the first steps, until the forecast
        self.start = self.last = time.perf_counter()
        self.is_long: bool | None = None  # None before the forecast
        self._line: Any = None

    def step(self, epoch: int, step: int) -> None:
        """Note that step `step` (from 1) of `epoch` (from 1) has ended."""
        now = time.perf_counter()
        if self.is_long is None:
            self.times.append(now)
            if now - self.start >= _FIRST:
                self.last = now
                self._forecast()
        elif self.is_long and now - self.last >= _EVERY:
            self.last = now
            values = {"epoch": epoch, "epochs": self.epochs, "step": step, "steps": self.steps}
            self._show(_("epoch {epoch}/{epochs}: step {step:,} of {steps:,}", **values))

    def _forecast(self) -> None:
        first, *later = self.times
        seconds = (later[-1] - first) / len(later) if later else first - self.start
        total = seconds * self.steps * self.epochs
        self.is_long = seconds * self.steps > _SHORT
        if total < _SHORT:
            return
        tell(
            _(
                "forecast: about {time} for {epochs} x {steps:,} steps of {step}",
                time=duration(total),
                epochs=self.epochs,
                steps=self.steps,
                step=duration(seconds),
            )
        )
        if total > _LONG and self.device.type == "cpu":
            tell(*self._faster_ways())

    def _faster_ways(self) -> list[str]:
        lines = [_("  faster: net = cn.vary(net, width=0.25)   # a quarter of the channels and units")]
        if self.image_size > _LARGE_IMAGE:
            line = _('  faster: net = cn.create("alexnet_28")   # AlexNet for images of 28x28, loaded without resize')
            lines.insert(0, line)
        return lines

    def _show(self, line: str) -> None:
        """Show a line, in a notebook in the place of the one before."""
        if not in_notebook():
            say(line)
            return
        from IPython.display import display

        content = {"text/plain": line}
        if self._line is None:
            self._line = display(content, raw=True, display_id=True)
        else:
            self._line.update(content, raw=True)
