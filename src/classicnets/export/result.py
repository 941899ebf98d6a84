"""The result of an export: what was written, and how it was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classicnets.evaluation.rejection import Calibration
from classicnets.export import budget

# JSON keys of fields of `Exported` with other names
_JSON_KEYS = {
    "low_rank": "narrowed",
    "calibration_count": "calibration",
    "image_count": "pictures",
    "size_count": "sizes",
    "changed_predictions": "other_predictions",
    "missing_data": "unchecked",
    "compared_on": "chosen_on",
}
_OF_PAGES = {"networks", "layer_count", "epoch_count", "example_count"}


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A written file, and how it was checked.

    Attributes:
        path: the file, or the folder of a web page or of a Triton model.
        bytes: its size.
        format: "onnx", "torch", "web", "executorch" or "triton".
        int8: whether it is quantized.
        low_rank: whether its linear layers are low-rank approximations.
        calibration_count: number of training images that set the ranges of int8.
        difference: the largest difference between a probability of the file and of its network.
        bound: the difference that rounding explains; None for int8, which is checked by its accuracy.
        image_count: number of images that were compared.
        size_count: number of other image sizes that were compared.
        accuracy: test accuracy of the file; None without the data.
        net_accuracy: test accuracy of the network of the run; None without the data.
        changed_predictions: number of images whose predicted class differs.
        missing_data: why the data is not available; "" if it is.
        candidates: the files that a size budget chose from.
        compared_on: the images that they were compared on, in words.
        min_confidence: the smallest confidence of an answer that is not rejected; None if none is.
        calibration: the temperature in the file, which it applies if answers are rejected, or why there is none.
        networks: the files of a web page, one for each network; the fields above, but path and size, are the first's.
        layer_count: number of calls of layers that a file of a web page shows.
        epoch_count: number of epochs whose weights a web page has.
        example_count: number of test images on a web page.
    """

    path: Path
    bytes: int
    format: str
    int8: bool
    low_rank: bool
    calibration_count: int
    difference: float
    bound: float | None
    image_count: int
    size_count: int
    accuracy: float | None
    net_accuracy: float | None
    changed_predictions: int
    missing_data: str
    candidates: tuple[budget.Candidate, ...] = ()
    compared_on: str = ""
    min_confidence: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    networks: tuple[Exported, ...] = ()
    layer_count: int = 0
    epoch_count: int = 0
    example_count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = vars(self) | {
            "path": str(self.path),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "networks": [network.to_dict() for network in self.networks],
        }
        values |= values.pop("calibration").to_dict()
        if self.format != "web":
            values = {name: value for name, value in values.items() if name not in _OF_PAGES}
        return {_JSON_KEYS.get(name, name): value for name, value in values.items()}
