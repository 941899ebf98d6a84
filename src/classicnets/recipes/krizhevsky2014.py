"""Recipe of the one-tower AlexNet of 2014 on one GPU: the learning rate drops by 250^(1/3) after each quarter.

    classicnets train alexnet_2014 --data FOLDER                   90 epochs; one published run, 0.5958 (ten views)
    classicnets train alexnet_2014 --data FOLDER --set views=1     only the center crop: 0.5745 published

Data: ILSVRC-2012; the test split is its validation split. Published time: 98 hours on a K20; we have not run it.

Sources: akrizhevsky/cuda-convnet2, wiki pages TrainingExample (the command: 90 epochs, batch 128, color noise 0.1; the
errors) and LearningRates, layers/layer-params-imagenet-1gpu.cfg, convdata.py.
"""

from classicnets.values import Expected, Recipe

ALEXNET = Recipe(
    source="krizhevsky2014",
    net="alexnet_2014",
    data="imagenet",
    epochs=90,
    batch_size=128,
    lr=0.01,
    optimizer="sgd_rate_inside",
    momentum=0.9,
    weight_decay=0.0005,
    bias_lr=2.0,
    bias_decay=False,
    schedule="steps",
    drop_at=(0.25, 0.5, 0.75),
    drop_to=(250 ** (-1 / 3), 250 ** (-2 / 3), 1 / 250),
    initialize="krizhevsky2014",
    image_size=224,
    resize=256,
    fit="crop",
    mean=(),
    std=(1 / 255,),
    views=10,
    flip=True,
    crop="random",
    color_noise="code",
    expected=Expected.single(0.5958, "cuda-convnet2 wiki, TrainingExample: 0.404200 top-1 error, ten views"),
    deviations=(
        "The learning rate of biases is always twice that of the weights; in the source it is 0.02 and, from half-way,"
        " 0.002.",
        "The mean of each channel is subtracted; the source subtracts the mean image, pixel by pixel.",
    ),
)

RECIPES = (ALEXNET,)
