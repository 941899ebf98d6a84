"""The audit of a folder or CSV of images: what would make training fail, or its figures a lie, and what to do about it.

Files are read and nothing is changed. What training itself refuses is an error here, in the same words.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from classicnets import text
from classicnets.audit import checks
from classicnets.audit.copies import copies
from classicnets.audit.findings import SEVERITIES, Diagnosis, Finding, Place
from classicnets.images.layout import read_layout
from classicnets.images.thumbnails import Look, Thumbnails, look
from classicnets.workers import ordered_map

_SLICE = 256  # files between two reports of progress

Progress = Callable[[int, int], object]


def examine(given: Path, progress: Progress | None = None) -> Diagnosis:
    """Reads every image of a folder or CSV once. `progress` is told how many of how many are done.

    Raises DataError CN307 if a folder has no class folders, or a CSV cannot be read.
    """
    layout = read_layout(given)
    files = list(layout.files())
    thumbnails = Thumbnails.room(len(files))
    looks = _looks([path for _, _, path in files], thumbnails, progress)
    places = [Place(split, label, layout.shown(path)) for split, label, path in files]
    seen = list(zip(places, looks, strict=True))
    findings = [
        *copies(seen, thumbnails, f"{text.command('classicnets', 'data', 'check', layout.given)} -o copies.png"),
        *checks.layout(layout),
        *checks.troubles(seen),
        *checks.balance(layout.classes, places),
        *checks.marks(seen),
        *checks.colors(seen),
        *checks.sizes(seen),
        *(
            Finding("note", "read_as", note, "so the folder was understood", "nothing, if that is what you meant")
            for note in (*layout.notes, *layout.file_notes)
        ),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    counts: dict[str, dict[str, int]] = {name: {} for name in layout.classes}
    for place in places:
        of_class = counts.setdefault(place.label, {})  # a class that only val or test has comes after the others
        of_class[place.split] = of_class.get(place.split, 0) + 1
    sizes = checks.size_range([its for _, its in seen if its.seen])
    return Diagnosis(layout.name, str(layout.folder), counts, sizes, tuple(findings))


def _looks(paths: list[Path], thumbnails: Thumbnails, progress: Progress | None) -> list[Look]:
    """A look at each file by several threads; the thumbnails of file i go to row i."""
    done: list[Look] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow finds odd about a file that it reads all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for seen in ordered_map(lambda i: look(paths[i], i, thumbnails), range(len(paths))):
            done.append(seen)
            if progress and (len(done) % _SLICE == 0 or len(done) == len(paths)):
                progress(len(done), len(paths))
    return done
