"""Rules for names of files and folders: natural order, hidden files, names of splits, Unicode form."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

SPLITS = {  # accepted names of each split; if several folders name one split, the first in this order is used
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

_HIDDEN = {"__macosx", "thumbs.db", "desktop.ini"}  # in addition to names that begin with a dot


@lru_cache(maxsize=10_000)  # a CSV repeats its splits and classes on each line
def split_of(name: str) -> str | None:
    """Return the split (a key of SPLITS) that a folder name or CSV cell stands for; None for other names."""
    return next((split for split, names in SPLITS.items() if name.casefold() in names), None)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is ignored."""
    return name.startswith(".") or name.casefold() in _HIDDEN


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that puts "2" before "10"."""
    parts = re.split(r"(\d+)", name.casefold())
    return (tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name)


def normalize_name(name: str) -> str:
    """Return the name in Unicode NFC, so that a copy from a Mac has the same classes and split."""
    return unicodedata.normalize("NFC", name)


@lru_cache(maxsize=10_000)
def class_name(name: str) -> str:
    """Return the name of a class, from that of its folder or a CSV cell: in Unicode NFC, on one line, valid UTF-8."""
    name = printable(normalize_name(name))
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def encode_name(name: str) -> bytes:
    """UTF-8; bytes of a file name that are not valid UTF-8 are kept."""
    return name.encode("utf-8", "surrogateescape")


def printable(path: str | Path) -> str:
    """Return a path as printable text; bytes that are not valid UTF-8 are escaped."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def relative_path(folder: Path, path: Path) -> str:
    """Return the path relative to `folder`, with slashes; the full path if it lies elsewhere."""
    place, start = path.as_posix(), f"{folder.as_posix()}/"
    if place.startswith(start):  # the same as below, in a tenth of the time
        return place[len(start) :]
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.as_posix()
