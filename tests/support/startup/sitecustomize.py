"""Stand-ins for the figures in the folder of a run, which take longer to draw and import than a short training does.

Python imports this first in each process that tests start, from the PYTHONPATH that conftest.py sets.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace

_NAMES = ("draw_curves", "draw_confusion_matrix", "draw_reliability_diagram", "draw_contact_sheet")
FIGURES = SimpleNamespace(png=lambda _: b"a figure", **dict.fromkeys(_NAMES, lambda *_: None))


class _Finder:
    """Finds `classicnets.report.run`, and lets it have stand-ins instead of the modules that draw."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to import the module; None for all others."""
        if name != "classicnets.report.run":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_undrawn(module: ModuleType) -> None:
            drawing = {"classicnets.report.figures", "classicnets.report.error_analysis"} - sys.modules.keys()
            sys.modules.update(dict.fromkeys(drawing, ModuleType("stand-in")))
            execute(module)
            for name in drawing:  # others may draw
                del sys.modules[name]
            vars(module).update(figures=FIGURES, error_analysis=FIGURES)

        spec.loader.exec_module = execute_undrawn  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Let the runs of this process write stand-ins."""
    sys.meta_path.insert(0, _Finder())


if __name__ == "sitecustomize":
    install()
