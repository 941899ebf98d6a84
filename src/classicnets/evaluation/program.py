"""A classifier that runs an exported .pt2 file (a torch.export program) on the CPU."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from classicnets.evaluation.onnx import parse_facts, unusable
from classicnets.evaluation.predictor import batch_size
from classicnets.images.decode import fit_images
from classicnets.text import _
from classicnets.values import Preprocess

FACTS = "classicnets.json"  # among the extra files of a .pt2 file


class ProgramClassifier:
    """The network of a .pt2 file that classicnets exported. `facts` is the metadata of the file.

    torch.export.load unpickles, and evaluates expressions of, what it loads: a .pt2 file can run any code. Therefore
    the metadata are read and checked first, without torch.

    Raises:
        DataError: CN308, the file is damaged or was not exported by classicnets.
    """

    precision = "float32"

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.facts = self._read_facts()
        self.preprocess = Preprocess.from_dict(self.facts["preprocess"])
        self.classes = tuple(map(str, self.facts["classes"]))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they concern torch's own code
                self.program = torch.export.load(self.path).module()
        except Exception as error:  # the exceptions of torch.export have no common base class
            raise unusable(self.path, " ".join(str(error).split())) from error

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W], grayscale or color; return float32 [N, classes]."""
        fitted = torch.from_numpy(np.ascontiguousarray(fit_images(images, self.preprocess)))
        with torch.inference_mode():
            parts = [
                self.program(batch.expand(-1, 3, -1, -1).contiguous())
                for batch in fitted.split(batch_size(self.preprocess))
            ]
        return torch.cat(parts).numpy()

    def _read_facts(self) -> dict[str, Any]:
        if not self.path.is_file():
            raise unusable(self.path, _("the file does not exist"))
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = [name for name in archive.namelist() if PurePosixPath(name).name == FACTS]
                entry = archive.read(names[0]).decode() if names else None
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise unusable(self.path, str(error)) from error
        return parse_facts(self.path, entry)
