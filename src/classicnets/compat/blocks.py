"""Layers that the book's package has: cross-correlation, and the blocks of ResNet and ResNeXt."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets import text
from classicnets.errors import UsageError
from classicnets.text import _


def corr2d(X: Tensor, K: Tensor) -> Tensor:
    """Return the cross-correlation [H - h + 1, W - w + 1] of X [H, W] and a kernel K [h, w], as float32.

    Raises:
        UsageError: CN204, X or K is not a matrix, or K is larger than X.
    """
    if X.ndim != 2 or K.ndim != 2 or K.shape[0] > X.shape[0] or K.shape[1] > X.shape[1]:
        raise UsageError(
            "CN204",
            _("corr2d needs two matrices, and the kernel must fit into the image"),
            where=_("X: {x}, K: {k}", x=text.shape(X.shape), k=text.shape(K.shape)),
            why=_("it has neither batch nor channels: channels are the subject of a later section"),
            hint="d2l.corr2d(X[0, 0], K[0, 0])" if X.ndim == K.ndim == 4 else "print(X.shape, K.shape)",
        )
    windows = X.unfold(0, K.shape[0], 1).unfold(1, K.shape[1], 1)
    return (windows * K).sum(dim=(2, 3)).to(torch.float32)


class Residual(nn.Module):
    """Residual block of ResNet: two 3x3 convolutions with batch normalization, added to the input.

    The input has C channels, the output `num_channels`, and height and width divided by `strides`. Both editions'
    arguments work: `Residual(input_channels, num_channels, ...)` of the Chinese edition, and `Residual(num_channels,
    ...)` of English 1.0, whose input channels are determined by the first batch.
    """

    def __init__(
        self,
        *channels: int,
        use_1x1conv: bool = False,
        strides: int = 1,
        num_channels: int | None = None,
        input_channels: int | None = None,
    ):
        super().__init__()
        # a bool is the edition's next argument, use_1x1conv, because no block has True channels
        numbers = [*channels]
        split = next((i for i, value in enumerate(numbers) if isinstance(value, bool)), len(numbers))
        numbers, rest = numbers[:split], numbers[split:]
        if rest:
            use_1x1conv = bool(rest.pop(0))
        if rest:
            strides = rest.pop(0)
        if num_channels is None and numbers:
            num_channels = numbers.pop()
        if numbers:
            input_channels = numbers.pop()
        if num_channels is None or numbers or rest:
            raise TypeError(_("Residual takes input_channels, num_channels, use_1x1conv and strides"))
        self.conv1 = _conv(input_channels, num_channels, 3, strides)
        self.conv2 = nn.Conv2d(num_channels, num_channels, kernel_size=3, padding=1)
        self.conv3 = _conv(input_channels, num_channels, 1, strides) if use_1x1conv else None
        self.bn1, self.bn2 = nn.BatchNorm2d(num_channels), nn.BatchNorm2d(num_channels)

    def forward(self, X: Tensor) -> Tensor:
        """Return [N, num_channels, H / strides, W / strides] for X [N, C, H, W]."""
        Y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(X)))))
        return F.relu(Y + (X if self.conv3 is None else self.conv3(X)))


class ResNeXtBlock(nn.Module):
    """Block of ResNeXt (English 1.0): 1x1, grouped 3x3 and 1x1 convolutions, added to the input.

    Args:
        num_channels: Channels of the output; those of the input are determined by the first batch.
        groups: Channels of each group of the 3x3 convolution, which the book calls so.
        bot_mul: Channels of the 3x3 convolution as a multiple of `num_channels`.
        use_1x1conv: Pass the input through a 1x1 convolution, which is needed if the shape changes.
        strides: Divisor of height and width.
    """

    def __init__(self, num_channels: int, groups: int, bot_mul: float, use_1x1conv: bool = False, strides: int = 1):
        super().__init__()
        width = round(num_channels * bot_mul)
        self.conv1 = nn.LazyConv2d(width, kernel_size=1)
        self.conv2 = nn.Conv2d(width, width, kernel_size=3, stride=strides, padding=1, groups=width // groups)
        self.conv3 = nn.Conv2d(width, num_channels, kernel_size=1)
        self.bn1, self.bn2, self.bn3 = nn.BatchNorm2d(width), nn.BatchNorm2d(width), nn.BatchNorm2d(num_channels)
        self.conv4 = nn.LazyConv2d(num_channels, kernel_size=1, stride=strides) if use_1x1conv else None
        self.bn4 = nn.BatchNorm2d(num_channels) if use_1x1conv else None

    def forward(self, X: Tensor) -> Tensor:
        """Return [N, num_channels, H / strides, W / strides] for X [N, C, H, W]."""
        Y = F.relu(self.bn1(self.conv1(X)))
        Y = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(Y)))))
        return F.relu(Y + (X if self.conv4 is None or self.bn4 is None else self.bn4(self.conv4(X))))


def _conv(inputs: int | None, outputs: int, kernel_size: int, strides: int) -> nn.Conv2d:
    """A convolution that keeps the size except for its strides; its input channels may be open."""
    padding = kernel_size // 2
    if inputs is None:
        return nn.LazyConv2d(outputs, kernel_size, strides, padding)
    return nn.Conv2d(inputs, outputs, kernel_size, strides, padding)
