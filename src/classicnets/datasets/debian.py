"""Fetches the files of a data set from its Debian package, without installing it and without root.

A mirror of Debian is an ordinary web server, so that any machine can download the package from its pool; apt knows
further mirrors on a machine that has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from classicnets.datasets.catalog import DataFile
from classicnets.datasets.download import TIMEOUT_SECONDS, Fetch, UnavailableError, download_file
from classicnets.text import _, byte_count

APT_TIMEOUT_SECONDS = 300


def has_apt() -> bool:
    """Return whether this machine can download and unpack Debian packages."""
    return all(shutil.which(tool) for tool in ("apt-get", "dpkg-deb"))


def fetch_from_pool(mirror: str, package: DataFile, fetch: Fetch, folder: Path) -> None:
    """Download a package from the pool of a mirror into the temporary `folder`, and keep the needed files of it.

    Raises:
        UnavailableError: If the mirror cannot be reached, its package is another one, or Python lacks lzma.
    """
    name, size = fetch.dataset.debian_package, byte_count(package.size)
    message = _("downloading {name} ({size}) from {mirror}", name=package.name, size=size, mirror=mirror)
    url = f"{mirror}pool/main/{name[0]}/{name}/{package.name}"
    download_file(url, package, folder, on_start=lambda: fetch.say(message))
    try:
        with (folder / package.name).open("rb") as file:
            _unpack(file, folder, {file.name for file in fetch.dataset.files})
    except tarfile.TarError as error:
        raise UnavailableError(_("{file}: {fault}", file=package.name, fault=error)) from error
    fetch.keep_all(folder)


def _unpack(package: BinaryIO, folder: Path, names: set[str]) -> None:
    """Write the files with these names from a verified package into `folder`.

    A package is an ar archive: 8 bytes, then members, each with a header of 60 bytes and padded to an even length. The
    files are in the member data.tar.
    """
    package.seek(8)
    while header := package.read(60):
        if header.startswith(b"data.tar"):
            with tarfile.open(fileobj=package, mode="r|*") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if member.isfile() and name in names and (content := archive.extractfile(member)):
                        with (folder / name).open("wb") as out:
                            shutil.copyfileobj(content, out)
            return
        size = int(header[48:58])
        package.seek(size + size % 2, os.SEEK_CUR)


def fetch_from_debian(fetch: Fetch, folder: Path) -> None:
    """Download and unpack the Debian package in the temporary `folder`, and keep the needed files.

    Raises:
        UnavailableError: If apt fails or the files are wrong.
    """
    if not has_apt():
        raise UnavailableError(_("this machine has no apt-get and dpkg-deb"))
    package = fetch.dataset.debian_package
    fetch.say(
        _(
            "downloading the Debian package {package} ({size}) into the cache, without installing it",
            package=package,
            size=byte_count(fetch.dataset.download_bytes),
        )
    )
    # As root, apt would switch to a user who cannot write into this folder.
    apt = ["apt-get", "-o", "APT::Sandbox::User=", "-o", f"Acquire::http::Timeout={TIMEOUT_SECONDS}"]
    try:
        _run([*apt, "download", package], folder)
    except UnavailableError:  # usually the package lists are empty; private ones need no root
        for name in ("lists/partial", "apt/archives/partial"):  # without root, apt stops if these are missing
            (folder / name).mkdir(parents=True)
        apt += ["-o", f"Dir::State::lists={folder / 'lists'}", "-o", f"Dir::Cache={folder / 'apt'}"]
        _run([*apt, "update"], folder)
        _run([*apt, "download", package], folder)
    unpacked = folder / "unpacked"
    _run(["dpkg-deb", "-x", *(str(path) for path in folder.glob("*.deb")), str(unpacked)], folder)
    fetch.keep_all(unpacked / fetch.dataset.system_folder.lstrip("/"))


def _run(command: list[str], folder: Path) -> None:
    """Run a command in `folder` silently; if it fails, the last line of its output is the reason."""
    log = folder / "log"  # a file, because a grandchild that outlives its parent would keep a pipe open
    try:
        with log.open("wb") as out:
            result = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=APT_TIMEOUT_SECONDS,
                env={**os.environ, "LC_ALL": "C"},
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        message = _("{program} took more than {n} s", program=command[0], n=APT_TIMEOUT_SECONDS)
        raise UnavailableError(message) from error
    if result.returncode:
        lines = log.read_text(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else _("exit code {code}", code=result.returncode)
        raise UnavailableError(_("{program}: {reason}", program=command[0], reason=reason))
