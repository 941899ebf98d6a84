"""Files of the book's data sets. They are used where they lie; nothing is downloaded.

The chapters up to densenet need only the house prices of Kaggle (4.10 of the Chinese edition, 5.7 of English 1.0).
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

from classicnets.errors import DataError, UsageError
from classicnets.files import user_path
from classicnets.text import _, command, join

DATA_URL = "http://d2l-data.s3-accelerate.amazonaws.com/"
DATA_HUB = {
    "kaggle_house_train": (DATA_URL + "kaggle_house_pred_train.csv", "585e9cc93e70b39160e7921475f9bcd7d31219ce"),
    "kaggle_house_test": (DATA_URL + "kaggle_house_pred_test.csv", "fa19780a7b011d9b009e8bff8e99922a8ee2eb90"),
}  # name to address and SHA-1 digest


def download(name: str, folder: str | None = None, sha1_hash: str | None = None, *, cache_dir: str = "../data") -> str:
    """Return the path of a file that has been downloaded into `folder` before, after checking it.

    The book's functions download the file; this one says how to.

    Args:
        name: A name of `DATA_HUB`, or the address of a file.
        folder: Folder of the file (default: `cache_dir`).
        sha1_hash: SHA-1 digest of the file at an address.
        cache_dir: The name of `folder` in the Chinese edition.

    Raises:
        UsageError: CN202, `DATA_HUB` has no such name.
        DataError: CN302, the file is not there. CN303, its contents differ.
    """
    url, digest = (name, sha1_hash) if name.startswith("http") else _entry(name)
    path = user_path(folder or cache_dir) / url.rsplit("/", 1)[-1]
    fetch = command("curl", "--create-dirs", "-o", path, url)
    if not path.is_file():
        raise DataError(
            "CN302",
            _("the file {name} has not been downloaded", name=path.name),
            where=str(path),
            why=_("d2l.download only uses files that are already there"),
            hint=fetch,
        )
    if digest and _sha1(path) != digest:
        raise DataError(
            "CN303",
            _("{name} is not the file of the book", name=path.name),
            where=str(path),
            why=_("its SHA-1 digest is not {digest}", digest=digest),
            hint=fetch,
        )
    return str(path)


def extract(filename: str, folder: str | None = None) -> None:
    """Extract a .zip, .tar or .tar.gz file into `folder` (default: its own).

    Raises:
        UsageError: CN204, another kind of file.
    """
    path = user_path(filename)
    target = user_path(folder) if folder else path.parent
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            archive.extractall(target)
    elif path.suffix in (".tar", ".gz", ".tgz"):
        with tarfile.open(path) as tar:
            tar.extractall(target, filter="data")
    else:
        raise UsageError(
            "CN204",
            _("only .zip, .tar and .tar.gz files can be extracted"),
            where=str(path),
            hint=f"open({str(path)!r})",
        )


def download_extract(name: str, folder: str | None = None) -> str:
    """Extract the file of `download(name)` beside it; return the path of `folder` there, or of the file without suffix.

    Raises:
        UsageError, DataError: As `download` and `extract`.
    """
    path = Path(download(name))
    extract(str(path))
    return str(path.parent / folder if folder else path.with_suffix(""))


def download_all() -> None:
    """Check that all files of `DATA_HUB` are there.

    Raises:
        DataError: As `download`.
    """
    for name in DATA_HUB:
        download(name)


def _entry(name: str) -> tuple[str, str]:
    """The address and the digest of a file in `DATA_HUB`."""
    if name not in DATA_HUB:
        raise UsageError(
            "CN202",
            _("DATA_HUB has no {name!r}", name=name),
            where=f"download({name!r})",
            why=_("it has {names}, and files that you add", names=join([*DATA_HUB])),
            hint=f'd2l.DATA_HUB[{name!r}] = (d2l.DATA_URL + "FILE", "SHA-1")',
        )
    return DATA_HUB[name]


def _sha1(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
