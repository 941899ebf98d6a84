"""Recipes of Caffe's solvers: SGD with the learning rate inside the velocity, biases at twice the rate.

    classicnets train lenet_caffe                     MNIST, 11 epochs, minutes on a CPU; one published run, 0.9897
    classicnets train alexnet_caffe --data FOLDER     ILSVRC-2012, 90 epochs; one published run, 0.571
    classicnets train caffenet --data FOLDER          the same; one published run, 0.574

The test split is the validation split of ILSVRC-2012. Caffe took 26.5 s for 20 iterations on a K40, 7 days in all;
we have not run it.

Sources: BVLC/caffe, examples/mnist (lenet_solver.prototxt, lenet_train_test.prototxt, readme.md) and
models/bvlc_alexnet, models/bvlc_reference_caffenet (solver.prototxt, train_val.prototxt, readme.md); accuracies are
for the center crop.
"""

from dataclasses import replace

from classicnets.values import Expected, Recipe

LENET = Recipe(
    source="caffe2014",
    net="lenet_caffe",
    data="mnist",
    epochs=11,
    batch_size=64,
    lr=0.01,
    optimizer="sgd_rate_inside",
    momentum=0.9,
    weight_decay=0.0005,
    bias_lr=2.0,
    schedule="inverse",
    initialize="caffe_xavier",
    std=(256 / 255,),
    expected=Expected.single(0.9897, "BVLC/caffe, examples/mnist/readme.md"),
    deviations=(
        "11 epochs (10,318 steps) instead of 10,000 iterations (10.7 epochs); the final learning rate is the same.",
        "Images are shuffled in each epoch; Caffe reads them in the order of its database.",
    ),
)

ALEXNET = Recipe(
    source="caffe2014",
    net="alexnet_caffe",
    data="imagenet",
    epochs=90,
    batch_size=256,
    lr=0.01,
    optimizer="sgd_rate_inside",
    momentum=0.9,
    weight_decay=0.0005,
    bias_lr=2.0,
    bias_decay=False,
    schedule="steps",
    drop_at=(2 / 9, 4 / 9, 6 / 9, 8 / 9),
    drop_to=(0.1, 0.01, 0.001, 0.0001),
    initialize="caffe_alexnet",
    image_size=227,
    resize=256,
    mean=(),
    std=(1 / 255,),
    flip=True,
    crop="random",
    expected=Expected.single(0.571, "BVLC/caffe, models/bvlc_alexnet/readme.md, center crop at iteration 360,000"),
    deviations=(
        "90 epochs (450,450 steps) instead of 450,000 iterations; the published snapshot is that of iteration 360,000.",
        "The mean of each channel is subtracted; Caffe subtracts the mean image, pixel by pixel.",
        "Channels are red, green, blue; Caffe's are blue, green, red. With random initial weights, the order is"
        " irrelevant.",
        "Images are shuffled in each epoch; Caffe reads them in the order of its database.",
    ),
)

CAFFENET = replace(
    ALEXNET,
    net="caffenet",
    initialize="caffe_caffenet",
    expected=Expected.single(
        0.574, "BVLC/caffe, models/bvlc_reference_caffenet/readme.md, center crop at iteration 310,000"
    ),
    deviations=(
        "90 epochs (450,450 steps) instead of 450,000 iterations; the published snapshot is that of iteration 310,000.",
        *ALEXNET.deviations[1:],
    ),
)

RECIPES = (LENET, ALEXNET, CAFFENET)
