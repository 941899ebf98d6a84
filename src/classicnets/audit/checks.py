"""The checks of an audit, from the inspected files to findings; `duplicates` has those for copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from classicnets.audit.findings import Entries, Finding, Group, ImageEntry
from classicnets.images import background
from classicnets.images.formats import suffix_format
from classicnets.images.splits import Layout
from classicnets.images.thumbnails import ImageInfo
from classicnets.text import _, join, plural, shape
from classicnets.values import BLACK, WHITE

_MAX_ASPECT_RATIO = 10  # images above this ratio are reported as extremely long
_MIN_SIZE = 8  # pixels; an image with a shorter side below this shows almost nothing
_MIN_RELATIVE_SIZE = 4  # an image is small if its shorter side is this many times below the median
_MIN_CLASS_SIZE = 10  # training images below which a class is hardly learned
_IMBALANCE, _STRONG_IMBALANCE = 3, 10  # largest class to smallest
_MAX_GRAY_DIFFERENCE = 0.5  # in the share of gray images between a class and the others, above which gray identifies it


@dataclass(frozen=True)
class _Check:
    """A check of single images: `describe` returns the detail for an image that it concerns, "" for others.

    `what` returns the message for a number of images.
    """

    severity: str
    topic: str
    what: Callable[[int], str]
    describe: Callable[[ImageInfo, ImageEntry], str]
    why: str
    hint: str

    def run(self, entries: Entries) -> list[Finding]:
        """Return one finding if the check concerns any image."""
        images = [replace(image, detail=detail) for image, info in entries if (detail := self.describe(info, image))]
        if not images:
            return []
        groups = tuple(Group((image,)) for image in images)
        return [Finding(self.severity, self.topic, self.what(len(images)), self.why, self.hint, groups)]


def layout_faults(layout: Layout) -> list[Finding]:
    """Return what is wrong with folders or lines, which training rejects."""
    why = _("training stops: every class needs images to train on and others to be tested with")
    hint = _("add images, give the folder the name of the class it belongs to, or remove it from the data set")
    return [Finding("error", "layout", str(fault), why, hint) for fault in layout.faults]


def layout_notes(layout: Layout) -> list[Finding]:
    """Return how the folders or lines are interpreted."""
    why, hint = _("this is how the folder is read"), _("nothing, if this is what you intended")
    notes = [note for note in (*layout.notes, *layout.file_notes) if note not in layout.losses]
    return [Finding("note", "read_as", note, why, hint) for note in notes]


def layout_losses(layout: Layout) -> list[Finding]:
    """Return which images training and evaluation do not use."""
    why = _("training and evaluation do not use these images")
    hint = _("move them into the folder of a class, convert them to JPEG or PNG, or delete them")
    return [Finding("warning", "left_out", loss, why, hint) for loss in layout.losses]


def unreadable_files(entries: Entries) -> list[Finding]:
    """Report files that training cannot read, or whose header declares too many pixels."""
    delete = _("delete them, or download them again")
    checks = [
        _problem_check(
            "empty",
            lambda n: plural("{n} file is empty", "{n:,} files are empty", n),
            _("training stops at a file that is not an image"),
            delete,
        ),
        _problem_check(
            "no_picture",
            lambda n: plural("{n} file is not an image", "{n:,} files are not images", n),
            _("training stops at a file that is not an image"),
            delete,
        ),
        _problem_check(
            "damaged",
            lambda n: plural("{n} image is damaged", "{n:,} images are damaged", n),
            _("training stops at them; most such files were truncated by an interrupted copy or download"),
            delete,
        ),
        _problem_check(
            "too_large",
            lambda n: plural("{n} image is too large", "{n:,} images are too large", n),
            _(
                "decoding such an image would fill the memory, although its file may be small; it is not decoded here,"
                " and training rejects it"
            ),
            _("delete such images, or reduce them with a program that you trust with them"),
        ),
    ]
    return [finding for check in checks for finding in check.run(entries)]


def _problem_check(problem: str, what: Callable[[int], str], why: str, hint: str) -> _Check:
    """The check for one value of `ImageInfo.problem`."""
    return _Check("error", problem, what, lambda info, _image: info.why if info.problem == problem else "", why, hint)


def class_balance(classes: Sequence[str], images: Sequence[ImageEntry]) -> list[Finding]:
    """Report classes that are small, or much smaller than others, in the training split."""
    counts = Counter(image.label for image in images if image.split == "train")
    filled = [name for name in classes if counts[name]]
    if len(filled) < 2:
        return []
    findings = []
    tiny = [f"{name} ({counts[name]})" for name in filled if counts[name] < _MIN_CLASS_SIZE]
    if tiny:
        what = plural(
            "{n} class has fewer than {limit} training images: {classes}",
            "{n:,} classes have fewer than {limit} training images: {classes}",
            len(tiny),
            limit=_MIN_CLASS_SIZE,
            classes=join(tiny),
        )
        why = _("the network memorizes so few images, and what it learns does not generalize")
        hint = _("add images, or merge the class with a related one")
        findings.append(Finding("warning", "tiny_classes", what, why, hint))
    smallest, largest = min(filled, key=lambda name: counts[name]), max(filled, key=lambda name: counts[name])
    ratio = counts[largest] / counts[smallest]
    if ratio >= _IMBALANCE:
        what = _(
            "{largest} has {largest_count:,} training images, {ratio:.1f} times as many as {smallest}"
            " ({smallest_count:,})",
            largest=largest,
            largest_count=counts[largest],
            ratio=ratio,
            smallest=smallest,
            smallest_count=counts[smallest],
        )
        why = _("a network that always predicts the most frequent class has a high accuracy; look at each class")
        hint = _("--set class_weights=auto   # weights each class by its inverse frequency")
        findings.append(Finding("warning" if ratio >= _STRONG_IMBALANCE else "note", "imbalance", what, why, hint))
    return findings


def unusual_images(entries: Entries) -> list[Finding]:
    """Report images that are constant, extremely long, very small, transparent, rotated, or have the wrong suffix."""
    readable = [(image, info) for image, info in entries if info.readable]
    usual_size = median([min(info.width, info.height) for _image, info in readable]) if readable else 0
    checks = [*_content_checks(), *_size_checks(usual_size), *_file_checks()]
    return [finding for check in checks for finding in check.run(readable)]


def _content_checks() -> list[_Check]:
    return [
        _Check(
            "warning",
            "constant",
            lambda n: plural("{n} image has only one color", "{n:,} images have only one color", n),
            lambda info, _image: _("one color") if info.constant else "",
            _("such an image shows nothing, so its label teaches something that is not there"),
            _("delete them, unless empty images are what the class is about"),
        ),
    ]


def _size_checks(usual_size: float) -> list[_Check]:
    """`usual_size` is the median of the shorter sides."""
    limit = max(_MIN_SIZE, usual_size / _MIN_RELATIVE_SIZE)
    if usual_size >= _MIN_SIZE:
        small = _(
            "the shorter side is below {limit:.0f} pixels, where {usual:.0f} are usual, so little can be seen",
            limit=limit,
            usual=usual_size,
        )
    else:
        small = _("the shorter side is below {limit} pixels, so little can be seen", limit=_MIN_SIZE)

    def is_long(info: ImageInfo) -> bool:
        return max(info.width, info.height) >= _MAX_ASPECT_RATIO * min(info.width, info.height)

    return [
        _Check(
            "warning",
            "strips",
            lambda n: plural("{n} image is extremely long", "{n:,} images are extremely long", n),
            lambda info, _image: _size_text(info) if is_long(info) else "",
            _("in a square, its content is squeezed, cropped or a thin line"),
            _("crop them to what matters"),
        ),
        _Check(
            "warning",
            "small",
            lambda n: plural("{n} image is very small", "{n:,} images are very small", n),
            lambda info, _image: _size_text(info) if min(info.width, info.height) < limit else "",
            small,
            _("replace them by larger images; they may be thumbnails of images that you have"),
        ),
    ]


def _file_checks() -> list[_Check]:
    def wrong_suffix(info: ImageInfo, image: ImageEntry) -> str:
        named = suffix_format(Path(image.file).suffix)
        return "" if info.format == named else _("contains {format}", format=info.format)

    return [
        _Check(
            "note",
            "exif_turned",
            lambda n: plural("{n} image is rotated by its EXIF data", "{n:,} images are rotated by their EXIF data", n),
            lambda info, _image: _("rotated") if info.rotated else "",
            _("training and prediction rotate them upright; programs that ignore EXIF orientation do not"),
            _("nothing, unless you use other programs; then save them upright"),
        ),
        _Check(
            "note",
            "extension",
            lambda n: plural(
                "{n} file has a suffix of another format", "{n:,} files have suffixes of other formats", n
            ),
            wrong_suffix,
            _("they are read by their content here, but other programs may refuse them"),
            _("give them the suffix of their format"),
        ),
    ]


def chosen_background(entries: Entries) -> str:
    """Return the color that background=auto shows at transparent parts."""
    return background.choose([info.contrasts for image, info in entries if image.split == "train"])


def transparent_images(entries: Entries) -> list[Finding]:
    """Report images with transparent parts, and those that hardly show on a background: dark art on black."""
    color = chosen_background(entries)
    shown = background.name(color)
    typed = background.setting(color)
    keep = _("--set background={color}   # keeps this color, also when images are added", color=typed)

    def describe(info: ImageInfo, _image: ImageEntry) -> str:
        return info.format if info.transparent else ""

    def check_hidden(on: str) -> Callable[[ImageInfo, ImageEntry], str]:
        return lambda info, image: describe(info, image) if background.hidden(info.contrasts, on) else ""

    other = WHITE if color == BLACK else BLACK
    checks = [
        _Check(
            "warning",
            "hidden",
            lambda n: plural(
                "{n} image hardly differs from the background that its transparent parts get ({color})",
                "{n:,} images hardly differ from the background that their transparent parts get ({color})",
                n,
                color=shown,
            ),
            check_hidden(color),
            _("training sees an empty image; background=auto chose the color that the fewest images disappear on"),
            _("--set background={color}   # or a color that is in none of them", color=background.setting(other)),
        ),
        _Check(
            "note",
            "dark_on_clear" if color == WHITE else "light_on_clear",
            _dark_shapes if color == WHITE else _light_shapes,
            check_hidden(BLACK if color == WHITE else WHITE),
            _(
                "background=auto therefore shows transparent parts in {color}; other programs and version 0.1 may not",
                color=shown,
            ),
            keep,
        ),
        _Check(
            "note",
            "transparent",
            lambda n: plural("{n} image has transparent parts", "{n:,} images have transparent parts", n),
            describe,
            _("transparent parts become {color} here, and may become another color in another program", color=shown),
            keep,
        ),
    ]
    readable = [(image, info) for image, info in entries if info.readable]
    return [finding for check in checks for finding in check.run(readable)]


def _dark_shapes(n: int) -> str:
    return plural(
        "{n} image shows dark shapes on transparency, which disappear on black",
        "{n:,} images show dark shapes on transparency, which disappear on black",
        n,
    )


def _light_shapes(n: int) -> str:
    return plural(
        "{n} image shows light shapes on transparency, which disappear on white",
        "{n:,} images show light shapes on transparency, which disappear on white",
        n,
    )


def gray_and_color(entries: Entries) -> list[Finding]:
    """Report gray images among colored ones, and classes that this gives away."""
    readable = [(image, info) for image, info in entries if info.readable]
    gray_count, total = sum(info.gray for _image, info in readable), len(readable)
    stored = _stored_in_color(readable, all_gray=gray_count == total)
    if stored or gray_count in {0, total}:
        return stored
    differences = _gray_differences(readable, gray_count)
    telling = [label for label, difference in differences.items() if abs(difference) > _MAX_GRAY_DIFFERENCE]
    counts = {"n": gray_count, "total": total}
    if not telling:
        what = _("gray images: {n:,} of {total:,}; the others are colored", **counts)
        why = _("a color network accepts them as they are; it matters only if some classes are gray more often")
    elif differences[telling[0]] > 0:
        why = _(
            "a color network can identify such a class by the lack of color, without learning anything else about it"
        )
        what = _(
            "gray images: {n:,} of {total:,}; they are much more frequent in {classes} than elsewhere",
            classes=join(telling),
            **counts,
        )
    else:
        why = _("a color network can identify such a class by its color, without learning anything else about it")
        what = _(
            "gray images: {n:,} of {total:,}; they are much less frequent in {classes} than elsewhere",
            classes=join(telling),
            **counts,
        )
    list_gray = 2 * gray_count <= total  # the groups list the rarer kind
    return _Check(
        "warning" if telling else "note",
        "grey",
        lambda _n: what,
        lambda info, _image: (_("gray") if info.gray else _("color")) if info.gray is list_gray else "",
        why,
        _("convert all images to gray if color does not matter for the class; otherwise add colored images to it"),
    ).run(readable)


def _gray_differences(readable: Entries, gray_count: int) -> dict[str, float]:
    """Class -> the share of gray images in it, minus the share in all others; small classes are left out."""
    differences = {}
    total = len(readable)
    for label in dict.fromkeys(image.label for image, _info in readable):
        gray = [info.gray for image, info in readable if image.label == label]
        if len(gray) >= _MIN_CLASS_SIZE and total > len(gray):
            differences[label] = sum(gray) / len(gray) - (gray_count - sum(gray)) / (total - len(gray))
    return differences


def _stored_in_color(entries: Entries, *, all_gray: bool) -> list[Finding]:
    """The images that decide that the network gets three channels, if it is a minority, or if all images are gray."""
    count, total = sum(info.channels == 3 for _image, info in entries), len(entries)
    if count in {0, total} or (2 * count >= total and not all_gray):
        return []

    def what(n: int) -> str:
        if all_gray:
            return plural(
                "all images are gray, but {n} of {total:,} is stored in color",
                "all images are gray, but {n:,} of {total:,} are stored in color",
                n,
                total=total,
            )
        return plural(
            "{n} of {total:,} images is stored in color; the others are gray",
            "{n:,} of {total:,} images are stored in color; the others are gray",
            n,
            total=total,
        )

    return _Check(
        "warning",
        "stored_in_color",
        what,
        lambda info, _image: _("stored in color") if info.channels == 3 else "",
        _("because of them the network gets three channels instead of one"),
        _("save them as grayscale, unless color matters for the class"),
    ).run(entries)


def image_sizes(entries: Entries) -> list[Finding]:
    """Return how the images differ in size, if they do."""
    readable = [info for _image, info in entries if info.readable]
    if len({(info.width, info.height) for info in readable}) < 2:
        return []
    what = _(
        "the images have different sizes, {sizes}; not square: {n:,} of {total:,}",
        sizes=size_range(readable),
        n=sum(info.width != info.height for info in readable),
        total=len(readable),
    )
    why = _("all images are resized to one square size, by stretching unless another fit is set")
    hint = _("--set image_size=64 fit=letterbox   # or crop, stretch; image_size is the size to train at")
    return [Finding("note", "sizes", what, why, hint)]


def size_range(infos: Sequence[ImageInfo]) -> str:
    """Return the common size, or the smallest, largest and most frequent ones."""
    sizes = Counter((info.width, info.height) for info in infos)
    if not sizes:
        return ""
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if len(by_area) == 1:
        return shape(by_area[0])
    most_frequent, n = sizes.most_common(1)[0]
    return _(
        "{smallest} to {largest}, most often {most_frequent} ({share:.0%})",
        smallest=shape(by_area[0]),
        largest=shape(by_area[-1]),
        most_frequent=shape(most_frequent),
        share=n / len(infos),
    )


def _size_text(info: ImageInfo) -> str:
    return shape((info.width, info.height))
