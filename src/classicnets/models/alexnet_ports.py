"""AlexNet in torchvision, Caffe, MXNet and *Dive into Deep Learning*, and our own network for 28x28 images.

Needs only torch and its neighbors `alexnet.py` and `lrn.py`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

from classicnets.models.alexnet import dense_layers, pooled_size
from classicnets.models.lrn import LRN
from classicnets.models.messages import ModelError


class ShrinkingPool(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling to size x size that rejects smaller inputs, for which torch would copy pixels."""

    output_size: tuple[int, int]

    def __init__(self, size: int) -> None:
        super().__init__((size, size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [N, C, H, W] to [N, C, size, size]; an input of this size does not change. Raises ValueError below it."""
        height, width = self.output_size
        if x.shape[-2] < height or x.shape[-1] < width:
            raise ModelError(
                "{rows}x{columns} is less than {height}x{width}: pooling would copy pixels",
                rows=x.shape[-2],
                columns=x.shape[-1],
                height=height,
                width=width,
            )
        return super().forward(x)


def alexnet_torchvision(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:  # noqa: ARG001
    """AlexNet of torchvision: the single tower of 2014 without LRN, conv1 padded by 2, dropout before fc6 and fc7.

    Input: [N, in_channels, 224, 224]. Output: logits [N, num_classes]. 61,100,840 parameters with torchvision's names,
    so that its state_dict loads. Images of 223 to 254 pixels pass `avgpool` unchanged; larger ones are averaged to
    6 x 6, as in torchvision. Smaller ones (torchvision accepts 63 and more) are rejected: `avgpool` would copy pixels.
    Source: pytorch/vision, torchvision/models/alexnet.py; Krizhevsky, arXiv:1404.5997.
    """
    features = nn.Sequential(
        nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),  # 64 x 55 x 55
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),  # 64 x 27 x 27
        nn.Conv2d(64, 192, kernel_size=5, padding=2),  # 192 x 27 x 27
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),  # 192 x 13 x 13
        nn.Conv2d(192, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
        nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
        nn.ReLU(),
        nn.Conv2d(256, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 6 x 6
    )
    classifier = nn.Sequential(
        nn.Dropout(p=0.5),
        nn.Linear(256 * 6 * 6, 4096),
        nn.ReLU(),
        nn.Dropout(p=0.5),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )
    return nn.Sequential(
        OrderedDict(
            features=features,
            avgpool=ShrinkingPool(6),  # 256 x 6 x 6
            flatten=nn.Flatten(),  # 9216
            classifier=classifier,
        )
    )


def alexnet_caffe(num_classes: int = 1000, in_channels: int = 3, image_size: int = 227) -> nn.Sequential:
    """Caffe's bvlc_alexnet: 227x227, grouped convolutions, LRN with k = 1 across the towers, then pooling.

    Input: [N, in_channels, image_size, image_size], BGR, 0-255 minus the mean image. Output: logits [N, num_classes].
    60,965,224 parameters. Source: BVLC/caffe, models/bvlc_alexnet.
    """
    size = pooled_size(pooled_size(pooled_size((image_size - 11) // 4 + 1)))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            relu1=nn.ReLU(),
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=1.0, convention="caffe"),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 96 x 27 x 27
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # 256 x 27 x 27
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=1.0, convention="caffe"),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 13 x 13
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # 256 x 13 x 13
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def caffenet(num_classes: int = 1000, in_channels: int = 3, image_size: int = 227) -> nn.Sequential:
    """Caffe's CaffeNet (bvlc_reference_caffenet): `alexnet_caffe` with pooling before LRN.

    Input: [N, in_channels, image_size, image_size], BGR, 0-255 minus the mean image. Output: logits [N, num_classes].
    60,965,224 parameters. Source: BVLC/caffe, models/bvlc_reference_caffenet.
    """
    size = pooled_size(pooled_size(pooled_size((image_size - 11) // 4 + 1)))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 96 x 27 x 27
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=1.0, convention="caffe"),
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # 256 x 27 x 27
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 13 x 13
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=1.0, convention="caffe"),
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # 256 x 13 x 13
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def alexnet_mxnet(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """MXNet's symbol AlexNet: one tower as wide as both (no groups), conv1 without padding or rounding up.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 50,844,008 parameters for 224,
    with sizes 54, 26, 12, 5; 62,378,344 for 227 (55, 27, 13, 6).
    Source: apache/mxnet, example/image-classification/symbols/alexnet.py (v0.11 to v1.9).
    """
    size = _size_after_three_pools((image_size - 11) // 4 + 1)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 54 x 54
            relu1=nn.ReLU(),
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 26 x 26
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2),  # 256 x 26 x 26
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 12 x 12
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 12 x 12
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 5 x 5
            flatten=nn.Flatten(),  # 6400
            **dense_layers(256 * size * size, num_classes),
        )
    )


def alexnet_d2l_v1(num_classes: int = 10, in_channels: int = 1, image_size: int = 224) -> nn.Sequential:
    """AlexNet of d2l's first edition (Gluon): one tower, no LRN, conv1 without padding (so 54, not 55).

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 46,764,746 parameters.
    Source: d2l-ai/d2l-zh, branch v1, chapter_convolutional-neural-networks/alexnet.md (Apache MXNet).
    """
    size = _size_after_three_pools((image_size - 11) // 4 + 1)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 54 x 54
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 26 x 26
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2),  # 256 x 26 x 26
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 12 x 12
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 12 x 12
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 5 x 5
            flatten=nn.Flatten(),  # 6400
            **dense_layers(256 * size * size, num_classes),
        )
    )


def _size_after_three_pools(size: int) -> int:
    """The size after three times 3x3 pooling with stride 2 that rounds down, at least 1."""
    for _ in range(3):
        size = (size - 3) // 2 + 1
    return max(1, size)


def alexnet_d2l(num_classes: int = 10, in_channels: int = 1, image_size: int = 224) -> nn.Sequential:
    """AlexNet of d2l, second Chinese edition and English 1.0: one tower, no LRN, conv1 padded by 1 (so 54, not 55).

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 46,764,746 parameters as in the
    book. Source: d2l-ai/d2l-zh, chapter_convolutional-modern/alexnet.md (PyTorch).
    """
    size = _size_after_three_pools((image_size + 2 - 11) // 4 + 1)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4, padding=1),  # 96 x 54 x 54
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 96 x 26 x 26
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2),  # 256 x 26 x 26
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 12 x 12
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1),  # 384 x 12 x 12
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 12 x 12
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 256 x 5 x 5
            flatten=nn.Flatten(),  # 6400
            fc6=nn.Linear(256 * size * size, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )


def alexnet_28(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """Our own network, not from a paper: AlexNet's ideas for 28x28 images on a laptop.

    Five convolutions, overlapping pooling, normalization, ReLU, dropout and wide dense layers: 1.2 million parameters,
    30 million MACs. Batch normalization is of 2015, a year after all other networks here.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes].
    """
    size = (image_size - 1) // 2 + 1
    size = (size - 1) // 2 + 1
    size = max(1, (size - 3) // 2 + 1)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, kernel_size=5, padding=2, bias=False),  # 32 x 28 x 28
            norm1=nn.BatchNorm2d(32),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 32 x 14 x 14
            conv2=nn.Conv2d(32, 64, kernel_size=5, padding=2, bias=False),  # 64 x 14 x 14
            norm2=nn.BatchNorm2d(64),
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(64, 64, kernel_size=3, padding=1, bias=False),  # 64 x 14 x 14
            norm3=nn.BatchNorm2d(64),
            relu3=nn.ReLU(),
            pool3=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 64 x 7 x 7
            conv4=nn.Conv2d(64, 128, kernel_size=3, padding=1, bias=False),  # 128 x 7 x 7
            norm4=nn.BatchNorm2d(128),
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(128, 128, kernel_size=3, padding=1, bias=False),  # 128 x 7 x 7
            norm5=nn.BatchNorm2d(128),
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 128 x 3 x 3
            flatten=nn.Flatten(),  # 1152
            fc6=nn.Linear(128 * size * size, 512),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(512, 512),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(512, num_classes),
        )
    )
