"""The same image in two classes, in two splits, or several times in one: exact, nearly the same, mirrored, turned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from classicnets import text
from classicnets.audit.findings import Finding, Group, Seen
from classicnets.images.near_duplicates import near_copies
from classicnets.images.thumbnails import Thumbnails


def copies(seen: Seen, thumbnails: Thumbnails, command: str) -> list[Finding]:
    """The same image in two classes, in two splits, or twice in one; then the mirrored and turned ones."""
    first: dict[str, int] = {}
    same: list[tuple[int, int]] = []
    for i, (_, its) in enumerate(seen):
        if its.digest and its.trouble != "empty":
            before = first.setdefault(its.digest, i)
            same += [(before, i)] * (before != i)
    alone = [i for i in first.values() if seen[i][1].seen]
    links = [(alone[i], alone[j], how) for i, j, how in near_copies(thumbnails.gray[alone], thumbnails.color[alone])]
    same += [(i, j) for i, j, how in links if how == "near"]
    groups = []
    for members in _joined(same):
        exact = len({seen[i][1].digest for i in members}) == 1
        groups.append(Group(tuple(seen[i][0] for i in members), "bytes" if exact else "near"))
    head = {i: members[0] for members in _joined(same) for i in members}
    for kind in ("mirrored", "turned"):
        pairs = {(head.get(i, i), head.get(j, j)) for i, j, how in links if how == kind}
        groups += [
            Group(tuple(seen[i][0] for i in members), kind)
            for members in _joined(sorted((i, j) for i, j in pairs if i != j))
        ]
    sorted_out: dict[str, list[Group]] = {}
    for group in groups:
        arranged = group.how in {"mirrored", "turned"}
        classes, splits = (len({getattr(p, what) for p in group.places}) > 1 for what in ("label", "split"))
        if classes and not arranged:
            topic = "two_classes"
        elif splits:
            topic = "leak"
        elif arranged:
            topic = "mirrored_classes" if classes else "mirrored"
        else:
            topic = "duplicates" if group.how == "bytes" else "near_duplicates"
        sorted_out.setdefault(topic, []).append(group)
    return [
        Finding(
            severity,
            topic,
            _said(topic, sorted_out[topic]),
            why,
            hint.format(command=command),
            tuple(sorted_out[topic]),
        )
        for topic, (severity, why, hint) in _COPIES.items()
        if topic in sorted_out
    ]


# topic: severity, why it matters, what to do
_COPIES = {
    "two_classes": (
        "error",
        "the net is taught both answers, and whichever it gives is counted as wrong somewhere",
        "{command}   # shows them side by side; keep each under its true class alone",
    ),
    "leak": (
        "error",
        "the net has seen these images when it is tested, so the test figure says more than is true",
        "{command}   # shows them side by side; keep all copies of an image in one split",
    ),
    "duplicates": (
        "warning",
        "each copy counts once more in training and testing",
        "{command}   # shows them side by side; keep one of each",
    ),
    "mirrored_classes": (
        "warning",
        "right where the side matters, as for arrows or letters; else the classes contradict each other, and"
        " mirroring as augmentation makes it so in any case",
        "{command}   # shows them side by side; without augmentation by mirroring if the side matters",
    ),
    "near_duplicates": (
        "note",
        "frames of one film or copies made smaller teach little more than one image, and part of them may be drawn"
        " into a validation split",
        "{command}   # shows them side by side",
    ),
    "mirrored": (
        "note",
        "they count once more each; as augmentation, training mirrors images at random itself if told to",
        "{command}   # shows them side by side; train with --set flip=true instead",
    ),
}
_IN_WORDS = {
    "two_classes": "the same image under more than one class",
    "leak": "the same image in more than one split",
    "duplicates": "the same file several times in one class",
    "mirrored_classes": "mirrored or turned copies under different classes",
    "near_duplicates": "nearly the same image several times in one class",
    "mirrored": "mirrored or turned copies in one class",
}


def _said(topic: str, groups: Sequence[Group]) -> str:
    files = text.count(sum(len(g.places) for g in groups), "file")
    said = f"{_IN_WORDS[topic]}: {files} in {text.count(len(groups), 'group')}"
    if topic in {"two_classes", "leak"}:
        tested = sum(p.split == "test" for g in groups if len({p.split for p in g.places}) > 1 for p in g.places)
        said += f", {tested:,} test images seen in training" if tested else ""
    return said


def _joined(links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The groups that pairs make, each in order, by their first."""
    root: dict[int, int] = {}

    def find(i: int) -> int:
        while root.setdefault(i, i) != i:
            root[i] = i = root[root[i]]
        return i

    for i, j in links:
        a, b = find(i), find(j)
        root[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for i in sorted(root):
        groups.setdefault(find(i), []).append(i)
    return list(groups.values())
