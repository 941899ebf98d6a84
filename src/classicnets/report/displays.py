"""What a face is: something that shows the events of a run while they come."""

from __future__ import annotations

from typing import Protocol

from classicnets.events import Event


class Display(Protocol):
    """A context manager, so that it is tidied up whatever happens; it is shown every event in order."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, event: Event) -> None:
        """Takes one event; what it does not care about it leaves."""
