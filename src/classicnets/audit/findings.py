"""The result of an audit: findings about groups of image files, most severe first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from classicnets.images.thumbnails import ImageInfo

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class ImageEntry:
    """An image of the data set: split, class, path relative to the folder, and the detail of a finding about it."""

    split: str
    label: str
    file: str
    detail: str = ""


@dataclass(frozen=True)
class Group:
    """Images that belong together; for copies, the `relation` of the others to the first.

    The relation is "bytes" (identical files), "near", "mirrored" or "turned".
    """

    images: tuple[ImageEntry, ...]
    relation: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data set.

    Attributes:
        severity: "error", "warning" or "note".
        topic: Stable identifier.
        what: The fact.
        why: Why it matters.
        hint: What to do: a command to paste, or a sentence.
        groups: The images it concerns.
    """

    severity: str
    topic: str
    what: str
    why: str
    hint: str
    groups: tuple[Group, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "severity": self.severity,
            "topic": self.topic,
            "what": self.what,
            "why": self.why,
            "hint": self.hint,
            "groups": [
                {"places": [vars(image) for image in group.images], "how": group.relation} for group in self.groups
            ],
        }


@dataclass(frozen=True)
class AuditReport:
    """All findings, most severe first.

    `counts` is class -> split -> number of images, `sizes` the range of sizes, `left_out` reason -> number of images
    that are not used, and `background` the color that background=auto shows at transparent parts.
    """

    name: str
    folder: str
    counts: dict[str, dict[str, int]]
    sizes: str
    findings: tuple[Finding, ...]
    left_out: dict[str, int]
    background: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `--json`; the reports are made from them as well."""
        return {
            "name": self.name,
            "folder": self.folder,
            "ok": self.ok,
            "pictures": sum(sum(splits.values()) for splits in self.counts.values()),
            "classes": self.counts,
            "sizes": self.sizes,
            "left_out": self.left_out,
            "background": self.background,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)


Entries = Sequence[tuple[ImageEntry, ImageInfo]]
