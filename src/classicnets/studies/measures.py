"""What a study measures of each run: names, units, and how two arms are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from classicnets.text import N_, _, nearest


@dataclass(frozen=True)
class Measure:
    """A number that every run of a study has, or misses.

    Attributes:
        name: The name in study files and in study.json.
        label: The name in texts.
        unit: "points" (the values are fractions, texts show them times 100), "share" (the same, in percent), "epochs",
            "seconds", "images/s", or "" for numbers without a unit.
        ratio: Whether two arms are compared by the ratio of their values instead of the difference.
        better: "higher", "lower", or "" if neither is.
        curve: The curve that must reach the threshold, a name of `CURVES`; "" if the measure is none of a threshold.
        threshold: The value that the curve must reach: an accuracy from below, a loss from above.
    """

    name: str
    label: str
    unit: str
    ratio: bool
    better: str
    curve: str = ""
    threshold: float = 0.0

    @property
    def scale(self) -> int:
        """The factor between a value and its number in texts."""
        return 100 if self.unit in {"points", "share"} else 1

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value that is possible."""
        if self.scale == 1:
            return 0.0, math.inf
        return (-1.0, 1.0) if self.name == "generalization_gap" else (0.0, 1.0)

    @property
    def difference_limits(self) -> tuple[float, float]:
        """The smallest and the largest difference, or ratio, that is possible."""
        if self.ratio:
            return 0.0, math.inf
        low, high = self.limits
        return low - high, high - low

    @property
    def is_time(self) -> bool:
        """Whether it measures the machine, not what a network has learned."""
        return not self.curve and self.unit in {"seconds", "images/s"}


# The labels are translated by `measure`.
MEASURES = {
    measure.name: measure
    for measure in (
        Measure("test_accuracy", "test accuracy", "points", False, "higher"),
        Measure("test_loss", "test loss", "", False, "lower"),
        Measure("train_accuracy", "train accuracy", "points", False, "higher"),  # final weights, no augmentation
        Measure("generalization_gap", "generalization gap", "points", False, "lower"),  # train minus test accuracy
        Measure("dead_units", "dead units", "share", False, ""),
        Measure("sparsity", "sparsity", "share", False, ""),
        Measure("seconds", "training time", "seconds", True, "lower"),
        Measure("predict_seconds", "time to classify the test split", "seconds", True, "lower"),
        Measure("images_per_second", "images per second", "images/s", True, "higher"),
    )
}

# The measures that a classical method has as well.
OF_CLASSIC = ("test_accuracy", "train_accuracy", "generalization_gap", "seconds", "predict_seconds")

# The curves that may have a threshold, and the fields of an Epoch event that they consist of. None is of the test
# split: when a test curve reaches a value is a choice of an epoch by test results.
CURVES = {
    "train_accuracy": "accuracy",
    "train_loss": "loss",
    "validation_accuracy": "validation_accuracy",
    "validation_loss": "validation_loss",
}
_CURVE_LABELS = {
    "train_accuracy": N_("train accuracy"),
    "train_loss": N_("train loss"),
    "validation_accuracy": N_("validation accuracy"),
    "validation_loss": N_("validation loss"),
}


def measure(text: str) -> Measure:
    """Return the measure of this name: one of `MEASURES`, or "epochs to CURVE VALUE", "seconds to CURVE VALUE".

    Raises:
        ValueError: There is no such measure; the message says why, and names the nearest one.
    """
    words = text.split()
    name = " ".join(words)
    if name in MEASURES:
        return replace(MEASURES[name], label=_(MEASURES[name].label))
    if words[:1] in (["epochs"], ["seconds"]) and words[1:2] == ["to"]:
        return _threshold(words[0], words[2:], name)
    thresholds = [f"{unit} to {curve}" for unit in ("epochs", "seconds") for curve in CURVES]
    guess = nearest(name, MEASURES)
    if not guess and (start := nearest(" ".join(words[:3]), thresholds)):
        guess = " ".join([start, *(words[3:] or ["VALUE"])])
    if guess:
        raise ValueError(_('"{name}" is no measure; did you mean "{guess}"?', name=name, guess=guess))
    raise ValueError(
        _(
            '"{name}" is no measure; there are {names}, "epochs to CURVE VALUE" and "seconds to CURVE VALUE"',
            name=name,
            names=", ".join(MEASURES),
        )
    )


def _threshold(unit: str, words: list[str], name: str) -> Measure:
    """Return the measure of the time, in epochs or seconds, until a curve reaches a value: words are both of these."""
    if words and words[0].startswith("test"):
        raise ValueError(
            _(
                '"{name}": a curve of the test split may not be used, because that chooses an epoch by test results;'
                " use one of {curves}",
                name=name,
                curves=", ".join(CURVES),
            )
        )
    if words and words[0] not in CURVES:
        if guess := nearest(words[0], CURVES):
            raise ValueError(_('"{name}": there is no such curve; did you mean "{guess}"?', name=name, guess=guess))
        raise ValueError(
            _('"{name}": there is no such curve; use one of {curves}', name=name, curves=", ".join(CURVES))
        )
    if len(words) != 2:
        raise ValueError(
            _('"{name}" needs a curve and the value that it must reach: "{unit} to {curve} 0.75"', name=name, unit=unit,
              curve=words[0] if words else "train_accuracy")
        )  # fmt: skip
    curve, value = words[0], _number(words[1])
    if curve.endswith("accuracy") and not 0 < value <= 1:
        raise ValueError(_('"{name}": an accuracy is a number above 0 and up to 1, such as 0.75', name=name))
    if not 0 < value < math.inf:
        raise ValueError(_('"{name}": a loss is a number above 0, such as 0.5', name=name))
    fields = {"curve": _(_CURVE_LABELS[curve]), "value": value}
    label = _("epochs to {curve} {value}", **fields) if unit == "epochs" else _("seconds to {curve} {value}", **fields)
    return Measure(f"{unit} to {curve} {value}", label, unit, True, "lower", curve, value)


def _number(text: str) -> float:
    """Return the number, or NaN."""
    try:
        return float(text)
    except ValueError:
        return math.nan
