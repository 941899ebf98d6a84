"""A display for Jupyter notebooks: the curves as they grow, with the last epoch and the coach's advice below."""

from __future__ import annotations

import base64
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from classicnets import report
from classicnets.errors import ClassicnetsError
from classicnets.events import Advice, Epoch, Event, Step
from classicnets.hints import as_python
from classicnets.report.lines import advice_lines, epoch_lines
from classicnets.values import Expected

_MIN_INTERVAL = 1.0  # seconds between drawings of steps
_MAX_DRAWING_SHARE = 0.1  # fraction of the time for drawings of steps


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook. Does not import IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return any(cls.__name__ == "ZMQInteractiveShell" for cls in type(shell).__mro__)  # Colab derives its shell from it


@contextmanager
def python_hints() -> Iterator[None]:
    """In a notebook, write the hints of errors as keywords of Python instead of options of the command line."""
    try:
        yield
    except ClassicnetsError as error:
        if in_notebook():
            error.hints = tuple(as_python(hint) for hint in error.hints)
        raise


class Notebook:
    """Display of the curves and a text below the cell. Both are updated in place and are saved with the notebook.

    Args:
        title: the title of the curves.
        expected: the published result to draw, if there is one.
        display: IPython's `display` or a function like it.
    """

    def __init__(self, title: str, expected: Expected | None = None, display: Callable[..., object] | None = None):
        if display is None:
            from IPython.display import display as ipython_display

            display = ipython_display
        self.title, self.expected, self.display = title, expected, display
        self.id = uuid.uuid4().hex
        self.events: list[Event] = []
        self.drawn_events = 0
        self.next_drawing = 0.0  # time.monotonic()

    def __enter__(self) -> Notebook:
        return self

    def __exit__(self, *_: object) -> None:
        if self.drawn_events < len(self.events):
            self._draw()

    def show(self, event: Event) -> None:
        """Draw after every epoch and advice, and for steps with a loss at most once a second.

        Where drawing is slow, steps are drawn less often: drawing takes a tenth of the time at most.
        """
        if isinstance(event, Step) and event.loss is None:
            return
        self.events.append(event)
        if not isinstance(event, Step) or time.monotonic() >= self.next_drawing:
            self._draw()

    def _draw(self) -> None:
        start = time.monotonic()
        figures = report.figures  # imported here: matplotlib takes half a second
        with report.fonts.figure_texts():
            png = figures.png(figures.draw_curves(self.events, self.expected, self.title))
        self._update("curves", {"image/png": base64.b64encode(png).decode(), "text/plain": self.title})
        self._update("text", {"text/plain": "\n".join(self._lines())})
        self.drawn_events, end = len(self.events), time.monotonic()
        self.next_drawing = end + max(_MIN_INTERVAL, (end - start) / _MAX_DRAWING_SHARE)

    def _update(self, name: str, content: dict[str, Any]) -> None:
        self.display(content, raw=True, display_id=f"{self.id}-{name}", update=self.drawn_events > 0)

    def _lines(self) -> list[str]:
        advice = [replace(event, hint=as_python(event.hint)) for event in self.events if isinstance(event, Advice)]
        lines = [line for event in advice for line in advice_lines(event)]
        epochs = [event for event in self.events if isinstance(event, Epoch)]
        if epochs:
            seconds = sum(event.seconds + event.evaluation_seconds for event in epochs)
            lines += epoch_lines(epochs[-1], seconds / len(epochs))
        return lines
