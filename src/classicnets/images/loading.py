"""Describes, loads and checks data sets by name or path: a published set, a folder or CSV of images, or IDX files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from classicnets.datasets import cifar, idx, sources
from classicnets.datasets.catalog import DATASETS, Dataset
from classicnets.datasets.local import local_folders
from classicnets.datasets.types import Description, FileReport, ImageSplits, print_to_stderr
from classicnets.datasets.verify import find_files
from classicnets.errors import ClassicnetsError, DataError, UsageError
from classicnets.files import user_path
from classicnets.images import folders
from classicnets.images.automatic_split import Copies
from classicnets.images.listing import EXTENSIONS
from classicnets.text import _, command, nearest
from classicnets.values import Preprocess

__all__ = ["check", "describe", "has_image_files", "image_location", "load"]


def describe(spec: str, on_bad_image: str = "fail") -> Description:
    """Return the name, classes, image shape and counts of a data set.

    Args:
        spec: Name of a published set (no file is read), folder or CSV of images (only headers are read), or folder of
            IDX files.
        on_bad_image: "fail", or "skip" to leave out image files that cannot be read.

    Raises:
        UsageError: CN202 for an unknown name.
        DataError: CN302, CN304, CN307.
    """
    source = _resolve(spec)
    if isinstance(source, Dataset):
        return Description(source.name, source.classes, source.shape, train=source.train, test=source.test)
    return idx.describe(source) if _is_idx(source) else folders.describe(source, on_bad_image)


def load(
    spec: str,
    preprocess: Preprocess | None = None,
    *,
    on_bad_image: str = "fail",
    copies: Copies | None = (),
    say: Callable[[str], None] = print_to_stderr,
) -> ImageSplits:
    """Load all images of a data set; a published set is downloaded if necessary, and verified.

    Args:
        spec: As for `describe`.
        preprocess: Image files are decoded to its channels and resized to its `side`; None keeps their own size, which
            all must share. Other data is not changed.
        on_bad_image: "fail", or "skip" to leave out image files that cannot be read.
        copies: Groups of image files that stay on one side of an automatic split; None for the rule of version 0.1.
        say: Called with notes and progress.

    Raises:
        UsageError: CN202, CN204.
        DataError: CN301 to CN304 and CN307.
        MachineError: CN401.
    """
    source = _resolve(spec)
    if isinstance(source, Dataset):
        files = sources.obtain(source, say=say)
        if source.label_bytes:
            train, test = cifar.read_splits(source, files.paths)
        else:
            train, test = idx.read_splits(files.paths, len(source.classes))
        return ImageSplits(source.name, source.classes, train, test, source.fingerprint, files.source)
    return idx.load(source, say) if _is_idx(source) else folders.load(source, preprocess, say, on_bad_image, copies)


def check(spec: str) -> list[FileReport]:
    """Check each file of a published set (in the cache or system folder, without downloading) or of a folder of IDX
    files. For image files, see `audit.audit_images`.

    Raises:
        UsageError: CN202.
        DataError: CN302. A missing or damaged file is a row in the result, not an error.
    """
    source = _resolve(spec)
    if isinstance(source, Path):
        return idx.check(source)
    results = []
    for _name, folder in local_folders(source):
        reports = cifar.check(folder, source) if source.label_bytes else idx.check(folder, source)
        if all(report.status == "ok" for report in reports):
            return reports
        results.append(reports)
    return next((reports for reports in results if any(report.status == "wrong" for report in reports)), results[0])


def image_location(spec: str) -> Path | None:
    """Return the folder or CSV of images that `spec` refers to; None if it is a published set or a folder of IDX files.

    Raises:
        UsageError: CN202.
        DataError: CN302.
    """
    source = _resolve(spec)
    return None if isinstance(source, Dataset) or _is_idx(source) else source


def has_image_files(spec: str) -> bool:
    """Return whether `spec` refers to a folder or CSV of images; false if there is no such data."""
    try:
        return image_location(spec) is not None
    except ClassicnetsError:
        return False


def _is_idx(folder: Path) -> bool:
    return folder.is_dir() and bool(find_files(folder))


def _refuse_published(folder: Path) -> None:
    """Raise DataError CN302 for a folder with the files of a published set that can only be used by its name."""
    for dataset in DATASETS.values():
        if dataset.archive and len(find_files(folder, dataset)) == len(dataset.files):
            raise DataError(
                "CN302",
                _("the folder contains the files of {title}, which can only be used by its name", title=dataset.title),
                where=str(folder.absolute()),
                hint=_(
                    "{command}   # then use the name {name}",
                    command=command("classicnets", "data", "import", dataset.name, folder),
                    name=dataset.name,
                ),
            )


def _resolve(spec: str) -> Dataset | Path:
    """The published set, folder or CSV that `spec` refers to."""
    if spec in DATASETS:
        return DATASETS[spec]
    looks_like_path = "/" in spec or "\\" in spec or spec.startswith((".", "~"))
    problem = _("there is no such folder") if looks_like_path else ""
    try:
        path = user_path(spec)
        if spec and path.is_dir():
            _refuse_published(path)
            return path
        if spec and path.is_file() and path.suffix.lower() in EXTENSIONS:
            return path
        if spec and path.exists():
            problem = _("it is a file, but a folder of images, a folder of IDX files or a CSV is needed")
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        what = _("there is no data set at {path}", path=spec)
        raise DataError("CN302", what, where=spec, why=problem, hint="classicnets list")
    raise _unknown_name(spec)


def _unknown_name(name: str) -> UsageError:
    suggestion = nearest(name, DATASETS)
    if suggestion:
        what = _("there is no data set {name!r}; did you mean {suggestion}?", name=name, suggestion=suggestion)
    else:
        what = _("there is no data set {name!r}", name=name)
    return UsageError(
        "CN202",
        what,
        where=_("the name of a data set"),
        why=_(
            "the data sets are {names}; you can also give the path of a folder of images or of IDX files",
            names=", ".join(DATASETS),
        ),
        hint=command("classicnets", "data", "check", suggestion) if suggestion else "classicnets list",
    )
