"""LeNet from 1989 to *Dive into Deep Learning*. Needs only torch and its neighbor `layers.py`."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from classicnets.models.layers import RBFOutput, ScaledTanh, Subsampling, TableConv2d
from classicnets.models.messages import ModelError

# ------------------------------------------------------------------------------------------------------ Bell Labs

# ASSUMED: which 8 of the 12 channels of H1 each channel of H2 reads was never published. Three blocks of four channels.
H2_TABLE_1989 = [[0, 1, 2, 3, 4, 5, 6, 7]] * 4 + [[4, 5, 6, 7, 8, 9, 10, 11]] * 4 + [[0, 1, 2, 3, 8, 9, 10, 11]] * 4


def lenet_1989(num_classes: int = 10, in_channels: int = 1, image_size: int = 16) -> nn.Sequential:
    """The network that read zip codes: two strided convolutions with a bias per unit, scaled tanh on every unit.

    Input: [N, in_channels, image_size, image_size] in -1..1, with background and border -1. Output: [N, num_classes] in
    -1.72..1.72, with targets +1 and -1. 9,760 parameters, 64,660 connections. Each position has its own bias, so the
    network accepts only `image_size`. The table of H2 is assumed.
    Source: LeCun et al., Neural Computation 1(4) 1989.
    """
    half = max(1, (image_size - 1) // 2 + 1)
    quarter = max(1, (half - 1) // 2 + 1)
    h1, h2 = (half, half), (quarter, quarter)
    full_table = [list(range(in_channels))] * 12
    return nn.Sequential(
        OrderedDict(
            H1=TableConv2d(
                in_channels, 12, 5, full_table, stride=2, padding=2, pad_value=-1, unit_bias=h1
            ),  # 12 x 8 x 8
            squash1=ScaledTanh(),
            H2=TableConv2d(12, 12, 5, H2_TABLE_1989, stride=2, padding=2, pad_value=-1, unit_bias=h2),  # 12 x 4 x 4
            squash2=ScaledTanh(),
            flatten=nn.Flatten(),  # 192
            H3=nn.Linear(12 * quarter * quarter, 30),
            squash3=ScaledTanh(),
            out=nn.Linear(30, num_classes),
            squash4=ScaledTanh(),
        )
    )


# Which channels of H2 each channel of H3 reads: 20 of 48 pairs, in two separate halves.
H3_TABLE_1990 = [[0], [0, 1], [0, 1], [1], [0, 1], [0, 1], [2], [2, 3], [2, 3], [3], [2, 3], [2, 3]]


def lenet1_1990(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet-1: averaging with one trainable coefficient and one bias per channel, a sparse table, one dense layer.

    Input: [N, in_channels, image_size, image_size]. Output: [N, num_classes] in -1.72..1.72, with targets +1 and -1.
    2,578 parameters, 98,442 connections. The activation after every layer is assumed.
    Source: Le Cun et al., NIPS 2 (1990).
    """
    size = max(1, ((image_size - 4) // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            H1=nn.Conv2d(in_channels, 4, kernel_size=5),  # 4 x 24 x 24
            squash1=ScaledTanh(),
            H2=Subsampling(4, size=2),  # 4 x 12 x 12
            squash2=ScaledTanh(),
            H3=TableConv2d(4, 12, 5, H3_TABLE_1990),  # 12 x 8 x 8
            squash3=ScaledTanh(),
            H4=Subsampling(12, size=2),  # 12 x 4 x 4
            squash4=ScaledTanh(),
            flatten=nn.Flatten(),  # 192
            out=nn.Linear(12 * size * size, num_classes),
            squash5=ScaledTanh(),
        )
    )


# Which channels of S2 each of the 16 channels of C3 reads: 60 of 96 pairs.
C3_TABLE_1998 = [
    [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5],
    [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
    [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5],
]  # fmt: skip

# The codes of the ten digits: images of 7 x 12, row by row from the top; 1 is +1, 0 is -1.
DIGITS_1998 = [
    "0000000 0000000 0011100 0110110 1100011 1100011 1100011 1100011 0110110 0011100 0000000 0000000",
    "0001100 0011100 0111100 0001100 0001100 0001100 0001100 0001100 0001100 0111111 0000000 0000000",
    "0000000 0000000 0111110 1100011 1000011 0000110 0011100 0110000 1100000 1111111 0000000 0000000",
    "1111111 0000011 0000110 0001100 0011110 0000011 0000011 0000011 1100011 0111110 0000000 0000000",
    "0000000 0000000 0000000 0110011 0110011 1110011 1100011 1100011 1100111 0111111 0000011 0000011",
    "0000000 0000000 1111111 1100000 1100000 0111100 0011110 0000011 1100011 0111110 0000000 0000000",
    "0011110 0110000 1100000 1100000 1111110 1110011 1100011 1100011 1110011 0111110 0000000 0000000",
    "1111111 0000011 0000011 0000110 0001100 0001100 0011000 0011000 0011000 0011000 0000000 0000000",
    "0111110 1100011 1100011 1100011 0111110 1100011 1100011 1100011 1100011 0111110 0000000 0000000",
    "0111110 1100111 1100011 1100011 1100111 0111111 0000011 0000011 0000110 0111100 0000000 0000000",
]


def digit_codes(num_classes: int = 10) -> torch.Tensor:
    """Return the +1/-1 codes of the digits as float [num_classes, 84]. Raises ValueError for more than ten classes."""
    if num_classes > len(DIGITS_1998):
        raise ModelError(
            "there are codes for {n} digits, not for {num_classes} classes",
            n=len(DIGITS_1998),
            num_classes=num_classes,
        )
    rows = [[2.0 * int(pixel) - 1.0 for pixel in digit if pixel != " "] for digit in DIGITS_1998[:num_classes]]
    return torch.tensor(rows)


class PositionsToRows(nn.Module):
    """[N, C, H, W] -> [N, H, W, C], so that dense layers act at every position; [N, C] for a single position."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Move the channels to the last axis."""
        return x.flatten(1) if x.shape[2:] == (1, 1) else x.movedim(1, -1)


class RowsToPositions(nn.Module):
    """[N, H, W, C] -> [N, C, H, W]: the inverse of `PositionsToRows`."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Move the channels to axis 1."""
        return rows if rows.dim() == 2 else rows.movedim(-1, 1)


def lenet5_1998(num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> nn.Sequential:  # noqa: ARG001
    """LeNet-5 of 1998: sparse C3, trainable subsampling, scaled tanh up to F6, distances to fixed digit codes.

    Input: [N, in_channels, 32, 32], background -0.1 and ink 1.175. Output: negated squared distances [N, num_classes];
    the largest wins, and there are codes for ten classes. A larger image gives [N, num_classes, H, W], a position for
    every 4 pixels. 60,000 trainable parameters, 340,908 connections.
    Source: LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11) 1998, section II.B.
    """
    return nn.Sequential(
        OrderedDict(
            C1=nn.Conv2d(in_channels, 6, kernel_size=5),  # 6 x 28 x 28
            squash1=ScaledTanh(),
            S2=Subsampling(6, size=2),  # 6 x 14 x 14
            squash2=ScaledTanh(),
            C3=TableConv2d(6, 16, 5, C3_TABLE_1998),  # 16 x 10 x 10
            squash3=ScaledTanh(),
            S4=Subsampling(16, size=2),  # 16 x 5 x 5
            squash4=ScaledTanh(),
            C5=nn.Conv2d(16, 120, kernel_size=5),  # 120 x 1 x 1
            squash5=ScaledTanh(),
            to_rows=PositionsToRows(),  # 120
            F6=nn.Linear(120, 84),
            squash6=ScaledTanh(),
            RBF=RBFOutput(digit_codes(num_classes)),
            to_map=RowsToPositions(),
        )
    )


# ----------------------------------------------------------------------------------------------------- ports of LeNet-5


def lenet_32(num_classes: int = 10, in_channels: int = 1, image_size: int = 32) -> nn.Sequential:
    """LeNet-5 as course notes simplify it: 32x32, full tables, average pooling, sigmoid, linear output.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 61,706 parameters, like
    `lenet_d2l`. Source: the simplified LeNet-5 that lecture notes and tutorials share; no single original.
    """
    size = max(1, ((image_size - 4) // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, kernel_size=5),  # 6 x 28 x 28
            sigmoid1=nn.Sigmoid(),
            pool1=nn.AvgPool2d(kernel_size=2, stride=2),  # 6 x 14 x 14
            conv2=nn.Conv2d(6, 16, kernel_size=5),  # 16 x 10 x 10
            sigmoid2=nn.Sigmoid(),
            pool2=nn.AvgPool2d(kernel_size=2, stride=2),  # 16 x 5 x 5
            flatten=nn.Flatten(),  # 400
            fc1=nn.Linear(16 * size * size, 120),
            sigmoid3=nn.Sigmoid(),
            fc2=nn.Linear(120, 84),
            sigmoid4=nn.Sigmoid(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def lenet_caffe(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet of Caffe's MNIST example: seven times LeNet-5's parameters and a single ReLU, after ip1.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 431,080 parameters.
    Source: BVLC/caffe, examples/mnist/lenet_train_test.prototxt.
    """
    size = -(-(image_size - 4) // 2)  # Caffe's pools round up
    size = max(1, -(-(size - 4) // 2))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 20, kernel_size=5),  # 20 x 24 x 24
            pool1=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 20 x 12 x 12
            conv2=nn.Conv2d(20, 50, kernel_size=5),  # 50 x 8 x 8
            pool2=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 50 x 4 x 4
            flatten=nn.Flatten(),  # 800
            ip1=nn.Linear(50 * size * size, 500),
            relu1=nn.ReLU(),
            ip2=nn.Linear(500, num_classes),
        )
    )


def lenet_d2l(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet of d2l, second Chinese edition and English 1.0: sigmoid, average pooling, conv1 padded by 2.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 61,706 parameters as in the book.
    Source: d2l-ai/d2l-zh, chapter_convolutional-neural-networks/lenet.md (PyTorch).
    """
    size = max(1, (image_size // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),  # 6 x 28 x 28
            sigmoid1=nn.Sigmoid(),
            pool1=nn.AvgPool2d(kernel_size=2, stride=2),  # 6 x 14 x 14
            conv2=nn.Conv2d(6, 16, kernel_size=5),  # 16 x 10 x 10
            sigmoid2=nn.Sigmoid(),
            pool2=nn.AvgPool2d(kernel_size=2, stride=2),  # 16 x 5 x 5
            flatten=nn.Flatten(),  # 400
            fc1=nn.Linear(16 * size * size, 120),
            sigmoid3=nn.Sigmoid(),
            fc2=nn.Linear(120, 84),
            sigmoid4=nn.Sigmoid(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def lenet_d2l_v1(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet of d2l's first edition (Gluon): sigmoid, max pooling, no padding.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 44,426 parameters as in the book.
    Source: d2l-ai/d2l-zh, branch v1, chapter_convolutional-neural-networks/lenet.md (Apache MXNet).
    """
    size = max(1, ((image_size - 4) // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, kernel_size=5),  # 6 x 24 x 24
            sigmoid1=nn.Sigmoid(),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2),  # 6 x 12 x 12
            conv2=nn.Conv2d(6, 16, kernel_size=5),  # 16 x 8 x 8
            sigmoid2=nn.Sigmoid(),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2),  # 16 x 4 x 4
            flatten=nn.Flatten(),  # 256
            fc1=nn.Linear(16 * size * size, 120),
            sigmoid3=nn.Sigmoid(),
            fc2=nn.Linear(120, 84),
            sigmoid4=nn.Sigmoid(),
            fc3=nn.Linear(84, num_classes),
        )
    )
