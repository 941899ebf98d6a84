"""The API of *Dive into Deep Learning*: runs its listings up to densenet with one changed import.

Write `from classicnets.compat import d2l` instead of `from d2l import torch as d2l`. This covers chapters 3, 4, 6 and 7
of the second Chinese edition (d2l 0.17), and chapters 3, 4, 5, 7 and 8 (to 8.7) of the English edition 1.0, both for
PyTorch; docs/d2l.md lists the sections and the differences.
Source: zh.d2l.ai and d2l.ai, these chapters and the functions of other chapters that they call.
"""

from __future__ import annotations

import dis
import sys
from types import FrameType
from typing import NoReturn

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import nn
from torch.nn import functional as F

from classicnets.compat.blocks import (
    Residual,
    ResNeXtBlock,
    corr2d,
)
from classicnets.compat.chapter3 import (
    evaluate_loss,
    get_dataloader_workers,
    linreg,
    load_array,
    load_data_mnist,
    predict_ch3,
    sgd,
    squared_loss,
    synthetic_data,
    train_ch3,
    train_epoch_ch3,
)
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
    MNIST,
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
from classicnets.compat.downloads import (
    DATA_HUB,
    DATA_URL,
    download,
    download_all,
    download_extract,
    extract,
)
from classicnets.compat.drawing import (
    Animator,
    ProgressBoard,
    get_fashion_mnist_labels,
    plot,
    set_axes,
    set_figsize,
    show_images,
    use_svg_display,
)
from classicnets.compat.linear import (
    SGD,
    LinearRegression,
    LinearRegressionScratch,
    SoftmaxRegression,
    SyntheticRegressionData,
)
from classicnets.compat.other_chapters import chapters_of, other_names
from classicnets.compat.tensors import (
    abs,
    arange,
    argmax,
    astype,
    batch_matmul,
    concat,
    cos,
    cosh,
    cpu,
    exp,
    expand_dims,
    eye,
    float32,
    gpu,
    int32,
    int64,
    linspace,
    log,
    matmul,
    meshgrid,
    normal,
    num_gpus,
    numpy,
    ones,
    ones_like,
    rand,
    randn,
    reduce_mean,
    reduce_sum,
    repeat,
    reshape,
    sigmoid,
    sin,
    sinh,
    size,
    stack,
    swapaxes,
    tanh,
    tensor,
    to,
    transpose,
    try_all_gpus,
    try_gpu,
    zeros,
    zeros_like,
)
from classicnets.text import _, command, join, nearest

nn_Module = nn.Module  # noqa: N816 - the book's name
__all__ = [
    "DATA_HUB",
    "DATA_URL",
    "MNIST",
    "SGD",
    "Accumulator",
    "AlexNet",
    "Animator",
    "Classifier",
    "DataModule",
    "F",
    "FashionMNIST",
    "HyperParameters",
    "LeNet",
    "LinearRegression",
    "LinearRegressionScratch",
    "Module",
    "ProgressBoard",
    "ResNeXtBlock",
    "Residual",
    "SoftmaxRegression",
    "SyntheticRegressionData",
    "Timer",
    "Trainer",
    "abs",
    "accuracy",
    "add_to_class",
    "arange",
    "argmax",
    "astype",
    "batch_matmul",
    "concat",
    "corr2d",
    "cos",
    "cosh",
    "cpu",
    "download",
    "download_all",
    "download_extract",
    "evaluate_accuracy",
    "evaluate_accuracy_gpu",
    "evaluate_loss",
    "exp",
    "expand_dims",
    "extract",
    "eye",
    "float32",
    "get_dataloader_workers",
    "get_fashion_mnist_labels",
    "gpu",
    "init_cnn",
    "int32",
    "int64",
    "linreg",
    "linspace",
    "load_array",
    "load_data_fashion_mnist",
    "load_data_mnist",
    "log",
    "matmul",
    "meshgrid",
    "nn",
    "nn_Module",
    "normal",
    "np",
    "num_gpus",
    "numpy",
    "ones",
    "ones_like",
    "plot",
    "plt",
    "predict_ch3",
    "rand",
    "randn",
    "reduce_mean",
    "reduce_sum",
    "repeat",
    "reshape",
    "set_axes",
    "set_figsize",
    "sgd",
    "show_images",
    "sigmoid",
    "sin",
    "sinh",
    "size",
    "squared_loss",
    "stack",
    "swapaxes",
    "synthetic_data",
    "tanh",
    "tensor",
    "to",
    "torch",
    "train_ch3",
    "train_ch6",
    "train_epoch_ch3",
    "transpose",
    "try_all_gpus",
    "try_gpu",
    "use_svg_display",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> NoReturn:
    message = _message(name)
    # `from ... import NAME` replaces the message of an AttributeError by one of its own
    if _is_from_import(sys._getframe(1)):
        raise ImportError(message, name=__name__)
    raise AttributeError(message, name=name)


def _message(name: str) -> str:
    """Why `name` does not exist: another chapter of the book has it, or it is misspelled or unknown."""
    places = chapters_of(name)
    if places:
        chapters = [
            _("chapter {number} ({subject}) of {edition}", number=number, subject=subject, edition=edition.title())
            for number, subject, edition in places
        ]
        installs = [command("pip", "install", edition.release) for _number, _subject, edition in places]
        return _(
            "classicnets.compat.d2l has no {name!r}: it belongs to {chapters}. The book's own package has it:"
            " {installs}",
            name=name,
            chapters=join(chapters),
            installs=join(installs),
        )
    near = nearest(name, [*__all__, *other_names()])
    if near:
        return _("classicnets.compat.d2l has no {name!r}. Did you mean {near}?", name=name, near=near)
    return _(
        "classicnets.compat.d2l has no {name!r}, nor has the book's package. `print(d2l.__all__)` lists the names that"
        " it has.",
        name=name,
    )


def _is_from_import(frame: FrameType) -> bool:
    """Whether `frame` executes `from ... import NAME`."""
    return frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]
