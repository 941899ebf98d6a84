"""The API of *Dive into Deep Learning*: runs the listings of its chapters on LeNet and AlexNet with one changed import.

Write `from classicnets.compat import d2l` instead of `from d2l import torch as d2l`. This covers the second Chinese
edition (d2l 0.17) and the English edition 1.0, both for PyTorch; docs/d2l.md lists the differences.
Source: zh.d2l.ai and d2l.ai, the two chapters and the functions of earlier chapters that they call.
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
from classicnets.text import _, nearest

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
    values = {"name": name, "near": nearest(name, __all__), "names": ", ".join(__all__)}
    if values["near"]:
        message = _(
            "classicnets.compat.d2l has no {name!r}. Did you mean {near}? It has the names of the LeNet and AlexNet"
            " chapters: {names}",
            **values,
        )
    else:
        message = _(
            "classicnets.compat.d2l has no {name!r}. It has the names of the LeNet and AlexNet chapters: {names}",
            **values,
        )
    raise AttributeError(message, name=name)
