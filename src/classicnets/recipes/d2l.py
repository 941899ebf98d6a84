"""*Dive into Deep Learning*'s training, `train_ch6`: plain SGD, Xavier-uniform weights, pixels in 0..1, all 60,000
training pictures, the test accuracy plotted after every epoch.

    classicnets train lenet_d2l        10 epochs, about half a minute on 2 CPU cores; expected 0.752 to 0.828
    classicnets train lenet_d2l_v1      5 epochs; no published range
    classicnets train alexnet_d2l      10 epochs at 224x224, hours on a CPU; expected 0.860 to 0.886

Sources: d2l-ai/d2l-zh lenet.md and alexnet.md; expected ranges tallied over every executed notebook that the
publisher has committed (d2l-ai/d2l-zh-pytorch-slides, 2021-04 to 2023-08).
"""

from classicnets.values import Expected, Recipe

_PUBLISHER = "the book's own executed notebooks (d2l-ai/d2l-zh-pytorch-slides, 2021-2023)"

LENET = Recipe(
    source="d2l",
    net="lenet_d2l",
    data="fashion_mnist",
    epochs=10,
    batch_size=256,
    lr=0.9,
    initialise="xavier_uniform",
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
    initialise="xavier_uniform_zero_bias",
    monitor="test",
    deviations=("The last, smaller batch is averaged over its own 96 pictures; Gluon's trainer divides by 256.",),
)

ALEXNET = Recipe(
    source="d2l",
    net="alexnet_d2l",
    data="fashion_mnist",
    epochs=10,
    batch_size=128,
    lr=0.01,
    initialise="xavier_uniform",
    image_size=224,
    monitor="test",
    expected=Expected(low=0.860, high=0.886, mean=0.8795, n=82, source=_PUBLISHER),
    deviations=("Pictures are enlarged to 224x224 in the batch as floats; the book's PIL rounds each to whole greys.",),
)
