"""Run the plain float ONNX file (`export --input float`) of every network in OpenCV and in NCNN.

    python benchmarks/converters.py                (some minutes for the networks below 70M parameters)
    python benchmarks/converters.py lenet_d2l

Needs opencv-python-headless, and ncnn with pnnx for the second column; what is missing is skipped. The weights are
random and large, so that the probabilities differ between images. Each cell is the largest difference between a
probability and that of PyTorch, over five images of noise.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from classicnets import machine
from classicnets.evaluation.onnx import FLOAT_INPUT, OUTPUT
from classicnets.export import onnx
from classicnets.models.registry import NETS
from classicnets.values import Preprocess

IMAGES = 5
_MOST_PARAMETERS = 70e6

Engine = Callable[[Path, np.ndarray], np.ndarray]  # file and images [N, C, S, S] to probabilities [N, classes]


def with_large_weights(net: nn.Module) -> nn.Module:
    """Weights with which the outputs differ between images."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
    return net.eval()


def float_file(net: nn.Module, preprocess: Preprocess, classes: int) -> bytes:
    """The content of the file that `export --input float` writes, with the facts that its graph depends on."""
    facts: dict[str, Any] = {"input": "float", "classes": ["?"] * classes, "preprocess": preprocess.to_dict()}
    facts |= {"net": "n", "data_name": "d", "int8": False, "test_accuracy": None, "test_pictures": 0, "licence": ""}
    return onnx.assemble(onnx.export_network(net, preprocess, one_image=True), preprocess, classes, facts)


def by_onnxruntime(file: Path, images: np.ndarray) -> np.ndarray:
    """The answers of onnxruntime."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([OUTPUT], {FLOAT_INPUT: image[None]})[0] for image in images])


def by_opencv(file: Path, images: np.ndarray) -> np.ndarray:
    """The answers of OpenCV."""
    import cv2

    net = cv2.dnn.readNetFromONNX(str(file))
    rows = []
    for image in images:
        net.setInput(image[None], FLOAT_INPUT)
        rows.append(net.forward().copy().reshape(1, -1))
    return np.concatenate(rows)


def by_ncnn(file: Path, images: np.ndarray) -> np.ndarray:
    """The answers of NCNN, from the file that pnnx converts, in float32."""
    import ncnn

    shape = f"inputshape=[1,{','.join(map(str, images.shape[1:]))}]"
    subprocess.run(["pnnx", file.name, shape, "fp16=0"], cwd=file.parent, check=True, capture_output=True, timeout=300)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    if net.load_param(str(file.with_name(f"{file.stem}.ncnn.param"))):
        raise RuntimeError("NCNN has no layer for an operator")
    net.load_model(str(file.with_name(f"{file.stem}.ncnn.bin")))
    rows = []
    for image in images:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image).clone())
        rows.append(np.array(extractor.extract("out0")[1]).reshape(1, -1))
    return np.concatenate(rows)


def engines() -> dict[str, Engine]:
    """What is installed."""
    available: dict[str, Engine] = {"onnxruntime": by_onnxruntime}
    if importlib.util.find_spec("cv2"):
        available["opencv"] = by_opencv
    if importlib.util.find_spec("ncnn") and shutil.which("pnnx"):
        available["ncnn"] = by_ncnn
    return available


def measure(name: str) -> dict[str, float | str]:
    """The largest difference from PyTorch of each engine, or why it cannot run the file."""
    entry = NETS[name]
    net = with_large_weights(entry.load()(10, *entry.input[:2]))
    preprocess = Preprocess(channels=entry.input[0], image_size=entry.input[1], mean=(0.4,), std=(0.3,))
    images = np.random.default_rng(0).random((IMAGES, *entry.input), dtype=np.float32)
    with torch.no_grad():
        expected = net((torch.from_numpy(images) - 0.4) / 0.3).softmax(dim=1).numpy()
    cells: dict[str, float | str] = {"spread": float(np.abs(expected - expected.mean(0)).max())}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        file.write_bytes(float_file(net, preprocess, 10))
        for engine, run in engines().items():
            try:
                cells[engine] = float(np.abs(run(file, images) - expected).max())
            except Exception as error:
                cells[engine] = " ".join(str(error).split())[:160] or type(error).__name__
    return cells


def version(package: str) -> str:
    """The installed version, or "-"."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    small = [name for name, entry in NETS.items() if entry.parameters < _MOST_PARAMETERS]
    parser.add_argument("nets", nargs="*", default=small)
    names = parser.parse_args().nets
    rows = {}
    for name in names:
        rows[name] = measure(name)
        cells = [
            f"{engine} {value:.2g}" if isinstance(value, float) else f"{engine}: {value}"
            for engine, value in rows[name].items()
        ]
        print(f"{name:24} {'   '.join(cells)}", flush=True)
    versions = machine.versions() | {name: version(name) for name in ("opencv-python-headless", "ncnn", "pnnx")}
    print(f"{IMAGES} images, {date.today()}, {versions}")


if __name__ == "__main__":
    main()
