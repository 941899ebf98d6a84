"""Bytes of Protocol Buffers, written by hand, and Google's own reader for schemas of classicnets as an oracle."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

from classicnets.weights.messages import SKIP, Enum, Field, Message, Schema

_TYPES = {"int": 3, "uint": 13, "bool": 8, "float": 2, "string": 9, "floats": 2, "doubles": 1}
_MESSAGE, _ENUM = 11, 14


def varint(value: int) -> bytes:
    """A number in groups of 7 bits, the lowest first."""
    value %= 1 << 64
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def number(field: int, value: int) -> bytes:
    """A field with a varint."""
    return varint(field << 3) + varint(value)


def block(field: int, content: bytes | str) -> bytes:
    """A field with a length: text, a message or packed numbers."""
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def single(field: int, value: float) -> bytes:
    """A field with a float."""
    return varint(field << 3 | 5) + struct.pack("<f", value)


def floats(values: Iterable[float]) -> bytes:
    """The contents of packed floats."""
    return b"".join(struct.pack("<f", value) for value in values)


def oracle(schema: Schema) -> Any:
    """The class of Google's for messages of a schema; it does not have the fields that the schema skips."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{schema.name}.proto", package="oracle", syntax="proto2")
    pending, names = [schema], {schema.name}
    for each in pending:  # grows in the loop
        described = file.message_type.add(name=each.name)
        for field in each.fields.values():
            if field.kind == SKIP:
                continue
            if isinstance(field.kind, Schema) and field.kind.name not in names:
                pending.append(field.kind)
                names.add(field.kind.name)
            _describe(described, each, field)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"oracle.{schema.name}"))


def _describe(message: Any, schema: Schema, field: Field) -> None:
    described = message.field.add(name=field.name, number=field.number, label=3 if field.is_repeated else 1)
    if isinstance(field.kind, Schema):
        described.type, described.type_name = _MESSAGE, f".oracle.{field.kind.name}"
    elif isinstance(field.kind, Enum):
        described.type, described.type_name = _ENUM, f".oracle.{schema.name}.{field.kind.name}"
        if field.kind.name not in {enum.name for enum in message.enum_type}:
            enum = message.enum_type.add(name=field.kind.name)
            for name, value in field.kind.numbers.items():
                enum.value.add(name=name, number=value)
    else:
        described.type = _TYPES[field.kind]
        described.options.packed = field.is_repeated and (schema.packed or field.kind in ("floats", "doubles"))


def plain(message: Message) -> dict[str, list[Any]]:
    """The values of a message as lists, ordered by name."""
    result: dict[str, list[Any]] = {}
    for name, values in message.values.items():
        field = message.schema.by_name[name]
        if isinstance(field.kind, Schema):
            values = [plain(message.message(name))] if not field.is_repeated else [plain(value) for value in values]
        elif not field.is_repeated:
            values = values[-1:]
        if field.kind in ("floats", "doubles"):
            values = [value for piece in values for value in np.atleast_1d(piece).tolist()]
        if values:
            result[name] = values
    return dict(sorted(result.items()))


def plain_of_google(message: Any, schema: Schema) -> dict[str, list[Any]]:
    """The same for a message of Google's reader."""
    result: dict[str, list[Any]] = {}
    for described, value in message.ListFields():
        field = schema.by_name[described.name]
        values = list(value) if field.is_repeated else [value]
        if isinstance(field.kind, Schema):
            values = [plain_of_google(each, field.kind) for each in values]
        elif isinstance(field.kind, Enum):
            names = {value: name for name, value in field.kind.numbers.items()}
            values = [names[each] for each in values]
        elif field.kind == "float":
            values = [float(str(np.float32(each))) for each in values]
        result[described.name] = values
    return dict(sorted(result.items()))
