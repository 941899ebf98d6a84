"""Damages files in the ways that disks, networks and attackers do: the same seed gives the same mutants."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

VARIABLE = "CLASSICNETS_FUZZ"  # number of mutants for each kind of file; `make fuzz` sets it

_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 64  # bytes at the start of a file, most of which state sizes and types


def mutant_count() -> int:
    """Number of mutants for each kind of file: that of the environment, or 100."""
    return int(os.environ.get(VARIABLE) or 100)


def mutants(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` damaged copies of `data`, each different from it.

    Each has one to three of these faults: flipped bits, a cut end, blocks that are zeroed, repeated, removed or
    exchanged, inserted bytes, and extreme numbers in place of sizes, most of them near the start.

    Raises:
        ValueError: `data` has fewer than two bytes.
    """
    if len(data) < 2:
        raise ValueError("there is nothing to damage")
    generator = random.Random(seed)
    for _number in range(count):
        mutant = data
        while mutant == data:
            for _fault in range(generator.choice((1, 1, 2, 3))):
                mutant = generator.choice(_FAULTS)(mutant, generator)
        yield mutant


def _position(data: bytes, generator: random.Random) -> int:
    """A position in the data; every second one lies near the start."""
    end = min(len(data), _HEADER) if generator.random() < 0.5 else len(data)
    return generator.randrange(max(1, end))


def _block(data: bytes, generator: random.Random) -> tuple[int, int]:
    """Start and end of a block of 1 to 64 bytes, or of up to half of the data."""
    start = _position(data, generator)
    longest = len(data) // 2 if generator.random() < 0.2 else 64
    return start, min(len(data), start + generator.randint(1, max(1, longest)))


def _flip_bits(data: bytes, generator: random.Random) -> bytes:
    result = bytearray(data)
    for _bit in range(generator.choice((1, 1, 2, 8, 64))):
        if result:
            result[_position(data, generator)] ^= 1 << generator.randrange(8)
    return bytes(result)


def _truncate(data: bytes, generator: random.Random) -> bytes:
    return data[: _position(data, generator)]


def _zero_block(data: bytes, generator: random.Random) -> bytes:
    start, end = _block(data, generator)
    return data[:start] + bytes(end - start) + data[end:]


def _insert_bytes(data: bytes, generator: random.Random) -> bytes:
    position = _position(data, generator)
    return data[:position] + generator.randbytes(generator.randint(1, 16)) + data[position:]


def _repeat_block(data: bytes, generator: random.Random) -> bytes:
    start, end = _block(data, generator)
    return data[:end] + data[start:end] * generator.randint(1, 3) + data[end:]


def _remove_block(data: bytes, generator: random.Random) -> bytes:
    start, end = _block(data, generator)
    return data[:start] + data[end:]


def _exchange_blocks(data: bytes, generator: random.Random) -> bytes:
    (first, middle), (second, end) = sorted((_block(data, generator), _block(data, generator)))
    middle, second = min(middle, second), max(middle, second)
    end = max(end, second)
    return data[:first] + data[second:end] + data[middle:second] + data[first:middle] + data[end:]


def _set_number(data: bytes, generator: random.Random) -> bytes:
    """Write an extreme or a random number of one, two or four bytes, in either byte order."""
    position, width = _position(data, generator), generator.choice((1, 2, 4))
    number = generator.choice((*_EDGES, generator.getrandbits(32), generator.randrange(1 << 16))) % (1 << 8 * width)
    order = "big" if generator.random() < 0.5 else "little"
    return data[:position] + number.to_bytes(width, order) + data[position + width :]  # type: ignore[arg-type]


_FAULTS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip_bits,
    _flip_bits,
    _truncate,
    _zero_block,
    _insert_bytes,
    _repeat_block,
    _remove_block,
    _exchange_blocks,
    _set_number,
    _set_number,
)
