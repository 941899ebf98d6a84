"""What happens in a run: frozen events, and their one form as lines of JSON. Needs neither torch nor numpy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training step was taken. `loss` and `accuracy` (means over the epoch so far) come five times an epoch."""

    epoch: int
    step: int
    steps: int
    images: int
    seconds: float
    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch is finished. Accuracies are shares in 0..1; `wait_share` is the part of the time spent on data."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    test_accuracy: float | None
    lr: float
    seconds: float
    evaluation_seconds: float
    images_per_second: float
    wait_share: float
    best: bool = False
    validation_loss: float | None = None
    stops: str = ""  # why no epoch follows before the recipe's last, in words


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The coach has noticed something, before or in epoch `epoch` (from 1) after `step` steps of it.

    `topic` is a stable short name, such as "dead_relus"; `message` says what was observed, `hint` is the one change to
    try first.
    """

    epoch: int
    step: int
    topic: str
    message: str
    hint: str


Event = Step | Epoch | Advice

_KINDS: dict[str, type[Event]] = {"step": Step, "epoch": Epoch, "advice": Advice}


def line(kind: str, values: Mapping[str, Any]) -> str:
    """{"event": kind, ...} on one line; a number that is not finite, which JSON does not have, becomes null."""
    text = json.dumps({"event": kind, **values})
    return json.dumps(json.loads(text, parse_constant=lambda _: None)) + "\n"


def to_dict(event: Event) -> dict[str, Any]:
    """The event's values for JSON; an Advice stores its message as "said"."""
    values = asdict(event)
    return {"said" if key == "message" else key: value for key, value in values.items()}


def to_line(event: Event) -> str:
    """The event as one line of JSON."""
    return line(type(event).__name__.lower(), to_dict(event))


def from_line(text: str) -> Event:
    """The inverse of `to_line`. Raises ValueError for a line that holds no event."""
    try:
        values: dict[str, Any] = json.loads(text)
        kind = _KINDS[values.pop("event")]
        return kind(**{"message" if key == "said" else key: value for key, value in values.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {text[:80]!r}") from error


def from_lines(lines: Iterable[str]) -> Iterator[Event]:
    """The events of some lines, up to the first that holds none (such as one that a crash cut short)."""
    for text in lines:
        try:
            yield from_line(text)
        except ValueError:
            return
