"""A `Preprocess` as functions on whole batches of uint8 images, on whatever device they are; and augmentation.

An image goes through `scale` (0..1, its final channels and side), what augmentation asks for, and `normalize`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from classicnets.values import LUMA, Preprocess, centered, fit_box

_LARGE = 64  # pixels a side
_CACHED = 300_000  # numbers; as float32 somewhat more than 1 MB


def prepare(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 [N, C, H, W] to float32 [N, channels, image_size, image_size], as the net wants it: the middle view."""
    return normalize(middle(scale(images, preprocess), preprocess.image_size), preprocess)


def views(images: Tensor, preprocess: Preprocess) -> list[Tensor]:
    """The prepared images as each of the `views` sees them, every one as `prepare` gives it."""
    x = normalize(scale(images, preprocess), preprocess)
    size = preprocess.image_size
    squares = [(x[..., top : top + size, left : left + size], turn) for top, left, turn in preprocess.view_places]
    return [square.flip(-1) if mirrored else square for square, mirrored in squares]


def scale(images: Tensor, preprocess: Preprocess) -> Tensor:
    """uint8 [N, C, H, W] to float32 [N, channels, side, side] in 0..1.

    Color becomes gray by ITU-R 601 luma as in PIL, gray becomes color by repetition; sizes change bilinearly
    (with antialiasing when shrinking, as PIL does).
    """
    height, width = images.shape[-2:]
    left, top, right, bottom = fit_box(width, height, preprocess.fit)
    if preprocess.fit == "crop":
        images = images[..., top:bottom, left:right]
    if preprocess.fit == "letterbox" and height != width:
        images = F.pad(images, (-left, right - width, -top, bottom - height))
    x = _channels(unit(images), preprocess.channels)
    side = preprocess.side
    if x.shape[-2:] != (side, side):
        shrinks = x.shape[-2] > side or x.shape[-1] > side
        x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=shrinks)
    return F.pad(x, (preprocess.pad,) * 4) if preprocess.pad else x


def unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.to(torch.float32).div_(255)


def normalize(x: Tensor, preprocess: Preprocess) -> Tensor:
    """(x - mean) / std per channel, in place."""
    if not any(preprocess.mean) and all(s == 1 for s in preprocess.std):
        return x
    mean, std = (torch.tensor(v, device=x.device).view(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))
    return x.sub_(mean).div_(std)


def normalized(images: Tensor, preprocess: Preprocess) -> Tensor:
    """`unit`, then `normalize`, of as many images at a time as the processor's cache holds."""
    if images.device.type != "cpu":
        return normalize(unit(images), preprocess)
    found = torch.empty(images.shape)
    few = max(1, _CACHED // images[0].numel())
    for some, target in zip(images.split(few), found.split(few), strict=True):
        normalize(target.copy_(some).div_(255), preprocess)
    return found


def middle(x: Tensor, size: int) -> Tensor:
    """The central size x size of images [N, C, H, W]."""
    top, left = centered(x.shape[-2], size), centered(x.shape[-1], size)
    return x[..., top : top + size, left : left + size]


def channel_means(parts: Iterable[Tensor], preprocess: Preprocess) -> tuple[float, ...]:
    """The mean of each channel, in 0..1, over images uint8 [N, C, H, W] that come in parts."""
    means = torch.cat([scale(some, preprocess).double().mean(dim=(2, 3)) for some in parts])
    return tuple(means.mean(dim=0).tolist())


def color_axes(parts: Iterable[Tensor], preprocess: Preprocess, flavour: str) -> Tensor:
    """How far each axis of the pixels' colors reaches, [channels, channels], a row an axis, in units of 0..1; the
    images uint8 [N, C, H, W] come in parts.

    The principal components of all pixels, each times its eigenvalue ("paper": Krizhevsky et al. 2012, section 4.1) or
    times its standard deviation ("code": cuda-convnet, convdata.py).
    """
    total, outer, n = torch.zeros(()), torch.zeros(()), 0
    for some in parts:
        pixels = scale(some, preprocess).transpose(0, 1).flatten(1).double()
        total, outer, n = total + pixels.sum(dim=1), outer + pixels @ pixels.T, n + pixels.shape[1]
    mean = total / n
    values, vectors = torch.linalg.eigh(outer / n - torch.outer(mean, mean))
    values = values.clamp(min=0)
    reach = values if flavour == "paper" else values.sqrt()
    return torch.mul(reach[:, None], vectors.T).float()


def mirror(x: Tensor, mirrored: Tensor) -> Tensor:
    """The images, mirrored where `mirrored` [N] is true."""
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)


def window(x: Tensor, corner: Tensor, size: int) -> Tensor:
    """A square of `size` pixels of each image, from its own upper left `corner` [N, 2] (row, column) on."""
    span = torch.arange(size, device=x.device)
    rows, columns = corner[:, :1] + span, corner[:, 1:] + span
    image = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    return x.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def cut(images: Tensor, index: Tensor, corner: Tensor, mirrored: Tensor, size: int) -> Tensor:
    """`window`, then `mirror`, of the images [N, C, H, W] at `index` [B]: [B, C, size, size], with no other copy."""
    if images.device.type != "cpu" or size < _LARGE:
        there = index.to(images.device)
        return mirror(window(images[there], corner.to(images.device), size), mirrored.to(images.device))
    source, found = images.numpy(), torch.empty(len(index), images.shape[1], size, size, dtype=images.dtype)
    rows = zip(found.numpy(), index.tolist(), corner.tolist(), mirrored.tolist(), strict=True)
    for target, i, (top, left), turned in rows:  # faster for large images than one index for all
        part = source[i, :, top : top + size, left : left + size]
        target[:] = part[:, :, ::-1] if turned else part
    return found


def move(x: Tensor, moved: Tensor) -> Tensor:
    """Each image moved by `moved` [N, 2] pixels (down, right); what comes in from outside is black."""
    reach = int(moved.abs().max())
    return window(F.pad(x, (reach,) * 4), reach - moved, x.shape[-1])


def part(x: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The part `boxes` [N, 4] of each image (center row and column, height and width, as shares), size x size."""
    rows, columns, heights, widths = boxes.unbind(dim=1)
    theta = torch.zeros(len(x), 2, 3, device=x.device)
    theta[:, 0, 0], theta[:, 0, 2] = widths, 2 * columns - 1
    theta[:, 1, 1], theta[:, 1, 2] = heights, 2 * rows - 1
    grid = F.affine_grid(theta, [len(x), x.shape[1], size, size], align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


def erase(x: Tensor, corner: Tensor, side: int) -> Tensor:
    """A square of `side` pixels set to 0 in each image; its upper left `corner` [N, 2] may lie outside."""
    rows = torch.arange(x.shape[-2], device=x.device) - corner[:, :1]
    columns = torch.arange(x.shape[-1], device=x.device) - corner[:, 1:]
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return x.masked_fill(inside[:, None], 0.0)


def _channels(x: Tensor, channels: int) -> Tensor:
    if x.shape[1] == channels:
        return x
    if channels == 1:
        luma = torch.tensor(LUMA, device=x.device).view(1, 3, 1, 1)
        return (x * luma).sum(dim=1, keepdim=True)
    return x.expand(-1, channels, -1, -1)
