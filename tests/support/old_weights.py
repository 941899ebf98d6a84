"""A small network for color images as files of Caffe, and what it computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from classicnets.models import graph
from classicnets.models.graph import Node
from classicnets.weights import caffe_write, wire
from classicnets.weights.caffe_schema import BLOB

SIDE = 12
CLASSES = 5
PAIR = {"kernel": [3, 3], "stride": [1, 1]}
NODES = (
    Node(name="conv1", kind="conv", inputs=("data",), settings={**PAIR, "out": 4}),
    Node(name="relu1", kind="relu", inputs=("conv1",), settings={}),
    Node(name="norm1", kind="lrn", inputs=("relu1",), settings={"size": 3, "alpha": 0.01, "beta": 0.75, "k": 1.0}),
    Node(name="conv2", kind="conv", inputs=("norm1",), settings={**PAIR, "out": 6, "groups": 2}),
    Node(
        name="pool2", kind="pool", inputs=("conv2",), settings={**PAIR, "mode": "max", "stride": [2, 2], "ceil": True}
    ),
    Node(name="fc3", kind="dense", inputs=("pool2",), settings={"out": CLASSES}),
    Node(name="prob", kind="softmax", inputs=("fc3",), settings={}),
)


@dataclass(frozen=True)
class Files:
    """The files of a network in a folder, and the network itself, which reads BGR from 0 to 255 minus a mean."""

    folder: Path
    net: nn.Module
    mean: Tensor = field(default_factory=lambda: torch.zeros(3, 1, 1))

    @property
    def model(self) -> Path:
        return self.folder / "net.caffemodel"

    @property
    def definition(self) -> Path:
        return self.folder / "deploy.prototxt"

    @property
    def mean_file(self) -> Path:
        return self.folder / "mean.binaryproto"

    def probabilities(self, pixels: np.ndarray, mean: Tensor) -> np.ndarray:
        """What Caffe computes for one image uint8 [H, W, 3] in RGB."""
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1).flip(0).double()
        with torch.no_grad():
            result: np.ndarray = self.net.double()((x - mean)[None]).numpy()[0]
        return result


def make_files(folder: Path, *, channels: int = 3, seed: int = 0) -> Files:
    """Write the weights, the definition and a mean image of 3 x 14 x 14."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    net = graph.build(NODES, (channels, SIDE, SIDE)).eval()
    for name, parameter in net.named_parameters():
        nn.init.normal_(parameter, std={"conv1.weight": 0.01, "fc3.weight": 0.1}.get(name, 0.2))
    files = Files(folder, net)
    tensors = net.state_dict()
    caffe_write.write_model(NODES, tensors, files.model, name="small")
    files.definition.write_text(caffe_write.write_prototxt(NODES, (channels, SIDE, SIDE), name="small"))
    mean = np.random.default_rng(seed).uniform(90, 130, (channels, SIDE + 2, SIDE + 2)).astype(np.float32)
    shape = dict(zip(("num", "channels", "height", "width"), (1, *mean.shape), strict=True))
    files.mean_file.write_bytes(b"".join(wire.encode(BLOB, {**shape, "data": mean})))
    return files


def make_image(path: Path, *, gray: bool = False, side: int = SIDE) -> np.ndarray:
    """Write an image of noise as PNG, and return it as uint8 [side, side, 3]."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    if gray:
        pixels[:] = pixels[:, :, :1]
    Image.fromarray(pixels).save(path)
    return pixels
