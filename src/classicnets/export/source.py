"""What is exported: the net of a run on the CPU, what the file says of it, and the images it is checked with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
from torch import nn

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.errors import ClassicnetsError, DataError
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.onnx import FORMAT
from classicnets.images import batches, loading
from classicnets.inspection.meta import without_data
from classicnets.runs.folder import RunFolder

_CALIBRATION, _FEW = 500, 100  # training images for int8; fewer of large ones
_JUDGES = 2000  # training images that candidates are compared on where a run kept none aside
_LARGE = 64  # pixels a side
_NOISE = 64


class ExportSource:
    """A run about to be exported. `missing` says why its data could not be had ("" if it was); noise stands in then."""

    def __init__(self, run: RunFolder, net: nn.Module, say: Callable[[str], None]):
        """Reads the data. `net` is left alone."""
        self.run_facts, self.preprocess, self.run = run.read(), run.preprocess(), run
        self.net = without_data(net, "cpu").float()
        self.classes: tuple[str, ...] = tuple(self.run_facts["classes"])
        self.missing, self.splits = "", None
        try:
            on_bad_image = self.run_facts.get("on_bad_image", "fail")
            splits = loading.load(self.run_facts["data"], self.preprocess, on_bad_image=on_bad_image, say=say)
            if splits.fingerprint == self.run_facts["fingerprint"]:
                self.splits = splits
            else:
                self.missing = f"{self.run_facts['data']} holds other bytes than the run was trained on"
        except ClassicnetsError as error:
            self.missing = error.what

    @cached_property
    def images(self) -> np.ndarray:
        """uint8 [N, C, H, W]: the test split, or images of noise."""
        if self.splits is not None:
            return self.splits.test.images
        side = self.preprocess.side
        return np.random.default_rng(0).integers(0, 256, (_NOISE, 3, side, side), dtype=np.uint8)

    def accuracy(self, probabilities: np.ndarray) -> float | None:
        """On the test split; None without the data."""
        return None if self.splits is None else measure(probabilities, self.splits.test.labels).accuracy

    def calibration(self) -> np.ndarray:
        """The training images that set the ranges of int8, uint8 [N, C, H, W]. Raises DataError CN302."""
        splits, train, _ = self._divided()
        return np.asarray(splits.images[train[: _CALIBRATION if self.preprocess.side <= _LARGE else _FEW]])

    def judged_on(self) -> tuple[Split, str]:
        """Images beside the test split to choose by, and what they are. Raises DataError CN302."""
        splits, train, aside = self._divided()
        if aside is not None:
            return aside, f"{len(aside):,} validation images"
        some = Split(splits.images[train[:_JUDGES]], splits.labels[train[:_JUDGES]])
        return some, f"{len(some):,} training images, as the run kept none aside"

    def _divided(self) -> tuple[Split, np.ndarray, Split | None]:
        """The training images, which of them were trained on, and those kept aside."""
        if self.splits is None:
            raise DataError(
                "CN302",
                "this needs images of the run's data, and they could not be had",
                where=str(self.run_facts["data"]),
                why=self.missing,
                hint=f"classicnets data check {self.run_facts['data']}",
            )
        asked, splits = self.run_facts, self.splits
        share, limit, seed = asked["recipe"]["validation"], asked["limit"], asked["seed"]
        return splits.train, *batches.hold_out(splits.train, share, limit, seed, validation_split=splits.validation)

    def facts(self, net: nn.Module, license: str, *, as_int8: bool, accuracy: float | None) -> dict[str, Any]:
        """What the file says of itself; `net` is the run's, or one narrowed from it."""
        asked = self.run_facts
        saved = self.run.weights_file()
        narrowed = sum(p.numel() for p in self.net.parameters()) - sum(p.numel() for p in net.parameters())
        return {
            "format": FORMAT,
            "net": self.run.net_spec().described,
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_dict(),
            "parameters": asked["parameters"] - narrowed,
            "macs": asked["macs"] - narrowed,  # of dense layers, one for each weight
            "data_name": asked["data_name"],
            "fingerprint": asked["fingerprint"],
            "test_accuracy": accuracy,
            "test_pictures": len(self.images) if accuracy is not None else 0,
            "licence": license,
            "weights_sha256": hashlib.sha256(saved.read_bytes()).hexdigest(),
            "int8": as_int8,
            "versions": machine.versions(),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
