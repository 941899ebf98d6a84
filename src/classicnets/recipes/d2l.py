"""Recipes of *Dive into Deep Learning*: plain SGD, Xavier-uniform weights, pixels in 0..1, all 60,000 training images,
and the test accuracy after each epoch. `d2l` is the Chinese book, whose first edition (Gluon) has the networks `_v1`;
`d2l_en` is the English book, 1.0.

    classicnets train lenet_d2l                       10 epochs, half a minute on 2 CPU cores; 0.752 to 0.828
    classicnets train lenet_d2l_v1                     5 epochs, less than that; no known accuracy
    classicnets train lenet_d2l --recipe d2l_en       10 epochs, the same; no known accuracy
    classicnets train alexnet_d2l                     10 epochs at 224x224, hours on a CPU; 0.860 to 0.886
    classicnets train alexnet_d2l_v1                   5 epochs, half of that; no known accuracy
    classicnets train alexnet_d2l --recipe d2l_en     10 epochs, as the Chinese one; no known accuracy

Sources: d2l-ai/d2l-zh lenet.md and alexnet.md, master (`train_ch6`) and branch v1; d2l-ai/d2l-en (`init_cnn`,
`d2l.Trainer`). The ranges are over all executed notebooks that the publisher has committed
(d2l-ai/d2l-zh-pytorch-slides, 2021-04 to 2023-08).
"""

from dataclasses import replace

from classicnets.values import Expected, Recipe

_V1_LAST_BATCH = "The loss of the last, smaller batch is averaged over its 96 images; Gluon's trainer divides by {}."
_PUBLISHER = "the book's own executed notebooks (d2l-ai/d2l-zh-pytorch-slides, 2021-2023)"

LENET = Recipe(
    source="d2l",
    net="lenet_d2l",
    data="fashion_mnist",
    epochs=10,
    batch_size=256,
    lr=0.9,
    initialize="xavier_uniform",
    monitor="test",
    expected=Expected(low=0.752, high=0.828, mean=0.8042, n=130, source=_PUBLISHER),
)

LENET_V1 = Recipe(
    source="d2l",
    net="lenet_d2l_v1",
    data="fashion_mnist",
    epochs=5,
    batch_size=256,
    lr=0.9,
    initialize="xavier_uniform_zero_bias",
    monitor="test",
    deviations=(_V1_LAST_BATCH.format(256),),
)

ALEXNET = Recipe(
    source="d2l",
    net="alexnet_d2l",
    data="fashion_mnist",
    epochs=10,
    batch_size=128,
    lr=0.01,
    initialize="xavier_uniform",
    image_size=224,
    monitor="test",
    expected=Expected(low=0.860, high=0.886, mean=0.8795, n=82, source=_PUBLISHER),
    deviations=(
        "Batches are resized to 224x224 as floats; the book resizes images with PIL, which rounds to integers.",
    ),
)

ALEXNET_V1 = replace(
    ALEXNET,
    net="alexnet_d2l_v1",
    epochs=5,
    initialize="xavier_uniform_zero_bias",
    expected=None,
    deviations=(*ALEXNET.deviations, _V1_LAST_BATCH.format(128)),
)

LENET_EN = replace(LENET, source="d2l_en", batch_size=128, lr=0.1, expected=None)

ALEXNET_EN = replace(ALEXNET, source="d2l_en", expected=None)

RECIPES = (LENET, LENET_V1, ALEXNET, ALEXNET_V1, LENET_EN, ALEXNET_EN)
