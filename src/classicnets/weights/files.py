"""Reads tensors from .safetensors, .pth and .pt files without running code that is in them."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.runs import checkpoint
from classicnets.strict_json import parse
from classicnets.text import _, byte_count

_MAX_BYTES = 4 * 2**30  # VGG-16 has half a GiB


def read(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a weights file.

    Of the dictionaries in a .pth or .pt file, the one with the most weights and biases is used.

    Args:
        path: a .safetensors, .pth or .pt file.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Returns:
        The tensors by name, and the metadata of a classicnets checkpoint ({} for other files).

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, or has Python objects other than tensors.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise DataError("CN305", _("the weights file cannot be opened"), where=str(path), why=str(error)) from error
    if size > _MAX_BYTES:
        limit = byte_count(_MAX_BYTES)
        raise DataError(
            "CN305",
            _("the weights file has {size}, more than the limit of {limit}", size=byte_count(size), limit=limit),
            where=str(path),
        )
    if start[8:] == b"{":
        return _read_safetensors(path, data=data)
    tensors = _largest_state_dict(_read_pickle(path, size, data=data))
    if not tensors:
        raise DataError("CN305", _("the file has no tensors"), where=str(path))
    return tensors, {}


def prefix_of(file_names: Collection[str], names: Collection[str]) -> str:
    """Return the prefix of `names` in a file, such as "module." or "net/": the one that most names have."""
    first = next(iter(names), "")
    prefixes = [name.removesuffix(first) for name in file_names if name.endswith(first)]
    prefixes = [prefix for prefix in prefixes if prefix[-1:] in ("", ".", "/")]
    return max(prefixes, key=lambda prefix: sum(prefix + name in file_names for name in names), default="")


def _read_safetensors(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if data:
                tensors = {name: file.get_tensor(name) for name in names}
            else:
                tensors = {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
            metadata = (checkpoint.check_facts(path, file.metadata() or {}) or {}) if data else _facts(file.metadata())
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, _("the weights file is truncated or damaged"), error) from error
    return tensors, metadata if isinstance(metadata, dict) else {}


def _facts(metadata: dict[str, str] | None) -> object:
    """The facts of a checkpoint whose contents are not read; {} for other files."""
    return parse((metadata or {}).get(checkpoint.KEY, "{}"))


def _read_pickle(path: Path, size: int, *, data: bool) -> object:
    """The content of a file of torch.save, read with weights_only=True."""
    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > size:  # torch does not compress
                    raise ValueError(_("the decompressed content is larger than the file"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu" if data else "meta", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        raise DataError(
            "CN305",
            _("the weights file cannot be read without running code in it"),
            where=str(path),
            why=_("it contains Python objects other than tensors, or is damaged"),
            hint=_('save only the tensors: torch.save(net.state_dict(), "weights.pth")'),
        ) from error
    except Exception as error:  # a damaged pickle can raise any exception
        raise _unreadable(path, _("the file is damaged or is not a weights file"), error) from error


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError("CN305", what, where=str(path), why=reason[:300], hint=_("copy or download the file again"))


def _largest_state_dict(content: object) -> dict[str, Tensor]:
    """The dictionary from names to tensors with the most weights and biases, however deeply it is nested."""
    largest: dict[str, Tensor] = {}
    visited: set[int] = set()
    queue = [content]
    for value in queue:  # grows in the loop
        if isinstance(value, Mapping) and id(value) not in visited:
            visited.add(id(value))
            queue.extend(value.values())
            tensors = {key: v for key, v in value.items() if isinstance(key, str) and isinstance(v, Tensor)}
            largest = max(largest, tensors, key=_weight_count)
    return largest


def _weight_count(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Number of weights and biases, then of all tensors."""
    return sum(name.endswith(("weight", "bias")) for name in tensors), len(tensors)
