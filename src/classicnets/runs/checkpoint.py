"""Checkpoints: safetensors files with JSON in their metadata. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import write_whole
from classicnets.text import _, plural

KEY = "classicnets.checkpoint"
_VERSION = 1


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Replace `path` atomically with a checkpoint. Raises MachineError CN401 if it cannot be written."""
    write_whole(path, content(tensors, facts))


def content(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes:
    """Return the bytes of a safetensors file with `tensors` and, as JSON, `facts`."""
    metadata = {KEY: json.dumps({"version": _VERSION, **facts}, ensure_ascii=False)}
    unshared: dict[str, Tensor] = {}
    storages = set[int]()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        storage = plain.untyped_storage().data_ptr()
        unshared[name] = plain.clone() if storage in storages else plain  # safetensors rejects tied weights
        storages.add(storage)
    return safetensors.torch.save(unshared, metadata)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with `prefix`; their keys are without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that are evaluated: their moving average if the checkpoint has one."""
    return part(tensors, "average/") or part(tensors, "net/")


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors (on the CPU) and facts of a checkpoint.

    Raises:
        DataError: CN305 if the file is missing, truncated, or not a checkpoint of classicnets.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        facts = json.loads(metadata[KEY])
    except FileNotFoundError as error:
        raise DataError("CN305", _("the checkpoint does not exist"), where=str(path)) from error
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(
            "CN305",
            _("the checkpoint is truncated or damaged"),
            where=plural("{path} ({n:,} byte)", "{path} ({n:,} bytes)", path.stat().st_size, path=path),
            why=str(error),
            hint=_("copy the file again, or train again"),
        ) from error
    except (KeyError, json.JSONDecodeError) as error:
        raise DataError(
            "CN305",
            _("this safetensors file was not written by classicnets"),
            where=str(path),
            why=_("its metadata has no {key!r}", key=KEY),
            hint=_("pass a run folder, such as runs/lenet_d2l-fashion_mnist-1"),
        ) from error
    if facts["version"] > _VERSION:
        raise DataError(
            "CN305",
            _(
                "the checkpoint was written by a newer version of classicnets (its format is {version}, this version"
                " reads {supported})",
                version=facts["version"],
                supported=_VERSION,
            ),
            where=str(path),
            hint="pip install --upgrade classicnets",
        )
    return tensors, facts
