"""The binary form of Protocol Buffers: a reader that a schema drives, and a writer.

The reader keeps arrays of numbers as views of the file. Every length is checked against the bytes that are there, and
the number of fields is limited, so that memory and time are bounded by the size of the file. Fields that the schema
does not have are skipped. Source of the format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classicnets.text import _
from classicnets.weights.messages import SKIP, Enum, Field, Message, MessageError, Schema, float32, place

_MAX_FIELDS = 100_000  # of all messages; a file of a network with 1,000 layers has some 30,000
_MAX_FIRST_FIELDS = 1000  # before the first message that shows what a file is
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_ARRAYS: dict[str, tuple[np.dtype[Any], int]] = {
    "floats": (np.dtype("<f4"), _FIXED32),
    "doubles": (np.dtype("<f8"), _FIXED64),
}
_MAX_VARINT_BYTES = 10
_FIRST_WINDOW = 64  # fields that are looked at together in a run of unpacked numbers


def read(data: memoryview, schema: Schema) -> Message:
    """Read a message.

    Args:
        data: the bytes of the whole file. Arrays in the result are views of it, and need not be aligned.
        schema: what the file contains.

    Raises:
        MessageError: the bytes are not such a message; it names the byte.
    """
    return _Reader(data).message(0, len(data), schema, 0)


def starts_as(data: memoryview, schema: Schema, *, within: tuple[str, ...]) -> bool:
    """Return whether the bytes begin as a message does that has other messages in one of the fields `within`.

    The format has no magic number. So this looks whether the fields up to the first of these messages are those of the
    schema, each no more often than it allows, and the first field within is one of the inner schema.
    """
    reader, singles = _Reader(data), set[Field]()
    at, end = 0, len(data)
    try:
        for _i in range(_MAX_FIRST_FIELDS):
            number, wire_type, value_at = reader.tag(at, end)
            known = schema.fields.get(number)
            if known is None or wire_type not in _wire_types(known) or known in singles:
                return False
            if not known.is_repeated:
                singles.add(known)
            if known.name in within and isinstance(known.kind, Schema):
                _length, at = reader.varint(value_at, end)
                number, wire_type, _at = reader.tag(at, end)
                inner = known.kind.fields.get(number)
                return inner is not None and wire_type in _wire_types(inner)
            _value_at, at = reader.extent(value_at, end, wire_type)
    except MessageError:
        pass
    return False


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.fields_left = _MAX_FIELDS

    def message(self, at: int, end: int, schema: Schema, begin: int) -> Message:
        """Read the fields from `at` to `end`. A schema contains no schema within itself, so the depth is limited.

        `begin` is where the field begins that has the message.
        """
        message = Message(schema, begin, in_text=False)
        while at < end:
            start = at
            self.count(start)
            number, wire_type, at = self.tag(at, end)
            known = schema.fields.get(number)
            if known is None or known.kind == SKIP:
                _value_at, at = self.extent(at, end, wire_type)
                message.unknown.setdefault(str(number) if known is None else known.name, start)
                continue
            if wire_type not in _wire_types(known):
                raise _damage(
                    _("the field {field} of {message} has another type", field=known.name, message=schema.name), start
                )
            if isinstance(known.kind, str) and known.kind in _ARRAYS and wire_type != _LENGTH:
                at = self.run(message, known, start, end)
            elif wire_type == _LENGTH:
                value_at, at = self.extent(at, end, wire_type)
                self.block(message, known, value_at, at, start)
            elif wire_type == _VARINT:
                value, at = self.varint(at, end)
                message.add(known.name, _integer(known, value), start)
            else:
                value_at, at = self.extent(at, end, wire_type)
                message.add(known.name, float32(struct.unpack_from("<f", self.data, value_at)[0]), start)
        return message

    def block(self, message: Message, known: Field, at: int, end: int, start: int) -> None:
        """Read a field with a length: a message, text, or packed numbers."""
        if isinstance(known.kind, Schema):
            message.add(known.name, self.message(at, end, known.kind, start), start)
        elif known.kind == "string":
            try:
                message.add(known.name, str(self.data[at:end], "utf-8"), start)
            except UnicodeDecodeError as error:
                raise _damage(_("the text {field} is not UTF-8", field=known.name), start) from error
        elif isinstance(known.kind, str) and known.kind in _ARRAYS:
            dtype, _wire_type = _ARRAYS[known.kind]
            if (end - at) % dtype.itemsize:
                raise _damage(_("{n:,} bytes of {field} are no numbers", n=end - at, field=known.name), start)
            message.add(known.name, np.frombuffer(self.data[at:end], dtype), start)
        elif known.kind == "float":
            if (end - at) % 4:
                raise _damage(_("{n:,} bytes of {field} are no numbers", n=end - at, field=known.name), start)
            for (value,) in struct.iter_unpack("<f", self.data[at:end]):
                self.count(start)
                message.add(known.name, float32(value), start)
        else:
            while at < end:
                self.count(at)
                value, at = self.varint(at, end)
                message.add(known.name, _integer(known, value), start)

    def run(self, message: Message, known: Field, start: int, end: int) -> int:
        """Read as many unpacked numbers of one field as follow each other; return where they end."""
        dtype, wire_type = _ARRAYS[str(known.kind)]
        tag, step = known.number << 3 | wire_type, 1 + dtype.itemsize
        if self.data[start] != tag:  # written with more bytes than needed
            raise _damage(_("the number of a field is damaged"), start)
        count, window = 0, _FIRST_WINDOW
        while True:  # the windows grow, so that all of them together take as long as the numbers
            at = start + count * step
            window = min(window, (end - at) // step)
            tags = np.frombuffer(self.data[at : at + window * step], np.uint8)[::step]
            different = np.flatnonzero(tags != tag)
            count += int(different[0]) if len(different) else window
            if len(different) or not window:
                break
            window *= 2
        stop = start + count * step
        if not count:
            self.extent(start + 1, end, wire_type)  # raises
        rows = np.frombuffer(self.data[start:stop], np.uint8).reshape(count, step)[:, 1:]
        message.add(known.name, np.ascontiguousarray(rows).view(dtype).reshape(-1), start)
        return stop

    def count(self, at: int) -> None:
        """Count a field."""
        self.fields_left -= 1
        if self.fields_left < 0:
            raise _damage(_("the file has more than {n:,} fields", n=_MAX_FIELDS), at)

    def tag(self, at: int, end: int) -> tuple[int, int, int]:
        """Return number and wire type of the field at `at`, and where its value begins."""
        value, after = self.varint(at, end)
        number = value >> 3
        if not 0 < number < 1 << 29:
            raise _damage(_("the number of a field is damaged"), at)
        return number, value & 7, after

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the number at `at`, from 0 to 2^64 - 1, and where it ends."""
        value = 0
        for i in range(min(_MAX_VARINT_BYTES, end - at)):
            byte = self.data[at + i]
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, at + i + 1
        if end - at < _MAX_VARINT_BYTES:
            raise _damage(_("a number is incomplete"), at)
        raise _damage(_("a number has more than {n} bytes", n=_MAX_VARINT_BYTES), at)

    def extent(self, at: int, end: int, wire_type: int) -> tuple[int, int]:
        """Return where the contents of a value begin and end."""
        if wire_type == _VARINT:
            return at, self.varint(at, end)[1]
        if wire_type == _LENGTH:
            length, value_at = self.varint(at, end)
        elif wire_type in (_FIXED32, _FIXED64):
            length, value_at = 4 if wire_type == _FIXED32 else 8, at
        else:
            raise _damage(_("a field has the unknown type {type}", type=wire_type), at)
        if length > end - value_at:
            raise _damage(_("{n:,} bytes are stated, and {left:,} are left", n=length, left=end - value_at), at)
        return value_at, value_at + length


def _damage(what: str, at: int) -> MessageError:
    what = _("the file is truncated or damaged: {what}", what=what)
    return MessageError(what, place(at, in_text=False), hint=_("copy or download the file again"))


@cache
def _wire_types(known: Field) -> tuple[int, ...]:
    """The wire types that a field can have: repeated numbers may be packed."""
    if known.kind == SKIP:
        return _VARINT, _FIXED64, _LENGTH, _FIXED32
    if isinstance(known.kind, Schema) or known.kind == "string":
        return (_LENGTH,)
    if known.kind in _ARRAYS:
        return _ARRAYS[str(known.kind)][1], _LENGTH
    single = _FIXED32 if known.kind == "float" else _VARINT
    return (single, _LENGTH) if known.is_repeated else (single,)


def _integer(known: Field, value: int) -> int | bool | str:
    """The value of a varint; an enum gives its name, or the number in digits if it has none."""
    if isinstance(known.kind, Enum):
        return next((name for name, number in known.kind.numbers.items() if number == value), str(value))
    if known.kind == "bool":
        return bool(value)
    return value - (1 << 64) if known.kind == "int" and value >> 63 else value


# ------------------------------------------------------------------------------------------------------------- writing


def encode(schema: Schema, values: Mapping[str, Any]) -> list[bytes | memoryview]:
    """Write a message, with its fields in the order of `values`.

    Args:
        schema: the message.
        values: values by field name, as `read` gives them: lists for repeated fields, names for enums, mappings for
            messages, and one array for "floats" and "doubles", which is not copied.

    Returns:
        The bytes in pieces.
    """
    pieces: list[bytes | memoryview] = []
    for name, value in values.items():
        known = schema.by_name[name]
        if isinstance(known.kind, Schema):
            for each in value if known.is_repeated else [value]:
                pieces += _with_length(known.number, encode(known.kind, each))
        elif known.kind in _ARRAYS:
            array: NDArray[Any] = np.ascontiguousarray(value, _ARRAYS[str(known.kind)][0])
            pieces += _with_length(known.number, [array.reshape(-1).view(np.uint8).data])
        elif known.kind == "string":
            for each in value if known.is_repeated else [value]:
                pieces += _with_length(known.number, [each.encode()])
        elif known.is_repeated and schema.packed:
            pieces += _with_length(known.number, [_scalar(known, each) for each in value])
        else:
            tag = _encode_varint(known.number << 3 | (_FIXED32 if known.kind == "float" else _VARINT))
            pieces += [tag + _scalar(known, each) for each in (value if known.is_repeated else [value])]
    return pieces


def _with_length(number: int, pieces: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    length = sum(len(piece) for piece in pieces)
    return [_encode_varint(number << 3 | _LENGTH) + _encode_varint(length), *pieces]


def _scalar(known: Field, value: Any) -> bytes:
    if known.kind == "float":
        return struct.pack("<f", value)
    return _encode_varint(known.kind.numbers[value] if isinstance(known.kind, Enum) else int(value) & (1 << 64) - 1)


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
