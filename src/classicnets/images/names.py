"""What the names of files and folders mean: their order, what is hidden, which folders are splits."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

SPLITS = {  # the names of each split; if several folders name one split, the first name in this order is used
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}

_HIDDEN = {"__macosx", "thumbs.db", "desktop.ini"}  # besides everything that begins with a dot


def split_of(name: str) -> str | None:
    """The split that a folder, or a cell of a CSV, of this name stands for: a key of SPLITS."""
    return next((split for split, names in SPLITS.items() if name.casefold() in names), None)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is ignored."""
    return name.startswith(".") or name.casefold() in _HIDDEN


def natural(name: str) -> tuple[tuple[str | int, ...], str]:
    """A key that sorts "2" before "10"."""
    parts = re.split(r"(\d+)", name.casefold())
    return (tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name)


def composed(name: str) -> str:
    """A file's name in the one form of its accents, so that a copy from a Mac has the same classes and split."""
    return unicodedata.normalize("NFC", name)


def encoded(text: str) -> bytes:
    """UTF-8; bytes of a file name that are not UTF-8 stay as they are."""
    return text.encode("utf-8", "surrogateescape")


def printable(path: str | Path) -> str:
    """A path as text that can be printed, whatever bytes it has."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def relative(folder: Path, path: Path) -> str:
    """The path from `folder` on, with slashes; the whole path if it lies elsewhere."""
    try:
        return path.relative_to(folder).as_posix()
    except ValueError:
        return path.as_posix()
