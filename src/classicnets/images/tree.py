"""One walk of a folder for every command: its image files in natural order, and what is left out.

Hidden files and folders are ignored. Links are followed, but every folder is read once: a link that leads back up, or
to a folder that is read anyway, is not followed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image

from classicnets import text
from classicnets.errors import DataError
from classicnets.images.names import is_hidden, natural, printable, relative

_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"),
    *(".avif", ".jp2"),
)
_FORMATS_NOT_READ = {  # suffixes of images in formats that are not read; losing them deserves a word of its own
    *(".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
}


@cache
def image_suffixes() -> tuple[str, ...]:
    """The suffixes of the files that count as images: those in our list whose format this Pillow can open."""
    formats = Image.registered_extensions()
    return tuple(suffix for suffix in _SUFFIXES if formats.get(suffix) in Image.OPEN)


@dataclass
class Folder:
    """A folder with the folders, the image files and the other files directly in it, each in natural order."""

    path: Path
    folders: list[Folder] = field(default_factory=list)
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def walk(self) -> Iterator[Path]:
        """Every image file in the folder and the folders in it: at each level, files and folders in natural order."""
        inner = {folder.path: folder for folder in self.folders}
        names = sorted([*self.images, *inner], key=lambda path: natural(path.name)) if inner else self.images
        for path in names:
            if path in inner:
                yield from inner[path].walk()
            else:
                yield path

    def has_images(self) -> bool:
        """Whether an image file lies in the folder or in a folder below."""
        return bool(self.images) or any(folder.has_images() for folder in self.folders)

    def left_out(self) -> Iterator[Path]:
        """What `walk` leaves out: files that are not images, and folders without any, which stand for all in them."""
        yield from self.others
        for folder in self.folders:
            if folder.has_images():
                yield from folder.left_out()
            else:
                yield folder.path


@dataclass(frozen=True)
class Tree:
    """A folder that was walked; `links` are the links to folders that were not followed, with where they lead."""

    top: Folder
    links: tuple[tuple[Path, Path], ...]

    def link_notes(self) -> list[str]:
        """What to report about the links that were not followed, if there are any."""
        if not self.links:
            return []
        link, target = self.links[0]
        example = f"{relative(self.top.path, link)} (to {relative(self.top.path, target)})"
        what = text.count(len(self.links), "link")
        if len(self.links) == 1:
            return [f"{what} not followed, {example}: that folder is read anyway, and its images count once"]
        return [f"{what} not followed, such as {example}: those folders are read anyway, and their images count once"]

    def notes(self) -> list[str]:
        """What to report about the folder as a whole: links that were not followed, files that are not read."""
        return [*self.link_notes(), *notes_about(self.top.path, [*self.top.left_out()])]


def read_tree(folder: Path) -> Tree:
    """Walks `folder`. A folder that can be reached by a link and without one is read where it lies.

    Raises DataError CN307 if a folder cannot be read.
    """
    reached = {_identity(above): above for above in folder.resolve().parents}  # links up are not followed either
    waiting: deque[tuple[Folder, Path]] = deque()
    links: list[tuple[Path, Path]] = []
    suffixes = image_suffixes()

    def read(path: Path) -> Folder:
        read_folder = Folder(path)
        for name, is_folder, is_link in _entries(path):
            if is_link and is_folder:
                waiting.append((read_folder, path / name))
            elif is_folder:
                add(read_folder, path / name)
            elif os.path.splitext(name)[1].casefold() in suffixes:  # noqa: PTH122 - a tenth of the time
                read_folder.images.append(path / name)
            else:
                read_folder.others.append(path / name)
        return read_folder

    def add(parent: Folder, path: Path) -> None:
        if (before := reached.setdefault(_identity(path), path)) is path:
            parent.folders.append(read(path))
        else:
            links.append((path, before))

    reached[_identity(folder)] = folder
    top = read(folder)
    while waiting:  # all that needs no link has been read by now
        parent, path = waiting.popleft()
        add(parent, path)
        parent.folders.sort(key=lambda inner: natural(inner.path.name))
    return Tree(top, tuple(links))


def notes_about(folder: Path, left_out: Sequence[Path]) -> list[str]:
    """How many files and folders are not read, with an example of each kind; empty if all are."""
    folders = {path for path in left_out if path.is_dir()}
    lost = {path for path in left_out if path.suffix.casefold() in _FORMATS_NOT_READ} - folders
    rest = [path for path in left_out if path not in lost]
    notes = []
    if lost:
        example = next(path for path in left_out if path in lost)
        kinds = ", ".join(sorted({path.suffix.casefold() for path in lost}))
        notes.append(
            f"{text.count(len(lost), 'image')} not read, such as {relative(folder, example)}: the format is not"
            f" supported ({kinds}); save as JPEG or PNG"
        )
    if rest:
        counts = [(len(rest) - len(folders), "file"), (len(folders), "folder")]
        numbers = " and ".join(text.count(n, noun) for n, noun in counts if n)
        notes.append(f"{numbers} not read, such as {relative(folder, rest[0])}: no images of a class")
    return notes


def listed(folder: Folder, most: int = 5) -> str:
    """The first entries of a folder, for an error."""
    names = [f"{inner.path.name}/" for inner in folder.folders]
    names += sorted((path.name for path in (*folder.images, *folder.others)), key=natural)
    return printable(text.join(names, most)) or "nothing"


def filled(folders: Iterable[Folder]) -> list[Folder]:
    """Those with images."""
    return [folder for folder in folders if folder.has_images()]


def _entries(folder: Path) -> list[tuple[str, bool, bool]]:
    """Name, whether it is a folder (or leads to one), whether it is a link: of all that is not hidden, in order."""
    try:
        with os.scandir(folder) as entries:
            seen = [(entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries if not is_hidden(entry.name)]
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN307", "the folder cannot be read", where=str(folder), why=why) from error
    return sorted(seen, key=lambda entry: natural(entry[0]))


def _identity(folder: Path) -> tuple[int, int] | str:
    """What is the same for two paths to one folder."""
    try:
        state = folder.stat()
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN307", "the folder cannot be read", where=str(folder), why=why) from error
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(folder)  # some systems number no files
