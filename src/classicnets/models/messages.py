"""Messages of errors that keep what they are made of, so that they can be translated where a user reads them.

Needs only Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Self


class Message(str):
    """A text in English with its fields: `Message("{n} groups do not divide {channels} channels", n=2, channels=3)`.

    A field may be a message, too.
    """

    message: str
    fields: dict[str, Any]

    def __new__(cls, message: str, /, **fields: object) -> Self:
        """Fill in the fields."""
        if isinstance(message, Message) and not fields:  # as pickle restores it
            fields, message = message.fields, message.message
        text = super().__new__(cls, message.format(**fields) if fields else message)
        text.message, text.fields = message, fields
        return text

    def translated(self, translate: Callable[..., str]) -> str:
        """Return the text in another language; `translate` takes the message, and the fields by their names."""
        fields = {
            name: field.translated(translate) if isinstance(field, Message) else field
            for name, field in self.fields.items()
        }
        return translate(self.message, **fields)


class ModelError(ValueError):
    """Numbers, settings or a graph that make no network, or a change that a network does not allow."""

    def __init__(self, message: str, /, **fields: object) -> None:
        super().__init__(Message(message, **fields))


# the errors of layers.py and lrn.py, which are files to copy and import nothing of this package
STANDALONE = (
    "Subsampling has coefficients for {channels} channels, but got {n}",
    "the table has {rows} rows for {out_channels} output channels",
    "row {row} of the table must list distinct channels of 0-{last}; got {inputs}",
    "there are biases for {expected} units, but the output is {size}",
    "codes must be [classes, features]; got {shape}",
    "LocalConv2d has kernels for an input of {expected}, but got {size}",
    "DropConnect needs a probability of at least 0 and below 1; got {p}",
    "SameMapNorm size must be odd; got {size}",
    "SameMapNorm needs k > 0 and alpha >= 0, or it divides by zero; got {k} and {alpha}",
    "forward() returns a {kind} without {name}",
    "LRN size must be odd, because libraries place even windows differently; got {size}",
    "LRN convention must be one of {names}; got {convention}",
    "LRN needs k > 0 and alpha >= 0, or it divides by zero; got k = {k}, alpha = {alpha}",
    "LRN groups must be at least 1; got {groups}",
    "{channels} channels cannot be split into {groups} equal groups",
)


def recognized(text: str) -> str:
    """Return a text as the `Message` that it is, if it is one of `STANDALONE`."""
    for message in STANDALONE:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(message))
        if match := re.fullmatch(pattern, text):
            return Message(message, **match.groupdict())
    return text


def reason(error: BaseException, translate: Callable[..., str]) -> str:
    """Return the text of an error, in another language if it is a `Message`."""
    message = error.args[0] if len(error.args) == 1 else None
    if type(error) is ValueError and type(message) is str:
        message = recognized(message)
    return message.translated(translate) if isinstance(message, Message) else str(error)
