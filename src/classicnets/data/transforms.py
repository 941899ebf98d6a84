"""A `Preprocess` as functions on whole batches of uint8 pictures, on whatever device they are."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import Preprocess


def prepare(pictures: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 [N, C, H, W] to float32 [N, channels, image_size, image_size], as the net wants it.

    Colour becomes grey by ITU-R 601 luma as in PIL, grey becomes colour by repetition; sizes change bilinearly
    (with antialiasing when shrinking, as PIL does).
    """
    x = _channels(pictures.to(torch.float32).div_(255), preprocess.channels)
    size = preprocess.image_size
    if x.shape[-2:] != (size, size):
        shrinks = x.shape[-2] > size or x.shape[-1] > size
        x = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinks)
    if any(preprocess.mean) or any(s != 1 for s in preprocess.std):
        mean, std = (torch.tensor(v, device=x.device).view(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))
        x = (x - mean) / std
    return x


def _channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if channels == 1:
        luma = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
        return (x * luma).sum(dim=1, keepdim=True)
    return x.expand(-1, channels, -1, -1)


def augment(x: Tensor, mirrored: Tensor | None, moved: Tensor | None, fill: float) -> Tensor:
    """Mirrors the pictures where `mirrored` [N] is true and moves each by `moved` [N, 2] pixels (down, right).

    What comes in from outside is `fill`, the prepared value of a black pixel.
    """
    if mirrored is not None:
        x = torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)
    if moved is not None:
        n, _, height, width = x.shape
        reach = int(moved.abs().max())
        padded = F.pad(x, (reach,) * 4, value=fill)
        rows = torch.arange(height, device=x.device).view(1, -1) + reach - moved[:, :1]
        columns = torch.arange(width, device=x.device).view(1, -1) + reach - moved[:, 1:]
        picture = torch.arange(n, device=x.device).view(-1, 1, 1)
        x = padded.permute(0, 2, 3, 1)[picture, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    return x
