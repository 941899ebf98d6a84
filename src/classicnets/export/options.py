"""What can be chosen about an exported file: one field an option, for Python and the command line. Needs no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from classicnets.errors import UsageError

FORMATS = ("onnx", "torch")

_UNITS = {"b": 1, "kb": 1000, "mb": 1_000_000}


def read_size(text: str) -> int:
    """Bytes of "300kB", "1.5MB" or "2000B". Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB)", text, re.IGNORECASE)
    if not match:
        raise ValueError(f"{text}: must be a number with B, kB or MB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """The options of an export. A field's `metadata` says what a command line needs: its help text (translated when it
    is shown), metavar, choices, how a missing default is shown, and how the value is read from text.

    `max_loss` is in percentage points of test accuracy, `size_budget` in bytes, `license` that of the weights.
    Raises UsageError CN206 for an unknown format, and for `int8` or `size_budget` with a format other than ONNX.
    """

    format: str = field(
        default="onnx", metadata={"help": "onnx, or torch for a .pt2", "group": "output", "choices": FORMATS}
    )
    int8: bool = field(
        default=False, metadata={"help": "int8 quantization, calibrated on training images", "group": "output"}
    )
    max_loss: float = field(
        default=5.0,
        metadata={
            "help": "refuse --int8 that costs more accuracy than this, in percentage points",
            "group": "output",
            "metavar": "POINTS",
        },
    )
    size_budget: int | None = field(
        default=None,
        metadata={
            "help": "the most accurate file within 300kB, say: int8, dense layers narrowed, or both",
            "group": "output",
            "metavar": "SIZE",
            "shown": "",
            "read": read_size,
        },
    )
    license: str = field(
        default="unknown",
        metadata={"help": "license of the weights, written into the file", "group": "output", "metavar": "TEXT"},
    )

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError("CN206", f"there is no export format {self.format}", hint="--format onnx")
        if self.format != "onnx" and (self.int8 or self.size_budget is not None):
            raise UsageError("CN206", "--int8 and --size-budget make ONNX files", hint="--format onnx")
