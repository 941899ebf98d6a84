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
    "RunComparison": "api.compare",
    "RunSpec": "spec",
    "Seeds": "api.models",
    "Study": "api.study",
    "UsageError": "errors",
    "code": "api.views",
    "compare": "api.compare",
    "create": "api.networks",
    "diff": "api.views",
    "exercise": "api.exercise",
    "figure": "api.views",
    "load": "api.models",
    "resume": "api.training",
    "set_language": "api.language",
    "show": "api.views",
    "study": "api.study",
    "train": "api.training",
    "train_seeds": "api.training",
    "vary": "models.variants",
    "why": "api.views",
}
__all__ = [
    "CheckFailed",
    "ClassicnetsError",
    "DataError",
    "MachineError",
    "Preprocess",
    "Recipe",
    "Run",
    "RunComparison",
    "RunSpec",
    "Seeds",
    "Study",
    "UsageError",
    "code",
    "compare",
    "create",
    "diff",
    "exercise",
    "figure",
    "load",
    "resume",
    "set_language",
    "show",
    "study",
    "train",
    "train_seeds",
    "vary",
    "why",
]

if TYPE_CHECKING:
    from classicnets.api.compare import RunComparison, compare
    from classicnets.api.exercise import exercise
    from classicnets.api.language import set_language
    from classicnets.api.models import Run, Seeds, load
    from classicnets.api.networks import create
    from classicnets.api.study import Study, study
    from classicnets.api.training import resume, train, train_seeds
    from classicnets.api.views import code, diff, figure, show, why
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
