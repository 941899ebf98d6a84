"""VGG-16, for comparison with the networks before it. Needs only torch."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def vgg16(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """VGG-16 (configuration D): thirteen 3x3 convolutions in five blocks, three dense layers.

    Input: [N, in_channels, image_size, image_size]. Output: logits [N, num_classes]. 138,357,544 parameters, 15.5 G
    MACs. Source: Simonyan and Zisserman, arXiv:1409.1556 (2014).
    """
    size = max(1, image_size // 32)
    return nn.Sequential(
        OrderedDict(
            conv1_1=nn.Conv2d(in_channels, 64, kernel_size=3, padding=1),  # 64 x 224 x 224
            relu1_1=nn.ReLU(),
            conv1_2=nn.Conv2d(64, 64, kernel_size=3, padding=1),  # 64 x 224 x 224
            relu1_2=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2),  # 64 x 112 x 112
            conv2_1=nn.Conv2d(64, 128, kernel_size=3, padding=1),  # 128 x 112 x 112
            relu2_1=nn.ReLU(),
            conv2_2=nn.Conv2d(128, 128, kernel_size=3, padding=1),  # 128 x 112 x 112
            relu2_2=nn.ReLU(),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2),  # 128 x 56 x 56
            conv3_1=nn.Conv2d(128, 256, kernel_size=3, padding=1),  # 256 x 56 x 56
            relu3_1=nn.ReLU(),
            conv3_2=nn.Conv2d(256, 256, kernel_size=3, padding=1),  # 256 x 56 x 56
            relu3_2=nn.ReLU(),
            conv3_3=nn.Conv2d(256, 256, kernel_size=3, padding=1),  # 256 x 56 x 56
            relu3_3=nn.ReLU(),
            pool3=nn.MaxPool2d(kernel_size=2, stride=2),  # 256 x 28 x 28
            conv4_1=nn.Conv2d(256, 512, kernel_size=3, padding=1),  # 512 x 28 x 28
            relu4_1=nn.ReLU(),
            conv4_2=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 28 x 28
            relu4_2=nn.ReLU(),
            conv4_3=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 28 x 28
            relu4_3=nn.ReLU(),
            pool4=nn.MaxPool2d(kernel_size=2, stride=2),  # 512 x 14 x 14
            conv5_1=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 14 x 14
            relu5_1=nn.ReLU(),
            conv5_2=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 14 x 14
            relu5_2=nn.ReLU(),
            conv5_3=nn.Conv2d(512, 512, kernel_size=3, padding=1),  # 512 x 14 x 14
            relu5_3=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=2, stride=2),  # 512 x 7 x 7
            flatten=nn.Flatten(),  # 25088
            fc6=nn.Linear(512 * size * size, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )
