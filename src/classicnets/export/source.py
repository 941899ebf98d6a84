"""The source of an export: the network of a run on the CPU, its facts, and images of its data to check it with."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from classicnets import machine
from classicnets.datasets.types import Images, ImageSplits, Split
from classicnets.errors import ClassicnetsError, DataError
from classicnets.evaluation.evaluate import compare_with_run
from classicnets.evaluation.exported import FORMAT
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.rejection import Calibration, Rejection
from classicnets.images import batches, loading
from classicnets.inspection.meta import without_data
from classicnets.models.modules import copy_module
from classicnets.runs import checkpoint
from classicnets.runs import data as run_data
from classicnets.runs.folder import RunFolder
from classicnets.spec import ExportOptions
from classicnets.text import _, again, plural

if TYPE_CHECKING:
    from onnx import ModelProto

_CALIBRATION_IMAGES = 500
_LARGE_CALIBRATION_IMAGES = 100  # for images larger than _LARGE_SIZE
_LARGE_SIZE = 64  # pixels of height or width
_SELECTION_IMAGES = 2000  # training images that candidates are compared on if the run has no validation set
_NOISE_IMAGES = 64


class ExportSource:
    """A run to export.

    Attributes:
        net: a copy of its network on the CPU, in float32.
        models: networks that were exported already.
        classes: its class names.
        preprocess: the preprocessing of the file; that of the run, but for its views with `--input float`.
        splits: the data of the run; None if it is not available.
        place: where it lies; None if there is nothing.
        missing_data: why the data of the run is not available; "" if it is. Then noise replaces the test images.

    Args:
        run: the folder of the run.
        net: its network, which is not changed.
        log: receives messages about reading the data.
        options: how the run is exported, and where its data lies now, if it has moved.
        retry: the words of the command that exports the run, for hints.

    Raises:
        DataError: CN302 or CN306, the data of the options does not exist or is not that of the run.
    """

    def __init__(
        self,
        run: RunFolder,
        net: nn.Module,
        log: Callable[[str], None],
        options: ExportOptions,
        retry: Sequence[str | Path] = (),
    ):
        self.run_facts, self.preprocess, self.run, self.options = run.read(), run.preprocess(), run, options
        if options.input == "float" and self.preprocess.views > 1:
            self.preprocess = replace(self.preprocess, views=1)
            log(
                _(
                    "the file uses only the center of an image, where the run averages {views} views",
                    views=run.preprocess().views,
                )
            )
        self.net = without_data(net, "cpu").float()
        self.models: dict[nn.Module, ModelProto] = {}
        self.classes: tuple[str, ...] = tuple(self.run_facts["classes"])
        self.missing_data, self.log = "", log
        self.splits: ImageSplits | None = None
        self.place: str | None = None
        self._retry = retry or ("classicnets", "export", run.path)
        try:
            self.place = run_data.locate(run, options.data, self._retry)
            on_bad_image = self.run_facts.get("on_bad_image", "fail")
            copies = self.run_facts.get("copies")
            splits = loading.load(self.place, self.preprocess, on_bad_image=on_bad_image, copies=copies, say=log)
            run_data.check(run, splits, self.place, self._retry)
            self.splits = splits
        except ClassicnetsError as error:
            if options.data is not None:
                raise
            self.missing_data = error.what

    @cached_property
    def weights_file(self) -> Path:
        """The checkpoint that the weights of `net` are from."""
        return self.run.weights_file()

    def at_epoch(self, number: int) -> ExportSource:
        """Return the same run with the weights that it has kept of an epoch.

        Raises:
            DataError: CN305 if their file is damaged, CN306 if they do not fit the network.
        """
        source = copy.copy(self)
        source.weights_file = self.run.epoch(number)
        source.models = {}
        tensors, _facts = checkpoint.load(source.weights_file)
        source.net = copy_module(self.net)
        hint = _("copy the run folder again, or remove {path} from it", path=self.run.epochs.name)
        checkpoint.load_weights(source.net, tensors, source.weights_file, hint=hint)
        return source

    @cached_property
    def images(self) -> Images:
        """The test images, uint8 [N, C, H, W], or images of noise."""
        if self.splits is not None:
            return self.splits.test.images
        side = self.preprocess.side
        return np.random.default_rng(0).integers(0, 256, (_NOISE_IMAGES, 3, side, side), dtype=np.uint8)

    def accuracy(self, probabilities: np.ndarray) -> float | None:
        """Return the accuracy on the test split; None without the data."""
        return None if self.splits is None else measure(probabilities, self.splits.test.labels).accuracy

    def compare_with_run(self, accuracy: float | None) -> None:
        """Log that the network's accuracy on the test split is not the one that the run recorded."""
        recorded = self.run_facts.get("result", {}).get("test_accuracy")
        if self.preprocess != self.run.preprocess():
            return  # the run averages views
        if accuracy is not None and (message := compare_with_run(accuracy, recorded, len(self.images))):
            self.log(message)

    def calibration_images(self) -> np.ndarray:
        """Return the training images that set the ranges of int8, uint8 [N, C, H, W]. Raises DataError CN302."""
        train, indices, _validation = self._divided()
        n = _CALIBRATION_IMAGES if self.preprocess.side <= _LARGE_SIZE else _LARGE_CALIBRATION_IMAGES
        return np.asarray(train.images[indices[:n]])

    def selection_split(self) -> tuple[Split, str]:
        """Return the images that candidates are compared on, which are not test images, and a description of them.

        Raises:
            DataError: CN302 without the data.
        """
        train, indices, validation = self._divided()
        if validation is not None:
            n = len(validation)
            return validation, plural("{n:,} validation image", "{n:,} validation images", n)
        selection = train.subset(indices[:_SELECTION_IMAGES])
        description = plural(
            "{n:,} training image, because the run has no validation set",
            "{n:,} training images, because the run has no validation set",
            len(selection),
        )
        return selection, description

    def _divided(self) -> tuple[Split, np.ndarray, Split | None]:
        """The training images, the indices of those that the run was trained on, and its validation set."""
        if self.splits is None:
            raise DataError(
                "CN302",
                _("the export needs images of the run's data, which are not available"),
                where=str(self.run_facts["data"]),
                why=self.missing_data,
                hint=_(
                    "{command}   # where the data is now", command=again(*self._retry, "--data", "DATA", data="DATA")
                ),
            )
        facts, splits = self.run_facts, self.splits
        share, limit, seed = facts["recipe"]["validation"], facts["limit"], facts["seed"]
        return splits.train, *batches.hold_out(splits.train, share, limit, seed, splits.validation, splits.groups)

    @cached_property
    def calibration(self) -> Calibration:
        """The temperature of the run, if it was fitted for the views of the file."""
        calibration = Calibration.of_run(self.run_facts)
        if self.preprocess != self.run.preprocess() and calibration.temperature is not None:
            return Calibration(None, calibration.images, "views")
        return calibration

    @property
    def rejection(self) -> Rejection | None:
        """Which answers the file rejects; None if it rejects none."""
        if self.options.min_confidence is None:
            return None
        temperature = self.calibration.temperature
        if temperature is None:
            return Rejection(self.options.min_confidence)
        return Rejection(self.options.min_confidence, temperature, self.calibration.images)

    def facts(self, net: nn.Module, license: str, *, as_int8: bool, accuracy: float | None) -> dict[str, Any]:
        """Return the metadata of the file.

        Args:
            net: the network of the run, or a low-rank approximation of it.
            license: the license of the file.
            as_int8: whether the file is quantized.
            accuracy: its test accuracy, if it was measured.
        """
        facts = self.run_facts
        # a linear layer does one multiply-add per weight
        removed = sum(p.numel() for p in self.net.parameters()) - sum(p.numel() for p in net.parameters())
        return {
            "format": FORMAT,
            "net": self.run.described_net().display_name,
            "classes": list(self.classes),
            "preprocess": self.preprocess.to_dict(),
            "parameters": facts["parameters"] - removed,
            "macs": facts["macs"] - removed,
            "data_name": facts["data_name"],
            "fingerprint": facts["fingerprint"],
            **({"size_fingerprint": facts["size_fingerprint"]} if facts.get("size_fingerprint") else {}),
            "copies": facts.get("copies"),
            "test_accuracy": accuracy,
            "test_pictures": len(self.images) if accuracy is not None else 0,
            "licence": license,
            "weights_sha256": hashlib.sha256(self.weights_file.read_bytes()).hexdigest(),
            "int8": as_int8,
            "input": self.options.input,
            **self.calibration.to_dict(),
            "min_confidence": self.options.min_confidence,
            # a page would carry the digests of all training images along with each epoch, and an app in memory
            "trained_images": None if self.options.format in {"web", "executorch"} else self.run.read_trained_images(),
            "versions": machine.versions(),
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
