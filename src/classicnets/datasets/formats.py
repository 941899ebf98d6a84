"""Bytes to arrays: the IDX format of MNIST and its heirs and the records of CIFAR, plain or gzip, and the tar.gz that
these come in; without ever trusting a header.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import shlex
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import CIFAR_PIXELS, CIFAR_SHAPE
from classicnets.errors import DataError
from classicnets.text import shape as shape_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LIMIT_BYTES = 2**30
CHUNK_BYTES = 2**18
TAR_OVERHEAD_BYTES = 2**20  # how much larger than the files in it an archive may be
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP = b"\x1f\x8b"
# How files begin that people have had in place of an IDX file.
LOOKS = {
    b"<": "a web page or XML",
    b"PK\x03\x04": "a zip archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    GZIP: "a gzip stream inside a gzip stream",
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


def read_cifar(
    path: Path, label_bytes: int, *, max_bytes: int = LIMIT_BYTES
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images uint8 [N, 3, 32, 32] and their labels uint8 [N, label_bytes] from a file of CIFAR records: bytes of
    labels, then 1,024 red pixels, 1,024 green, 1,024 blue, row by row. Plain or gzip.

    Raises `DataError` CN301 for anything but whole records of at most `max_bytes` bytes together.
    """
    import numpy as np

    kind = "file of CIFAR records"
    with _opened(path, kind) as stream:
        content = _read(stream, max_bytes)
        if stream.read(1):  # at the end of a gzip stream this also compares its check sum
            raise _unsound(path, f"more than {max_bytes:,} bytes", kind)
    record = label_bytes + CIFAR_PIXELS
    count, rest = divmod(len(content), record)
    if rest or not count:
        why = f"{len(content):,} bytes are not a whole number of records of {label_bytes} + {CIFAR_PIXELS:,} bytes"
        raise _unsound(path, why, kind)
    rows = np.frombuffer(content, np.uint8).reshape(count, record)
    return rows[:, label_bytes:].reshape(count, *CIFAR_SHAPE), rows[:, :label_bytes]


def tar_pieces(path: Path, sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """(name, some bytes), in their order, of the files of a tar, plain or gzip, that `sizes` (name -> bytes) asks for.

    The archive is read as a stream and nothing is written: of a path in it the last part is compared, no more. A file
    that is missing, or of another size, does not come. Raises `DataError` CN301 for no sound tar.
    """
    kind, wanted = "tar archive", dict(sizes)
    left = sum(sizes.values()) + TAR_OVERHEAD_BYTES
    with _opened(path, kind) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    left -= member.size
                    if left < 0:
                        raise _unsound(
                            path, f"it holds more than the {sum(sizes.values()):,} bytes that it should", kind
                        )
                    name = PurePosixPath(member.name).name
                    if member.isfile() and wanted.get(name) == member.size and (file := archive.extractfile(member)):
                        del wanted[name]
                        while piece := file.read(CHUNK_BYTES):
                            yield name, piece
                    if not wanted:
                        return
        except tarfile.TarError as error:
            with _opened(path, kind) as again:
                raise _unsound(path, f"{error}{_guess(bytes(_read(again, 32)))}", kind) from error


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip does. Raises `DataError` CN301 if it cannot be read."""
    with _opened(path, "file of a data set", unzip=False) as file:
        return file.read(2) == GZIP


def sha256_of(path: Path, *, max_bytes: int = LIMIT_BYTES, of: str = "content") -> str:
    """The SHA-256 in hex of the decompressed bytes, the same for a file and its gzip, or `of` the "file" as it is.

    Raises `DataError` CN301, also for more than `max_bytes` bytes.
    """
    digest, found = hashlib.sha256(), 0
    with _opened(path, "file of a data set", unzip=of == "content") as stream:
        while piece := stream.read1(CHUNK_BYTES):
            found += len(piece)
            if found > max_bytes:
                raise _unsound(path, f"more than {max_bytes:,} bytes", "file of a data set")
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _opened(path: Path, kind: str = "IDX file", *, unzip: bool = True) -> Iterator[io.BufferedIOBase]:
    """The decompressed bytes of `path`; whatever goes wrong while they are read becomes a `DataError`."""
    try:
        if not path.is_file():
            why = "it is not a regular file" if path.exists() else "there is no such file"
            raise _unsound(path, why, kind)
        with path.open("rb") as file:
            if unzip and file.peek(2)[:2] == GZIP:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            else:
                yield file
    except EOFError as error:
        why = f"cut short: the gzip stream breaks off ({path.stat().st_size:,} bytes on disk)"
        raise _unsound(path, why, kind) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _unsound(path, f"the gzip stream is damaged: {error}", kind) from error
    except OSError as error:
        raise _unsound(path, f"it cannot be read: {error.strerror or error}", kind) from error


def _header(stream: io.BufferedIOBase, path: Path, max_bytes: int) -> tuple[int, ...]:
    """Read the magic number and the sizes: 0, 0, element type, number of dimensions, then big-endian 32-bit sizes."""
    magic = _read(stream, 4)
    if not magic:
        raise _unsound(path, "there are no bytes in it")
    if magic[:2] != b"\0\0":
        guess = _guess(bytes(magic + _read(stream, 28)))
        raise _unsound(path, f"it begins with {magic.hex(' ')}, an IDX file with 00 00 08{guess}")
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


def _guess(start: bytes) -> str:
    """What else a file looks like that begins so, for the end of a message."""
    guess = next((text for mark, text in LOOKS.items() if start.lstrip().startswith(mark)), "")
    return f"; it looks like {guess}" * bool(guess)


def _sum(shape: tuple[int, ...]) -> str:
    return f"{shape_text(shape)} = {math.prod(shape):,}" if len(shape) > 1 else f"{shape[0]:,}"


def _unsound(path: Path, why: str, kind: str = "IDX file") -> DataError:
    return DataError(
        "CN301",
        f"{path.name} is not a sound {kind}",
        where=str(path),
        why=why,
        hint=f"classicnets data check {shlex.quote(str(path.parent))}",
    )
