"""The doctor of a folder of pictures: what would make training fail, or its figures a lie, and what to do about it.

Files are read and nothing is changed. What training itself refuses is an error here, in the same words.
"""

from __future__ import annotations

import os
import shlex
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from classicnets.images.layout import Scan, scan
from classicnets.images.near_duplicates import near_copies
from classicnets.images.thumbnails import Look, Thumbnails, look

_SLICE = 256  # files between two words of progress
_LONG = 10  # sides that differ by more make a strip
_SMALL = 8  # a shorter side below this shows next to nothing
_SMALLER = 4  # and so does one this many times below the usual
_FEW = 10  # a class of fewer pictures to train on is hardly learned
_UNEVEN, _VERY_UNEVEN = 3, 10  # largest class to smallest
_TELLS = 0.5  # a class whose share of grey pictures is so much above or below the others' can be told by that

_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class Place:
    """A picture and where it lies: `file` is its path below the folder."""

    split: str
    label: str
    file: str
    detail: str = ""


@dataclass(frozen=True)
class Group:
    """Pictures that belong together; of copies `how` says how the others are one of the first."""

    places: tuple[Place, ...]
    how: str = ""


@dataclass(frozen=True)
class Finding:
    """Something about the folder: `severity` is "error", "warning" or "note"; `topic` a short name that stays the same.

    `what` was found in which pictures, `why` it matters, and a `hint` what to do: a command to paste or a sentence.
    """

    severity: str
    topic: str
    what: str
    why: str
    hint: str
    groups: tuple[Group, ...] = ()


@dataclass(frozen=True)
class Diagnosis:
    """All that was found, worst first; `counts` is class -> split -> pictures, `sizes` the extremes."""

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


def examine(given: Path, progress: Callable[[int, int], object] | None = None) -> Diagnosis:
    """Looks once at every picture of a folder or CSV. `progress` is told how many of how many are done.

    Raises DataError CN307 if a folder has no class folders, or a CSV cannot be read.
    """
    return _examine(scan(given), progress)


def _examine(found: Scan, progress: Callable[[int, int], object] | None) -> Diagnosis:
    files = list(found.files())
    thumbnails = Thumbnails.room(len(files))
    looks = _looks([path for _, _, path in files], thumbnails, progress)
    places = [Place(split, label, found.shown(path)) for split, label, path in files]
    seen = list(zip(places, looks, strict=True))
    command = f"classicnets data check {shlex.quote(str(found.given))} -o copies.png"
    findings = [
        *_copies(seen, thumbnails, command),
        *_layout(found),
        *_troubles(seen),
        *_balance(found.classes, places),
        *_marks(seen),
        *_colours(seen),
        *_sizes(seen),
        *(
            Finding("note", "read_as", note, "so the folder was understood", "nothing, if that is what you meant")
            for note in found.notes
        ),
    ]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    counts: dict[str, dict[str, int]] = {name: {} for name in found.classes}
    for place in places:
        counts[place.label][place.split] = counts[place.label].get(place.split, 0) + 1
    return Diagnosis(found.name, str(found.folder), counts, _range([s for _, s in seen if s.seen]), tuple(findings))


def _looks(paths: list[Path], thumbnails: Thumbnails, progress: Callable[[int, int], object] | None) -> list[Look]:
    done: list[Look] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # what PIL finds odd about a file that it reads all the same
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(paths), _SLICE):
            indices = range(start, min(start + _SLICE, len(paths)))
            done += pool.map(lambda i: look(paths[i], i, thumbnails), indices)
            if progress:
                progress(len(done), len(paths))
    return done


def _layout(found: Scan) -> list[Finding]:
    """What is wrong with the folders themselves, which training refuses."""
    return [
        Finding(
            "error",
            "layout",
            f"{place}: {fault}",
            "training refuses a folder like this: a class needs pictures to learn from and others to be tested with",
            "put pictures there, give the folder the name of the class it belongs to, or take it out of the data set",
        )
        for place, fault in found.faults
    ]


def _copies(seen: Seen, thumbnails: Thumbnails, command: str) -> list[Finding]:
    """The same picture in two classes, in two splits, or twice in one; then the mirrored and turned ones."""
    first: dict[str, int] = {}
    same: list[tuple[int, int]] = []
    for i, (_, its) in enumerate(seen):
        if its.digest and its.trouble != "empty":
            before = first.setdefault(its.digest, i)
            same += [(before, i)] * (before != i)
    alone = [i for i in first.values() if seen[i][1].seen]
    links = [(alone[i], alone[j], how) for i, j, how in near_copies(thumbnails.grey[alone], thumbnails.colour[alone])]
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
        "the net has seen these pictures when it is tested, so the test figure says more than is true",
        "{command}   # shows them side by side; keep all copies of a picture in one split",
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
        "frames of one film or copies made smaller teach little more than one picture, and part of them may be drawn"
        " into a validation split",
        "{command}   # shows them side by side",
    ),
    "mirrored": (
        "note",
        "they count once more each; as augmentation, training mirrors pictures at random itself if told to",
        "{command}   # shows them side by side; train with --set flip=true instead",
    ),
}
_IN_WORDS = {
    "two_classes": "the same picture under more than one class",
    "leak": "the same picture in more than one split",
    "duplicates": "the same file several times in one class",
    "mirrored_classes": "mirrored or turned copies under different classes",
    "near_duplicates": "nearly the same picture several times in one class",
    "mirrored": "mirrored or turned copies in one class",
}


def _said(topic: str, groups: Sequence[Group]) -> str:
    said = f"{_IN_WORDS[topic]}: {_count(sum(len(g.places) for g in groups), 'file')} in {_count(len(groups), 'group')}"
    if topic in {"two_classes", "leak"}:
        tested = sum(p.split == "test" for g in groups if len({p.split for p in g.places}) > 1 for p in g.places)
        said += f", {tested:,} test pictures seen in training" if tested else ""
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


def _troubles(seen: Seen) -> list[Finding]:
    """Files that training stumbles over, or whose header promises too much."""
    table = {
        "empty": (
            "error",
            "empty files",
            "training stops at a file that is no picture",
            "delete them or fetch them again",
        ),
        "no_picture": (
            "error",
            "files that are no pictures",
            "training stops there",
            "delete them or fetch them again",
        ),
        "damaged": (
            "error",
            "damaged pictures",
            "training stops there; most such files were cut short by a copy or a download",
            "fetch them again, or delete them",
        ),
        "too_large": (
            "error",
            "absurd dimensions",
            "the picture would fill the memory, which a small file can be made to do; it was not decoded here and is"
            " refused by training",
            "delete it, or make it smaller with a program that you trust with it",
        ),
        "suspiciously_large": (
            "warning",
            "very large dimensions",
            "training would decode it, at three bytes a pixel; it was not decoded here",
            "make it smaller: its longer side need not be above some hundred pixels",
        ),
    }
    return [
        _of_pictures(severity, topic, what, seen, _why_of(topic), why, hint)
        for topic, (severity, what, why, hint) in table.items()
        if any(its.trouble == topic for _, its in seen)
    ]


def _why_of(trouble: str) -> Callable[[Look, Place], str]:
    return lambda its, _: its.why if its.trouble == trouble else ""


def _balance(classes: Sequence[str], places: Sequence[Place]) -> list[Finding]:
    """Classes that are small, or much smaller than others, in the split that is learned."""
    counts = Counter(place.label for place in places if place.split == "train")
    filled = [name for name in classes if counts[name]]
    if len(filled) < 2:
        return []
    findings = []
    few = [name for name in filled if counts[name] < _FEW]
    if few:
        findings.append(
            Finding(
                "warning",
                "tiny_classes",
                f"{_count(len(few), 'class', 'classes')} with fewer than {_FEW} pictures to train on:"
                f" {_listed([f'{name} ({counts[name]})' for name in few])}",
                "so few are learned by heart, and what is learned does not carry over",
                "add pictures, or merge the class with a related one",
            )
        )
    small, large = min(filled, key=lambda n: counts[n]), max(filled, key=lambda n: counts[n])
    ratio = counts[large] / counts[small]
    if ratio >= _UNEVEN:
        findings.append(
            Finding(
                "warning" if ratio >= _VERY_UNEVEN else "note",
                "imbalance",
                f"{large} has {counts[large]:,} pictures to train on, {small} {counts[small]:,}: {ratio:.1f} times",
                "a net that always names the commonest class looks good in accuracy; look at the figures per class",
                "--set class_weights=auto   # weighs each class by the inverse of its share",
            )
        )
    return findings


def _marks(seen: Seen) -> list[Finding]:
    """What single pictures are: of one value, strips, tiny, transparent, turned, or under the wrong extension."""
    good = [(place, its) for place, its in seen if its.seen]
    usual = median([min(its.width, its.height) for _, its in good]) if good else 0
    least = max(_SMALL, usual / _SMALLER)
    known = Image.registered_extensions()

    def wrong_extension(its: Look, place: Place) -> str:
        named = known.get(Path(place.file).suffix.lower(), "")
        same = its.format == named or {its.format, named} == {"MPO", "JPEG"}
        return "" if same else f"{its.format} inside"

    checks: list[tuple[str, str, str, Callable[[Look, Place], str], str, str]] = [
        (
            "warning",
            "constant",
            "pictures of one value all over",
            lambda its, _: "one value" if its.constant else "",
            "there is nothing to see on them, and a label teaches what is not there",
            "delete them, unless emptiness is what the class is about",
        ),
        (
            "warning",
            "strips",
            "extremely long or wide pictures",
            lambda its, _: _size(its) if max(its.width, its.height) >= _LONG * min(its.width, its.height) else "",
            "brought to a square, their content is squeezed, cut off or a thin line",
            "cut them to what matters",
        ),
        (
            "warning",
            "small",
            "very small pictures",
            lambda its, _: _size(its) if min(its.width, its.height) < least else "",
            f"below {least:.0f} pixels on the shorter side, where {usual:.0f} are usual, little is left to see"
            if usual >= _SMALL
            else f"below {_SMALL} pixels on the shorter side little is left to see",
            "replace them by larger ones; they may be previews of pictures that you have",
        ),
        (
            "note",
            "transparent",
            "pictures with transparent parts",
            lambda its, _: its.format if its.transparent else "",
            "transparent parts become black here, and may become white in another program",
            "put them on a ground of your choice before training",
        ),
        (
            "note",
            "exif_turned",
            "pictures that an EXIF mark turns upright",
            lambda its, _: "turned" if its.turned else "",
            "they are turned here, in training and in prediction; a program that ignores the mark sees them lying",
            "nothing, unless other programs read them; then save them upright",
        ),
        (
            "note",
            "extension",
            "files of another kind than their name says",
            wrong_extension,
            "they are read by their content here; other programs may refuse them",
            "rename them after their content",
        ),
    ]
    return [
        _of_pictures(severity, topic, what, good, test, why, hint)
        for severity, topic, what, test, why, hint in checks
        if any(test(its, place) for place, its in good)
    ]


def _colours(seen: Seen) -> list[Finding]:
    """Grey pictures among coloured ones, and classes that this gives away."""
    good = [(place, its) for place, its in seen if its.seen]
    grey = sum(its.grey for _, its in good)
    if not 0 < grey < len(good):
        return []
    shares = {}
    for label in dict.fromkeys(place.label for place, _ in good):
        mine = [its.grey for place, its in good if place.label == label]
        if len(mine) >= _FEW and len(good) > len(mine):
            shares[label] = sum(mine) / len(mine) - (grey - sum(mine)) / (len(good) - len(mine))
    telling = [label for label, more in shares.items() if abs(more) > _TELLS]
    why = "a net with colour takes them as they are; they only matter if grey goes with some classes"
    what = f"{grey:,} of {len(good):,} pictures are grey, the others coloured"
    if telling:
        what += f"; {_listed(telling)} by far {'more' if shares[telling[0]] > 0 else 'less'} often"
        why = "a net can tell such a class by the lack of colour, and knows nothing else about it"
    test: Callable[[Look, Place], str] = lambda its, _: "grey" if its.grey is (2 * grey <= len(good)) else ""  # noqa: E731
    finding = _of_pictures(
        "warning" if telling else "note",
        "grey",
        "",
        good,
        test,
        why,
        "save all of them in grey if colour says nothing about the class; else add coloured pictures of such classes",
    )
    return [replace(finding, what=what)]


def _sizes(seen: Seen) -> list[Finding]:
    """How the pictures differ in size, if they do."""
    good = [its for _, its in seen if its.seen]
    if len({(its.width, its.height) for its in good}) < 2:
        return []
    oblong = sum(its.width != its.height for its in good)
    return [
        Finding(
            "note",
            "sizes",
            f"different sizes, {_range(good)}; {oblong:,} of {len(good):,} are not square",
            "all are brought to one square size, by stretching unless another fit is set",
            "--set image_size=64 fit=letterbox   # or crop, stretch; image_size is the size you train at",
        )
    ]


def _of_pictures(
    severity: str, topic: str, what: str, seen: Seen, test: Callable[[Look, Place], str], why: str, hint: str
) -> Finding:
    """A finding about single pictures: those for which `test` has something to say."""
    found = [replace(place, detail=said) for place, its in seen if (said := test(its, place))]
    return Finding(severity, topic, f"{what}: {len(found):,}", why, hint, tuple(Group((place,)) for place in found))


def _range(seen: Sequence[Look]) -> str:
    """The one size, or the smallest, the largest and the commonest."""
    sizes = Counter((its.width, its.height) for its in seen)
    if not sizes:
        return ""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if len(ordered) == 1:
        return _times(ordered[0])
    common, n = sizes.most_common(1)[0]
    return f"{_times(ordered[0])} to {_times(ordered[-1])}, most often {_times(common)} ({n / len(seen):.0%})"


def _size(its: Look) -> str:
    return _times((its.width, its.height))


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
