"""The names of *Dive into Deep Learning*'s package over our parts, so that the listings of its chapters on LeNet and
AlexNet run with one import changed: `from classicnets.compat import d2l` for `from d2l import torch as d2l`.

Second Chinese edition (d2l 0.17) and English edition 1.0, both PyTorch; what differs is told in docs/d2l.md.
Source: zh.d2l.ai and d2l.ai, the two chapters and what they call of the chapters before them.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from classicnets.compat.chapter6 import (
    Accumulator,
    Timer,
    accuracy,
    evaluate_accuracy,
    evaluate_accuracy_gpu,
    init_cnn,
    load_data_fashion_mnist,
    train_ch6,
)
from classicnets.compat.classes import (
    AlexNet,
    Classifier,
    DataModule,
    FashionMNIST,
    HyperParameters,
    LeNet,
    Module,
    Trainer,
    add_to_class,
)
from classicnets.compat.drawing import (
    Animator,
    ProgressBoard,
    get_fashion_mnist_labels,
    set_axes,
    set_figsize,
    show_images,
    use_svg_display,
)
from classicnets.compat.tensors import (
    argmax,
    astype,
    cpu,
    gpu,
    num_gpus,
    numpy,
    randn,
    reduce_mean,
    reduce_sum,
    reshape,
    size,
    to,
    try_all_gpus,
    try_gpu,
)
from classicnets.text import nearest

__all__ = [
    "Accumulator",
    "AlexNet",
    "Animator",
    "Classifier",
    "DataModule",
    "F",
    "FashionMNIST",
    "HyperParameters",
    "LeNet",
    "Module",
    "ProgressBoard",
    "Timer",
    "Trainer",
    "accuracy",
    "add_to_class",
    "argmax",
    "astype",
    "cpu",
    "evaluate_accuracy",
    "evaluate_accuracy_gpu",
    "get_fashion_mnist_labels",
    "gpu",
    "init_cnn",
    "load_data_fashion_mnist",
    "nn",
    "np",
    "num_gpus",
    "numpy",
    "plt",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "reshape",
    "set_axes",
    "set_figsize",
    "show_images",
    "size",
    "to",
    "torch",
    "train_ch6",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
]


def __getattr__(name: str) -> NoReturn:
    near = nearest(name, __all__)
    meant = f" Did you mean {near}?" if near else ""
    raise AttributeError(
        f"classicnets.compat.d2l has no {name!r}.{meant} It has what the LeNet and AlexNet chapters use: "
        + ", ".join(__all__),
        name=name,
    )
