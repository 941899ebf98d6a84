"""Events as lines of JSON: the form in which a run keeps its history, and a face that writes it to a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

from classicnets.values import Advice, Epoch, Event, Step

_KINDS: dict[str, type[Event]] = {"step": Step, "epoch": Epoch, "advice": Advice}


def line(kind: str, values: Mapping[str, Any]) -> str:
    """{"event": kind, ...} on one line; a number that is not finite, which JSON does not have, becomes null."""
    text = json.dumps({"event": kind, **values})
    return json.dumps(json.loads(text, parse_constant=lambda _: None)) + "\n"


def to_line(event: Event) -> str:
    """The event as one line."""
    return line(type(event).__name__.lower(), asdict(event))


def from_line(text: str) -> Event:
    """The inverse of `to_line`. Raises JSONDecodeError, KeyError or TypeError for what is no such line."""
    values: dict[str, Any] = json.loads(text)
    return _KINDS[values.pop("event")](**values)


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
