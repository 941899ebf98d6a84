"""One safetensors file that describes itself: tensors, and JSON in its metadata. Never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import write_whole

KEY = "classicnets.checkpoint"
_VERSION = 1


def save(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Replaces `path` in one step by `content`. Raises MachineError CN401 if it cannot be written."""
    write_whole(path, content(tensors, facts))


def content(tensors: dict[str, Tensor], facts: dict[str, Any]) -> bytes:
    """A safetensors file that holds `tensors` and, as JSON, `facts`."""
    metadata = {KEY: json.dumps({"version": _VERSION, **facts}, ensure_ascii=False)}
    whole: dict[str, Tensor] = {}
    stored = set[int]()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        whole[name] = (
            plain.clone() if place in stored else plain
        )  # safetensors refuses shared memory, as of tied weights
        stored.add(place)
    return safetensors.torch.save(whole, metadata)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that a checkpoint is judged by: their average where one was kept."""
    return part(tensors, "average/") or part(tensors, "net/")


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and facts of a checkpoint.

    Raises DataError CN305 if the file is missing, truncated, or not a checkpoint of ours.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        facts = json.loads(metadata[KEY])
    except FileNotFoundError as error:
        raise DataError("CN305", "there is no such checkpoint", where=str(path)) from error
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(
            "CN305",
            "the checkpoint is truncated or damaged",
            where=f"{path} ({path.stat().st_size:,} bytes)",
            why=str(error),
            hint="copy the file again, or train again",
        ) from error
    except (KeyError, json.JSONDecodeError) as error:
        raise DataError(
            "CN305",
            "this safetensors file was not written by classicnets",
            where=str(path),
            why=f"its metadata has no {KEY!r}",
            hint="give the folder of a run, such as runs/lenet_d2l-fashion_mnist-1",
        ) from error
    if facts["version"] > _VERSION:
        raise DataError(
            "CN305",
            f"the checkpoint was written by a newer classicnets (format {facts['version']}, this one reads {_VERSION})",
            where=str(path),
            hint="pip install --upgrade classicnets",
        )
    return tensors, facts
