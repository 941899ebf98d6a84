"""A classifier that runs an exported .pt2 file (a torch.export program) on the CPU."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classicnets.evaluation import exported
from classicnets.evaluation.predictor import batch_size
from classicnets.files import native_path
from classicnets.images.decode import fit_images
from classicnets.values import Preprocess


class ProgramClassifier:
    """The network of a .pt2 file that classicnets exported. `facts` is the metadata of the file.

    torch.export.load unpickles, and evaluates expressions of, what it loads: a .pt2 file can run any code. Therefore
    the metadata are read and checked first, without torch.

    Args:
        path: The file.
        trust: Whether to run code of a file from elsewhere, and to use a file that another program has changed.

    Raises:
        DataError: CN308, the file is damaged or was not exported by classicnets.
        UsageError: CN212, the file was not made or run on this machine before.
    """

    precision = "float32"

    def __init__(self, path: str | Path, *, trust: bool = False):
        self.path = Path(path)
        self.facts = exported.read_facts(self.path, trusted=trust)
        self.preprocess = Preprocess.from_dict(self.facts["preprocess"])
        self.classes = tuple(map(str, self.facts["classes"]))
        try:
            with warnings.catch_warnings(), native_path(self.path) as name:
                warnings.simplefilter("ignore")  # they concern torch's own code
                self.program = torch.export.load(name).module()
        except Exception as error:  # the exceptions of torch.export have no common base class
            raise exported.unusable(self.path, " ".join(str(error).split())) from error
        exported.check_channels(self.path, self.facts, self._run)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W], grayscale or color; return float32 [N, classes]."""
        fitted = torch.from_numpy(np.ascontiguousarray(fit_images(images, self.preprocess)))
        return self._classify(fitted.expand(-1, 3, -1, -1))

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Classify pixels uint8 [N, side, side, 3]."""
        return self._classify(torch.from_numpy(pixels).permute(0, 3, 1, 2))

    def _classify(self, images: Tensor) -> np.ndarray:
        size = max(1, batch_size(self.preprocess) // self.preprocess.views)  # it computes all views at once
        with torch.inference_mode():
            parts = [self.program(batch.contiguous()) for batch in images.split(size)]
        return torch.cat(parts).numpy()
