"""Networks of the studies that come with the package, small enough for many runs on a laptop."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.lrn import LRN


def four_layers() -> nn.Sequential:
    """Three convolutions and a dense layer, without regularization.

    Stands for the network of Figure 1 of Krizhevsky et al. 2012, a "four-layer convolutional network" that the paper
    does not describe. Input: [N, 1, 28, 28]. Output: logits [N, 10].
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, kernel_size=5, padding=2),  # 16 x 28 x 28
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # 16 x 14 x 14
            conv2=nn.Conv2d(16, 16, kernel_size=5, padding=2),  # 16 x 14 x 14
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(kernel_size=3, stride=2, padding=1),  # 16 x 7 x 7
            conv3=nn.Conv2d(16, 32, kernel_size=5, padding=2),  # 32 x 7 x 7
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(kernel_size=3, stride=2),  # 32 x 3 x 3
            flatten=nn.Flatten(),  # 288
            fc4=nn.Linear(32 * 3 * 3, 10),
        )
    )


def overlapping() -> nn.Sequential:
    """AlexNet of 2012 for images of 28x28: LRN after the first two layers, 3x3 pooling with stride 2, dropout.

    LRN is that of classicnets, which is like nn.LocalResponseNorm, and faster. Input: [N, 1, 28, 28]. Output: logits
    [N, 10].
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, kernel_size=5, padding=2),  # 16 x 28 x 28
            relu1=nn.ReLU(),
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 16 x 14 x 14
            conv2=nn.Conv2d(16, 32, kernel_size=5, padding=2),  # 32 x 14 x 14
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 32 x 7 x 7
            conv3=nn.Conv2d(32, 48, kernel_size=3, padding=1),  # 48 x 7 x 7
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(48, 48, kernel_size=3, padding=1),  # 48 x 7 x 7
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(48, 32, kernel_size=3, padding=1),  # 32 x 7 x 7
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2),  # 32 x 3 x 3
            flatten=nn.Flatten(),  # 288
            fc6=nn.Linear(32 * 3 * 3, 256),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(256, 256),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(256, 10),
        )
    )


def unnormalized() -> nn.Sequential:
    """The network `overlapping` without LRN."""
    net = overlapping()
    del net.norm1, net.norm2
    return net


def plain() -> nn.Sequential:
    """The network `overlapping` with 2x2 pooling; all sizes stay, as in configuration 147 of cuda-convnet."""
    net = overlapping()
    net.pool1 = nn.MaxPool2d(kernel_size=2, stride=2)  # 16 x 14 x 14
    net.pool2 = nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True)  # 32 x 7 x 7
    net.pool5 = nn.MaxPool2d(kernel_size=2, stride=2)  # 32 x 3 x 3
    return net


def mlp() -> nn.Sequential:
    """Two dense layers, as LeCun et al. 1998 compared LeNet with. Input: [N, 1, 28, 28]. Output: logits [N, 10]."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),  # 784
            fc1=nn.Linear(784, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 10),
        )
    )


def dense() -> nn.Sequential:
    """Two hidden layers of 100 units: DropConnect draws a mask for each image, so that wide layers would take minutes.

    Input: [N, 1, 28, 28]. Output: logits [N, 10].
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),  # 784
            fc1=nn.Linear(784, 100),
            relu1=nn.ReLU(),
            fc2=nn.Linear(100, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, 10),
        )
    )
