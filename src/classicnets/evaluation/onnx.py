"""An exported .onnx file as a classifier, computed by onnxruntime on the CPU."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from classicnets import machine
from classicnets.errors import DataError
from classicnets.values import Preprocess

KEY = "classicnets"  # the entry of the metadata that export writes
FORMAT = 1
INPUT, OUTPUT = "pixels", "probabilities"

_SMALL = 50_000_000  # multiply-accumulates an image below which threads cost more than they bring
_BATCH_BYTES = 2 * 2**20  # of a batch of images: the first maps of a net take many times that


class OnnxClassifier:
    """The net of an .onnx file that was exported by classicnets. `facts` is what the file says of itself.

    Raises MachineError CN403 without onnxruntime, DataError CN308 for a file that is damaged or somebody else's.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        runtime = machine.require("onnxruntime", extra="export")
        self.session = self._open(runtime, threads=1)
        self.facts = self._read_facts()
        self.preprocess = Preprocess.from_dict(self.facts["preprocess"])
        self.classes = tuple(map(str, self.facts["classes"]))
        self.precision = "int8" if self.facts.get("int8") else "float32"
        if (self.facts.get("macs") or 0) >= _SMALL:
            self.session = self._open(runtime, threads=0)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, C, H, W], gray or color, to float32 [N, classes]."""
        bytes_each = 3 * images.shape[2] * images.shape[3]
        size = max(1, _BATCH_BYTES // bytes_each)
        parts = [self._batch(images[i : i + size]) for i in range(0, len(images), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batch(self, images: np.ndarray) -> np.ndarray:
        color = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
        pixels = np.ascontiguousarray(color.transpose(0, 2, 3, 1))
        (found,) = self.session.run([OUTPUT], {INPUT: pixels})
        return np.asarray(found, dtype=np.float32)

    def _open(self, runtime: Any, threads: int) -> Any:
        """A session of so many threads (0: as many as there are cores)."""
        if not self.path.is_file():
            raise self._unusable("there is no such file")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors; what it warns of is no business of whoever classifies images
        try:
            return runtime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exceptions have no common base
            raise self._unusable(" ".join(str(error).split())) from error

    def _read_facts(self) -> dict[str, Any]:
        """The metadata, checked as far as it is used."""
        text = self.session.get_modelmeta().custom_metadata_map.get(KEY)
        if text is None:
            raise self._unusable(f"it has no entry {KEY!r} in its metadata, so its classes and images are not known")
        try:
            facts: dict[str, Any] = json.loads(text)
            if facts["format"] != FORMAT:
                raise self._unusable(f"its format is {facts['format']}; this version reads {FORMAT}")
            Preprocess.from_dict(facts["preprocess"])
            given = {one.name: one.type for one in self.session.get_inputs()}
            outputs = {one.name: one.shape for one in self.session.get_outputs()}
            if given != {INPUT: "tensor(uint8)"} or OUTPUT not in outputs:
                raise self._unusable(f"its inputs are {given}, its outputs {[*outputs]}")
            if isinstance(width := outputs[OUTPUT][-1], int) and width != len(facts["classes"]):
                raise self._unusable(f"it names {len(facts['classes'])} classes and has {width} outputs")
        except (KeyError, TypeError, ValueError) as error:
            raise self._unusable(f"its entry {KEY!r} cannot be understood: {error!r}") from error
        return facts

    def _unusable(self, why: str) -> DataError:
        return DataError(
            "CN308",
            "that is not an .onnx file that classicnets exported, or it is damaged",
            where=shlex.quote(str(self.path)),
            why=why,
            hint="classicnets export RUN",
        )
