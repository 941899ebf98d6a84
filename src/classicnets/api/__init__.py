"""The API that Python users and the command line call.

Modules are imported on first access (`api.training.train`), so that help and lists do not import torch.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classicnets.api import (
        catalog,
        compare,
        cost,
        data,
        exercise,
        models,
        networks,
        parallel,
        serving,
        source,
        study,
        training,
        views,
        weights,
    )

__all__ = ["catalog", "compare", "cost", "data", "exercise", "models", "networks", "parallel"]
__all__ += ["serving", "source", "study", "training", "views", "weights"]
_WITH_EXCHANGE = ("cost", "parallel")  # these import parts of torch.distributed, which not every torch has


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'classicnets.api' has no attribute {name!r}")
    if name in _WITH_EXCHANGE:
        importlib.import_module("classicnets.parallel.place").check_torch()
    return importlib.import_module(f"classicnets.api.{name}")
