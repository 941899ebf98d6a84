"""AlexNet by its author: the paper of 2012, the code behind it, its ablations, and the single tower of 2014.

His code rounds sizes up: an 11x11 convolution with stride 4 turns 224 pixels into 55, and the last window reads 3 zeros
beyond the right and lower border (the layer `border` below). 3x3 pooling with stride 2 clips its last window.
Needs only torch and its neighbors `lrn.py` and `layers.py`.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from classicnets.models.layers import SameMapNorm
from classicnets.models.lrn import LRN


def alexnet_2012(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """AlexNet as the paper describes it: two towers (groups=2), ReLU, LRN within a tower, overlapping pooling, dropout.

    Input: [N, in_channels, image_size, image_size], 0-255 minus the mean image. Output: logits [N, num_classes].
    60,965,224 parameters. LRN uses the printed formula; `alexnet_2012_code` is the code that produced the results.
    Source: Krizhevsky, Sutskever, Hinton, NIPS 2012, sections 3 and 4.
    """
    size = pooled_size(pooled_size(pooled_size(_output_size(image_size, 11, 4))))
    overhang = (11 - image_size) % 4
    return nn.Sequential(
        OrderedDict(
            border=nn.ZeroPad2d((0, overhang, 0, overhang)),  # 3 x 227 x 227
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            relu1=nn.ReLU(),
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="paper", groups=2),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 96 x 27 x 27
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # 256 x 27 x 27
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="paper", groups=2),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 13 x 13
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13: reads both towers
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # 256 x 13 x 13
            relu5=nn.ReLU(),
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            flatten=nn.Flatten(),  # 9216
            fc6=nn.Linear(256 * size * size, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(p=0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(p=0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )


def alexnet_2012_code(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """AlexNet as it was run, configuration 145: layer 1 normalizes before its ReLU, layer 2 normalizes twice.

    Input: [N, in_channels, image_size, image_size], 0-255 minus the mean image. Output: logits [N, num_classes].
    60,965,224 parameters. Source: computerhistory/AlexNet-Source-Code, layers/layers-145.cfg and layer-params-145.cfg.
    """
    size = pooled_size(pooled_size(pooled_size(_output_size(image_size, 11, 4))))
    overhang = (11 - image_size) % 4
    return nn.Sequential(
        OrderedDict(
            border=nn.ZeroPad2d((0, overhang, 0, overhang)),  # 3 x 227 x 227
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe", groups=2),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 96 x 27 x 27
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),  # 256 x 27 x 27
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe", groups=2),
            cnorm2=SameMapNorm(size=5, alpha=1e-3, beta=0.75, k=1.0),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 13 x 13
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13: reads both towers
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),  # 256 x 13 x 13
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def alexnet_2012_plain_pooling(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """The paper's ablation of overlapping pooling, configuration 147: `alexnet_2012_code` with 2x2 pooling, stride 2.

    Input: [N, in_channels, image_size, image_size], 0-255 minus the mean image. Output: logits [N, num_classes].
    60,965,224 parameters: conv2 and conv5 have less padding, so that the last feature map is 6 x 6 again.
    Source: computerhistory/AlexNet-Source-Code, layers/layers-147.cfg.
    """
    size = pooled_size(_output_size(image_size, 11, 4), 2)
    size = pooled_size(size - 2, 2)
    size = pooled_size(size - 2, 2)
    overhang = (11 - image_size) % 4
    return nn.Sequential(
        OrderedDict(
            border=nn.ZeroPad2d((0, overhang, 0, overhang)),  # 3 x 227 x 227
            conv1=nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # 96 x 55 x 55
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe", groups=2),
            pool1=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 96 x 28 x 28
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(96, 256, kernel_size=5, padding=1, groups=2),  # 256 x 26 x 26
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe", groups=2),
            cnorm2=SameMapNorm(size=5, alpha=1e-3, beta=0.75, k=1.0),
            pool2=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 256 x 13 x 13
            conv3=nn.Conv2d(256, 384, kernel_size=3, padding=1),  # 384 x 13 x 13: reads both towers
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),  # 384 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(384, 256, kernel_size=3, groups=2),  # 256 x 11 x 11
            pool5=nn.MaxPool2d(kernel_size=2, stride=2, ceil_mode=True),  # 256 x 6 x 6
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def alexnet_2012_one_tower(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """The paper's ablation of two GPUs, configuration 145-half: one tower of half the width up to conv4.

    Input: [N, in_channels, image_size, image_size], 0-255 minus the mean image. Output: logits [N, num_classes].
    59,798,312 parameters, because conv5 and the dense layers keep their width.
    Source: computerhistory/AlexNet-Source-Code, layers/layers-145-half.cfg.
    """
    size = pooled_size(pooled_size(pooled_size(_output_size(image_size, 11, 4))))
    overhang = (11 - image_size) % 4
    return nn.Sequential(
        OrderedDict(
            border=nn.ZeroPad2d((0, overhang, 0, overhang)),  # 3 x 227 x 227
            conv1=nn.Conv2d(in_channels, 48, kernel_size=11, stride=4),  # 48 x 55 x 55
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 48 x 27 x 27
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(48, 128, kernel_size=5, padding=2),  # 128 x 27 x 27
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            cnorm2=SameMapNorm(size=5, alpha=1e-3, beta=0.75, k=1.0),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 128 x 13 x 13
            conv3=nn.Conv2d(128, 192, kernel_size=3, padding=1),  # 192 x 13 x 13
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(192, 192, kernel_size=3, padding=1),  # 192 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(192, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def alexnet_2014(num_classes: int = 1000, in_channels: int = 3, image_size: int = 224) -> nn.Sequential:
    """The "one weird trick" AlexNet of cuda-convnet2: one tower of 64/192/384/256/256 channels, with LRN.

    Input: [N, in_channels, image_size, image_size], 0-255 minus the mean image. Output: logits [N, num_classes].
    61,100,840 parameters. The paper's footnote prints 384 channels for conv4; the released configuration has 256.
    Source: akrizhevsky/cuda-convnet2, layers-imagenet-1gpu.cfg; Krizhevsky, arXiv:1404.5997.
    """
    size = pooled_size(pooled_size(pooled_size(_output_size(image_size, 11, 4))))
    overhang = (11 - image_size) % 4
    return nn.Sequential(
        OrderedDict(
            border=nn.ZeroPad2d((0, overhang, 0, overhang)),  # 3 x 227 x 227
            conv1=nn.Conv2d(in_channels, 64, kernel_size=11, stride=4),  # 64 x 55 x 55
            norm1=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            pool1=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 64 x 27 x 27
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(64, 192, kernel_size=5, padding=2),  # 192 x 27 x 27
            relu2=nn.ReLU(),
            norm2=LRN(size=5, alpha=1e-4, beta=0.75, k=2.0, convention="caffe"),
            pool2=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 192 x 13 x 13
            conv3=nn.Conv2d(192, 384, kernel_size=3, padding=1),  # 384 x 13 x 13
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(384, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            relu4=nn.ReLU(),
            conv5=nn.Conv2d(256, 256, kernel_size=3, padding=1),  # 256 x 13 x 13
            pool5=nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True),  # 256 x 6 x 6
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),  # 9216
            **dense_layers(256 * size * size, num_classes),
        )
    )


def dense_layers(inputs: int, num_classes: int) -> OrderedDict[str, nn.Module]:
    """Return AlexNet's classifier (not torchvision's): 4096, 4096, `num_classes`, dropout after the first two."""
    return OrderedDict(
        fc6=nn.Linear(inputs, 4096),
        relu6=nn.ReLU(),
        drop6=nn.Dropout(p=0.5),
        fc7=nn.Linear(4096, 4096),
        relu7=nn.ReLU(),
        drop7=nn.Dropout(p=0.5),
        fc8=nn.Linear(4096, num_classes),
    )


def _output_size(size: int, kernel: int, stride: int) -> int:
    """The output size of a convolution or pooling that rounds up."""
    return -(-(size - kernel) // stride) + 1


def pooled_size(size: int, window: int = 3) -> int:
    """Return the output size of pooling with stride 2 that rounds up, at least 1."""
    return max(1, _output_size(size, window, 2))
