"""Messages of errors that keep what they are made of, so that they can be translated where a user reads them.

Needs only Python.
"""

from __future__ import annotations

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


def reason(error: BaseException, translate: Callable[..., str]) -> str:
    """Return the text of an error, in another language if it is a `Message`."""
    message = error.args[0] if len(error.args) == 1 else None
    return message.translated(translate) if isinstance(message, Message) else str(error)
