"""Small networks whose runs several processes share."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.lrn import LRN


def one_tower(num_classes: int = 10, in_channels: int = 1, image_size: int = 16) -> nn.Sequential:
    """Convolutions, batch normalization and three dense layers with dropout."""
    size = image_size // 4
    return nn.Sequential(
        nn.Conv2d(in_channels, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(4 * size * size, 64),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(64, 48),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(48, num_classes),
    )


def two_towers(num_classes: int = 10, in_channels: int = 1, image_size: int = 16) -> nn.Sequential:
    """The form of the AlexNet of 2012: the towers cross at conv3 and at the dense layers."""
    size = image_size // 8
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 8, 3, padding=1),
            relu1=nn.ReLU(),
            norm1=LRN(size=3, alpha=1.0, beta=0.75, k=2.0, groups=2),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(8, 12, 3, padding=1, groups=2),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(12, 8, 3, padding=1),
            relu3=nn.ReLU(),
            pool3=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc6=nn.Linear(8 * size * size, 12),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(12, num_classes),
        )
    )
