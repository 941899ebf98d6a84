"""Krizhevsky's networks for CIFAR-10, named after their test error. Needs only torch and its neighbors in this folder.

cuda-convnet rounds pooling sizes up: 3x3 pooling with stride 2 gives 24 -> 12 -> 6, with the last window clipped.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.layers import LocalConv2d, SameMapNorm
from classicnets.models.lrn import LRN


def cifar10_13pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 24) -> nn.Sequential:
    """The 13 % network: two convolutions, then two locally connected layers.

    Input: [N, in_channels, image_size, image_size], 24x24 crops of CIFAR-10. Output: logits [N, num_classes].
    1,116,490 parameters. Source: cuda-convnet, example-layers/layers-conv-local-13pct.cfg.
    """
    size = _pooled_size(_pooled_size(image_size))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 64, kernel_size=5, padding=2),  # 64 x 24 x 24
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 12 x 12
            conv2=nn.Conv2d(64, 64, kernel_size=5, padding=2),  # 64 x 12 x 12
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 6 x 6
            local3=LocalConv2d(64, 32, 3, (size, size), padding=1),  # 32 x 6 x 6
            relu3=nn.ReLU(),
            local4=LocalConv2d(32, 32, 3, (size, size), padding=1),  # 32 x 6 x 6
            relu4=nn.ReLU(),
            flatten=nn.Flatten(),  # 1152
            fc10=nn.Linear(32 * size * size, num_classes),
        )
    )


def cifar10_11pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 24) -> nn.Sequential:
    """The 11 % network: the 13 % network with response normalization over nine channels and a local3 twice as wide.

    Input: [N, in_channels, image_size, image_size], 24x24 crops of CIFAR-10. Output: logits [N, num_classes].
    2,112,970 parameters. Source: cuda-convnet2, layers/layers-cifar10-11pct.cfg.
    """
    size = _pooled_size(_pooled_size(image_size))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 64, kernel_size=5, padding=2),  # 64 x 24 x 24
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 12 x 12
            norm1=LRN(size=9, alpha=0.001, beta=0.75, k=1.0, convention="caffe"),
            conv2=nn.Conv2d(64, 64, kernel_size=5, padding=2),  # 64 x 12 x 12
            relu2=nn.ReLU(),
            norm2=LRN(size=9, alpha=0.001, beta=0.75, k=1.0, convention="caffe"),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 6 x 6
            local3=LocalConv2d(64, 64, 3, (size, size), padding=1),  # 64 x 6 x 6
            relu3=nn.ReLU(),
            local4=LocalConv2d(64, 32, 3, (size, size), padding=1),  # 32 x 6 x 6
            relu4=nn.ReLU(),
            flatten=nn.Flatten(),  # 1152
            fc10=nn.Linear(32 * size * size, num_classes),
        )
    )


def cifar10_18pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> nn.Sequential:
    """The 18 % network: three convolutions, one max and two average pools, normalization over 3x3 within a channel.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 89,578 parameters.
    Source: cuda-convnet, example-layers/layers-18pct.cfg.
    """
    size = _pooled_size(_pooled_size(_pooled_size(image_size)))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, kernel_size=5, padding=2),  # 32 x 32 x 32
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 32 x 16 x 16
            relu1=nn.ReLU(),
            norm1=SameMapNorm(size=3, alpha=0.00005, beta=0.75, k=1.0),
            conv2=nn.Conv2d(32, 32, kernel_size=5, padding=2),  # 32 x 16 x 16
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 32 x 8 x 8
            norm2=SameMapNorm(size=3, alpha=0.00005, beta=0.75, k=1.0),
            conv3=nn.Conv2d(32, 64, kernel_size=5, padding=2),  # 64 x 8 x 8
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 4 x 4
            flatten=nn.Flatten(),  # 1024
            fc10=nn.Linear(64 * size * size, num_classes),
        )
    )


def cifar10_26pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> nn.Sequential:
    """The 26 % network, trained in 80 seconds: the 18 % network without normalization and with a dense layer of 64.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 145,578 parameters.
    Source: cuda-convnet, example-layers/layers-80sec.cfg.
    """
    size = _pooled_size(_pooled_size(_pooled_size(image_size)))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, kernel_size=5, padding=2),  # 32 x 32 x 32
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 32 x 16 x 16
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, kernel_size=5, padding=2),  # 32 x 16 x 16
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 32 x 8 x 8
            conv3=nn.Conv2d(32, 64, kernel_size=5, padding=2),  # 64 x 8 x 8
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 4 x 4
            flatten=nn.Flatten(),  # 1024
            fc64=nn.Linear(64 * size * size, 64),
            relu4=nn.ReLU(),
            fc10=nn.Linear(64, num_classes),
        )
    )


def _pooled_size(size: int) -> int:
    """The size after 3x3 pooling with stride 2 that rounds up."""
    return max(1, -(-(size - 3) // 2) + 1)
