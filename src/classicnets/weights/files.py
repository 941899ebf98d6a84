"""Reads the tensors of .safetensors files and of other people's .pth and .pt files, without running what is in them."""

from __future__ import annotations

import json
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

_LARGEST = 4 * 2**30  # VGG-16 takes half a GiB


def read(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors by name, and what our own checkpoints say of themselves ({} for others).

    Without `data` the tensors are on the meta device: shapes alone. Of a .pth the dictionary with most weights is
    taken, wherever it is in the file. Raises DataError CN305 for a file that is missing, damaged, too large, or that
    holds Python objects other than tensors.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise DataError("CN305", "there is no such file of weights", where=str(path), why=str(error)) from error
    if size > _LARGEST:
        raise DataError("CN305", f"the file has {size:,} bytes; {_LARGEST:,} are read at most", where=str(path))
    if start[8:] == b"{":
        return _safetensors(path, data=data)
    tensors = _largest(_torch(path, size, data=data))
    if not tensors:
        raise DataError("CN305", "there are no tensors in the file", where=str(path))
    return tensors, {}


def prefix_of(names: Collection[str], wanted: Collection[str]) -> str:
    """What stands before the `wanted` names in a file, such as "module." or "net/": the one that fits most of them."""
    first = next(iter(wanted), "")
    found = [name.removesuffix(first) for name in names if name.endswith(first)]
    found = [prefix for prefix in found if prefix[-1:] in ("", ".", "/")]
    return max(found, key=lambda prefix: sum(prefix + name in names for name in wanted), default="")


def _safetensors(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if data:
                tensors = {name: file.get_tensor(name) for name in names}
            else:
                tensors = {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
            facts = json.loads((file.metadata() or {}).get(checkpoint.KEY, "{}"))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, "the file is truncated or damaged", error) from error
    return tensors, facts if isinstance(facts, dict) else {}


def _torch(path: Path, size: int, *, data: bool) -> object:
    try:
        packed = zipfile.is_zipfile(path)
        if packed:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > size:  # torch compresses nothing
                    raise ValueError("its parts are larger than the file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu" if data else "meta", weights_only=True, mmap=packed)
    except pickle.UnpicklingError as error:
        raise DataError(
            "CN305",
            "the file cannot be read without running code in it",
            where=str(path),
            why="it holds Python objects other than tensors, or is damaged",
            hint='where it was made: torch.save(net.state_dict(), "weights.pth")',
        ) from error
    except Exception as error:  # a damaged pickle can end in any exception
        raise _unreadable(path, "this is no file of weights, or it is damaged", error) from error


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError("CN305", what, where=str(path), why=reason[:300], hint="copy or fetch the file again")


def _largest(content: object) -> dict[str, Tensor]:
    """The dictionary from names to tensors with most weights and biases, in whatever it is wrapped."""
    best: dict[str, Tensor] = {}
    seen: set[int] = set()
    todo = [content]
    for value in todo:  # which grows
        if isinstance(value, Mapping) and id(value) not in seen:
            seen.add(id(value))
            todo.extend(value.values())
            own = {key: v for key, v in value.items() if isinstance(key, str) and isinstance(v, Tensor)}
            best = max(best, own, key=lambda d: (sum(name.endswith(("weight", "bias")) for name in d), len(d)))
    return best
