"""A classifier that runs an exported .pte file with ExecuTorch's runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from classicnets import machine
from classicnets.evaluation import exported
from classicnets.images.decode import fit_images
from classicnets.values import Preprocess


def require_runtime() -> ModuleType:
    """Import ExecuTorch's runtime, which also loads its exporter. Raises MachineError CN403 if it is not installed."""
    with machine.quiet():  # it reports what it lacks for GPUs
        return machine.require("executorch.runtime", extra="executorch")


class ExecutorchClassifier:
    """The network of a .pte file that classicnets exported. `facts` is the metadata of the file.

    Args:
        path: The file.
        trust: Whether to use a file that another program has changed.

    Raises:
        MachineError: CN403, ExecuTorch is not installed.
        DataError: CN308, the file is damaged or was not exported by classicnets.
    """

    precision = "float32"

    def __init__(self, path: str | Path, *, trust: bool = False):
        self.path = Path(path)
        runtime = require_runtime()
        self.facts = exported.read_facts(self.path, trusted=trust)  # first, as a damaged file can crash the runtime
        self.preprocess = Preprocess.from_dict(self.facts["preprocess"])
        self.classes = tuple(map(str, self.facts["classes"]))
        self._content = self.path.read_bytes()  # the runtime reads weights from it
        try:
            self._program = runtime.Runtime.get().load_program(self._content)
            self.method = self._program.load_method("forward")
        except RuntimeError as error:
            raise exported.unusable(self.path, str(error)) from error
        exported.check_channels(self.path, self.facts, self._run)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W], grayscale or color; return float32 [N, classes]."""
        fitted = fit_images(images, self.preprocess)
        color = np.broadcast_to(fitted, (len(fitted), 3, *fitted.shape[2:]))
        return self._run(np.ascontiguousarray(color.transpose(0, 2, 3, 1)))

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Classify pixels uint8 [N, side, side, 3], one image after the other."""
        rows = [self.method.execute([image])[0].numpy().copy() for image in torch.from_numpy(pixels).split(1)]
        return np.concatenate(rows)
