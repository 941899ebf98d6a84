"""Recipe of torchvision's reference training of AlexNet.

    classicnets train alexnet_torchvision --data FOLDER     90 epochs; one published run, 0.5652 (center)

Data: ILSVRC-2012; the test split is its validation split. Time: about a day on a GPU; we have not run it.

Sources: pytorch/vision, references/classification (README.md: lr 0.01 for AlexNet, 8 GPUs; train.py: batch 32 a GPU,
90 epochs, momentum 0.9, decay 1e-4, a tenth every 30 epochs; presets.py: preprocessing); the accuracy is that of the
weights IMAGENET1K_V1.
"""

from classicnets.values import Expected, Recipe

ALEXNET = Recipe(
    source="torchvision",
    net="alexnet_torchvision",
    data="imagenet",
    epochs=90,
    batch_size=256,
    lr=0.01,
    momentum=0.9,
    weight_decay=0.0001,
    schedule="steps",
    drop_at=(30 / 90, 60 / 90),
    drop_to=(0.1, 0.01),
    image_size=224,
    resize=256,
    fit="crop",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    flip=True,
    crop="resized",
    expected=Expected.single(0.56522, "torchvision, AlexNet_Weights.IMAGENET1K_V1"),
    deviations=(
        "Random crops are taken from the center square of 256x256; torchvision takes them from the whole photograph at"
        " its own resolution.",
        "One device trains on batches of 256; torchvision uses 8 devices with batches of 32.",
    ),
)

RECIPES = (ALEXNET,)
