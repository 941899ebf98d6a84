"""Messages of Protocol Buffers as values: what the readers of both forms, binary and text, give.

A schema lists the fields of a message by their numbers. It needs only the fields that somebody reads; a field with the
kind SKIP is known by name, and its contents are not kept.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from classicnets.text import _

SKIP = "skip"
# "int", "uint" and "bool" are varints in the binary form; "floats" and "doubles" are repeated and become arrays
SCALARS = ("int", "uint", "bool", "float", "string", "floats", "doubles")


@dataclass(frozen=True, eq=False)
class Enum:
    """An enum: its numbers by name. Its values are read as names."""

    name: str
    numbers: Mapping[str, int]


class Schema:
    """The fields of a message that are read.

    Args:
        name: name of the message.
        fields: name and kind by field number. A kind is one of `SCALARS`, SKIP, an Enum or a Schema; [kind] is a
            repeated field.
        closed: whether the text form may have no other fields, since ignoring one would change the meaning.
        packed: whether repeated numbers are written as one field; all readers take both.
    """

    def __init__(
        self, name: str, fields: Mapping[int, tuple[str, Any]], *, closed: bool = False, packed: bool = False
    ) -> None:
        self.name, self.closed, self.packed = name, closed, packed
        self.fields: dict[int, Field] = {}
        for number, (field_name, kind) in fields.items():
            is_repeated = isinstance(kind, list)
            self.fields[number] = Field(number, field_name, kind[0] if is_repeated else kind, is_repeated)
        self.by_name = {each.name: each for each in self.fields.values()}


@dataclass(frozen=True, eq=False)
class Field:
    """A field of a schema."""

    number: int
    name: str
    kind: str | Enum | Schema
    is_repeated: bool


@dataclass(eq=False, slots=True)
class Message:
    """The fields that a message has, each with its values in the order of the file.

    Attributes:
        schema: its schema.
        at: the byte or the line where it begins.
        in_text: whether positions are lines, not bytes.
        values: values by field name. Those of "floats" and "doubles" are arrays, to be joined.
        places: the byte or line of each of these values.
        unknown: fields that the schema does not have, and the first byte or line of each; a number is its own name.
    """

    schema: Schema
    at: int
    in_text: bool
    values: dict[str, list[Any]] = field(default_factory=dict)
    places: dict[str, list[int]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, value: Any, at: int) -> None:
        """Append a value to a field."""
        self.values.setdefault(name, []).append(value)
        self.places.setdefault(name, []).append(at)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def all(self, name: str) -> list[Any]:
        """Return all values of a repeated field."""
        return self.values.get(name, [])

    def one(self, name: str, default: Any = None) -> Any:
        """Return the value of a field: the last one, as Protocol Buffers does."""
        values = self.values.get(name)
        return values[-1] if values else default

    def message(self, name: str) -> Message:
        """Return the message in a field, empty if there is none; its parts are merged if it was written in parts."""
        kind = self.schema.by_name[name].kind
        if not isinstance(kind, Schema):
            raise TypeError(f"{name} is no message")
        parts = self.values.get(name, [])
        if len(parts) == 1:
            part: Message = parts[0]
            return part
        merged = Message(kind, parts[0].at if parts else self.at, self.in_text)
        for part in parts:
            for key, values in part.values.items():
                merged.values.setdefault(key, []).extend(values)
                merged.places.setdefault(key, []).extend(part.places[key])
        return merged

    def place(self, name: str = "") -> str:
        """Describe where the message or one of its fields begins: "line 12" or "byte 345"."""
        places = self.places.get(name)
        return place(places[-1] if places else self.at, in_text=self.in_text)


class MessageError(ValueError):
    """A file cannot be read: what is wrong, and where in it."""

    def __init__(self, what: str, at: str = "", *, hint: str = "") -> None:
        super().__init__(what)
        self.what, self.at, self.hint = what, at, hint


def place(at: int, *, in_text: bool) -> str:
    """Describe a position: "line 12" of a text, or "byte 345" of a binary file."""
    return _("line {n}", n=at) if in_text else _("byte {n:,}", n=at)


def float32(value: float) -> float:
    """Round to float32, which all settings of Caffe are, and return the shortest decimal that means the same."""
    try:
        return float(str(np.float32(struct.unpack("<f", struct.pack("<f", value))[0])))
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
