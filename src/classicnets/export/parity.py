"""Whether a file computes what the net computes: the same images through both, number by number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.errors import CheckFailed
from classicnets.evaluation.metrics import measure
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.evaluation.predictor import Predictor
from classicnets.images.decode import fit_image
from classicnets.values import Preprocess

Probabilities = Callable[[np.ndarray], np.ndarray]

# Of the largest logit: 84 roundings of float32, which is what another order of a net's sums may bring.
_LOGIT_ERROR = 1e-5
_LARGE, _FEW = 64, 16  # pixels a side above which fewer probes are enough; images at once


@dataclass(frozen=True)
class Compared:
    """Probabilities of the file and of the net on the same `n` images, and how far they may differ."""

    file: np.ndarray
    net: np.ndarray
    bound: float

    @property
    def n(self) -> int:
        """Pictures."""
        return len(self.net)

    @property
    def difference(self) -> float:
        """The largest between two probabilities; NaN if one is."""
        return float(np.abs(self.file - self.net).max())

    @property
    def others(self) -> int:
        """Images whose likeliest class is another one."""
        return int((self.file.argmax(axis=1) != self.net.argmax(axis=1)).sum())


class Reference:
    """What the net says of whole images, as `classicnets predict` would, and how large its logits become."""

    def __init__(self, net: nn.Module, preprocess: Preprocess, classes: tuple[str, ...]):
        self.preprocess, self.largest = preprocess, 0.0
        self.predictor = Predictor(net, preprocess, classes, torch.device("cpu"))

    @property
    def bound(self) -> float:
        """How far a probability may be off: half of what the logits may be, as softmax hands on at most half of it."""
        return _LOGIT_ERROR / 2 * max(1.0, self.largest)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W] of any size to float32 [N, classes]."""
        hook = self.predictor.net.register_forward_hook(self._see)
        try:
            return self.predictor.probabilities(_seen(images, self.preprocess))
        finally:
            hook.remove()

    def _see(self, _net: nn.Module, _given: Any, logits: torch.Tensor) -> None:
        self.largest = max(self.largest, float(logits.abs().max()))


def compare(file: Probabilities, reference: Reference, images: np.ndarray) -> Compared:
    """Both on uint8 [N, C, H, W]; the file gets them as they are, the net as Pillow has fitted them."""
    batches = parts(images, reference.preprocess.side)
    there = np.concatenate([file(part) for part in batches])
    return Compared(there, np.concatenate([reference.probabilities(part) for part in batches]), reference.bound)


def check(compared: Compared, on: str) -> None:
    """Raises CheckFailed CN102 if the file says something else than the net."""
    if not compared.difference <= compared.bound:
        raise CheckFailed(
            "CN102",
            "the exported file does not compute what the net computes; it was not written",
            where=f"on {on}: {compared.others:,} of {compared.n:,} predictions differ",
            why=f"probabilities differ by up to {compared.difference:.2g}; rounding explains {compared.bound:.2g}",
            hint="classicnets export RUN --format torch",
        )


def probes(images: np.ndarray, side: int) -> list[np.ndarray]:
    """Batches of 1, 2 and 7 images of many sizes, from one pixel on, made of real ones by repetition and cutting."""
    sizes = [(side, side), (1, 1), (side + 3, 2 * side + 1), (3 * side + 2, 3 * side + 2), (side // 2 + 1, 5 * side)]
    if int(metadata.version("pillow").split(".")[0]) >= 13:  # whose order of passes the file has: see graph.py
        sizes += [(3 * side + 1, side // 2 + 1), (4 * side, side + 5)]
    made = []
    for i, (height, width) in enumerate(sizes):
        for n in (1, 2, 7) if side <= _LARGE or i == 0 else (1,):
            some = images[np.arange(i, i + n) % len(images)]
            repeats = (1, 1, -(-height // some.shape[2]), -(-width // some.shape[3]))
            made.append(np.tile(some, repeats)[..., :height, :width])
    return made


def onnx_file(path: str | Path | bytes) -> Probabilities:
    """The file in onnxruntime on the CPU: uint8 [N, C, H, W] to probabilities."""
    runtime = machine.require("onnxruntime", extra="export")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    given = path if isinstance(path, bytes) else str(path)
    session = runtime.InferenceSession(given, options, providers=["CPUExecutionProvider"])

    def probabilities(images: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(as_color(images).transpose(0, 2, 3, 1))
        found: np.ndarray = session.run([OUTPUT], {INPUT: pixels})[0]
        return found

    return probabilities


def as_color(images: np.ndarray) -> np.ndarray:
    """uint8 [N, 1 or 3, H, W] to [N, 3, H, W]."""
    return np.repeat(images, 3, axis=1) if images.shape[1] == 1 else images


def all_fitted(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """uint8 [N, C, H, W] to [N, C, side, side]."""
    if images.shape[2:] == (preprocess.side, preprocess.side):
        return images
    return np.stack([fit_image(image, preprocess.side, preprocess.fit) for image in images])


def accuracy(file: Probabilities, split: Split, side: int) -> float:
    """The share of a split that the file gets right."""
    found = np.concatenate([file(part) for part in parts(split.images, side)])
    return measure(found, split.labels).accuracy


def parts(images: np.ndarray, side: int) -> list[np.ndarray]:
    """So many at once that the first layers' outputs stay in memory."""
    size = max(_FEW, 250 * 28 * 28 // max(images.shape[-1], side) ** 2)
    return [images[start : start + size] for start in range(0, len(images), size)]


def _seen(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Each image in the net's channels and at its side, by Pillow itself."""
    if preprocess.channels == 1 and images.shape[1] == 3:
        gray = [np.asarray(Image.fromarray(np.ascontiguousarray(p.transpose(1, 2, 0))).convert("L")) for p in images]
        images = np.stack(gray)[:, None]
    elif preprocess.channels == 3:
        images = as_color(images)
    return all_fitted(images, preprocess)
