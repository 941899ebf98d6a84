"""LeNet as the editions of *Dive into Deep Learning* print it. Needs torch alone."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def lenet_d2l(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet of d2l, second Chinese edition and English 1.0: sigmoid, average pooling, conv1 padded by 2.

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits; 61,706 parameters as in the book.
    Source: d2l-ai/d2l-zh, chapter_convolutional-neural-networks/lenet.md (PyTorch).
    """
    side = max(1, (image_size // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),  # 6 x 28 x 28
            sigmoid1=nn.Sigmoid(),
            pool1=nn.AvgPool2d(kernel_size=2, stride=2),  # 6 x 14 x 14
            conv2=nn.Conv2d(6, 16, kernel_size=5),  # 16 x 10 x 10
            sigmoid2=nn.Sigmoid(),
            pool2=nn.AvgPool2d(kernel_size=2, stride=2),  # 16 x 5 x 5
            flatten=nn.Flatten(),  # 400
            fc1=nn.Linear(16 * side * side, 120),
            sigmoid3=nn.Sigmoid(),
            fc2=nn.Linear(120, 84),
            sigmoid4=nn.Sigmoid(),
            fc3=nn.Linear(84, num_classes),
        )
    )


def lenet_d2l_v1(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """LeNet of d2l's first edition (Gluon): sigmoid, max pooling, no padding.

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits; 44,426 parameters as in the book.
    Source: d2l-ai/d2l-zh, branch v1, chapter_convolutional-neural-networks/lenet.md (Apache MXNet).
    """
    side = max(1, ((image_size - 4) // 2 - 4) // 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 6, kernel_size=5),  # 6 x 24 x 24
            sigmoid1=nn.Sigmoid(),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2),  # 6 x 12 x 12
            conv2=nn.Conv2d(6, 16, kernel_size=5),  # 16 x 8 x 8
            sigmoid2=nn.Sigmoid(),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2),  # 16 x 4 x 4
            flatten=nn.Flatten(),  # 256
            fc1=nn.Linear(16 * side * side, 120),
            sigmoid3=nn.Sigmoid(),
            fc2=nn.Linear(120, 84),
            sigmoid4=nn.Sigmoid(),
            fc3=nn.Linear(84, num_classes),
        )
    )
