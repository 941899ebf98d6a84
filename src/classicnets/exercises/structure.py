"""Checks of a student's network by its layers: what was changed, what is missing, and common misunderstandings."""

from __future__ import annotations

import torch
from torch import nn

from classicnets.exercises.kinds import CLASSES, Structure
from classicnets.exercises.result import Result
from classicnets.exercises.traits import Traits, changes, traits
from classicnets.inspection.shape_errors import check_input
from classicnets.models.modules import unwrap
from classicnets.models.registry import NETS
from classicnets.text import _, plural
from classicnets.text import shape as shape_text


def reference(name: str, device: str = "cpu") -> tuple[nn.Module, tuple[int, int, int]]:
    """Return a network of the registry as in its source, and the shape of its images.

    Random numbers that the user draws afterwards stay the same. On "meta", weights have no data, which is enough for a
    layer table.
    """
    entry = NETS[name]
    channels, height, _width = entry.input
    with torch.random.fork_rng(devices=[]), torch.device(device):
        return entry.load()(entry.classes, channels, height), entry.input


def check(exercise: Structure, net: nn.Module) -> Result:
    """Compare a network with that of the book.

    Raises:
        UsageError: CN201, it cannot take the images of the exercise.
    """
    book_net, shape = reference(exercise.reference)
    book = traits(book_net, check_input(book_net, shape))
    table = check_input(net, exercise.shape, name=_("your network"))
    if table.output_shape != (CLASSES,):
        return Result(id=exercise.id, passed=False, missing=(_no_classifier(table.output_shape),))
    yours = traits(unwrap(net), table)
    found = changes(book, yours)
    missing = [_absent()[aspect] for aspect in exercise.needs if aspect not in found]
    if exercise.any_of and not set(exercise.any_of) & set(found):
        missing.append(_("nothing of what the exercise names has changed; the network is still that of the book"))
    missing += [sentence for rule in exercise.rules for sentence in rule(book, yours)]
    missing += misunderstandings(yours)
    asked = {*exercise.needs, *exercise.any_of}
    others = [sentence for aspect, sentences in found.items() if aspect not in asked for sentence in sentences]
    if exercise.exact:
        missing += [_("this must stay as in the book: {change}", change=change) for change in others]
    notes = []
    if exercise.needs and others and not exercise.exact:
        notes.append(
            _("more than one thing has changed, so a difference in accuracy would not say which of them caused it")
        )
    ratio = table.macs / max(book.table.macs, 1)
    notes.append(
        _(
            "{parameters:,} parameters and {macs:,} MACs; the book's network has {book:,} and {book_macs:,}",
            parameters=table.parameters,
            macs=table.macs,
            book=book.table.parameters,
            book_macs=book.table.macs,
        )
    )
    return Result(
        id=exercise.id,
        passed=not missing,
        seen=tuple(sentence for sentences in found.values() for sentence in sentences)
        or (_("the same layers as in the book"),),
        missing=tuple(dict.fromkeys(missing)),
        notes=tuple(notes),
        facts={"changes": found, "parameters": table.parameters, "macs": table.macs, "macs_ratio": ratio},
    )


def _no_classifier(shape: tuple[int, ...]) -> str:
    return _(
        "the network returns {shape} numbers for an image; it must return {classes} logits, one for each class",
        shape=shape_text(shape),
        classes=CLASSES,
    )


def misunderstandings(yours: Traits) -> list[str]:
    """Return what is wrong with a network that computes, and yet learns badly."""
    wrong = []
    if yours.ending == "softmax":
        wrong.append(_("the network ends in softmax, which the loss applies already: remove it, and return the logits"))
    elif yours.ending == "log-softmax":
        wrong.append(_("the network ends in log-softmax, which the loss contains: remove it, and return the logits"))
    elif yours.ending == "ReLU":
        wrong.append(
            _(
                "an activation such as ReLU follows the last layer and cuts off all negative logits; activations belong"
                " between layers"
            )
        )
    if (n := sum(yours.activations.values()) - (yours.ending == "ReLU")) < yours.hidden_layers:
        wrong.append(
            plural(
                "{n} activation for {hidden} hidden layers: without one, two layers compute no more than a single one",
                "{n} activations for {hidden} hidden layers: without one, two layers compute no more than a single one",
                n,
                hidden=yours.hidden_layers,
            )
        )
    if {"max", "average"} <= set(yours.pooling):
        wrong.append(
            _(
                "average and maximum pooling are mixed ({average} and {maximum}): one of them was not replaced",
                average=yours.pooling["average"],
                maximum=yours.pooling["max"],
            )
        )
    return wrong


def _absent() -> dict[str, str]:
    """What to say of an aspect that has not changed."""
    return {
        "input": _("the network still takes images of the book's size"),
        "convolutions": _("the number of convolutions is that of the book"),
        "window": _("the kernels of the convolutions are those of the book"),
        "stride": _("the strides are those of the book"),
        "padding": _("the padding is that of the book"),
        "channels": _("the convolutions have the channels of the book"),
        "pooling": _("the pooling is that of the book"),
        "pool_window": _("the windows of the pooling are those of the book"),
        "activation": _("the activations are those of the book"),
        "dense": _("the number of dense layers is that of the book"),
        "widths": _("the dense layers have the outputs of the book"),
        "dropout": _("there is no dropout: while the network trains, it gives the same outputs each time"),
        "normalization": _("the normalization is that of the book"),
    }
