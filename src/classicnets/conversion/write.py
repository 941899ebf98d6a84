"""Writes converted weights: as a run folder, or as one .safetensors file with all facts in its metadata."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classicnets import machine
from classicnets.conversion.convert import Converted
from classicnets.errors import UsageError
from classicnets.files import cannot_write, folder_beside, move_folder_into_place
from classicnets.files import check_target as check_writable
from classicnets.runs import checkpoint, folder
from classicnets.runs.folder import RunFolder
from classicnets.text import _, command


def check_target(path: Path, source: Path) -> None:
    """Check, before any work is done, that the run can be written, and does not replace the file that is converted.

    Raises:
        UsageError: CN206 if a folder there has files, if it is that file, or if the path has no name.
        MachineError: CN401 if it cannot be written.
    """
    is_file = path.suffix == checkpoint.SUFFIX
    if not path.name:
        raise UsageError(
            "CN206", _("the run needs a name"), where=command("-o", path), hint=command("-o", path / source.stem)
        )
    if path.exists() and source.exists() and path.samefile(source):
        raise UsageError(
            "CN206",
            _("the file would replace the one that it is made from"),
            where=command("-o", path),
            hint=command("-o", path.with_stem(f"{path.stem}-2")),
        )
    if not is_file and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(
            "CN206",
            _("{path} exists, and a run folder is never overwritten", path=path),
            where=command("-o", path),
            hint=command("-o", path.with_name(f"{path.name}-2")),
        )
    check_writable(path, option="-o", is_folder=not is_file)


def write(path: Path, converted: Converted) -> None:
    """Write a run folder, or a file if the path ends in .safetensors; completely or not at all.

    Raises:
        MachineError: CN401 if it cannot be written.
    """
    facts = _facts(converted)
    saved = {key: facts[key] for key in ("net", "recipe", "preprocess", "classes", "data_name", "seed", "fingerprint")}
    tensors = {f"net/{name}": tensor for name, tensor in converted.network.tensors.items()}
    if path.suffix == checkpoint.SUFFIX:
        checkpoint.save(path, tensors, {**saved, "run": facts}, option="-o")
        return
    try:
        with folder_beside(path) as part:
            folder.fill(part, converted.network.spec, facts)
            checkpoint.save(RunFolder(part).last, tensors, saved, option="-o")
            move_folder_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error, option="-o") from error


def _facts(converted: Converted) -> dict[str, Any]:
    """The facts of run.json."""
    network, table = converted.network, converted.table
    return {
        "command": command("classicnets", *sys.argv[1:]),
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "net": network.spec.to_dict(),
        "recipe": converted.recipe.to_dict(),
        "origins": converted.sources,
        "as_published": False,
        "data": "",
        "data_name": "",
        "fingerprint": "",
        "classes": list(converted.classes),
        "preprocess": converted.preprocess.to_dict(),
        "parameters": table.parameters,
        "macs": table.macs,
        "seed": 0,
        "device": "cpu",
        "limit": None,
        "weights": "",
        "threads": 1,
        "machine": machine.describe(),
        "converted": {
            "format": converted.format,
            "files": list(converted.files),
            "changes": list(converted.changes),
            "notes": list(converted.notes),
        },
    }
