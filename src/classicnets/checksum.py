"""One checksum for every file: 64 hexadecimal digits inside the file, over all its other bytes.

It tells damage and changes by other programs; it does not tell who wrote a file (see `trust`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from classicnets import strict_json
from classicnets.errors import DataError
from classicnets.text import _, note
from classicnets.workers import ordered_map

KEY = "checksum"  # in JSON
DIGITS = 64
BLANK = "0" * DIGITS
_BLOCK = 2**23  # bytes that one thread hashes at a time

State = Literal["unchanged", "changed", "missing"]  # "missing": a version without checksums wrote the file


def fill(content: bytes, start: int) -> bytearray:
    """Return the content with its checksum in place of the `DIGITS` bytes at `start`."""
    filled = bytearray(content)
    filled[start : start + DIGITS] = digest(content, start).encode()
    return filled


def digest(content: bytes | memoryview, start: int) -> str:
    """Return the checksum of all bytes except the `DIGITS` at `start`: the SHA-256 of those of blocks of 8 MiB."""
    view = memoryview(content)
    parts = (view[:start], view[start + DIGITS :])
    blocks = [part[i : i + _BLOCK] for part in parts for i in range(0, len(part), _BLOCK)]
    if len(blocks) <= 2:
        digests = [hashlib.sha256(block).digest() for block in blocks]
    else:
        digests = list(ordered_map(lambda block: hashlib.sha256(block).digest(), blocks))
    return hashlib.sha256(len(parts[0]).to_bytes(8, "little") + b"".join(digests)).hexdigest()


def state(content: bytes | memoryview, start: int | None, *, expected: bool) -> State:
    """Return whether a file is as it was written.

    Args:
        content: its bytes.
        start: where the checksum is; None if it has none.
        expected: whether other parts of the file say that it has a checksum.
    """
    if start is None:
        return "changed" if expected else "missing"
    stored = bytes(content[start : start + DIGITS]).decode("ascii", "replace")
    return "unchanged" if stored == digest(content, start) else "changed"


def check(
    path: Path, content: bytes | memoryview, start: int | None, *, code: str, expected: bool, trust: bool, hint: str
) -> None:
    """Check the checksum of a file before anything in it is used.

    Args:
        path: the file, for messages.
        content: its bytes.
        start: where the checksum is; None if it has none.
        code: code of the error.
        expected: whether other parts of the file say that it has a checksum.
        trust: use a changed file anyway, with a note.
        hint: how to get an intact file.

    Raises:
        DataError: the file is damaged, or another program has changed it.
    """
    status = state(content, start, expected=expected)
    if status == "missing":
        note(missing(path))
        return
    if status == "unchanged":
        return
    if trust:
        note(_("note: {name} was changed after it was written; it is used because of --trust", name=path.name))
        return
    raise DataError(
        code,
        _("{name} is damaged, or another program has changed it", name=path.name),
        where=str(path),
        why=_("its checksum is not that of its contents"),
        hint=(hint, _("{option}   # uses it anyway, if you know what has changed it", option="--trust")),
    )


def missing(path: Path) -> str:
    """Return the note on a file without a checksum."""
    return _(
        "note: {name} has no checksum, because an older version wrote it, so damage goes unnoticed", name=path.name
    )


def of_values(values: Mapping[str, Any]) -> str:
    """Return the checksum of the values of a JSON file, except `KEY`."""
    return hashlib.sha256(strict_json.canonical({k: v for k, v in values.items() if k != KEY})).hexdigest()


def with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a JSON file with their checksum, as the last one."""
    plain = strict_json.parse(strict_json.dump({key: value for key, value in values.items() if key != KEY}))
    return {**plain, KEY: of_values(plain)}
