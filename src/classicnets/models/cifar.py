"""Krizhevsky's nets for CIFAR-10, named after their test error. Needs torch and its neighbors in this room alone.

cuda-convnet rounds the sides of a pool up: 24 -> 12 -> 6 with windows of 3 every 2, the last one clipped at the border.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.layers import LocalConv2d, SameMapNorm
from classicnets.models.lrn import LRN


def cifar10_13pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 24) -> nn.Sequential:
    """The 13 % net: two convolutions, then two locally connected layers, whose weights are not shared between places.

    Reads `in_channels` x `image_size` x `image_size` (24x24 crops of CIFAR-10), gives `num_classes` logits; 1,116,490
    parameters. Source: cuda-convnet, example-layers/layers-conv-local-13pct.cfg.
    """
    side = _pooled(_pooled(image_size))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 64, kernel_size=5, padding=2),  # 64 x 24 x 24
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 12 x 12
            conv2=nn.Conv2d(64, 64, kernel_size=5, padding=2),  # 64 x 12 x 12
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 6 x 6
            local3=LocalConv2d(64, 32, 3, (side, side), padding=1),  # 32 x 6 x 6
            relu3=nn.ReLU(),
            local4=LocalConv2d(32, 32, 3, (side, side), padding=1),  # 32 x 6 x 6
            relu4=nn.ReLU(),
            flatten=nn.Flatten(),  # 1152
            fc10=nn.Linear(32 * side * side, num_classes),
        )
    )


def cifar10_11pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 24) -> nn.Sequential:
    """The 11 % net: the 13 % net with response normalization across nine maps, and twice as many maps in local3.

    Reads `in_channels` x `image_size` x `image_size` (24x24 crops of CIFAR-10), gives `num_classes` logits; 2,112,970
    parameters. Source: cuda-convnet2, layers/layers-cifar10-11pct.cfg.
    """
    side = _pooled(_pooled(image_size))
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
            local3=LocalConv2d(64, 64, 3, (side, side), padding=1),  # 64 x 6 x 6
            relu3=nn.ReLU(),
            local4=LocalConv2d(64, 32, 3, (side, side), padding=1),  # 32 x 6 x 6
            relu4=nn.ReLU(),
            flatten=nn.Flatten(),  # 1152
            fc10=nn.Linear(32 * side * side, num_classes),
        )
    )


def cifar10_18pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> nn.Sequential:
    """The 18 % net: three convolutions, one maximum and two averages, normalization over 3x3 places of the same map.

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits; 89,578 parameters.
    Source: cuda-convnet, example-layers/layers-18pct.cfg.
    """
    side = _pooled(_pooled(_pooled(image_size)))
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
            fc10=nn.Linear(64 * side * side, num_classes),
        )
    )


def cifar10_26pct(num_classes: int = 10, in_channels: int = 3, image_size: int = 32) -> nn.Sequential:
    """The 26 % net, trained in 80 seconds: the 18 % net without normalization and with a dense layer of 64.

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits; 145,578 parameters.
    Source: cuda-convnet, example-layers/layers-80sec.cfg.
    """
    side = _pooled(_pooled(_pooled(image_size)))
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
            fc64=nn.Linear(64 * side * side, 64),
            relu4=nn.ReLU(),
            fc10=nn.Linear(64, num_classes),
        )
    )


def _pooled(side: int) -> int:
    """The side after a pool of 3 pixels every 2 that rounds up."""
    return max(1, -(-(side - 3) // 2) + 1)
