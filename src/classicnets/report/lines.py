"""Events as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from classicnets.events import Epoch
from classicnets.text import _, phrases, plural


def epoch_lines(event: Epoch, mean_seconds: float) -> list[str]:
    """Return a line of figures for an epoch, and a second line with the reason if training stops early.

    The figures are loss, accuracies, images per second, the share of the time spent waiting for data, the slowest of
    several processes, and the time left at `mean_seconds` per epoch. `*` marks the best validation accuracy so far.
    """
    width = len(str(event.epochs))
    fields = [
        _("epoch {epoch:>{width}}/{epochs}", epoch=event.epoch, epochs=event.epochs, width=width),
        _("loss {loss:.4f}", loss=event.loss),
        _("train {accuracy:.4f}", accuracy=event.accuracy),
    ]
    if event.validation_accuracy is not None:
        mark = "*" if event.best else " "
        fields.append(_("validation {accuracy:.4f}{mark}", accuracy=event.validation_accuracy, mark=mark))
    if event.test_accuracy is not None:
        fields.append(_("test {accuracy:.4f}", accuracy=event.test_accuracy))
    minutes, seconds = divmod(int((event.epochs - event.epoch) * mean_seconds), 60)
    fields += [
        _("{speed:,.0f} images/s", speed=event.images_per_second),
        _("data {share:.0%}", share=event.wait_share),
        *([_("slowest {process}", process=event.slowest)] if event.slowest else []),
        _("done")
        if event.epoch == event.epochs or event.stops
        else _("left {minutes}:{seconds:02d}", minutes=minutes, seconds=seconds),
    ]
    lines = ["  ".join(fields)]
    if event.stops:
        lines.append(
            _(
                "stops after epoch {epoch} of {epochs}: {reason}",
                epoch=event.epoch,
                epochs=event.epochs,
                reason=event.stops,
            )
        )
    return lines


class _Suggestion(Protocol):
    """Advice of the coach, or a remark on the network."""

    @property
    def message(self) -> str:
        """What was noticed."""

    @property
    def hint(self) -> str:
        """The change to try first."""


def advice_lines(event: _Suggestion) -> list[str]:
    """Return what the coach noticed, and the change to try first."""
    return [_("coach: {advice}", advice=event.message), _("  hint: {hint}", hint=event.hint)]


def left_out(counts: Mapping[str, int]) -> str:
    """Return a line about the images that are not used, by reason (see `ImageSplits`); "" if all are."""
    parts = []
    if n := counts.get("no_class"):
        parts.append(plural("{n:,} that belongs to no class", "{n:,} that belong to no class", n))
    if n := counts.get("unsupported_format"):
        parts.append(plural("{n:,} in a format that is not read", "{n:,} in formats that are not read", n))
    if n := counts.get("unreadable"):
        parts.append(plural("{n:,} that cannot be read", "{n:,} that cannot be read", n))
    if n := counts.get("trained_on"):
        parts.append(plural("{n:,} that it was trained on", "{n:,} that it was trained on", n))
    if not parts:
        return ""
    total = sum(counts.values())
    return plural("{n:,} image is left out: {parts}", "{n:,} images are left out: {parts}", total, parts=phrases(parts))
