"""What an audit of images reports: findings about groups of image files, worst first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from classicnets.images.thumbnails import Look

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Place:
    """An image and where it lies: `file` is its path below the folder."""

    split: str
    label: str
    file: str
    detail: str = ""


@dataclass(frozen=True)
class Group:
    """Images that belong together; of copies `how` says how the others are one of the first."""

    places: tuple[Place, ...]
    how: str = ""


@dataclass(frozen=True)
class Finding:
    """Something about the folder: `severity` is "error", "warning" or "note"; `topic` a short name that stays the same.

    `what` was found in which images, `why` it matters, and a `hint` what to do: a command to paste or a sentence.
    """

    severity: str
    topic: str
    what: str
    why: str
    hint: str
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """All that was found, worst first; `counts` is class -> split -> images, `sizes` the extremes."""

    name: str
    folder: str
    counts: dict[str, dict[str, int]]
    sizes: str
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`, which the report draws as well."""
        return {
            "name": self.name,
            "folder": self.folder,
            "ok": self.ok,
            "pictures": sum(sum(of.values()) for of in self.counts.values()),
            "classes": self.counts,
            "sizes": self.sizes,
            "findings": [asdict(finding) for finding in self.findings],
        }

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)


Seen = Sequence[tuple[Place, Look]]
