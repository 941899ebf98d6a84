"""Finds copies of images, in one or several classes or splits: identical, nearly identical, flipped or rotated."""

from __future__ import annotations

from collections.abc import Sequence

from classicnets.audit.findings import Entries, Finding, Group
from classicnets.images.copies import connected_components, identical_pairs, near_pairs
from classicnets.images.thumbnails import Thumbnails
from classicnets.text import _, plural

_SEVERITIES = {  # topic -> severity, in the order in which they are reported
    "two_classes": "error",
    "leak": "error",
    "duplicates": "warning",
    "mirrored_classes": "warning",
    "near_duplicates": "note",
    "mirrored": "note",
}


def find_duplicates(entries: Entries, thumbnails: Thumbnails, command: str) -> list[Finding]:
    """Find groups of copies, one finding per topic.

    Args:
        entries: The images.
        thumbnails: Their thumbnails.
        command: The command that draws the copies, for hints.
    """
    by_topic: dict[str, list[Group]] = {}
    for group in _groups(entries, thumbnails):
        by_topic.setdefault(_topic(group), []).append(group)
    return [
        Finding(severity, topic, _what(topic, by_topic[topic]), *_why_and_hint(topic, command), tuple(by_topic[topic]))
        for topic, severity in _SEVERITIES.items()
        if topic in by_topic
    ]


def _groups(entries: Entries, thumbnails: Thumbnails) -> list[Group]:
    """Groups of copies; flipped and rotated copies are grouped separately, with one image for each set of copies."""
    infos = [info for _image, info in entries]
    identical = identical_pairs(infos)
    pairs = near_pairs(infos, thumbnails, identical)
    copies = [(i, j) for i, j, relation in (*identical, *pairs) if relation in {"bytes", "near"}]
    groups = []
    components = connected_components(copies)
    for members in components:
        relation = "bytes" if len({entries[i][1].digest for i in members}) == 1 else "near"
        groups.append(Group(tuple(entries[i][0] for i in members), relation))
    representative = {i: members[0] for members in components for i in members}
    for kind in ("mirrored", "turned"):
        links = {(representative.get(i, i), representative.get(j, j)) for i, j, relation in pairs if relation == kind}
        groups += [
            Group(tuple(entries[i][0] for i in members), kind)
            for members in connected_components(sorted((i, j) for i, j in links if i != j))
        ]
    return groups


def _topic(group: Group) -> str:
    flipped = group.relation in {"mirrored", "turned"}
    several_classes = len({image.label for image in group.images}) > 1
    if several_classes and not flipped:
        return "two_classes"
    if len({image.split for image in group.images}) > 1:
        return "leak"
    if flipped:
        return "mirrored_classes" if several_classes else "mirrored"
    return "duplicates" if group.relation == "bytes" else "near_duplicates"


def _why_and_hint(topic: str, command: str) -> tuple[str, str]:
    """Why a topic matters, and what to do about it."""
    texts = {
        "two_classes": (
            _("training teaches contradictory labels for it, and any prediction counts as wrong somewhere"),
            _("{command}   # shows the copies side by side; keep each image only in its true class", command=command),
        ),
        "leak": (
            _("the network is tested on images that it was trained on, so its test accuracy is too high"),
            _("{command}   # shows the copies side by side; keep all copies in one split", command=command),
        ),
        "duplicates": (
            _("each copy counts again in training and testing"),
            _("{command}   # shows the copies side by side; keep one of each", command=command),
        ),
        "mirrored_classes": (
            _(
                "this is right if orientation matters, as for arrows or letters; otherwise the labels contradict each"
                " other; in both cases, flipping as augmentation contradicts the labels"
            ),
            _(
                "{command}   # shows the copies side by side; do not augment by flipping if orientation matters",
                command=command,
            ),
        ),
        "near_duplicates": (
            _(
                "frames of one video or resized copies add little information, and some of them may be held out for"
                " validation"
            ),
            _("{command}   # shows the copies side by side", command=command),
        ),
        "mirrored": (
            _("each copy counts again; training can flip images itself, as augmentation"),
            _("{command}   # shows the copies side by side; train with --set flip=true instead", command=command),
        ),
    }
    return texts[topic]


def _what(topic: str, groups: Sequence[Group]) -> str:
    """The fact of a finding, with the number of groups and files."""
    n, files = len(groups), sum(len(group.images) for group in groups)
    tested = sum(
        image.split == "test"
        for group in groups
        if len({image.split for image in group.images}) > 1
        for image in group.images
    )
    match topic:
        case "two_classes":
            what = plural(
                "{n} image is in more than one class ({files:,} files)",
                "{n:,} images are in more than one class ({files:,} files)",
                n,
                files=files,
            )
        case "leak":
            what = plural(
                "{n} image is in more than one split ({files:,} files)",
                "{n:,} images are in more than one split ({files:,} files)",
                n,
                files=files,
            )
        case "duplicates":
            what = plural(
                "{n} image has identical copies in its class ({files:,} files)",
                "{n:,} images have identical copies in their class ({files:,} files)",
                n,
                files=files,
            )
        case "mirrored_classes":
            what = plural(
                "{n} image has flipped or rotated copies in another class ({files:,} files)",
                "{n:,} images have flipped or rotated copies in other classes ({files:,} files)",
                n,
                files=files,
            )
        case "near_duplicates":
            what = plural(
                "{n} image has nearly identical copies in its class ({files:,} files)",
                "{n:,} images have nearly identical copies in their class ({files:,} files)",
                n,
                files=files,
            )
        case _other:
            what = plural(
                "{n} image has flipped or rotated copies in its class ({files:,} files)",
                "{n:,} images have flipped or rotated copies in their class ({files:,} files)",
                n,
                files=files,
            )
    if topic in {"two_classes", "leak"} and tested:
        return plural(
            "{what}; {n} of the files is a test image",
            "{what}; {n:,} of the files are test images",
            tested,
            what=what,
        )
    return what
