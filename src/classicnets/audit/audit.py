"""Audits a folder or CSV of images: what makes training fail or its figures misleading, and what to do about it.

Files are only read. Everything that training rejects is an error here, with the same message.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from classicnets.audit import checks
from classicnets.audit.duplicates import find_duplicates
from classicnets.audit.findings import SEVERITIES, AuditReport, ImageEntry
from classicnets.images.layout import read_layout
from classicnets.images.thumbnails import ImageInfo, Thumbnails, inspect_file
from classicnets.text import command
from classicnets.workers import ordered_map

_PROGRESS_STEP = 256  # files between two calls of `progress`

Progress = Callable[[int, int], object]


def audit_images(path: Path, progress: Progress | None = None) -> AuditReport:
    """Audit a folder or CSV; every image is read once.

    Args:
        path: The folder or CSV.
        progress: Called with the number of files that are done, and of all files.

    Raises:
        DataError: CN307 if a folder has no class folders, or a CSV cannot be read.
    """
    layout = read_layout(path)
    files = list(layout.files())
    thumbnails = Thumbnails.empty(len(files))
    infos = _inspect_files([file for _split, _label, file in files], thumbnails, progress)
    images = [ImageEntry(split, label, layout.relative_path(file)) for split, label, file in files]
    entries = list(zip(images, infos, strict=True))
    sheet_command = command("classicnets", "data", "check", layout.path, "-o", "copies.png")
    findings = [
        *find_duplicates(entries, thumbnails, sheet_command),
        *checks.layout_faults(layout),
        *checks.unreadable_files(entries),
        *checks.class_balance(layout.classes, images),
        *checks.unusual_images(entries),
        *checks.gray_and_color(entries),
        *checks.image_sizes(entries),
        *checks.layout_notes(layout),
    ]
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    counts: dict[str, dict[str, int]] = {name: {} for name in layout.classes}
    for image in images:
        splits = counts.setdefault(image.label, {})  # classes without training images come last
        splits[image.split] = splits.get(image.split, 0) + 1
    sizes = checks.size_range([info for info in infos if info.readable])
    return AuditReport(layout.name, str(layout.folder), counts, sizes, tuple(findings))


def _inspect_files(paths: list[Path], thumbnails: Thumbnails, progress: Progress | None) -> list[ImageInfo]:
    """Inspect files in several threads; the thumbnails of file i are written to row i."""
    infos: list[ImageInfo] = []
    for info in ordered_map(lambda i: inspect_file(paths[i], i, thumbnails), range(len(paths))):
        infos.append(info)
        if progress and (len(infos) % _PROGRESS_STEP == 0 or len(infos) == len(paths)):
            progress(len(infos), len(paths))
    return infos
