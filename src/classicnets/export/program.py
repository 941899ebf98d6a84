"""A net with its preprocessing as a program of torch.export: one .pt2 file that torch runs without the net's code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from classicnets.export.onnx import cannot_export, quiet
from classicnets.export.parity import Probabilities, all_fitted, as_color
from classicnets.images import transforms
from classicnets.inspection.meta import without_data
from classicnets.values import Preprocess, luma

FACTS = "classicnets.json"  # among the file's extra files


class _Whole(nn.Module):
    """uint8 [N, 3, side, side] RGB to probabilities [N, classes]; the image was cropped and resized before."""

    def __init__(self, net: nn.Module, preprocess: Preprocess):
        super().__init__()
        self.net, self.preprocess = net, preprocess

    def forward(self, pixels: Tensor) -> Tensor:
        if self.preprocess.channels == 1:  # as PIL
            red, green, blue = pixels.to(torch.int32).unbind(dim=1)
            pixels = luma(red, green, blue).to(torch.uint8)[:, None]
        each = [self.net(x).softmax(dim=1) for x in transforms.views(pixels, self.preprocess)]
        return torch.stack(each).mean(dim=0) if len(each) > 1 else each[0]


def program(net: nn.Module, preprocess: Preprocess, facts: dict[str, Any]) -> bytes:
    """The .pt2 file. Raises CheckFailed CN105 if torch cannot export the net."""
    whole = _Whole(without_data(net, "cpu").float(), preprocess).eval()
    example = torch.zeros(2, 3, preprocess.side, preprocess.side, dtype=torch.uint8)
    try:
        with quiet():
            made = torch.export.export(whole, (example,), dynamic_shapes=({0: torch.export.Dim("images")},))
            content = io.BytesIO()
            torch.export.save(made, content, extra_files={FACTS: json.dumps(facts, ensure_ascii=False)})
    except Exception as error:
        raise cannot_export(error, "a torch program") from error
    return content.getvalue()


def torch_file(path: Path, preprocess: Preprocess) -> Probabilities:
    """The file as torch runs it: uint8 [N, C, H, W] to probabilities, fitted by Pillow first."""
    with quiet():
        net = torch.export.load(path).module()

    def probabilities(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = net(torch.from_numpy(all_fitted(as_color(images), preprocess))).numpy()
        return found

    return probabilities
