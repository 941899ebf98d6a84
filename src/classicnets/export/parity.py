"""Compares an exported file with its network: the same images through both, probability by probability."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classicnets import machine
from classicnets.datasets.types import Images, LazyImages, Split
from classicnets.errors import CheckFailed
from classicnets.evaluation.classify import finite
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.evaluation.predictor import Predictor
from classicnets.evaluation.rejection import Rejection
from classicnets.images.decode import fit_images
from classicnets.text import _
from classicnets.values import Preprocess

Classify = Callable[[np.ndarray], np.ndarray]  # uint8 [N, C, H, W] to probabilities float32 [N, classes]

# Relative to the largest logit: 84 roundings of float32, which another order of a network's sums may cause.
_LOGIT_ERROR = 1e-5
_LARGE_SIZE = 64  # pixels of height or width above which fewer probes are enough
_MIN_BATCH = 16  # images


@dataclass(frozen=True)
class Comparison:
    """Probabilities [n, classes] of the file and of the network for the same images.

    Attributes:
        file: probabilities of the file.
        net: probabilities of the network.
        bound: the difference that rounding explains.
    """

    file: np.ndarray
    net: np.ndarray
    bound: float

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.net)

    @property
    def difference(self) -> float:
        """The largest difference between two probabilities; NaN if one of them is NaN."""
        return float(np.abs(self.file - self.net).max())

    @property
    def changed_predictions(self) -> int:
        """Number of images whose predicted class differs."""
        return int((self.file.argmax(axis=1) != self.net.argmax(axis=1)).sum())


class Reference:
    """The network as `classicnets predict` runs it, on images of any size. Records the largest absolute logit."""

    def __init__(
        self, net: nn.Module, preprocess: Preprocess, classes: tuple[str, ...], rejection: Rejection | None = None
    ):
        self.preprocess, self.max_logit = preprocess, 0.0
        self.rejection = rejection or Rejection(0)
        self.predictor = Predictor(net, preprocess, classes, torch.device("cpu"))

    @property
    def bound(self) -> float:
        """The difference of probabilities that rounding explains.

        It is half of the error of the logits, because the slope of softmax is at most one half; a temperature below 1
        increases the slope.
        """
        return _LOGIT_ERROR / 2 * max(1.0, self.max_logit) * max(1.0, 1 / self.rejection.temperature)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W] of any size; return float32 [N, classes]."""
        hook = self.predictor.net.register_forward_hook(self._record)
        try:
            return self.rejection.calibrate(self.predictor.probabilities(fit_images(images, self.preprocess)))
        finally:
            hook.remove()

    def _record(self, _net: nn.Module, _inputs: Any, logits: torch.Tensor) -> None:
        self.max_logit = max(self.max_logit, float(logits.abs().max()))


def compare(file: Classify, reference: Reference, images: Images) -> Comparison:
    """Run uint8 [N, C, H, W] through both. The network gets images fitted by Pillow, the file the originals.

    Raises:
        CheckFailed: CN106 if the outputs of the network are not finite.
    """
    parts = [(file(batch), reference.probabilities(batch)) for batch in batches_of(images, reference.preprocess.side)]
    file_probabilities, net_probabilities = map(np.concatenate, zip(*parts, strict=True))
    finite(net_probabilities, reference.predictor)
    return Comparison(file_probabilities, net_probabilities, reference.bound)


def check_finite(reference: Reference, images: Images) -> None:
    """Raise CheckFailed CN106 if outputs of the network for the first images are not finite."""
    batch = images[:_MIN_BATCH]
    finite(reference.probabilities(batch), reference.predictor)


def check(comparison: Comparison, description: str) -> None:
    """Raise CheckFailed CN102 if the file and the network disagree; `description` is that of the images."""
    if not comparison.difference <= comparison.bound:
        raise CheckFailed(
            "CN102",
            _("the outputs of the exported file differ from those of the network; it was not written"),
            where=_(
                "on {images}: {changed:,} of {n:,} predictions differ",
                images=description,
                changed=comparison.changed_predictions,
                n=comparison.n,
            ),
            why=_(
                "probabilities differ by up to {difference:.2g}, and rounding explains only {bound:.2g}",
                difference=comparison.difference,
                bound=comparison.bound,
            ),
            hint="--format torch",
        )


def check_network(reference: Reference, images: Images) -> None:
    """Check that the network gives an image the same probabilities again, and alone as among others.

    Raises:
        CheckFailed: CN102 if it does not, so that no file can agree with it.
    """
    batch = images[:_MIN_BATCH]
    first, again = reference.probabilities(batch), reference.probabilities(batch)
    alone = np.concatenate([reference.probabilities(image[None]) for image in batch])
    bound = reference.bound
    if not np.abs(first - again).max() <= bound:
        difference = float(np.abs(first - again).max())
        what = _("the network gives the same images different outputs each time, so no file can agree with it")
        hint = _("in forward(), use F.dropout(x, 0.5, training=self.training), and no random numbers in eval mode")
    elif not np.abs(first - alone).max() <= bound:
        difference = float(np.abs(first - alone).max())
        what = _("the outputs of the network for an image depend on the other images of the batch")
        hint = _("compute mean and standard deviation of each image by itself, or use nn.BatchNorm2d, which keeps them")
    else:
        return
    raise CheckFailed(
        "CN102",
        what,
        where=_("forward() in eval mode"),
        why=_(
            "probabilities differ by up to {difference:.2g}, and rounding explains only {bound:.2g}",
            difference=difference,
            bound=bound,
        ),
        hint=hint,
    )


def probes(images: Images, side: int) -> list[np.ndarray]:
    """Return batches of 1, 2 and 7 images of many sizes, from one pixel on, made by repeating and cropping `images`."""
    sizes = [(side, side), (1, 1), (side + 3, 2 * side + 1), (3 * side + 2, 3 * side + 2), (side // 2 + 1, 5 * side)]
    if (
        int(metadata.version("pillow").split(".")[0]) >= 13
    ):  # older versions resize these in another order: see graph.py
        sizes += [(3 * side + 1, side // 2 + 1), (4 * side, side + 5)]
    batches = []
    for i, (height, width) in enumerate(sizes):
        for n in (1, 2, 7) if side <= _LARGE_SIZE or i == 0 else (1,):
            batch = images[np.arange(i, i + n) % len(images)]
            repeats = (1, 1, -(-height // batch.shape[2]), -(-width // batch.shape[3]))
            batches.append(np.tile(batch, repeats)[..., :height, :width])
    return batches


def onnx_classifier(file: str | Path | bytes) -> Classify:
    """Return the function that runs an .onnx file, or its content, in onnxruntime on the CPU."""
    runtime = machine.require("onnxruntime", extra="export")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    model = file if isinstance(file, bytes) else str(file)
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def classify(images: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(to_color(images).transpose(0, 2, 3, 1))
        probabilities: np.ndarray = session.run([OUTPUT], {INPUT: pixels})[0]
        return probabilities

    return classify


def to_color(images: np.ndarray) -> np.ndarray:
    """uint8 [N, 1 or 3, H, W] to [N, 3, H, W]."""
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images


def accuracy(file: Classify, labeled: Split, side: int) -> float:
    """Return the accuracy of the file on a split."""
    probabilities = np.concatenate([file(batch) for batch in batches_of(labeled.images, side)])
    return measure(probabilities, labeled.labels).accuracy


def first_batch(images: Images, side: int) -> np.ndarray:
    """Return the first of the batches of `batches_of`."""
    return images[: _size_of_batches(images, side)]


def batches_of(images: Images, side: int) -> Iterator[np.ndarray]:
    """Yield batches so small that the outputs of the first layers fit into memory."""
    size = _size_of_batches(images, side)
    starts = range(0, len(images), size)
    if isinstance(images, LazyImages):
        return images.batches([np.arange(start, min(start + size, len(images))) for start in starts])
    return (images[start : start + size] for start in starts)


def _size_of_batches(images: Images, side: int) -> int:
    return int(max(_MIN_BATCH, 250 * 28 * 28 // max(images.shape[-1], side) ** 2))
