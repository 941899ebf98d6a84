"""The ExecuTorch program (`export --format executorch`) of every network, on this machine's processor.

    python benchmarks/phones.py                    (half an hour for the networks below 70M parameters)
    python benchmarks/phones.py lenet_d2l

Needs the extra [executorch]. The weights are random and large, so that the probabilities differ between images. For
each network: sizes of the .pte and of the .onnx file, the largest difference between a probability of the .pte file and
that of PyTorch over five images of noise and its share of the limit, and the time for one image of the network's own
size with one thread, by the .pte and by the .onnx file: the fastest of several calls, because other programs only add
to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from classicnets import machine
from classicnets.errors import CheckFailed
from classicnets.evaluation.executorch import ExecutorchClassifier
from classicnets.evaluation.onnx import INPUT, OUTPUT
from classicnets.export import onnx, parity
from classicnets.export.executorch import executorch_program
from classicnets.models.registry import NETS
from classicnets.values import Preprocess
from converters import with_large_weights

IMAGES = 5
CLASSES = 10
_MOST_PARAMETERS = 70e6
_SECONDS, _CALLS = 2.0, 10  # at least, for each network


def milliseconds(*calls: Callable[[], Any]) -> list[float]:
    """The fastest time of each call, in turns."""
    times: list[list[float]] = [[] for _ in calls]
    while sum(map(sum, times)) < _SECONDS or len(times[0]) < _CALLS:
        for call, readings in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            readings.append(time.perf_counter() - start)
    return [1000 * min(readings) for readings in times]


def measure(name: str) -> str:
    """One row: sizes, difference and times of a network, or why it has no .pte file."""
    entry = NETS[name]
    net = with_large_weights(entry.load()(CLASSES, *entry.input[:2]))
    preprocess = Preprocess(channels=entry.input[0], image_size=entry.input[1], mean=(0.4,), std=(0.3,))
    facts: dict[str, Any] = {"format": 1, "classes": ["?"] * CLASSES, "preprocess": preprocess.to_dict()}
    facts |= {"net": name, "data_name": "d", "int8": False, "test_accuracy": None, "test_pictures": 0, "licence": ""}
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, *entry.input[1:]), dtype=np.uint8)
    pixels = np.ascontiguousarray(images[:1].transpose(0, 2, 3, 1))
    try:
        program = executorch_program(net, preprocess, facts)
    except CheckFailed as error:
        return f"{error.where}: {error.why}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "net.pte")
        file.write_bytes(program)
        classifier = ExecutorchClassifier(file)
    comparison = parity.compare(classifier.probabilities, parity.Reference(net, preprocess, classifier.classes), images)
    model = onnx.assemble(onnx.export_network(net, preprocess), preprocess, CLASSES, facts)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    tensor = torch.from_numpy(pixels)
    by_executorch, by_onnxruntime = milliseconds(
        lambda: classifier.method.execute([tensor]), lambda: session.run([OUTPUT], {INPUT: pixels})
    )
    return (
        f".pte {len(program):11,} B   .onnx {len(model):11,} B   difference {comparison.difference:.1e}"
        f" ({comparison.difference / comparison.bound:4.0%} of the limit)"
        f"   {by_executorch:8.3f} ms   {by_onnxruntime:8.3f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    small = [name for name, entry in NETS.items() if entry.parameters < _MOST_PARAMETERS]
    parser.add_argument("nets", nargs="*", default=small)
    torch.set_num_threads(1)
    for name in parser.parse_args().nets:
        print(f"{name:24} {measure(name)}", flush=True)
    versions = machine.versions() | {"executorch": metadata.version("executorch")}
    print(f"{IMAGES} images, {date.today()}, {versions}")


if __name__ == "__main__":
    main()
