"""Events of a training run, and their serialization as lines of JSON. Needs neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from classicnets.schema import Real, check, optional, record
from classicnets.strict_json import dump, parse, without_nan


@dataclass(frozen=True, kw_only=True)
class Step:
    """A training step has finished. `loss` and `accuracy`, means over the epoch, are set five times per epoch."""

    epoch: int
    step: int
    steps: int
    images: int
    seconds: float
    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch has finished.

    Accuracies are fractions in 0..1. `wait_share` is the fraction of the training time spent waiting for data. `best`
    marks the best validation accuracy so far. `stops` is the reason why training ends before the recipe's last epoch.
    `slowest` describes the slowest of several processes that share the run.
    """

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
    stops: str = ""
    slowest: str = ""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Advice of the coach, given before epoch `epoch` (from 1) or after `step` of its steps.

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
_SCHEMAS = {
    name: record(kind, {f.name: optional(Real()) for f in fields(kind) if "float" in str(f.type)})  # null: not finite
    for name, kind in _KINDS.items()
}


def line(kind: str, values: Mapping[str, Any]) -> str:
    """{"event": kind, ...} on one line; numbers that are not finite become null, as JSON has none."""
    return dump(without_nan({"event": kind, **values})) + "\n"


def to_dict(event: Event) -> dict[str, Any]:
    """Return the event's values for JSON; an Advice stores its message as "said", and one process has no `slowest`."""
    values = asdict(event)
    if not values.get("slowest", True):
        del values["slowest"]
    return {"said" if key == "message" else key: value for key, value in values.items()}


def to_line(event: Event) -> str:
    """Return the event as one line of JSON."""
    return line(type(event).__name__.lower(), to_dict(event))


def from_line(text: str) -> Event:
    """Return the inverse of `to_line`.

    Raises:
        ValueError: if the line is not an event.
    """
    try:
        values: dict[str, Any] = parse(text)
        name = values.pop("event")
        values = {"message" if key == "said" else key: value for key, value in values.items()}
        check(values, _SCHEMAS[name])
        return _KINDS[name](**values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {text[:80]!r}") from error


def from_lines(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of `lines`, up to the first line that is not one, such as a line truncated by a crash."""
    for text in lines:
        try:
            yield from_line(text)
        except ValueError:
            return
