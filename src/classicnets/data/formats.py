"""Bytes to arrays: the IDX format of MNIST and its heirs, plain or gzip, without ever trusting a header."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import shlex
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LIMIT_BYTES = 2**30
CHUNK_BYTES = 2**18
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
# How files begin that people have had in place of an IDX file.
LOOKS = {
    b"<": "a web page or XML",
    b"PK\x03\x04": "a zip archive",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip stream inside a gzip stream",
    b"BZh": "a bzip2 stream",
    b"\xfd7zXZ": "an xz stream",
    b"(\xb5/\xfd": "a zstd stream",
    b"\x93NUMPY": "a NumPy array file",
    b"!<arch>": "a Debian package",
    b"version https://git-lfs": "a Git LFS pointer, not the file it stands for",
}


def read_idx(path: Path, *, max_bytes: int = LIMIT_BYTES) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes with 1 to 4 dimensions, plain or gzip (told by its first bytes).

    Memory grows with the bytes that are really there: a header or a gzip stream that lies costs nothing. Raises
    `DataError` CN301 for anything but one whole array of at most `max_bytes` bytes with nothing behind it.
    """
    import numpy as np

    with _opened(path) as stream:
        shape = _header(stream, path, max_bytes)
        declared = math.prod(shape)
        sums = f"declared {_sum(shape)} bytes"
        payload = _read(stream, declared)
        if len(payload) < declared:
            raise _unsound(path, f"cut short: {sums}; found {len(payload):,}")
        if stream.read(1):  # at the end of a gzip stream this also compares its check sum
            raise _unsound(path, f"{sums}; more bytes follow")
    return np.frombuffer(payload, np.uint8).reshape(shape)


def idx_header(path: Path) -> tuple[int, ...]:
    """The shape an IDX file declares; only the header is read. Raises `DataError` CN301."""
    with _opened(path) as stream:
        return _header(stream, path, LIMIT_BYTES)


def sha256_of(path: Path, *, max_bytes: int = LIMIT_BYTES) -> str:
    """The SHA-256 of the decompressed bytes, in hex: the same for a file and its gzip. Raises `DataError` CN301."""
    digest, found = hashlib.sha256(), 0
    with _opened(path) as stream:
        while piece := stream.read1(CHUNK_BYTES):
            found += len(piece)
            if found > max_bytes:
                raise _unsound(path, f"more than {max_bytes:,} bytes")
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The decompressed bytes of `path`; whatever goes wrong while they are read becomes a `DataError`."""
    try:
        if not path.is_file():
            raise _unsound(path, "it is not a regular file" if path.exists() else "there is no such file")
        with path.open("rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            else:
                yield file
    except EOFError as error:
        raise _unsound(
            path, f"cut short: the gzip stream breaks off ({path.stat().st_size:,} bytes on disk)"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _unsound(path, f"the gzip stream is damaged: {error}") from error
    except OSError as error:
        raise _unsound(path, f"it cannot be read: {error.strerror or error}") from error


def _header(stream: io.BufferedIOBase, path: Path, max_bytes: int) -> tuple[int, ...]:
    """Read the magic number and the sizes: 0, 0, element type, number of dimensions, then big-endian 32-bit sizes."""
    magic = _read(stream, 4)
    if not magic:
        raise _unsound(path, "there are no bytes in it")
    if magic[:2] != b"\0\0":
        raise _unsound(path, _looks_like(bytes(magic + _read(stream, 28))))
    if len(magic) < 4:
        raise _unsound(path, f"cut short inside the header: {len(magic)} bytes of at least 8")
    kind, dimensions = magic[2:]
    if kind != UNSIGNED_BYTE:
        name = OTHER_TYPES.get(kind, "unknown")
        raise _unsound(path, f"its element type is 0x{kind:02x} ({name}); only 0x08 (unsigned byte) is read")
    if not 1 <= dimensions <= 4:
        raise _unsound(path, f"the header declares {dimensions} dimensions; 1 to 4 are read")
    sizes = _read(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _unsound(path, f"cut short inside the header: {4 + len(sizes)} bytes of {4 + 4 * dimensions}")
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", sizes)
    if not 0 < math.prod(shape) <= max_bytes:
        raise _unsound(path, f"declared {_sum(shape)} bytes; read are 1 to {max_bytes:,}")
    return shape


def _read(stream: io.BufferedIOBase, size: int) -> bytearray:
    """Up to `size` bytes; fewer where the stream ends or its gzip breaks off."""
    found = bytearray()
    try:
        while len(found) < size and (piece := stream.read1(min(size - len(found), CHUNK_BYTES))):
            found += piece
    except EOFError:  # a broken-off gzip: the caller reports how many bytes came
        pass
    return found


def _looks_like(start: bytes) -> str:
    guess = next((text for mark, text in LOOKS.items() if start.lstrip().startswith(mark)), "")
    return f"it begins with {start[:4].hex(' ')}, an IDX file with 00 00 08" + (
        f"; it looks like {guess}" * bool(guess)
    )


def _sum(shape: tuple[int, ...]) -> str:
    return f"{'x'.join(map(str, shape))} = {math.prod(shape):,}" if len(shape) > 1 else f"{shape[0]:,}"


def _unsound(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        f"{path.name} is not a sound IDX file",
        where=str(path),
        why=why,
        hint=f"classicnets data check {shlex.quote(str(path.parent))}",
    )
