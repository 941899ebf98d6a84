"""Our own network for folders of images. Needs only torch."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.messages import ModelError


def convnet_48(num_classes: int = 10, in_channels: int = 3, image_size: int = 48) -> nn.Sequential:
    """Our own network, not from a paper: five 3x3 convolutions for the folder of images that you have.

    VGG's small windows (2014), with batch normalization (2015) and one global average instead of wide dense layers, so
    that a thousand images are enough to train it: 0.5 million parameters, 55 million MACs.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes].
    """
    if image_size < 8:
        raise ModelError(
            "three poolings need images of at least 8x8 pixels, not {image_size}x{image_size}",
            image_size=image_size,
        )
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, kernel_size=3, padding=1, bias=False),  # 32 x 48 x 48
            norm1=nn.BatchNorm2d(32),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2),  # 32 x 24 x 24
            conv2=nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False),  # 64 x 24 x 24
            norm2=nn.BatchNorm2d(64),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2),  # 64 x 12 x 12
            conv3=nn.Conv2d(64, 128, kernel_size=3, padding=1, bias=False),  # 128 x 12 x 12
            norm3=nn.BatchNorm2d(128),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(128, 128, kernel_size=3, padding=1, bias=False),  # 128 x 12 x 12
            norm4=nn.BatchNorm2d(128),
            relu4=nn.ReLU(),
            pool4=nn.MaxPool2d(kernel_size=2, stride=2),  # 128 x 6 x 6
            conv5=nn.Conv2d(128, 256, kernel_size=3, padding=1, bias=False),  # 256 x 6 x 6
            norm5=nn.BatchNorm2d(256),
            relu5=nn.ReLU(),
            pool5=nn.AdaptiveAvgPool2d(1),  # 256 x 1 x 1
            flatten=nn.Flatten(),  # 256
            drop6=nn.Dropout(p=0.2),
            fc6=nn.Linear(256, num_classes),
        )
    )
