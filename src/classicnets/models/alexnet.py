"""AlexNet as *Dive into Deep Learning* prints it, and our own AlexNet for 28x28 pictures. Needs torch alone."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def alexnet_d2l(num_classes: int = 10, in_channels: int = 1, image_size: int = 224) -> nn.Sequential:
    """AlexNet of d2l, second Chinese edition and English 1.0: one tower, no LRN, conv1 padded by 1 (so 54, not 55).

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits; 46,764,746 parameters as in the book.
    Source: d2l-ai/d2l-zh, chapter_convolutional-modern/alexnet.md (PyTorch).
    """
    side = (image_size + 2 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    side = max(1, side)
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
            fc6=nn.Linear(256 * side * side, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )


def alexnet_28(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> nn.Sequential:
    """OURS, from no paper: AlexNet's ideas (five convolutions, overlapping pooling, ReLU, dropout, two wide dense
    layers) at about a third of its width, for pictures of 28x28 on a laptop: 3.2 million parameters, 26 million MACs.

    Reads `in_channels` x `image_size` x `image_size`, gives `num_classes` logits.
    """
    side = image_size
    for _ in range(3):
        side = (side - 3) // 2 + 1
    side = max(1, side)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(in_channels, 32, kernel_size=5, padding=2),  # 32 x 28 x 28
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2),  # 32 x 13 x 13
            conv2=nn.Conv2d(32, 80, kernel_size=5, padding=2),  # 80 x 13 x 13
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2),  # 80 x 6 x 6
            conv3=nn.Conv2d(80, 128, kernel_size=3, padding=1),  # 128 x 6 x 6
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(128, 128, kernel_size=3, padding=1),  # 128 x 6 x 6
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(128, 80, kernel_size=3, padding=1),  # 80 x 6 x 6
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 80 x 2 x 2
            flatten=nn.Flatten(),  # 320
            fc6=nn.Linear(80 * side * side, 1536),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(1536, 1536),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(1536, num_classes),
        )
    )
