"""The data sets: ONE literal dict of facts, and what is done with a name or a folder: describe, load, check.

Importing this reads nothing and needs neither numpy nor torch.
"""

from __future__ import annotations

import difflib
import hashlib
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

# Role of a file -> its usual name, gzip or not; "train-images.idx3-ubyte" with a dot is as common.
IDX_NAMES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "t10k-images": "t10k-images-idx3-ubyte",
    "t10k-labels": "t10k-labels-idx1-ubyte",
}


@dataclass(frozen=True)
class DataFile:
    """One file of a data set; `sha256` and `size` (bytes) are those of its decompressed content."""

    role: str
    name: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Facts about a data set: what it holds (`shape` is channels, height, width) and where it can be had."""

    name: str
    title: str
    licence: str
    homepage: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train: int
    test: int
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]
    system_folder: str
    debian_package: str
    debian_megabytes: int

    @property
    def fingerprint(self) -> str:
        """A short text that stands for exactly these bytes."""
        return fingerprint({file.role: file.sha256 for file in self.files})


@dataclass(frozen=True)
class Split:
    """Pictures uint8 [N, C, H, W] and their labels int64 [N]."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Pictures:
    """A data set in memory; `fingerprint` stands for its bytes, `source` says in words where they came from."""

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    fingerprint: str
    source: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """One picture: (channels, height, width)."""
        channels, height, width = self.train.images.shape[1:]
        return (channels, height, width)


@dataclass(frozen=True)
class Description:
    """What is known of a data set before any picture is read; `shape` is (channels, height, width)."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class FileReport:
    """What `check` says of one file: `status` is "ok", "missing" or "wrong"."""

    file: str
    status: str
    detail: str


DATASETS: dict[str, Dataset] = {
    "fashion_mnist": Dataset(
        name="fashion_mnist",
        title="Fashion-MNIST",
        licence="MIT",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        shape=(1, 28, 28),
        classes=(
            "t-shirt",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
        train=60_000,
        test=10_000,
        files=(
            DataFile(
                "train-images",
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                47_040_016,
            ),
            DataFile(
                "train-labels",
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                60_008,
            ),
            DataFile(
                "t10k-images",
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                7_840_016,
            ),
            DataFile(
                "t10k-labels",
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                10_008,
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        system_folder="/usr/share/datasets/fashion-mnist",
        debian_package="dataset-fashion-mnist",
        debian_megabytes=31,
    ),
}

# Sets that use the same file names and so turn up in place of ours: role -> sha256 of the decompressed bytes.
FOREIGN: dict[str, dict[str, str]] = {
    "MNIST": {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
}


def fingerprint(digests: Mapping[str, str]) -> str:
    """A short text (16 hex digits) for the four files of a set, given as role -> sha256."""
    return hashlib.sha256("".join(digests[role] for role in sorted(digests)).encode()).hexdigest()[:16]


def known_sets() -> dict[str, dict[str, str]]:
    """Title -> role -> sha256, for every set whose bytes are known, ours first."""
    ours = {dataset.title: {file.role: file.sha256 for file in dataset.files} for dataset in DATASETS.values()}
    return ours | FOREIGN


def say_on_stderr(line: str) -> None:
    """How `load` speaks when the caller does not say otherwise."""
    print(line, file=sys.stderr)


def describe(spec: str) -> Description:
    """Name, classes and picture shape of a registry name or of a folder of four IDX files.

    For a name no file is touched. In a folder the headers and labels are read; its pictures only where the labels are
    those of a known set, so that the answer is the one `load` will give. Raises `UsageError` CN202, `DataError`.
    """
    found = _find(spec)
    if isinstance(found, Dataset):
        return Description(found.name, found.classes, found.shape)
    paths = _files_of(found)
    return _describe_files(found, paths, _recognise(paths))


def load(spec: str, *, say: Callable[[str], None] = say_on_stderr) -> Pictures:
    """All pictures of a registry name (fetched if need be) or of a folder of four IDX files, in memory.

    The bytes of a registry name are verified. A folder whose bytes are those of a known set is taken for that set, and
    `say` tells so. Raises `UsageError` CN202, `DataError` CN301 to CN303, `MachineError` CN401.
    """
    from classicnets.data.sources import obtain

    found = _find(spec)
    if isinstance(found, Dataset):
        had = obtain(found, say=say)
        train, test = _splits(had.paths, len(found.classes))
        return Pictures(found.name, found.classes, train, test, found.fingerprint, had.source)
    paths = _files_of(found)
    title = _recognise(paths)
    description = _describe_files(found, paths, title)
    if title:
        say(f"{found}: these are {title}'s files, so the data set is called {description.name}")
    digests = known_sets()[title] if title else _digests(paths)
    train, test = _splits(paths, len(description.classes))
    return Pictures(description.name, description.classes, train, test, fingerprint(digests), f"folder {found}")


def check(spec: str) -> list[FileReport]:
    """One report per file of a registry name (in the cache or the system folder; nothing is fetched) or of a folder.

    Raises `UsageError` CN202; a missing or damaged file is a row, not an error.
    """
    from classicnets.data.sources import places

    found = _find(spec)
    if isinstance(found, Path):
        return _reports(found, None)
    every = []
    for _, folder in places(found):
        reports = _reports(folder, found)
        if all(report.status == "ok" for report in reports):
            return reports
        every.append(reports)
    return next((r for r in every if any(report.status == "wrong" for report in r)), every[0])


def _find(spec: str) -> Dataset | Path:
    """The registry entry or the folder that `spec` stands for."""
    if spec in DATASETS:
        return DATASETS[spec]
    state = "there is no such folder" if "/" in spec or "\\" in spec or spec.startswith((".", "~")) else ""
    try:
        folder = Path(spec).expanduser()
        if spec and folder.is_dir():
            return folder
        if spec and folder.exists():
            state = "it is a file; a folder with four IDX files is needed"
    except (OSError, RuntimeError) as error:
        state = getattr(error, "strerror", None) or str(error)
    if state:
        raise DataError("CN302", f"no data set at {spec}", where=spec, why=state, hint="classicnets list")
    near = difflib.get_close_matches(spec, DATASETS, n=1, cutoff=0.5)
    raise UsageError(
        "CN202",
        f"no data set is called {spec!r}" + (f"; the nearest name is {near[0]}" if near else ""),
        where="the name of a data set",
        why=f"known are: {', '.join(DATASETS)}; the path of a folder with four IDX files does as well",
        hint=f"classicnets data check {near[0]}" if near else "classicnets list",
    )


def _files_of(folder: Path) -> dict[str, Path]:
    """The four files in a user's folder."""
    from classicnets.data.sources import find_files

    paths = find_files(folder)
    if missing := [name for role, name in IDX_NAMES.items() if role not in paths]:
        raise DataError(
            "CN302",
            f"the folder lacks {len(missing)} of the four IDX files of a data set",
            where=str(folder.absolute()),
            why=f"missing: {', '.join(missing)} (each with or without .gz)",
            hint=f"classicnets data check {shlex.quote(str(folder))}",
        )
    return paths


def _describe_files(folder: Path, paths: Mapping[str, Path], title: str) -> Description:
    """What four files hold that are those of the known set `title` (empty for a stranger's)."""
    from classicnets.data.formats import read_idx

    for dataset in DATASETS.values():
        if dataset.title == title:
            return Description(dataset.name, dataset.classes, dataset.shape)
    shape = _picture_shape(paths["train-images"])
    test_shape = _picture_shape(paths["t10k-images"])
    if test_shape != shape:
        why = f"its pictures are {_times(test_shape)}, those of the train split {_times(shape)}"
        raise _misfit(paths["t10k-images"], why)
    classes = 1 + max(int(read_idx(paths[role]).max()) for role in ("train-labels", "t10k-labels"))
    name = title.lower() or folder.absolute().resolve().name
    return Description(name, tuple(str(label) for label in range(classes)), shape)


def _picture_shape(path: Path) -> tuple[int, int, int]:
    """(channels, height, width) from the header of a file of pictures, [N, H, W] or [N, C, H, W]."""
    from classicnets.data.formats import idx_header

    match idx_header(path):
        case (_, height, width):
            return (1, height, width)
        case (_, channels, height, width):
            return (channels, height, width)
        case other:
            raise _misfit(path, f"pictures have 3 or 4 dimensions; the header declares {len(other)}")


def _recognise(paths: Mapping[str, Path]) -> str:
    """The title of the known set whose four files these are, else nothing.

    The labels come first: they are small, and with a stranger's files nothing more is read.
    """
    from classicnets.data.formats import sha256_of

    roles = sorted(IDX_NAMES, key=lambda role: role.endswith("images"))
    for title, digests in known_sets().items():
        if all(sha256_of(paths[role]) == digests[role] for role in roles):
            return title
    return ""


def _digests(paths: Mapping[str, Path]) -> dict[str, str]:
    from classicnets.data.formats import sha256_of

    return {role: sha256_of(path) for role, path in paths.items()}


def _splits(paths: Mapping[str, Path], classes: int) -> Iterator[Split]:
    """The train and the test split."""
    import numpy as np

    from classicnets.data.formats import read_idx

    for prefix in ("train", "t10k"):
        images, labels = read_idx(paths[f"{prefix}-images"]), read_idx(paths[f"{prefix}-labels"])
        if fault := _labels_fault(labels, len(images), classes):
            raise _misfit(paths[f"{prefix}-labels"], fault)
        count, *sides = images.shape
        yield Split(images.reshape(count, *([1] if len(sides) == 2 else []), *sides), labels.astype(np.int64))


def _labels_fault(labels: npt.NDArray[np.uint8], pictures: int, classes: int) -> str:
    """What is wrong with the labels of so many pictures, in words; empty when nothing is."""
    if labels.ndim != 1:
        return f"labels have 1 dimension; the header declares {labels.ndim}"
    if len(labels) != pictures:
        return f"{len(labels):,} labels for {pictures:,} pictures"
    if labels.max() >= classes:
        return f"the largest label is {labels.max()}, but there are {classes} classes (0 to {classes - 1})"
    return ""


def _misfit(path: Path, why: str) -> DataError:
    return DataError(
        "CN301",
        f"{path.name} does not fit the other files",
        where=str(path),
        why=why,
        hint=f"classicnets data check {shlex.quote(str(path.parent))}",
    )


def _reports(folder: Path, dataset: Dataset | None) -> list[FileReport]:
    """One report per file in `folder`, held against `dataset` if there is one."""
    from classicnets.data.formats import sha256_of
    from classicnets.data.sources import fault, find_files, owner_of

    paths = find_files(folder)
    expected = {file.role: file for file in dataset.files} if dataset else {}
    reports: list[FileReport] = []
    shapes: dict[str, tuple[int, ...]] = {}
    for role, name in IDX_NAMES.items():
        if role not in paths:
            reports.append(FileReport(name, "missing", f"not in {folder}"))
            continue
        path = paths[role]
        try:
            if role in expected and (text := fault(expected[role], path)):
                raise _misfit(path, text)
            shapes[role], text = _contents(path, role, shapes)
            owner = "sha256 ok" if expected else owner_of(sha256_of(path)) or "of no known set"
            reports.append(FileReport(path.name, "ok", f"{path}: {text}, {owner}"))
        except DataError as error:
            reports.append(FileReport(path.name, "wrong", f"{path}: {error.why}"))
    return reports


def _contents(path: Path, role: str, others: Mapping[str, tuple[int, ...]]) -> tuple[tuple[int, ...], str]:
    """The shape of one file and its contents in words; raises `DataError` if it does not fit the others' shapes."""
    from classicnets.data.formats import read_idx

    array = read_idx(path)
    values = f"{4 + 4 * array.ndim + array.nbytes:,} bytes, {len(array):,} %s {array.min()}..{array.max()}"
    if role.endswith("labels"):
        pictures = others.get(role.replace("labels", "images"), array.shape)[0]
        if text := _labels_fault(array, pictures, classes=256):
            raise _misfit(path, text)
        return array.shape, values % "labels"
    shape = _picture_shape(path)
    first = others.get("train-images", (0, *shape))[1:]
    if shape != first:
        raise _misfit(path, f"its pictures are {_times(shape)}, those of the train split {_times(first)}")
    return (len(array), *shape), values % f"pictures of {_times(shape)}, values"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
