"""A display that writes the events of a run to a stream, as lines of JSON."""

from __future__ import annotations

from typing import TextIO

from classicnets.events import Event, Step, to_line


class JsonLines:
    """Writes what the history keeps, at once: every event but the steps without a loss."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to tidy up: the stream is the caller's."""

    def show(self, event: Event) -> None:
        """Writes one line."""
        if not isinstance(event, Step) or event.loss is not None:
            self.stream.write(to_line(event))
            self.stream.flush()
