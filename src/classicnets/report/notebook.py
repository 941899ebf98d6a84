"""A run in a Jupyter notebook: the curves as they grow, with the last epoch and the coach's advice below."""

from __future__ import annotations

import base64
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from classicnets import report
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.report.lines import advice_lines, epoch_lines
from classicnets.values import Expected

_SECONDS_BETWEEN_STEPS = 1.0
_SHARE_OF_TIME = 0.1  # that drawing for steps may take


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return any(kind.__name__ == "ZMQInteractiveShell" for kind in type(shell).__mro__)  # Colab's is derived from it


class Notebook:
    """Shows events as an image and a text under the cell, which are replaced as they change and stay in the notebook.

    `display` is IPython's function of that name.
    """

    def __init__(self, title: str, expected: Expected | None = None, display: Callable[..., object] | None = None):
        if display is None:
            from IPython.display import display as ipython_display

            display = ipython_display
        self.title, self.expected, self.display = title, expected, display
        self.id = uuid.uuid4().hex
        self.events: list[Event] = []
        self.drawn = 0
        self.due = 0.0

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *_: object) -> None:
        if self.drawn < len(self.events):
            self._draw()

    def show(self, event: Event) -> None:
        """Draws anew after an epoch and for advice; for steps that have a loss at most once a second, more seldom where
        drawing is slow.
        """
        if isinstance(event, Step) and event.loss is None:
            return
        self.events.append(event)
        if not isinstance(event, Step) or time.monotonic() >= self.due:
            self._draw()

    def _draw(self) -> None:
        began = time.monotonic()
        figures = report.figures  # imported when it is needed: matplotlib takes half a second
        png = figures.png(figures.draw_curves(self.events, self.expected, self.title))
        self._put("curves", {"image/png": base64.b64encode(png).decode(), "text/plain": self.title})
        self._put("text", {"text/plain": "\n".join(self._lines())})
        self.drawn, now = len(self.events), time.monotonic()
        self.due = now + max(_SECONDS_BETWEEN_STEPS, (now - began) / _SHARE_OF_TIME)

    def _put(self, name: str, content: dict[str, Any]) -> None:
        self.display(content, raw=True, display_id=f"{self.id}-{name}", update=self.drawn > 0)

    def _lines(self) -> list[str]:
        lines = [line for event in self.events if isinstance(event, Advice) for line in advice_lines(event)]
        epochs = [event for event in self.events if isinstance(event, Epoch)]
        if epochs:
            seconds = sum(event.seconds + event.evaluation_seconds for event in epochs)
            lines += epoch_lines(epochs[-1], seconds / len(epochs))
        return lines
