"""What a study can measure, and the errors for what it cannot."""

from __future__ import annotations

from dataclasses import fields

import pytest

from classicnets.events import Epoch
from classicnets.studies.measures import CURVES, MEASURES, Measure, measure

UNITS = {"points", "share", "epochs", "seconds", "images/s", ""}


@pytest.mark.parametrize("name", MEASURES)
def test_names_are_those_of_the_table(name: str) -> None:
    assert measure(f" {name} ") == MEASURES[name] and MEASURES[name].name == name
    assert MEASURES[name].unit in UNITS and MEASURES[name].better in {"higher", "lower", ""}


@pytest.mark.parametrize("unit", ["epochs", "seconds"])
@pytest.mark.parametrize("curve", CURVES)
def test_a_measure_can_be_the_time_to_a_value_of_a_curve(unit: str, curve: str) -> None:
    expected = Measure(
        f"{unit} to {curve} 0.75", f"{unit} to {curve.replace('_', ' ')} 0.75", unit, True, "lower", curve, 0.75
    )
    assert measure(f"{unit}  to {curve} 0.750") == expected == measure(expected.name)
    assert CURVES[curve] in {field.name for field in fields(Epoch)} and "test" not in CURVES[curve]


def test_a_loss_may_be_above_1() -> None:
    assert measure("epochs to train_loss 1.5").threshold == 1.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test_acuracy", 'did you mean "test_accuracy"?'),
        ("generalisation-gap", 'did you mean "generalization_gap"?'),
        ("epoch to train_accuracy 0.75", 'did you mean "epochs to train_accuracy 0.75"?'),
        ("seconds to train-los 0.5", 'did you mean "train_loss"?'),
        ("beauty", "there are test_accuracy, test_loss, "),
        ("", "there are test_accuracy, test_loss, "),
        ("epochs", "there are test_accuracy, test_loss, "),
        ("epochs to test_accuracy 0.75", "a curve of the test split may not be used"),
        ("seconds to test_loss 0.5", "a curve of the test split may not be used"),
        ("epochs to beauty 0.75", "use one of train_accuracy, train_loss, validation_accuracy, validation_loss"),
        ("epochs to", '"epochs to train_accuracy 0.75"'),
        ("seconds to validation_loss", '"seconds to validation_loss 0.75"'),
        ("epochs to train_accuracy 0.7 0.8", "needs a curve and the value"),
        ("epochs to train_accuracy 75", "an accuracy is a number above 0 and up to 1"),
        ("epochs to train_accuracy 1.01", "an accuracy is a number above 0 and up to 1"),
        ("epochs to train_accuracy 0", "an accuracy is a number above 0 and up to 1"),
        ("epochs to train_accuracy high", "an accuracy is a number above 0 and up to 1"),
        ("epochs to train_loss -1", "a loss is a number above 0"),
        ("epochs to train_loss inf", "a loss is a number above 0"),
        ("epochs to train_loss nan", "a loss is a number above 0"),
    ],
)
def test_other_texts_are_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        measure(text)
    assert message in str(caught.value)
