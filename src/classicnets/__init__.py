"""Networks from LeNet (1989) to AlexNet (2014), built exactly as in their sources; tools to train and evaluate them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# Module of each public name. Names are loaded on first access, so that importing the package is fast.
_MODULES = {
    "CheckFailed": "errors",
    "ClassicnetsError": "errors",
    "DataError": "errors",
    "MachineError": "errors",
    "Preprocess": "values",
    "Recipe": "values",
    "Run": "api.models",
    "RunSpec": "spec",
    "Seeds": "api.models",
    "Study": "api.study",
    "UsageError": "errors",
    "create": "api.networks",
    "exercise": "api.exercise",
    "load": "api.models",
    "resume": "api.training",
    "study": "api.study",
    "train": "api.training",
    "train_seeds": "api.training",
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
    "RunSpec",
    "Seeds",
    "Study",
    "UsageError",
    "create",
    "exercise",
    "load",
    "resume",
    "study",
    "train",
    "train_seeds",
    "vary",
]

if TYPE_CHECKING:
    from classicnets.api.exercise import exercise
    from classicnets.api.models import Run, Seeds, load
    from classicnets.api.networks import create
    from classicnets.api.study import Study, study
    from classicnets.api.training import resume, train, train_seeds
    from classicnets.errors import CheckFailed, ClassicnetsError, DataError, MachineError, UsageError
    from classicnets.models.variants import vary
    from classicnets.spec import RunSpec
    from classicnets.values import Preprocess, Recipe


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'classicnets' has no attribute {name!r}")
    return getattr(importlib.import_module(f"classicnets.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
