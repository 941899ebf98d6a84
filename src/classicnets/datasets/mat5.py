"""Reads structures from MAT-files of MATLAB 5 to 7, such as the meta.mat of ImageNet's development kit.

Only what such a structure needs: numbers, text and arrays of structures. Format: MathWorks, MAT-File Format, "Level 5
MAT-File Format".
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.text import _

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _FIRST_NUMERIC = 2, 4, 6
_HEADER_BYTES, _MAX_BYTES = 128, 2**27


def read_structs(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the array of structures that is called `name`; text is a str, a number a float, several are a list.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not such a file, is damaged, or has no such array.
    """
    data = path.read_bytes()
    if len(data) < _HEADER_BYTES or data[126:128] != b"IM":
        raise ValueError(_("it is not a MAT-file of MATLAB 5 to 7"))
    for kind, content in _whole_elements(data[_HEADER_BYTES:]):
        if kind == _MATRIX:
            found, value = _matrix(content)
            if found == name and isinstance(value, list) and all(isinstance(row, dict) for row in value):
                return value
    raise ValueError(_("it has no array of structures called {name}", name=name))


def _whole_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and content of each data element, decompressed."""
    for kind, content in _elements(data):
        if kind == _COMPRESSED:
            yield from _elements(_decompressed(content))
        else:
            yield kind, content


def _decompressed(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, _MAX_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not stream.eof:
        raise ValueError(_("its content is cut off or too large"))
    return data


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The type and content of each data element."""
    place = 0
    while place < len(data):
        kind, size, start = _number(data, place), _number(data, place + 4), place + 8
        if kind >> 16:  # an element of at most four bytes
            kind, size, start = kind & 0xFFFF, kind >> 16, place + 4
            place += 8
        else:
            place = start + size + (-size % 8 if kind != _COMPRESSED else 0)
        if start + size > len(data):
            raise ValueError(_("it ends too early"))
        yield kind, data[start : start + size]


def _number(data: bytes, place: int) -> int:
    if place + 4 > len(data):
        raise ValueError(_("it ends too early"))
    return int.from_bytes(data[place : place + 4], "little")


def _matrix(content: bytes) -> tuple[str, Any]:
    """The name and the value of an array; other values than structures, text and numbers are None."""
    if not content:
        return "", []
    elements = _elements(content)
    flags, _dimensions, name = (next(elements, (0, b""))[1] for _ in range(3))
    kind, label = _number(flags, 0) & 0xFF, name.decode("latin-1")
    if kind == _STRUCT:
        length = _number(next(elements, (0, b""))[1], 0)
        names = next(elements, (0, b""))[1]
        if not length or len(names) % length:
            raise ValueError(_("the names of its fields are damaged"))
        fields = [names[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, len(names), length)]
        values = [_matrix(part)[1] for _kind, part in elements]
        return label, [
            dict(zip(fields, values[i : i + len(fields)], strict=True)) for i in range(0, len(values), len(fields))
        ]
    if kind != _CHAR and kind < _FIRST_NUMERIC:
        return label, None
    number_type, numbers = next(elements, (0, b""))
    if kind == _CHAR and number_type in _TEXTS:
        encoding = _TEXTS[number_type]
        return label, numbers.decode(f"{encoding}-le" if encoding in {"utf-16", "utf-32"} else encoding)
    if number_type not in _NUMBERS:
        raise ValueError(_("it has numbers of an unknown type"))
    values = np.frombuffer(numbers, f"<{_NUMBERS[number_type]}").astype(float).tolist()
    return label, values[0] if len(values) == 1 else values
