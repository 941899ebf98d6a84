"""Walks a folder: its image files in natural order, and the files that are not read.

Hidden files and folders are ignored. Links are followed, but every folder is read once: a link to a folder above, or to
a folder that is read anyway, is not followed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from classicnets.errors import DataError
from classicnets.images.formats import HEIC_INSTALLATION, image_suffixes, suffix_format
from classicnets.images.names import is_hidden, natural_key, printable, relative_path
from classicnets.text import _, join, plural

_UNSUPPORTED_SUFFIXES = {  # image formats that are not read; a separate note counts them
    *(".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
}


@dataclass
class Folder:
    """A folder and the folders, image files and other files directly in it, each in natural order."""

    path: Path
    folders: list[Folder] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    other_files: list[Path] = field(default_factory=list)

    def walk(self) -> Iterator[Path]:
        """Yield all image files in the folder and below; on each level, files and folders are sorted together."""
        folders = {folder.path: folder for folder in self.folders}
        entries = sorted([*self.images, *folders], key=lambda path: natural_key(path.name)) if folders else self.images
        for path in entries:
            if path in folders:
                yield from folders[path].walk()
            else:
                yield path

    def has_images(self) -> bool:
        """Return whether there is an image file in the folder or below."""
        return bool(self.images) or any(folder.has_images() for folder in self.folders)

    def unread_paths(self) -> Iterator[Path]:
        """Yield the files that are not images, and folders without images (instead of the files in them)."""
        yield from self.other_files
        for folder in self.folders:
            if folder.has_images():
                yield from folder.unread_paths()
            else:
                yield folder.path


@dataclass(frozen=True)
class Tree:
    """A folder after the walk; `skipped_links` are (link, target) pairs of folder links that were not followed."""

    top: Folder
    skipped_links: tuple[tuple[Path, Path], ...]

    def link_notes(self) -> list[str]:
        """Return a note about the links that were not followed, if any."""
        if not self.skipped_links:
            return []
        link, target = self.skipped_links[0]
        return [
            plural(
                "{n} link to a folder that is read anyway is not followed: {link} (to {target})",
                "{n:,} links to folders that are read anyway are not followed, such as {link} (to {target})",
                len(self.skipped_links),
                link=relative_path(self.top.path, link),
                target=relative_path(self.top.path, target),
            )
        ]

    def notes(self) -> list[str]:
        """Return notes about links that were not followed and files that are not read."""
        unread, top = [*self.top.unread_paths()], self.top.path
        return [*self.link_notes(), *unsupported_note(top, unsupported_images(unread)), *ignored_note(top, unread)]


def read_tree(folder: Path) -> Tree:
    """Walk `folder`. A folder that can be reached both directly and by a link is read at its direct path.

    Raises:
        DataError: CN307 if a folder cannot be read.
    """
    visited = {_identity(parent): parent for parent in folder.resolve().parents}  # links upward are not followed
    pending: deque[tuple[Folder, Path]] = deque()
    skipped_links: list[tuple[Path, Path]] = []
    suffixes = image_suffixes()

    def read(path: Path) -> Folder:
        result = Folder(path)
        for name, is_folder, is_link in _entries(path):
            if is_link and is_folder:
                pending.append((result, path / name))
            elif is_folder:
                add(result, path / name)
            elif os.path.splitext(name)[1].casefold() in suffixes:  # noqa: PTH122 - a tenth of the time
                result.images.append(path / name)
            else:
                result.other_files.append(path / name)
        return result

    def add(parent: Folder, path: Path) -> None:
        if (first_path := visited.setdefault(_identity(path), path)) is path:
            parent.folders.append(read(path))
        else:
            skipped_links.append((path, first_path))

    visited[_identity(folder)] = folder
    top = read(folder)
    while pending:  # by now everything that can be reached without a link has been read
        parent, path = pending.popleft()
        add(parent, path)
        parent.folders.sort(key=lambda child: natural_key(child.path.name))
    return Tree(top, tuple(skipped_links))


def unsupported_images(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are images in a format that is not read."""
    return [path for path in paths if path.suffix.casefold() in _UNSUPPORTED_SUFFIXES and not path.is_dir()]


def unsupported_note(folder: Path, images: Sequence[Path]) -> list[str]:
    """Return a note that counts images in formats that are not read, with an example."""
    if not images:
        return []
    has_heic = any(suffix_format(path.suffix) == "HEIF" for path in images)
    return [
        plural(
            "{n} image is not read because its format is not supported ({formats}): {path}; save it as JPEG or PNG",
            "{n:,} images are not read because their formats are not supported ({formats}), such as {path};"
            " save them as JPEG or PNG",
            len(images),
            formats=", ".join(sorted({path.suffix.casefold() for path in images})),
            path=relative_path(folder, images[0]),
        )
    ] + ([_("to read HEIC images, run {command}", command=HEIC_INSTALLATION)] if has_heic else [])


def ignored_note(folder: Path, paths: Sequence[Path]) -> list[str]:
    """Return a note that counts the files and folders that contain no images, with an example."""
    images = {*unsupported_images(paths)}
    others = [path for path in paths if path not in images]
    if not others:
        return []
    return [
        plural(
            "{n} file or folder that contains no images is ignored: {path}",
            "{n:,} files and folders that contain no images are ignored, such as {path}",
            len(others),
            path=relative_path(folder, others[0]),
        )
    ]


def summary(folder: Folder, most: int = 5) -> str:
    """Return the first entries of a folder, for an error message."""
    names = [f"{child.path.name}/" for child in folder.folders]
    names += sorted((path.name for path in (*folder.images, *folder.other_files)), key=natural_key)
    return printable(join(names, most)) or _("nothing")


def with_images(folders: Iterable[Folder]) -> list[Folder]:
    """Return the folders that contain images."""
    return [folder for folder in folders if folder.has_images()]


def _entries(folder: Path) -> list[tuple[str, bool, bool]]:
    """(name, is a folder, is a link) of all entries that are not hidden, sorted; a link to a folder is a folder."""
    try:
        with os.scandir(folder) as entries:
            rows = [
                (entry.name, _is_folder(entry), entry.is_symlink()) for entry in entries if not is_hidden(entry.name)
            ]
    except OSError as error:
        raise _unreadable(folder, error) from error
    return sorted(rows, key=lambda row: natural_key(row[0]))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int] | str:
    """The same value for all paths to one folder."""
    try:
        state = folder.stat()
    except OSError as error:
        raise _unreadable(folder, error) from error
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(folder)  # some systems have no inodes


def _unreadable(folder: Path, error: OSError) -> DataError:
    return DataError("CN307", _("the folder cannot be read"), where=str(folder), why=error.strerror or str(error))
