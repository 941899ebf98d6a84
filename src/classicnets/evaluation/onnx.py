"""A classifier that runs an exported .onnx file with onnxruntime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from classicnets import machine, text
from classicnets.evaluation import exported
from classicnets.files import native_path
from classicnets.images.decode import fit_images
from classicnets.text import _
from classicnets.values import Preprocess

INPUT, OUTPUT = "pixels", "probabilities"
FLOAT_INPUT = "image"  # of a file with `--input float`
_INPUTS = {False: {INPUT: "tensor(uint8)"}, True: {FLOAT_INPUT: "tensor(float)"}}

_SINGLE_THREAD_MACS = 50_000_000  # for each image; below this, several threads are slower than one
_MAX_BATCH_BYTES = 2 * 2**20  # size of the images only; the first feature maps take a multiple of this


class OnnxClassifier:
    """The network of an .onnx file that classicnets exported. `facts` is the metadata of the file.

    Args:
        path: The file.
        trust: Whether to use a file that another program has changed.

    Raises:
        MachineError: CN403, onnxruntime is not installed.
        DataError: CN308, the file is damaged or was not exported by classicnets.
    """

    def __init__(self, path: str | Path, *, trust: bool = False):
        self.path = Path(path)
        runtime = machine.require("onnxruntime", extra="export")
        self.facts = exported.read_facts(self.path, trusted=trust)  # first, as a damaged file can crash onnxruntime
        self.session = self._open(runtime, threads=1)
        self.preprocess = Preprocess.from_dict(self.facts["preprocess"])
        self.classes = tuple(map(str, self.facts["classes"]))
        self.precision = "int8" if self.facts.get("int8") else "float32"
        self._check_graph()
        if not self.takes_floats(self.facts):
            exported.check_channels(self.path, self.facts, self._run)
        if (self.facts.get("macs") or 0) >= _SINGLE_THREAD_MACS:
            self.session = self._open(runtime, threads=machine.usable_cores())

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Classify uint8 [N, C, H, W], grayscale or color; return float32 [N, classes]."""
        if self.takes_floats(self.facts):
            scaled = fit_images(images, self.preprocess).astype(np.float32) / np.float32(255)
            rows = [self.session.run([OUTPUT], {FLOAT_INPUT: image[None]})[0] for image in scaled]
            return np.concatenate(rows).astype(np.float32, copy=False)
        image_bytes = 3 * images.shape[2] * images.shape[3]
        size = max(1, _MAX_BATCH_BYTES // image_bytes)
        parts = [self._batch(images[i : i + size]) for i in range(0, len(images), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _batch(self, images: np.ndarray) -> np.ndarray:
        color = np.broadcast_to(images, (len(images), 3, *images.shape[2:]))
        return self._run(np.ascontiguousarray(color.transpose(0, 2, 3, 1)))

    def _run(self, pixels: np.ndarray) -> np.ndarray:
        """Classify pixels uint8 [N, H, W, 3]."""
        try:
            (probabilities,) = self.session.run([OUTPUT], {INPUT: pixels})
        except Exception as error:  # the exceptions of onnxruntime have no common base class
            raise exported.unusable(self.path, " ".join(str(error).split())) from error
        return np.asarray(probabilities, dtype=np.float32)

    def _open(self, runtime: Any, threads: int) -> Any:
        """Open a session with a number of threads."""
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only; its warnings concern the export, not the prediction
        try:
            with native_path(self.path) as name:
                return runtime.InferenceSession(str(name), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the exceptions of onnxruntime have no common base class
            raise exported.unusable(self.path, " ".join(str(error).split())) from error

    def _check_graph(self) -> None:
        """Check that the graph has the input and the outputs that the facts state."""
        inputs = {value.name: value.type for value in self.session.get_inputs()}
        outputs = {value.name: value.shape for value in self.session.get_outputs()}
        if inputs != _INPUTS[self.takes_floats(self.facts)] or len(outputs.get(OUTPUT, ())) != 2:
            raise exported.unusable(
                self.path, _("its inputs are {inputs} and its outputs are {outputs}", inputs=inputs, outputs=outputs)
            )
        if self.takes_floats(self.facts):
            (shape,), side = (value.shape for value in self.session.get_inputs()), self.preprocess.side
            if list(shape[1:]) != [self.preprocess.channels, side, side]:
                why = _(
                    "preprocess is for images of {expected}, but its input has the shape {shape}",
                    expected=text.shape((self.preprocess.channels, side, side)),
                    shape=text.shape(shape),
                )
                raise exported.unusable(self.path, why)
        width, count = outputs[OUTPUT][1], len(self.classes)
        if isinstance(width, int) and width != count:
            why = _("its metadata names {count} classes, but it has {width} outputs", count=count, width=width)
            raise exported.unusable(self.path, why)

    @staticmethod
    def takes_floats(facts: dict[str, Any]) -> bool:
        """Whether the input is one image that is already resized and scaled, instead of the pixels of any images."""
        return facts.get("input") == "float"
