"""Exports a network as a torch.export program: a .pt2 file that torch runs without the code of the network."""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn

from classicnets.evaluation.exported import RECORD, facts_text, seal_program
from classicnets.evaluation.rejection import MIN_PROBABILITY, applied_temperature
from classicnets.export.onnx import export_error, quiet
from classicnets.images import transforms
from classicnets.inspection.meta import without_data
from classicnets.text import _
from classicnets.values import Preprocess, luma


class _Program(nn.Module):
    """From uint8 [N, 3, side, side] RGB, already cropped and resized, to probabilities [N, classes]."""

    def __init__(self, net: nn.Module, preprocess: Preprocess, temperature: float):
        super().__init__()
        self.net, self.preprocess, self.temperature = net, preprocess, temperature

    def forward(self, pixels: Tensor) -> Tensor:
        if self.preprocess.channels == 1:  # as Pillow converts to grayscale
            red, green, blue = pixels.to(torch.int32).unbind(dim=1)
            pixels = luma(red, green, blue).to(torch.uint8)[:, None]
        views = [self.net(x).softmax(dim=1) for x in transforms.views(pixels, self.preprocess)]
        probabilities = torch.stack(views).mean(dim=0) if len(views) > 1 else views[0]
        if self.temperature == 1:
            return probabilities
        return (probabilities.clamp(min=MIN_PROBABILITY).log() / self.temperature).softmax(dim=1)


def program(net: nn.Module, preprocess: Preprocess, facts: dict[str, Any]) -> bytes:
    """Return the content of a .pt2 file. Raises CheckFailed CN105 if torch cannot export the network."""
    module = _Program(without_data(net, "cpu").float(), preprocess, applied_temperature(facts)).eval()
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
