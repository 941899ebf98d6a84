"""What is printed and drawn: displays of a run in progress, tables, figures, cards.

Submodules are imported on first access (`report.figures.png`), because matplotlib takes half a second.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classicnets.report import (
        cards,
        cell,
        compare,
        error_analysis,
        exercise,
        exported,
        figures,
        findings,
        jsonlines,
        layers,
        lines,
        notebook,
        output,
        predictions,
        preprocessing,
        preview,
        result_cells,
        run,
        seeds,
        sheet,
        study,
        study_lines,
        tables,
        tensorboard,
        terminal,
        views,
    )

__all__ = [
    "cards",
    "cell",
    "compare",
    "error_analysis",
    "exercise",
    "exported",
    "figures",
    "findings",
    "fonts",
    "jsonlines",
    "layers",
    "lines",
    "notebook",
    "output",
    "predictions",
    "preprocessing",
    "preview",
    "result_cells",
    "run",
    "seeds",
    "sheet",
    "study",
    "study_lines",
    "tables",
    "tensorboard",
    "terminal",
    "views",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module 'classicnets.report' has no attribute {name!r}")
    return importlib.import_module(f"classicnets.report.{name}")
