"""Parsers for IDX files (MNIST) and CIFAR records, plain or gzip, and for tar archives; headers are not trusted."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from classicnets.datasets.catalog import CIFAR_PIXELS, CIFAR_SHAPE
from classicnets.errors import DataError
from classicnets.text import _, command
from classicnets.text import shape as shape_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_BYTES = 2**30
CHUNK_BYTES = 2**18
TAR_OVERHEAD_BYTES = 2**20  # how much larger than the files in it an archive may be
UNSIGNED_BYTE = 0x08
OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP = b"\x1f\x8b"


def read_idx(path: Path, *, max_bytes: int = MAX_BYTES) -> npt.NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes with 1 to 4 dimensions, plain or gzip.

    Memory grows only with the bytes that are really there, whatever a header or gzip stream declares.

    Raises:
        DataError: CN301 unless the file holds exactly one complete array of at most `max_bytes` bytes.
    """
    import numpy as np

    kind = _("IDX file")
    with _open(path, kind) as stream:
        shape = _read_header(stream, path, max_bytes)
        declared = math.prod(shape)
        payload = _read(stream, declared)
        if len(payload) < declared:
            why = _(
                "it is truncated: it declares {size} bytes, but has {n:,}",
                size=_size_text(shape),
                n=len(payload),
            )
            raise _invalid(path, why, kind)
        if stream.read(1):  # at the end of a gzip stream this also verifies its checksum
            why = _("it declares {size} bytes, but has more", size=_size_text(shape))
            raise _invalid(path, why, kind)
    return np.frombuffer(payload, np.uint8).reshape(shape)


def idx_header(path: Path) -> tuple[int, ...]:
    """Return the shape that an IDX file declares; only the header is read. Raises DataError CN301."""
    with _open(path, _("IDX file")) as stream:
        return _read_header(stream, path, MAX_BYTES)


def read_cifar(
    path: Path, label_bytes: int, *, max_bytes: int = MAX_BYTES
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Read CIFAR records, plain or gzip: label bytes, then 1,024 red, green and blue pixels each, row by row.

    Returns:
        Images uint8 [N, 3, 32, 32] and labels uint8 [N, label_bytes].

    Raises:
        DataError: CN301 unless the file holds complete records of at most `max_bytes` bytes in total.
    """
    import numpy as np

    kind = _("file of CIFAR records")
    with _open(path, kind) as stream:
        content = _read(stream, max_bytes)
        if stream.read(1):  # at the end of a gzip stream this also verifies its checksum
            raise _invalid(path, _("it has more than {n:,} bytes", n=max_bytes), kind)
    record = label_bytes + CIFAR_PIXELS
    count, remainder = divmod(len(content), record)
    if remainder or not count:
        why = _(
            "its size of {n:,} bytes is not a multiple of the record size, {record:,}", n=len(content), record=record
        )
        raise _invalid(path, why, kind)
    rows = np.frombuffer(content, np.uint8).reshape(count, record)
    return rows[:, label_bytes:].reshape(count, *CIFAR_SHAPE), rows[:, :label_bytes]


def tar_pieces(path: Path, sizes: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Extract files from a tar archive, plain or gzip, as (name, bytes) pieces in their order.

    The archive is read as a stream and nothing is written. Of paths in it, only the last part is compared. A file that
    is missing or has another size is left out.

    Args:
        path: The archive.
        sizes: Name -> size in bytes of the files to extract.

    Raises:
        DataError: CN301 if the archive is not valid.
    """
    kind, pending = _("tar archive"), dict(sizes)
    remaining = sum(sizes.values()) + TAR_OVERHEAD_BYTES
    with _open(path, kind) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for member in archive:
                    remaining -= member.size
                    if remaining < 0:
                        why = _("it contains more than the expected {n:,} bytes", n=sum(sizes.values()))
                        raise _invalid(path, why, kind)
                    name = PurePosixPath(member.name).name
                    if member.isfile() and pending.get(name) == member.size and (file := archive.extractfile(member)):
                        del pending[name]
                        while piece := file.read(CHUNK_BYTES):
                            yield name, piece
                    if not pending:
                        return
        except tarfile.TarError as error:
            with _open(path, kind) as again:
                if guess := _guess(bytes(_read(again, 32))):
                    why = _("{error}; it looks like {kind}", error=error, kind=guess)
                else:
                    why = str(error)
                raise _invalid(path, why, kind) from error


def is_gzip(path: Path) -> bool:
    """Return whether the file begins as gzip does. Raises DataError CN301 if it cannot be read."""
    with _open(path, _("data file"), unzip=False) as file:
        return file.read(2) == GZIP


def sha256_of(path: Path, *, max_bytes: int = MAX_BYTES, packed: bool = False) -> str:
    """SHA-256 in hex of the decompressed content, which is the same for a file and its gzip.

    With `packed`, of the file as it is.

    Raises:
        DataError: CN301 if it cannot be read or has more than `max_bytes` bytes.
    """
    kind = _("data file")
    digest, count = hashlib.sha256(), 0
    with _open(path, kind, unzip=not packed) as stream:
        while piece := stream.read1(CHUNK_BYTES):
            count += len(piece)
            if count > max_bytes:
                raise _invalid(path, _("it has more than {n:,} bytes", n=max_bytes), kind)
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _open(path: Path, kind: str, *, unzip: bool = True) -> Iterator[io.BufferedIOBase]:
    """The decompressed content of `path`; errors while it is read become DataError CN301."""
    try:
        if not path.is_file():
            why = _("it is not a regular file") if path.exists() else _("there is no such file")
            raise _invalid(path, why, kind)
        with path.open("rb") as file:
            if unzip and file.peek(2)[:2] == GZIP:
                with gzip.GzipFile(fileobj=file) as unpacked:
                    yield unpacked
            else:
                yield file
    except EOFError as error:
        why = _("it is truncated: its gzip stream ends early ({n:,} bytes on disk)", n=path.stat().st_size)
        raise _invalid(path, why, kind) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise _invalid(path, _("its gzip stream is damaged: {error}", error=error), kind) from error
    except OSError as error:
        raise _invalid(path, _("it cannot be read: {reason}", reason=error.strerror or error), kind) from error


def _read_header(stream: io.BufferedIOBase, path: Path, max_bytes: int) -> tuple[int, ...]:
    """Read magic number and shape: 0, 0, element type, number of dimensions, then big-endian 32-bit sizes."""
    magic = _read(stream, 4)
    if problem := _magic_problem(magic, stream):
        raise _invalid(path, problem, _("IDX file"))
    dimensions = magic[3]
    sizes = _read(stream, 4 * dimensions)
    if len(sizes) < 4 * dimensions:
        why = _("it is truncated in its header: {n} of {total} bytes", n=4 + len(sizes), total=4 + 4 * dimensions)
        raise _invalid(path, why, _("IDX file"))
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", sizes)
    if not 0 < math.prod(shape) <= max_bytes:
        why = _("it declares {size} bytes, but 1 to {limit:,} are supported", size=_size_text(shape), limit=max_bytes)
        raise _invalid(path, why, _("IDX file"))
    return shape


def _magic_problem(magic: bytearray, stream: io.BufferedIOBase) -> str:
    """What is wrong with the first four bytes of an IDX file; "" if nothing is."""
    if not magic:
        return _("it is empty")
    if magic[:2] != b"\0\0":
        start = magic.hex(" ")
        if guess := _guess(bytes(magic + _read(stream, 28))):
            return _("it begins with {start} instead of 00 00 08; it looks like {kind}", start=start, kind=guess)
        return _("it begins with {start} instead of 00 00 08", start=start)
    if len(magic) < 4:
        return _("it is truncated in its header: {n} bytes of at least 8", n=len(magic))
    element_type, dimensions = magic[2:]
    if element_type != UNSIGNED_BYTE:
        return _(
            "its element type is 0x{type:02x} ({name}), but only 0x08 (unsigned byte) is supported",
            type=element_type,
            name=OTHER_TYPES.get(element_type, _("unknown")),
        )
    if not 1 <= dimensions <= 4:
        return _("it declares {n} dimensions, but 1 to 4 are supported", n=dimensions)
    return ""


def _read(stream: io.BufferedIOBase, size: int) -> bytearray:
    """Up to `size` bytes; fewer if the stream or its gzip ends early."""
    content = bytearray()
    try:
        while len(content) < size and (piece := stream.read1(min(size - len(content), CHUNK_BYTES))):
            content += piece
    except EOFError:  # a truncated gzip: the caller reports how many bytes there are
        pass
    return content


def _guess(start: bytes) -> str:
    """The probable kind of a file with these first bytes, such as a web page; "" if unknown."""
    kinds = {
        b"<": _("a web page or XML"),
        b"PK\x03\x04": _("a zip archive"),
        b"\x89PNG": _("a PNG image"),
        b"\xff\xd8\xff": _("a JPEG image"),
        b"GIF8": _("a GIF image"),
        b"%PDF": _("a PDF document"),
        GZIP: _("a gzip stream inside a gzip stream"),
        b"BZh": _("a bzip2 stream"),
        b"\xfd7zXZ": _("an xz stream"),
        b"(\xb5/\xfd": _("a zstd stream"),
        b"\x93NUMPY": _("a NumPy array file"),
        b"!<arch>": _("a Debian package"),
        b"version https://git-lfs": _("a Git LFS pointer instead of the file itself"),
    }
    return next((kind for mark, kind in kinds.items() if start.lstrip().startswith(mark)), "")


def _size_text(shape: tuple[int, ...]) -> str:
    return f"{shape_text(shape)} = {math.prod(shape):,}" if len(shape) > 1 else f"{shape[0]:,}"


def _invalid(path: Path, why: str, kind: str) -> DataError:
    return DataError(
        "CN301",
        _("{file} is not a valid {kind}", file=path.name, kind=kind),
        where=str(path),
        why=why,
        hint=command("classicnets", "data", "check", path.parent),
    )
