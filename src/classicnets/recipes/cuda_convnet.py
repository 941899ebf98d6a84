"""Recipes of Krizhevsky's networks for CIFAR-10, as described at the head of each parameter file.

    classicnets train cifar10_26pct     10 epochs, 7 minutes; one published run, 0.74
    classicnets train cifar10_18pct    140 epochs, 90 minutes; one published run, 0.82
    classicnets train cifar10_13pct    520 epochs, 8 hours; one published run, 0.87 (nine views)
    classicnets train cifar10_11pct    520 epochs, 13 hours; one published run, 0.89 (nine views)

Times are estimates from the time of one step on one CPU core (x86, torch 2.13.0, November 2026). The published
accuracies are those of the files, rounded to whole percent.

Sources: cuda-convnet, example-layers/layer-params-80sec.cfg, -18pct.cfg, -conv-local-13pct.cfg, -conv-local-11pct.cfg,
convnet.py (batches of 128) and convdata.py, from the copy dnouri/cuda-convnet; akrizhevsky/cuda-convnet2,
layers/layer-params-cifar10-11pct.cfg, from the copy hunse/cuda-convnet2. The page "Methodology" that the files refer to
was not found. For the first two networks they do not state how many epochs follow the last drop; BVLC/caffe,
examples/cifar10, which reproduces them, stops after 5,000 and 70,000 steps of 100.
"""

from dataclasses import replace

from classicnets.text import N_
from classicnets.values import Expected, Recipe

_BIASES = N_("The learning rate of biases is always twice that of the weights; in the source it stays at 0.002.")
_MEAN = N_("The mean of each channel is subtracted; the source subtracts the mean image, pixel by pixel.")
_ORDER = N_("Images are shuffled in each epoch; the source reads them in the order of its files.")
_SPLIT = N_("All five training files are used, because the source does not state which of them it trained on.")

NET_26 = Recipe(
    source="cuda_convnet",
    net="cifar10_26pct",
    data="cifar10",
    epochs=10,
    batch_size=128,
    lr=0.001,
    optimizer="sgd_rate_inside",
    momentum=0.9,
    weight_decays=(0.004, 0.004, 0.004, 0.03, 0.03),
    bias_lr=2.0,
    bias_decay=False,
    schedule="steps",
    drop_at=(8 / 10,),
    drop_to=(0.1,),
    initialize="cuda_convnet_26pct",
    mean=(),
    std=(1 / 255,),
    expected=Expected.single(0.74, "cuda-convnet, layer-params-80sec.cfg: 26 % error"),
    deviations=(
        "2 epochs after the drop at epoch 8, as in Caffe's copy; the source does not state the number.",
        _SPLIT,
        _BIASES,
        _MEAN,
        _ORDER,
    ),
)

NET_18 = replace(
    NET_26,
    net="cifar10_18pct",
    epochs=140,
    weight_decays=(0.004, 0.004, 0.004, 1.0),
    drop_at=(120 / 140, 130 / 140),
    drop_to=(0.1, 0.01),
    initialize="cuda_convnet_18pct",
    expected=Expected.single(0.82, "cuda-convnet, layer-params-18pct.cfg: 18 % error"),
    deviations=(
        "10 epochs after the drop at epoch 130, as in Caffe's copy; the source does not state the number.",
        *NET_26.deviations[1:],
    ),
)

NET_13 = replace(
    NET_26,
    net="cifar10_13pct",
    epochs=520,  # 350 on four files, 150 on all five, 10 at a tenth of the rate, 10 at a hundredth
    weight_decays=(0.0, 0.0, 0.004, 0.004, 0.004),
    drop_at=(500 / 520, 510 / 520),
    drop_to=(0.1, 0.01),
    initialize="cuda_convnet_13pct",
    image_size=24,
    resize=32,
    views=9,
    flip=True,
    crop="random",
    validation=0.2,
    join_after=350,
    expected=Expected.single(0.87, "cuda-convnet, layer-params-conv-local-13pct.cfg: 13 % error"),
    deviations=(
        "The number of epochs is that of the 11 % files; this file refers to a page that was not found.",
        "The 10,000 images that join after 350 epochs are drawn with the seed; the source uses its fifth file, and"
        " decided by its accuracy when it should join (about 350 epochs, about 150 more). Here the numbers are fixed.",
        _BIASES,
        _MEAN,
        _ORDER,
    ),
)

NET_11 = replace(
    NET_13,
    net="cifar10_11pct",
    weight_decays=(0.0, 0.0, 0.004, 0.004, 0.01),
    expected=Expected.single(0.89, "cuda-convnet2, layer-params-cifar10-11pct.cfg: 11 % error"),
    deviations=NET_13.deviations[1:],
)

RECIPES = (NET_26, NET_18, NET_13, NET_11)
