"""A run folder that one process has, for all processes that share its run; they need no common file system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classicnets.files import temporary_folder
from classicnets.parallel.world import World
from classicnets.runs.folder import RunFolder

_BLOCK = 2**24  # bytes that are exchanged at a time
_SUFFIXES = {".json", ".py"}  # of what is needed to resume a run, besides its last checkpoint


@contextmanager
def shared_folder(world: World, path: Path | None) -> Iterator[Path]:
    """Yield the run folder `path` in the first process, and in each other one a temporary copy, deleted at the end.

    Args:
        world: the processes.
        path: the run folder; only that of the first process counts.
    """
    if world.rank == 0:
        assert path is not None
        names = [file.relative_to(path).as_posix() for file in sorted(path.rglob("*")) if _is_needed(file)]
        for name in world.broadcast(names):
            with (path / name).open("rb") as content:
                while world.broadcast_bytes(content.read(_BLOCK)):
                    pass
        yield path
        return
    with temporary_folder() as folder:
        for name in world.broadcast(None):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as content:
                while block := world.broadcast_bytes(None):
                    content.write(block)
        yield folder


def _is_needed(file: Path) -> bool:
    return file.is_file() and (file.suffix in _SUFFIXES or file.name == RunFolder(file.parent).last.name)
