"""The registry of networks: a dictionary from name to builder and facts. Does not import torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Facts about a network as its source defines it.

    Attributes:
        builder: "module:function".
        title, source: what the network is, and where it is published.
        year: year of the source; None if there is no single source.
        input: channels, height and width; the counts are for this input.
        connections: uses of weights plus one bias for each unit, as counted in the 1990s, if the source publishes them.
        proven: evidence that the network equals its source: "framework" (outputs equal those of the framework it comes
            from), "reference" (those of an independent implementation), "counts" (published or derived counts of every
            layer), "trained" (the published accuracy).
        ours: whether it is our own network, without a published source.
        crossings: if it has two towers, the names of the layers that read both.
    """

    builder: str
    title: str
    source: str
    year: int | None
    input: tuple[int, int, int]
    classes: int
    parameters: int
    macs: int
    units: int
    connections: int | None = None
    proven: tuple[str, ...] = ()
    ours: bool = False
    crossings: tuple[str, ...] = ()

    def load(self) -> Callable[..., nn.Module]:
        """Return the builder, a function of num_classes, in_channels and image_size."""
        module, function = self.builder.split(":")
        builder: Callable[..., nn.Module] = getattr(importlib.import_module(module), function)
        return builder


NETS: dict[str, Entry] = {
    "lenet_1989": Entry(
        builder="classicnets.models.lenet:lenet_1989",
        title="Zip code reader of 1989: two strided convolutions, a bias per unit, scaled tanh",
        source="LeCun et al., Neural Computation 1(4), 1989",
        year=1989,
        input=(1, 16, 16),
        classes=10,
        parameters=9_760,
        macs=63_660,
        units=1_000,
        connections=64_660,
        proven=("counts",),
    ),
    "lenet1_1990": Entry(
        builder="classicnets.models.lenet:lenet1_1990",
        title="LeNet-1: trainable average pooling, sparse connections, one dense layer",
        source="Le Cun et al., NIPS 2, 1990, pp. 396-404",
        year=1990,
        input=(1, 28, 28),
        classes=10,
        parameters=2_578,
        macs=94_592,
        units=3_850,
        connections=98_442,
        proven=("counts",),
    ),
    "lenet5_1998": Entry(
        builder="classicnets.models.lenet:lenet5_1998",
        title="LeNet-5: sparse C3, trainable subsampling, distances to digit codes",
        source="LeCun, Bottou, Bengio, Haffner, Proc. IEEE 86(11), 1998",
        year=1998,
        input=(1, 32, 32),
        classes=10,
        parameters=60_000,
        macs=332_824,
        units=8_094,
        connections=340_908,
        proven=("counts",),
    ),
    "lenet_32": Entry(
        builder="classicnets.models.lenet:lenet_32",
        title="LeNet-5 as simplified in course notes: 32x32, sigmoid, average pooling",
        source="no single original: lecture notes and tutorials",
        year=None,
        input=(1, 32, 32),
        classes=10,
        parameters=61_706,
        macs=416_520,
        units=6_518,
        proven=("counts",),
    ),
    "lenet_caffe": Entry(
        builder="classicnets.models.lenet:lenet_caffe",
        title="Caffe's LeNet: max pooling, a single ReLU",
        source="BVLC/caffe, examples/mnist",
        year=2014,
        input=(1, 28, 28),
        classes=10,
        parameters=431_080,
        macs=2_293_000,
        units=15_230,
        proven=("counts", "framework"),
    ),
    "lenet_d2l": Entry(
        builder="classicnets.models.lenet:lenet_d2l",
        title="LeNet of Dive into Deep Learning: sigmoid, average pooling",
        source="d2l, 2nd Chinese edition / English 1.0 (PyTorch)",
        year=2021,
        input=(1, 28, 28),
        classes=10,
        parameters=61_706,
        macs=416_520,
        units=6_518,
        proven=("counts", "reference", "trained"),
    ),
    "lenet_d2l_v1": Entry(
        builder="classicnets.models.lenet:lenet_d2l_v1",
        title="LeNet of the book's first edition: sigmoid, max pooling, no padding",
        source="d2l, 1st Chinese edition (Gluon)",
        year=2019,
        input=(1, 28, 28),
        classes=10,
        parameters=44_426,
        macs=281_640,
        units=4_694,
        proven=("counts", "framework"),
    ),
    "alexnet_2012": Entry(
        builder="classicnets.models.alexnet:alexnet_2012",
        title="AlexNet as the paper describes it: two towers, ReLU, LRN, overlapping pooling",
        source="Krizhevsky, Sutskever, Hinton, NIPS 2012",
        year=2012,
        input=(3, 224, 224),
        classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        units=659_272,
        proven=("counts",),
        crossings=("conv3", "fc6", "fc7", "fc8"),
    ),
    "alexnet_2012_code": Entry(
        builder="classicnets.models.alexnet:alexnet_2012_code",
        title="AlexNet as it was run: LRN before ReLU in layer 1, a second normalization in layer 2",
        source="computerhistory/AlexNet-Source-Code, config 145",
        year=2012,
        input=(3, 224, 224),
        classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        units=659_272,
        proven=("counts",),
        crossings=("conv3", "fc6", "fc7", "fc8"),
    ),
    "alexnet_2012_plain_pooling": Entry(
        builder="classicnets.models.alexnet:alexnet_2012_plain_pooling",
        title="The paper's ablation: 2x2 pooling without overlap",
        source="computerhistory/AlexNet-Source-Code, config 147",
        year=2012,
        input=(3, 224, 224),
        classes=1000,
        parameters=60_965_224,
        macs=686_891_552,
        units=633_416,
        proven=("counts",),
        crossings=("conv3", "fc6", "fc7", "fc8"),
    ),
    "alexnet_2012_one_tower": Entry(
        builder="classicnets.models.alexnet:alexnet_2012_one_tower",
        title="The paper's ablation: one tower of half the width",
        source="computerhistory/AlexNet-Source-Code, config 145-half",
        year=2012,
        input=(3, 224, 224),
        classes=1000,
        parameters=59_798_312,
        macs=391_514_384,
        units=355_864,
        proven=("counts",),
    ),
    "alexnet_2014": Entry(
        builder="classicnets.models.alexnet:alexnet_2014",
        title='One tower with LRN: the "one weird trick" AlexNet as released',
        source="akrizhevsky/cuda-convnet2; arXiv:1404.5997",
        year=2014,
        input=(3, 224, 224),
        classes=1000,
        parameters=61_100_840,
        macs=714_188_480,
        units=494_184,
        proven=("counts",),
    ),
    "alexnet_torchvision": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_torchvision",
        title="Torchvision's AlexNet: one tower, no LRN; loads torchvision's weights",
        source="pytorch/vision, torchvision/models/alexnet.py",
        year=2017,
        input=(3, 224, 224),
        classes=1000,
        parameters=61_100_840,
        macs=714_188_480,
        units=494_184,
        proven=("counts", "framework"),
    ),
    "alexnet_caffe": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_caffe",
        title="Caffe's bvlc_alexnet: groups, LRN with k = 1, then pooling",
        source="BVLC/caffe, models/bvlc_alexnet",
        year=2014,
        input=(3, 227, 227),
        classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        units=659_272,
        proven=("counts", "framework"),
    ),
    "caffenet": Entry(
        builder="classicnets.models.alexnet_ports:caffenet",
        title="Caffe's CaffeNet: pooling before LRN",
        source="BVLC/caffe, models/bvlc_reference_caffenet",
        year=2014,
        input=(3, 227, 227),
        classes=1000,
        parameters=60_965_224,
        macs=724_406_816,
        units=659_272,
        proven=("counts", "framework"),
    ),
    "alexnet_mxnet": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_mxnet",
        title="MXNet's symbol AlexNet: LRN, no groups, 54x54 after conv1",
        source="apache/mxnet, example/image-classification/symbols/alexnet.py",
        year=2016,
        input=(3, 224, 224),
        classes=1000,
        parameters=50_844_008,
        macs=1_009_945_728,
        units=609_640,
        proven=("counts", "framework"),
    ),
    "alexnet_d2l": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_d2l",
        title="AlexNet of Dive into Deep Learning: one tower, no LRN",
        source="d2l, 2nd Chinese edition / English 1.0 (PyTorch)",
        year=2021,
        input=(1, 224, 224),
        classes=10,
        parameters=46_764_746,
        macs=938_146_176,
        units=608_650,
        proven=("counts", "reference"),
    ),
    "alexnet_d2l_v1": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_d2l_v1",
        title="AlexNet of the book's first edition: conv1 without padding",
        source="d2l, 1st Chinese edition (Gluon)",
        year=2019,
        input=(1, 224, 224),
        classes=10,
        parameters=46_764_746,
        macs=938_146_176,
        units=608_650,
        proven=("counts", "framework"),
    ),
    "alexnet_28": Entry(
        builder="classicnets.models.alexnet_ports:alexnet_28",
        title="Our own network: AlexNet's ideas for 28x28 images on a laptop",
        source="classicnets",
        year=2026,
        input=(1, 28, 28),
        classes=10,
        parameters=1_169_002,
        macs=29_582_848,
        units=63_754,
        ours=True,
    ),
    "convnet_48": Entry(
        builder="classicnets.models.convnet:convnet_48",
        title="Our own network for your folder of images: five 3x3 convolutions",
        source="classicnets",
        year=2026,
        input=(3, 48, 48),
        classes=10,
        parameters=539_178,
        macs=55_077_376,
        units=156_682,
        ours=True,
    ),
    "cifar10_26pct": Entry(
        builder="classicnets.models.cifar:cifar10_26pct",
        title="CIFAR-10 in 80 seconds: three convolutions, 26 % error",
        source="cuda-convnet, example-layers/layers-80sec.cfg",
        year=2012,
        input=(3, 32, 32),
        classes=10,
        parameters=145_578,
        macs=12_354_176,
        units=45_130,
        proven=("counts",),
    ),
    "cifar10_18pct": Entry(
        builder="classicnets.models.cifar:cifar10_18pct",
        title="CIFAR-10 in 20 minutes: normalization within a channel, 18 % error",
        source="cuda-convnet, example-layers/layers-18pct.cfg",
        year=2012,
        input=(3, 32, 32),
        classes=10,
        parameters=89_578,
        macs=12_298_240,
        units=45_066,
        proven=("counts",),
    ),
    "cifar10_13pct": Entry(
        builder="classicnets.models.cifar:cifar10_13pct",
        title="CIFAR-10 with two locally connected layers: 13 % error",
        source="cuda-convnet, example-layers/layers-conv-local-13pct.cfg",
        year=2012,
        input=(3, 24, 24),
        classes=10,
        parameters=1_116_490,
        macs=18_517_248,
        units=48_394,
        proven=("counts",),
    ),
    "cifar10_11pct": Entry(
        builder="classicnets.models.cifar:cifar10_11pct",
        title="CIFAR-10 with LRN and locally connected layers: 11 % error",
        source="akrizhevsky/cuda-convnet2, layers/layers-cifar10-11pct.cfg",
        year=2014,
        input=(3, 24, 24),
        classes=10,
        parameters=2_112_970,
        macs=19_512_576,
        units=49_546,
        proven=("counts",),
    ),
    "vgg16": Entry(
        builder="classicnets.models.vgg:vgg16",
        title="VGG-16, for comparison: thirteen 3x3 convolutions",
        source="Simonyan, Zisserman, arXiv:1409.1556",
        year=2014,
        input=(3, 224, 224),
        classes=1000,
        parameters=138_357_544,
        macs=15_470_264_320,
        units=13_556_712,
        proven=("counts",),
    ),
}


def card(name: str, language: str = "en") -> str:
    """Return the card of a network in Markdown: as published, differences, assumptions, results, evidence.

    Args:
        name: the name of the network.
        language: "en" for English, "zh" for Simplified Chinese.
    """
    folder = Path(__file__).parent / "cards"
    return ((folder if language == "en" else folder / language) / f"{name}.md").read_text(encoding="utf-8")
