"""The checks of an audit, each from the looks at all files to findings; copies have a module of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from PIL import Image

from classicnets import text
from classicnets.audit.findings import Finding, Group, Place, Seen
from classicnets.images.splits import Layout
from classicnets.images.thumbnails import Look

_LONG = 10  # sides that differ by more make a strip
_SMALL = 8  # a shorter side below this shows next to nothing
_SMALLER = 4  # and so does one this many times below the usual
_FEW = 10  # a class of fewer images to train on is hardly learned
_UNEVEN, _VERY_UNEVEN = 3, 10  # largest class to smallest
_TELLS = 0.5  # a class whose share of gray images is so much above or below the others' can be told by that


def layout(found: Layout) -> list[Finding]:
    """What is wrong with the folders themselves, which training refuses."""
    return [
        Finding(
            "error",
            "layout",
            str(fault),
            "training refuses a folder like this: a class needs images to learn from and others to be tested with",
            "put images there, give the folder the name of the class it belongs to, or take it out of the data set",
        )
        for fault in found.faults
    ]


def troubles(seen: Seen) -> list[Finding]:
    """Files that training stumbles over, or whose header promises too much."""
    table = {
        "empty": (
            "error",
            "empty files",
            "training stops at a file that is no image",
            "delete them or fetch them again",
        ),
        "no_picture": (
            "error",
            "files that are no images",
            "training stops there",
            "delete them or fetch them again",
        ),
        "damaged": (
            "error",
            "damaged images",
            "training stops there; most such files were cut short by a copy or a download",
            "fetch them again, or delete them",
        ),
        "too_large": (
            "error",
            "absurd dimensions",
            "the image would fill the memory, which a small file can be made to do; it was not decoded here and is"
            " refused by training",
            "delete it, or make it smaller with a program that you trust with it",
        ),
        "suspiciously_large": (
            "error",
            "very large dimensions",
            "training refuses it, as decoding takes three bytes a pixel; it was not decoded here",
            "make it smaller: its longer side need not be above some hundred pixels",
        ),
    }
    return [
        _image_findings(severity, topic, what, seen, _why_of(topic), why, hint)
        for topic, (severity, what, why, hint) in table.items()
        if any(its.trouble == topic for _, its in seen)
    ]


def _why_of(trouble: str) -> Callable[[Look, Place], str]:
    return lambda its, _: its.why if its.trouble == trouble else ""


def balance(classes: Sequence[str], places: Sequence[Place]) -> list[Finding]:
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
                f"{text.count(len(few), 'class', 'classes')} with fewer than {_FEW} images to train on:"
                f" {text.join([f'{name} ({counts[name]})' for name in few])}",
                "so few are learned by heart, and what is learned does not carry over",
                "add images, or merge the class with a related one",
            )
        )
    small, large = min(filled, key=lambda n: counts[n]), max(filled, key=lambda n: counts[n])
    ratio = counts[large] / counts[small]
    if ratio >= _UNEVEN:
        findings.append(
            Finding(
                "warning" if ratio >= _VERY_UNEVEN else "note",
                "imbalance",
                f"{large} has {counts[large]:,} images to train on, {small} {counts[small]:,}: {ratio:.1f} times",
                "a net that always names the commonest class looks good in accuracy; look at the figures per class",
                "--set class_weights=auto   # weighs each class by the inverse of its share",
            )
        )
    return findings


def marks(seen: Seen) -> list[Finding]:
    """What single images are: of one value, strips, tiny, transparent, turned, or under the wrong extension."""
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
            "images of one value all over",
            lambda its, _: "one value" if its.constant else "",
            "there is nothing to see on them, and a label teaches what is not there",
            "delete them, unless emptiness is what the class is about",
        ),
        (
            "warning",
            "strips",
            "extremely long or wide images",
            lambda its, _: _size(its) if max(its.width, its.height) >= _LONG * min(its.width, its.height) else "",
            "brought to a square, their content is squeezed, cut off or a thin line",
            "cut them to what matters",
        ),
        (
            "warning",
            "small",
            "very small images",
            lambda its, _: _size(its) if min(its.width, its.height) < least else "",
            f"below {least:.0f} pixels on the shorter side, where {usual:.0f} are usual, little is left to see"
            if usual >= _SMALL
            else f"below {_SMALL} pixels on the shorter side little is left to see",
            "replace them by larger ones; they may be previews of images that you have",
        ),
        (
            "note",
            "transparent",
            "images with transparent parts",
            lambda its, _: its.format if its.transparent else "",
            "transparent parts become black here, and may become white in another program",
            "put them on a ground of your choice before training",
        ),
        (
            "note",
            "exif_turned",
            "images that an EXIF mark turns upright",
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
        _image_findings(severity, topic, what, good, test, why, hint)
        for severity, topic, what, test, why, hint in checks
        if any(test(its, place) for place, its in good)
    ]


def colors(seen: Seen) -> list[Finding]:
    """Gray images among colored ones, and classes that this gives away."""
    good = [(place, its) for place, its in seen if its.seen]
    gray = sum(its.gray for _, its in good)
    if gray == len(good):
        return _stored_in_color(good)
    if not gray:
        return []
    shares = {}
    for label in dict.fromkeys(place.label for place, _ in good):
        mine = [its.gray for place, its in good if place.label == label]
        if len(mine) >= _FEW and len(good) > len(mine):
            shares[label] = sum(mine) / len(mine) - (gray - sum(mine)) / (len(good) - len(mine))
    telling = [label for label, more in shares.items() if abs(more) > _TELLS]
    why = "a net with color takes them as they are; they only matter if gray goes with some classes"
    what = f"{gray:,} of {len(good):,} images are gray, the others colored"
    if telling:
        what += f"; {text.join(telling)} by far {'more' if shares[telling[0]] > 0 else 'less'} often"
        why = "a net can tell such a class by the lack of color, and knows nothing else about it"
    test: Callable[[Look, Place], str] = lambda its, _: "grey" if its.gray is (2 * gray <= len(good)) else ""  # noqa: E731
    finding = _image_findings(
        "warning" if telling else "note",
        "grey",
        "",
        good,
        test,
        why,
        "save all of them in gray if color says nothing about the class; else add colored images of such classes",
    )
    return [replace(finding, what=what)]


def _stored_in_color(gray: Seen) -> list[Finding]:
    """Gray images of which only some are stored in color: these few decide how many channels the network has."""
    stored = sum(its.channels == 3 for _, its in gray)
    if stored in {0, len(gray)}:
        return []
    finding = _image_findings(
        "warning",
        "stored_in_color",
        "",
        gray,
        lambda its, _: "stored in color" if its.channels == 3 else "",
        "because of them the network gets three channels instead of one, which say the same",
        "save them as grayscale",
    )
    return [replace(finding, what=f"all images are gray, but {stored:,} of {len(gray):,} are stored in color")]


def sizes(seen: Seen) -> list[Finding]:
    """How the images differ in size, if they do."""
    good = [its for _, its in seen if its.seen]
    if len({(its.width, its.height) for its in good}) < 2:
        return []
    oblong = sum(its.width != its.height for its in good)
    return [
        Finding(
            "note",
            "sizes",
            f"different sizes, {size_range(good)}; {oblong:,} of {len(good):,} are not square",
            "all are brought to one square size, by stretching unless another fit is set",
            "--set image_size=64 fit=letterbox   # or crop, stretch; image_size is the size you train at",
        )
    ]


def _image_findings(
    severity: str, topic: str, what: str, seen: Seen, test: Callable[[Look, Place], str], why: str, hint: str
) -> Finding:
    """A finding about single images: those for which `test` has something to say."""
    found = [replace(place, detail=said) for place, its in seen if (said := test(its, place))]
    return Finding(severity, topic, f"{what}: {len(found):,}", why, hint, tuple(Group((place,)) for place in found))


def size_range(seen: Sequence[Look]) -> str:
    """The one size, or the smallest, the largest and the commonest."""
    sizes = Counter((its.width, its.height) for its in seen)
    if not sizes:
        return ""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if len(ordered) == 1:
        return text.shape(ordered[0])
    common, n = sizes.most_common(1)[0]
    return (
        f"{text.shape(ordered[0])} to {text.shape(ordered[-1])}, most often {text.shape(common)} ({n / len(seen):.0%})"
    )


def _size(its: Look) -> str:
    return text.shape((its.width, its.height))
