"""`Preprocess` and augmentation as functions on batches, on any device.

An image goes through `scale` (values 0..1, final channels and size), augmentation, and `normalize`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import LUMA, Preprocess, centered, fit_box

_LARGE = 64  # pixels per side from which on copying crops one by one is faster than one index for all
_CACHED_VALUES = 300_000  # values processed at a time; as float32 somewhat more than 1 MB


def prepare(images: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the input for the center view: uint8 [N, C, H, W] to float32 [N, channels, image_size, image_size]."""
    return normalize(center_crop(scale(images, preprocess), preprocess.image_size), preprocess)


def views(images: Tensor, preprocess: Preprocess) -> list[Tensor]:
    """Return the network input for each of the `views` of `preprocess`, each shaped as by `prepare`."""
    x = normalize(scale(images, preprocess), preprocess)
    size = preprocess.image_size
    crops = [(x[..., top : top + size, left : left + size], flipped) for top, left, flipped in preprocess.view_places]
    if len(crops) > 1:  # copies, because crops overlap and forward() may change its input
        crops = [(crop.clone(), flipped) for crop, flipped in crops]
    return [crop.flip(-1) if flipped else crop for crop, flipped in crops]


def scale(images: Tensor, preprocess: Preprocess) -> Tensor:
    """Convert channels, fit, resize and pad: uint8 [N, C, H, W] to float32 [N, channels, side, side] in 0..1.

    Color becomes gray by ITU-R 601 luma as in Pillow, gray becomes color by repetition. Resizing is bilinear, with
    antialiasing when it shrinks, as in Pillow.
    """
    height, width = images.shape[-2:]
    left, top, right, bottom = fit_box(width, height, preprocess.fit)
    if preprocess.fit == "crop":
        images = images[..., top:bottom, left:right]
    if preprocess.fit == "letterbox" and height != width:
        images = F.pad(images, (-left, right - width, -top, bottom - height))
    x = _convert_channels(to_float(images), preprocess.channels)
    side = preprocess.side
    if x.shape[-2:] != (side, side):
        shrinks = x.shape[-2] > side or x.shape[-1] > side
        x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=shrinks)
    return F.pad(x, (preprocess.pad,) * 4) if preprocess.pad else x


def to_float(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.to(torch.float32).div_(255)


def normalize(x: Tensor, preprocess: Preprocess) -> Tensor:
    """(x - mean) / std per channel, in place."""
    if not any(preprocess.mean) and all(s == 1 for s in preprocess.std):
        return x
    mean, std = (torch.tensor(v, device=x.device).view(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))
    return x.sub_(mean).div_(std)


def to_normalized(images: Tensor, preprocess: Preprocess) -> Tensor:
    """`to_float`, then `normalize`; on a CPU in parts that fit its cache."""
    if images.device.type != "cpu":
        return normalize(to_float(images), preprocess)
    out = torch.empty(images.shape)
    rows = max(1, _CACHED_VALUES // images[0].numel())
    for part, target in zip(images.split(rows), out.split(rows), strict=True):
        normalize(target.copy_(part).div_(255), preprocess)
    return out


def center_crop(x: Tensor, size: int) -> Tensor:
    """Return the central size x size of images [N, C, H, W]."""
    top, left = centered(x.shape[-2], size), centered(x.shape[-1], size)
    return x[..., top : top + size, left : left + size]


def channel_means(parts: Iterable[Tensor], preprocess: Preprocess) -> tuple[float, ...]:
    """Return the mean of each channel, in 0..1, over all images; `parts` are uint8 [N, C, H, W]."""
    means = torch.cat([scale(part, preprocess).double().mean(dim=(2, 3)) for part in parts])
    return tuple(means.mean(dim=0).tolist())


def color_axes(parts: Iterable[Tensor], preprocess: Preprocess, variant: str) -> Tensor:
    """Return the scaled principal components of pixel colors, [channels, channels], one axis per row, in units of 0..1.

    Args:
        parts: The images as uint8 [N, C, H, W].
        preprocess: Gives size and channels.
        variant: "paper" scales each component by its eigenvalue (Krizhevsky et al. 2012, section 4.1), "code" by its
            standard deviation (cuda-convnet, convdata.py).
    """
    total, outer, n = torch.zeros(()), torch.zeros(()), 0
    for part in parts:
        pixels = scale(part, preprocess).transpose(0, 1).flatten(1).double()
        total, outer, n = total + pixels.sum(dim=1), outer + pixels @ pixels.T, n + pixels.shape[1]
    mean = total / n
    values, vectors = torch.linalg.eigh(outer / n - torch.outer(mean, mean))
    values = values.clamp(min=0)
    lengths = values if variant == "paper" else values.sqrt()
    return torch.mul(lengths[:, None], vectors.T).float()


def flip(x: Tensor, flips: Tensor) -> Tensor:
    """Flip images left to right where `flips` [N] is true."""
    return torch.where(flips.view(-1, 1, 1, 1), x.flip(-1), x)


def crop(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """Crop size x size from each image, at its upper left `corner` [N, 2] (row, column)."""
    span = torch.arange(size, device=x.device)
    rows, columns = corner[:, :1] + span, corner[:, 1:] + span
    image = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    return x.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def crop_and_flip(images: Tensor, index: Tensor, corner: Tensor, flips: Tensor, size: int) -> Tensor:
    """`crop`, then `flip`, of the images [N, C, H, W] at `index` [B]: [B, C, size, size], without another copy."""
    if images.device.type != "cpu" or size < _LARGE:
        selected = images[index.to(images.device)]
        return flip(crop(selected, corner.to(images.device), size), flips.to(images.device))
    source, out = images.numpy(), torch.empty(len(index), images.shape[1], size, size, dtype=images.dtype)
    rows = zip(out.numpy(), index.tolist(), corner.tolist(), flips.tolist(), strict=True)
    for target, i, (top, left), flipped in rows:  # faster for large images than one index for all
        window = source[i, :, top : top + size, left : left + size]
        target[:] = window[:, :, ::-1] if flipped else window
    return out


def shift(x: Tensor, shifts: Tensor) -> Tensor:
    """Shift each image by `shifts` [N, 2] pixels (down, right) and fill with black."""
    largest = int(shifts.abs().max())
    return crop(F.pad(x, (largest,) * 4), largest - shifts, x.shape[-1])


def resized_crop(x: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Resize a box of each image to size x size; `boxes` [N, 4] are center row and column, height and width in 0..1."""
    rows, columns, heights, widths = boxes.unbind(dim=1)
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 0, 2] = widths, 2 * columns - 1
    theta[:, 1, 1], theta[:, 1, 2] = heights, 2 * rows - 1
    grid = F.affine_grid(theta, [len(x), x.shape[1], size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def erase(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """Set a size x size square of each image to 0; its upper left `corner` [N, 2] may lie outside the image."""
    rows = torch.arange(x.shape[-2], device=x.device) - corner[:, :1]
    columns = torch.arange(x.shape[-1], device=x.device) - corner[:, 1:]
    inside = ((rows >= 0) & (rows < size))[:, :, None] & ((columns >= 0) & (columns < size))[:, None, :]
    return x.masked_fill(inside[:, None], 0.0)


def _convert_channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if channels == 1:
        luma = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
        return (x * luma).sum(dim=1, keepdim=True)
    return x.expand(-1, channels, -1, -1)
