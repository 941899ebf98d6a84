"""The networks from LeNet (1989) to AlexNet (2014): built as their sources have them, explained, trained, measured."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where the public names live; they are loaded when touched, so that importing the package costs nothing.
_HOME = {
    "CheckFailed": "errors",
    "ClassicnetsError": "errors",
    "DataError": "errors",
    "MachineError": "errors",
    "Preprocess": "values",
    "Recipe": "values",
    "Run": "api",
    "Seeds": "api",
    "UsageError": "errors",
    "create": "api",
    "load": "api",
    "train": "api",
    "train_seeds": "api",
    "vary": "models.variants",
}
__all__ = [
    "CheckFailed",
    "ClassicnetsError",
    "DataError",
    "MachineError",
    "Preprocess",
    "Recipe",
    "Run",
    "Seeds",
    "UsageError",
    "create",
    "load",
    "train",
    "train_seeds",
    "vary",
]

if TYPE_CHECKING:
    from classicnets.api import Run, Seeds, create, load, train, train_seeds
    from classicnets.errors import CheckFailed, ClassicnetsError, DataError, MachineError, UsageError
    from classicnets.models.variants import vary
    from classicnets.values import Preprocess, Recipe


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"classicnets.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
