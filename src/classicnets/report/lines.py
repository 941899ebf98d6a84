"""Events as lines for people."""

from __future__ import annotations

from classicnets.events import Advice, Epoch


def epoch_lines(event: Epoch, mean_seconds: float) -> list[str]:
    """Loss, accuracies, speed, share of the time spent waiting for data, time left at `mean_seconds` an epoch; then, if
    no epoch follows before the recipe's last, why.
    """
    width = len(str(event.epochs))
    parts = [
        f"epoch {event.epoch:>{width}}/{event.epochs}",
        f"loss {event.loss:.4f}",
        f"train {event.accuracy:.4f}",
    ]
    if event.validation_accuracy is not None:
        parts.append(f"validation {event.validation_accuracy:.4f}{'*' if event.best else ' '}")
    if event.test_accuracy is not None:
        parts.append(f"test {event.test_accuracy:.4f}")
    left = int((event.epochs - event.epoch) * mean_seconds)
    goes_on = event.epoch < event.epochs and not event.stops
    parts += [
        f"{event.images_per_second:,.0f} images/s",
        f"data {event.wait_share:.0%}",
        f"left {left // 60}:{left % 60:02d}" if goes_on else "done",
    ]
    stops = [f"stops after epoch {event.epoch} of {event.epochs}: {event.stops}"] if event.stops else []
    return ["  ".join(parts), *stops]


def advice_lines(event: Advice) -> list[str]:
    """What the coach saw, and what to try first."""
    return [f"coach: {event.message}", f"  hint: {event.hint}"]
