"""Griffe extension: lists the options that `classicnets.options.documented` adds to a function.

The API reference is made from the source text, where such a function has only `**options`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import griffe

from classicnets import spec
from classicnets.options import about, default_text, option_fields


class OptionsExtension(griffe.Extension):
    """Adds the options of `@documented(...)` to the docstring of the function."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Reads the names of the option classes from the decorator."""
        for decorator in func.decorators:
            if names := re.fullmatch(r"documented\((.*)\)", str(decorator.value)):
                kinds = [getattr(spec, name.strip()) for name in names[1].split(",")]
                text = func.docstring.value if func.docstring else ""
                options = section(*kinds, without=[parameter.name for parameter in func.parameters])
                func.docstring = griffe.Docstring(f"{text}\n\n{options}", parent=func, parser="google")


def section(*kinds: type, without: Sequence[str] = ()) -> str:
    """The options of these dataclasses, without those named, as a section of a docstring."""
    lines = []
    for option in (f for kind in kinds for f in option_fields(kind) if f.name not in without):
        default = default_text(option)
        note = f" (default: {default})" if default else ""
        lines.append(f"    {option.name} ({option.type}): {about(option).help}{note}.")
    return "\n".join(["Other Parameters:", *lines])
