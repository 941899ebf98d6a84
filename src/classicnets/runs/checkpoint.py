"""Checkpoints: safetensors files with JSON in their metadata. Never pickle."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from classicnets import checksum, schema
from classicnets.errors import DataError
from classicnets.files import mapped, native_path, write_whole
from classicnets.runs import formats
from classicnets.strict_json import dump
from classicnets.text import _, plural

KEY = "classicnets.checkpoint"
SUFFIX = ".safetensors"
_VERSION = 2  # 1 has no checksum
_CHECKSUM = re.compile(rb'\\"checksum\\": \\"([0-9a-f]{64})\\"')  # in the header, where JSON is escaped twice
_MAX_HEADER = 64 * 2**20


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any], *, option: str = "--runs") -> None:
    """Replace `path` atomically with a checkpoint. Raises MachineError CN401 if it cannot be written.

    Args:
        path: the file.
        tensors: the weights, and what else the checkpoint has.
        facts: its metadata.
        option: the option that chose the file or its folder, which an error suggests.
    """
    write_whole(path, content(tensors, facts), option=option)


def content(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes | bytearray:
    """Return the bytes of a safetensors file with `tensors` and, as JSON, `facts`; with a checksum over all of it."""
    values = {"version": _VERSION, checksum.KEY: checksum.BLANK, **facts}
    unshared: dict[str, Tensor] = {}
    storages = set[int]()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        unshared[name] = plain.clone() if storage in storages else plain  # safetensors rejects tied weights
        storages.add(storage)
    saved = safetensors.torch.save(unshared, {KEY: dump(values, ascii=False)})
    start = _checksum_place(saved)
    assert start is not None
    return checksum.fill(saved, start)


def _checksum_place(content: bytes | memoryview) -> int | None:
    """Where the checksum is in the content of a safetensors file; None if it has none."""
    length = min(int.from_bytes(content[:8], "little"), _MAX_HEADER)
    match = _CHECKSUM.search(content[8 : 8 + length])
    return 8 + match.start(1) if match else None


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`; their keys are without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that are evaluated: their moving average if the checkpoint has one."""
    return part(tensors, "average/") or part(tensors, "net/")


def load_weights(net: nn.Module, tensors: dict[str, Tensor], path: Path, *, hint: str) -> None:
    """Load the weights that are evaluated into a network.

    Args:
        net: the network.
        tensors: from `load`.
        path: the file that they are from, for the message.
        hint: what to do if they do not fit.

    Raises:
        DataError: CN306 if they do not fit `net`.
    """
    try:
        net.load_state_dict(weights(tensors))
    except RuntimeError as error:
        raise DataError(
            "CN306",
            _("the weights of the run do not fit this network"),
            where=str(path),
            why="; ".join(line.strip() for line in str(error).splitlines()[1:3]),
            hint=hint,
        ) from error


Rows = Callable[[str, torch.Size], range | None]  # of a tensor with this key and shape; None for all


def load(
    path: Path, *, trust: bool = False, rows: Rows = lambda _key, _shape: None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (on the CPU) and facts of a checkpoint.

    Args:
        path: the file.
        trust: use a file that another program has changed, with a note.
        rows: which rows of each tensor are read.

    Raises:
        DataError: CN305 if the file is missing, damaged, or not a checkpoint of classicnets.
    """
    if not path.is_file():
        raise DataError("CN305", _("the checkpoint does not exist"), where=str(path))
    try:
        with native_path(path) as name, safetensors.safe_open(name, framework="pt") as file:
            metadata = file.metadata() or {}
            facts = check_facts(path, metadata, trust=trust)
            tensors = {name: _read(file, name, rows) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError, MemoryError, RuntimeError, ValueError) as error:
        raise damaged(path, " ".join(str(error).split())) from error
    if facts is None:
        raise DataError(
            "CN305",
            _("this safetensors file was not written by classicnets"),
            where=str(path),
            why=_("its metadata has no {key!r}", key=KEY),
            hint=_("pass a run folder, such as runs/lenet_d2l-fashion_mnist-1"),
        )
    return tensors, facts


def read_facts(path: Path) -> dict[str, Any]:
    """Return the facts of a checkpoint without its tensors; {} for a file of another program.

    Raises:
        DataError: CN305 if the file is missing or damaged.
    """
    try:
        with native_path(path) as name, safetensors.safe_open(name, framework="pt") as file:
            return check_facts(path, file.metadata() or {}) or {}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise damaged(path, " ".join(str(error).split())) from error


def _read(file: Any, key: str, rows: Rows) -> Tensor:
    stored = file.get_slice(key)
    own = rows(key, torch.Size(stored.get_shape()))
    tensor: Tensor = file.get_tensor(key) if own is None else stored[own.start : own.stop]
    return tensor


def check_facts(
    path: Path, metadata: dict[str, str], *, trust: bool = False, is_part: bool = False
) -> dict[str, Any] | None:
    """Check the checksum of a safetensors file and return its facts; None for a file of another program.

    Args:
        path: the file.
        metadata: its metadata.
        trust: use a file that another program has changed, with a note.
        is_part: whether it must be a file of a checkpoint in parts (`runs.parts`), or must not.

    Raises:
        DataError: CN305 if it is damaged or of a newer version.
    """
    if KEY not in metadata:
        return None
    try:
        facts: dict[str, Any] = schema.read(metadata[KEY], formats.CHECKPOINT)
        formats.check_relations(facts)
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if facts["version"] > _VERSION:
        raise _newer(path, facts["version"])
    file = mapped(path)
    checksum.check(
        path,
        file,
        _checksum_place(file),
        code="CN305",
        expected=facts["version"] > 1,
        trust=trust,
        hint=_("copy the file again, or train again"),
    )
    facts.pop(checksum.KEY, None)
    if ("part" in facts) != is_part:
        what = _("this file has the whole state of a run instead of a part of it")
        if not is_part:
            what = _("this file has only a part of the state of a run")
        raise DataError("CN305", what, where=str(path), hint=_("pass the run folder"))
    return facts


def _newer(path: Path, version: int) -> DataError:
    return DataError(
        "CN305",
        _(
            "the checkpoint was written by a newer version of classicnets (its format is {version}, this version"
            " reads {supported})",
            version=version,
            supported=_VERSION,
        ),
        where=str(path),
        hint="pip install --upgrade classicnets",
    )


def damaged(path: Path, why: str) -> DataError:
    """Return the error for a file that cannot be read, or whose contents contradict each other."""
    return DataError(
        "CN305",
        _("the checkpoint is truncated or damaged"),
        where=plural("{path} ({n:,} byte)", "{path} ({n:,} bytes)", path.stat().st_size, path=path),
        why=why,
        hint=_("copy the file again, or train again"),
    )
