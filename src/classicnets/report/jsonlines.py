"""A display that writes the events of a run to a stream as JSON lines.

`python -m classicnets.report.jsonlines` prints those of a made-up run.
"""

from __future__ import annotations

import sys
from typing import TextIO

from classicnets.events import Event, Step, to_line


class JsonLines:
    """Writer of the lines of history.jsonl: every event except steps without a loss. Each line is flushed at once."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the stream open: the caller closes it."""

    def show(self, event: Event) -> None:
        """Write one line."""
        if not isinstance(event, Step) or event.loss is not None:
            self.stream.write(to_line(event))
            self.stream.flush()


if __name__ == "__main__":
    from classicnets.report import demo

    with JsonLines(sys.stdout) as display:
        for event in demo.events():
            display.show(event)
