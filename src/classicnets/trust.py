"""Which code this user has run on this machine: digests in the user's state folder, as direnv and git keep them.

A run folder of one's own network, and a torch program, are code. They are run without a question only if they are in
this list, wherever they lie: code is added when a run or a program is created here, and by `--trust`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from classicnets import strict_json
from classicnets.errors import UsageError
from classicnets.files import home
from classicnets.text import _, note


def folder() -> Path:
    """Return the folder of the list: one empty file for each digest."""
    state = os.environ.get("XDG_STATE_HOME") or home() / ".local" / "state"
    return Path(state) / "classicnets" / "trusted"


def digest(code: Any) -> str:
    """Return the digest of code: bytes, or plain values that contain the digests of files."""
    content = code if isinstance(code, bytes | memoryview) else strict_json.canonical(code)
    return hashlib.sha256(content).hexdigest()


def add(code_digest: str) -> None:
    """Remember code that the user runs. If the folder cannot be written, a note says that it is not remembered."""
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder() / code_digest).touch(mode=0o600)
    except OSError as error:
        message = _(
            "note: this code is not remembered as yours, because {folder} cannot be written ({reason});"
            " it will run only with --trust",
            folder=folder(),
            reason=error.strerror or error,
        )
        note(message)


def is_known(code_digest: str) -> bool:
    """Return whether this user has run code on this machine before."""
    try:
        return (folder() / code_digest).is_file()
    except (OSError, RuntimeError):
        return False


def check(code_digest: str, *, trust: bool, what: str, where: str, hints: tuple[str, ...] = ()) -> None:
    """Check that code may be run; with `trust`, remember it.

    Args:
        code_digest: see `digest`.
        trust: whether the user has said that it may.
        what: the sentence of the error.
        where: the file.
        hints: ways that run no code.

    Raises:
        UsageError: CN212, the code does not come from this user and machine.
    """
    if trust:
        add(code_digest)
        return
    if not is_known(code_digest):
        raise UsageError(
            "CN212",
            what,
            where=where,
            why=_("this code was not run on this machine before, and code can do whatever you can do"),
            hint=(_("{option}   # runs it, if you trust who made it; asked once", option="--trust"), *hints),
        )
