"""Recipe of MXNet's train_imagenet.py with --network alexnet and no other option.

    classicnets train alexnet_mxnet --data FOLDER                   80 epochs; no published accuracy
    classicnets train alexnet_mxnet --data FOLDER --set lr=0.01     the learning rate that a maintainer recommends

Data: ILSVRC-2012; the test split is its validation split. Time: days on a GPU; we have not run it. The learning rate of
the script is for its default network, a ResNet. Users report that AlexNet stays at chance (apache/mxnet issue 5460); a
maintainer starts networks without batch normalization at 0.01 (issue 758).

Sources: apache/mxnet, example/image-classification, v0.11 to v1.x: train_imagenet.py, common/fit.py, common/data.py,
README.md.
"""

from classicnets.values import Recipe

ALEXNET = Recipe(
    source="mxnet",
    net="alexnet_mxnet",
    data="imagenet",
    epochs=80,
    batch_size=128,
    lr=0.1,
    optimizer="sgd_rate_inside",
    momentum=0.9,
    weight_decay=0.0001,
    bias_decay=False,
    schedule="steps",
    drop_at=(30 / 80, 60 / 80),
    drop_to=(0.1, 0.01),
    initialize="normal",
    image_size=224,
    resize=256,
    fit="crop",
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255),
    std=(1 / 255,),
    flip=True,
    crop="random",
    deviations=(
        "No random hue, saturation, lightness, rotation, shear or aspect ratio; the script has all six (level 3).",
        "Crops are taken from the center square of 256x256; the script crops the images of its record file, for which"
        " the README suggests a shorter side of 480.",
    ),
)

RECIPES = (ALEXNET,)
