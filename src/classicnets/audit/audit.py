"""Audits a folder or CSV of images: what makes training fail or its figures misleading, and what to do about it.

Files are only read. Everything that training rejects is an error here, with the same message.
"""

from __future__ import annotations

from pathlib import Path

from classicnets.audit import checks
from classicnets.audit.duplicates import find_duplicates
from classicnets.audit.findings import SEVERITIES, AuditReport, ImageEntry
from classicnets.images import copies
from classicnets.images.layout import read_layout
from classicnets.images.thumbnails import Progress, inspect_files
from classicnets.text import command


def audit_images(path: Path, progress: Progress | None = None) -> AuditReport:
    """Audit a folder or CSV; every image is read once.

    Args:
        path: The folder or CSV.
        progress: Called with the number of files that are done, and of all files.

    Raises:
        DataError: CN307 if a folder has no class folders, or a CSV cannot be read.
    """
    layout = read_layout(path)
    paths = [file for _split, _label, file in layout.files()]
    infos, thumbnails = inspect_files(paths, progress)
    if layout.unsplit is not None:  # copies stay on one side of the split
        index = {file: i for i, file in enumerate(paths)}
        groups = [[layout.key(paths[i]) for i in group] for group in copies.groups(infos, thumbnails)]
        layout = read_layout(path, groups)
        order = [index[file] for _split, _label, file in layout.files()]
        infos, thumbnails = [infos[i] for i in order], thumbnails.reordered(order)
    files = list(layout.files())
    images = [ImageEntry(split, label, layout.relative_path(file)) for split, label, file in files]
    entries = list(zip(images, infos, strict=True))
    sheet_command = command("classicnets", "data", "check", layout.path, "-o", "copies.png")
    findings = [
        *find_duplicates(entries, thumbnails, sheet_command),
        *checks.layout_faults(layout),
        *checks.layout_losses(layout),
        *checks.unreadable_files(entries),
        *checks.class_balance(layout.classes, images),
        *checks.unusual_images(entries),
        *checks.transparent_images(entries),
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
    unreadable = sum(not info.readable for info in infos)
    left_out = {**layout.left_out, "unreadable": unreadable}
    background = checks.chosen_background(entries)
    return AuditReport(layout.name, str(layout.folder), counts, sizes, tuple(findings), left_out, background)
