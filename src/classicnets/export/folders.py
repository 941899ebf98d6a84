"""Whether a folder can be replaced by an export: only if all files in it are those of an earlier export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from classicnets.text import _, join


def reason_to_keep(path: Path, own_files: Callable[[Path], set[str]]) -> str:
    """Return why what is at `path` would be lost if a folder replaced it; "" if nothing would.

    Args:
        path: where the folder is written.
        own_files: returns the files in a folder that an earlier export has written, relative to it.
    """
    if path.is_dir():
        names = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir()}
        if foreign := sorted(names - own_files(path)):
            return _("it has other files: {names}", names=join(foreign))
    elif path.exists():
        return _("it is a file, and the export is a folder")
    return ""
