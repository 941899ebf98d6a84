"""A "did you mean" names only what the user means: a misspelling or an abbreviation, not another thing."""

from __future__ import annotations

import pytest

from classicnets.datasets.catalog import DATASETS
from classicnets.models.registry import NETS
from classicnets.models.variants import CHOICES
from classicnets.recipes.resolve import SETTINGS
from classicnets.text import nearest

NAMES: dict[str, tuple[str, ...]] = {
    "network": tuple(NETS),
    "data set": tuple(DATASETS),
    "setting": SETTINGS,
    "command": ("list", "show", "data", "train", "evaluate", "predict", "export", "weights", "explain", "doctor"),
    "activation": CHOICES["activation"],
    "initialization": ("as_built", "xavier_uniform", "xavier_uniform_zero_bias", "caffe_xavier", "normal"),
    "layer": ("conv1", "conv2", "fc1", "fc2", "features.0"),
    "class": ("dog", "cat", "ankle boot"),
}


@pytest.mark.parametrize(
    ("kind", "word", "name"),
    [
        ("network", "lenet_dl2", "lenet_d2l"),
        ("network", "LeNet-D2L", "lenet_d2l"),
        ("network", "lenetd2l", "lenet_d2l"),
        ("network", "lenet_caffee", "lenet_caffe"),
        ("network", "cafenet", "caffenet"),
        ("network", "vgg-16", "vgg16"),
        ("network", "alexnet2012", "alexnet_2012"),
        ("network", "alexnet_torch", "alexnet_torchvision"),
        ("data set", "mnits", "mnist"),
        ("data set", "FashionMNIST", "fashion_mnist"),
        ("data set", "fashion", "fashion_mnist"),
        ("data set", "cifar-10", "cifar10"),
        ("setting", "epoch", "epochs"),
        ("setting", "batch", "batch_size"),
        ("setting", "weight_deacy", "weight_decay"),
        ("setting", "optimiser", "optimizer"),
        ("setting", "vaildation", "validation"),
        ("setting", "label_smooth", "label_smoothing"),
        ("command", "trian", "train"),
        ("command", "eval", "evaluate"),
        ("command", "sho", "show"),
        ("activation", "ReLU", "relu"),
        ("activation", "sigmod", "sigmoid"),
        ("initialization", "xavier", "xavier_uniform"),
        ("initialization", "xavier_unifrom", "xavier_uniform"),
        ("layer", "conv_1", "conv1"),
        ("layer", "Conv1", "conv1"),
        ("layer", "convl", "conv1"),
        ("class", "dogs", "dog"),
        ("class", "Ankle_Boot", "ankle boot"),
    ],
)
def test_names_what_is_meant(kind: str, word: str, name: str) -> None:
    assert nearest(word, NAMES[kind]) == name


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("network", "resnet"),  # not lenet
        ("network", "mobilenet"),
        ("network", "lenet"),  # of six networks
        ("network", "alexnet_2013"),
        ("network", "alexnet_chainer"),
        ("network", "lenet_d2l_v2"),  # not v1
        ("network", "lenet5_1989"),
        ("network", "vgg11"),
        ("network", "x"),
        ("network", "perceptron"),
        ("network", ""),
        ("network", "--"),
        ("data set", "emnist"),
        ("data set", "qmnist"),
        ("data set", "cifar"),
        ("data set", "cifar1000"),
        ("data set", "svhn"),
        ("data set", "photos"),
        ("setting", "drop"),  # drop_at or drop_to
        ("setting", "bias"),
        ("setting", "crop_size"),
        ("setting", "augment"),
        ("setting", "l"),
        ("command", "test"),
        ("command", "download"),
        ("activation", "relu6"),
        ("activation", "swish"),
        ("initialization", "xavier_normal"),
        ("initialization", "kaiming_uniform"),
        ("layer", "conv3"),
        ("layer", "conv"),
        ("class", "cow"),
        ("class", "bird"),
    ],
)
def test_names_nothing_for_another_thing(kind: str, word: str) -> None:
    assert nearest(word, NAMES[kind]) == ""


def test_every_name_is_its_own_nearest() -> None:
    for names in NAMES.values():
        assert [nearest(name.upper(), names) for name in names] == [*names]
