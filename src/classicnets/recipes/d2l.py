"""Recipes of *Dive into Deep Learning*: plain SGD, Xavier-uniform weights, pixels in 0..1, all 60,000 training images,
and the test accuracy after each epoch. `d2l` is the Chinese book, whose first edition (Gluon) has the networks `_v1`;
`d2l_en` is the English book, 1.0.

    classicnets train lenet_d2l                       10 epochs, half a minute on 2 CPU cores; 0.752 to 0.828
    classicnets train lenet_d2l_v1                     5 epochs, less than that; no known accuracy
    classicnets train lenet_d2l --recipe d2l_en       10 epochs, the same; no known accuracy
    classicnets train alexnet_d2l                     10 epochs at 224x224, hours on a CPU; 0.860 to 0.886
    classicnets train alexnet_d2l_v1                   5 epochs, half of that; no known accuracy
    classicnets train alexnet_d2l --recipe d2l_en     10 epochs, as the Chinese one; no known accuracy
    classicnets train my_net.py:net --recipe d2l      your own network, as in the exercises: the settings of the LeNet
                                                      chapter, or those of the AlexNet chapter for large images

Sources: d2l-ai/d2l-zh lenet.md and alexnet.md, master (`train_ch6`) and branch v1; d2l-ai/d2l-en (`init_cnn`,
`d2l.Trainer`). The ranges are over all executed notebooks that the publisher has committed
(d2l-ai/d2l-zh-pytorch-slides, 2021-04 to 2023-08).
"""

from dataclasses import replace

from classicnets.recipes.folder import is_large
from classicnets.text import N_, _, command
from classicnets.values import Expected, Recipe

_PUBLISHER = N_("the book's own executed notebooks (d2l-ai/d2l-zh-pytorch-slides, 2021-2023)")

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
    deviations=("The loss of the last, smaller batch is averaged over its 96 images; Gluon's trainer divides by 256.",),
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
    deviations=(
        *ALEXNET.deviations,
        "The loss of the last, smaller batch is averaged over its 96 images; Gluon's trainer divides by 128.",
    ),
)

LENET_EN = replace(LENET, source="d2l_en", batch_size=128, lr=0.1, expected=None)

ALEXNET_EN = replace(ALEXNET, source="d2l_en", expected=None)

# The exercises change a network and train it like the original. The published ranges are of the original only, and
# where pixels are rounded is a deviation for every network.
_ANOTHER_NETWORK = N_("The network is not that of the chapter, so its published accuracy does not apply.")

ANY = replace(LENET, net="", expected=None, deviations=(_ANOTHER_NETWORK,))
ANY_LARGE = replace(ALEXNET, net="", expected=None, deviations=(_ANOTHER_NETWORK, *ALEXNET.deviations))
ANY_EN = replace(ANY, source="d2l_en", batch_size=LENET_EN.batch_size, lr=LENET_EN.lr)
ANY_LARGE_EN = replace(ANY_LARGE, source="d2l_en")

RECIPES = (
    LENET,
    LENET_V1,
    ALEXNET,
    ALEXNET_V1,
    ANY,
    ANY_LARGE,
    LENET_EN,
    ALEXNET_EN,
    ANY_EN,
    ANY_LARGE_EN,
)


def chapter(recipe: Recipe) -> str:
    """Return a sentence that says which chapter's settings a recipe for any network has."""
    if is_large(recipe.image_size or 0):
        return _(
            "the settings of the book's AlexNet chapter for a network that is not in the book, because its images are"
            " {size}x{size}; no published accuracy applies",
            size=recipe.image_size,
        )
    return _(
        "the settings of the book's LeNet chapter for a network that is not in the book; no published accuracy applies"
        " ({option} for those of the AlexNet chapter)",
        option=command("--set", f"image_size={ALEXNET.image_size}"),
    )
