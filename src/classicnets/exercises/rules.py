"""What else must hold of a student's network: functions of the book's network and of it that return what is missing."""

from __future__ import annotations

from classicnets.exercises.traits import Traits
from classicnets.text import _


def max_pooling(book: Traits, yours: Traits) -> list[str]:
    """Every pooling is maximum pooling."""
    if yours.pooling["max"] >= sum(book.pooling.values()) or "average" in yours.pooling:
        return []  # a mixture is a misunderstanding of its own
    return [
        _(
            "the network has {n} maximum poolings, and the book's has {book} poolings",
            n=yours.pooling["max"],
            book=sum(book.pooling.values()),
        )
    ]


def relu(_book: Traits, yours: Traits) -> list[str]:
    """Every activation is ReLU."""
    others = [name for name in yours.activations if name != "ReLU"]
    if yours.activations["ReLU"] and not others:
        return []
    return [_("not all activations are ReLU: there is still {names}", names=", ".join(others) or _("none"))]


def dropout(_book: Traits, yours: Traits) -> list[str]:
    """Dropout is used."""
    return [] if yours.dropout else [_("no dropout: while the network trains, it gives the same outputs each time")]


def fewer_macs(book: Traits, yours: Traits) -> list[str]:
    """The network computes less than that of the book."""
    if yours.table.macs < book.table.macs:
        return []
    return [
        _(
            "the network has {macs:,} MACs, not fewer than the book's {book:,}, so its steps are not faster",
            macs=yours.table.macs,
            book=book.table.macs,
        )
    ]


def has_convolution(_book: Traits, yours: Traits) -> list[str]:
    """The network has a convolution."""
    return [] if yours.convolutions else [_("the network has no convolution, so it does not use where pixels lie")]


def no_resizing(_book: Traits, yours: Traits) -> list[str]:
    """No layer enlarges the image, which would only repeat pixels."""
    size = max(yours.table.input_shape[1:])
    if any(max(row.outputs[1:], default=0) > 2 * size for row in yours.table.rows if len(row.outputs) == 3):
        return [_("a layer enlarges the image; the exercise asks for a network that works on the image as it is")]
    if {"upsample_bilinear2d", "upsample_nearest2d", "interpolate"} & set(yours.table.unlisted):
        return [_("forward() enlarges the image; the exercise asks for a network that works on the image as it is")]
    return []
