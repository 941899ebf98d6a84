"""Exports a network as a torch.export program: a .pt2 file that torch runs without the code of the network."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.evaluation.exported import RECORD, facts_text, seal_program
from classicnets.evaluation.rejection import MIN_PROBABILITY, applied_temperature
from classicnets.export.onnx import export_error
from classicnets.images import transforms
from classicnets.inspection.meta import without_data
from classicnets.machine import quiet
from classicnets.text import _
from classicnets.values import LUMA_BITS, LUMA_HALF, LUMA_WEIGHTS, Preprocess


class Program(nn.Module):
    """From uint8 [N, 3, side, side] RGB, already cropped and resized, to probabilities [N, classes]."""

    def __init__(self, net: nn.Module, preprocess: Preprocess, temperature: float):
        super().__init__()
        self.net, self.preprocess, self.temperature = net, preprocess, temperature

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the probabilities, with the temperature if it is not 1."""
        if self.preprocess.channels == 1:  # as Pillow converts to grayscale
            pixels = _gray(pixels)
        views = transforms.views(pixels, self.preprocess)
        probabilities: Tensor = self.net(torch.cat(views) if len(views) > 1 else views[0]).softmax(dim=1)
        if len(views) > 1:
            probabilities = probabilities.unflatten(0, (len(views), -1)).mean(dim=0)
        if self.temperature == 1:
            return probabilities
        logarithms = probabilities.clamp(min=MIN_PROBABILITY).log()
        return (logarithms / self.temperature).softmax(dim=1)


def _gray(pixels: Tensor) -> Tensor:
    """uint8 [N, 3, H, W] to [N, 1, H, W] by `values.luma`, in exact floats: ExecuTorch has no shift of integers."""
    weights = torch.tensor(LUMA_WEIGHTS, dtype=torch.float32).view(1, 3, 1, 1)
    total = (pixels.to(torch.float32) * weights).sum(dim=1, keepdim=True) + LUMA_HALF
    return (total * 2.0**-LUMA_BITS).floor().to(torch.uint8)


def program(net: nn.Module, preprocess: Preprocess, facts: dict[str, Any]) -> bytes:
    """Return the content of a .pt2 file. Raises CheckFailed CN105 if torch cannot export the network."""
    module = Program(without_data(net, "cpu").float(), preprocess, applied_temperature(facts)).eval()
    for tensor in (*module.parameters(), *module.buffers()):  # other memory formats cannot be lowered by ExecuTorch
        tensor.data = tensor.data.contiguous()
    example = torch.zeros(2, 3, preprocess.side, preprocess.side, dtype=torch.uint8)
    try:
        with quiet():
            exported = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("images")},))
            content = io.BytesIO()
            torch.export.save(exported, content, extra_files={RECORD: facts_text(facts)})
    except Exception as error:
        raise export_error(error, _("torch cannot export this network as a torch.export program"), net) from error
    return seal_program(content.getvalue())
