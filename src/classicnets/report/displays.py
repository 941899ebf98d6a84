"""The interface of a display, which shows the events of a run while it trains."""

from __future__ import annotations

from typing import Protocol

from classicnets.events import Event


class Display(Protocol):
    """A context manager that receives every event of a run in order and is closed however training ends."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Show an event, or ignore it."""
