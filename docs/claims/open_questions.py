"""Claims that only training or measuring can settle: the claim, the experiment and the expected result."""

from __future__ import annotations

OPEN: list[tuple[str, str, str]] = [
    (
        "The book's LeNet learns Fashion-MNIST as printed.",
        "lr 0.9, 10 epochs, batch 256, at least 5 runs",
        "test accuracy 0.804 ± 0.016 (130 published runs)",
    ),
    (
        "The book's AlexNet learns Fashion-MNIST as printed.",
        "lr 0.01, 10 epochs, batch 128, 224x224",
        "0.8795 ± 0.005 (82 published runs)",
    ),
    (
        "Max pooling works better than average pooling.",
        "replace it in `lenet_d2l`, with sigmoid and with ReLU, several runs",
        "small; depends on the activation",
    ),
    (
        "ReLU is easier to train than sigmoid or tanh, with any initialization.",
        "scales of the initial weights x sigmoid, tanh, scaled tanh, ReLU: share of runs that train, steps to 25 % "
        "training error",
        "about 6 times fewer steps than tanh (the paper, four-layer net, CIFAR-10)",
    ),
    (
        "Saturated sigmoids keep a deep network from learning.",
        "gradient of each layer against its initial bias, before and during training",
        "decreases with depth",
    ),
    (
        "ReLU is cheaper to compute.",
        "time of forward and backward per element, by itself and inside a network (no training; depends on the "
        "machine)",
        "fastest by itself; in a network, memory bandwidth decides",
    ),
    (
        "Sparse outputs regularize, as L1 does.",
        "zeros and sum of absolute outputs in each layer against the gap between training and test accuracy",
        "half of the outputs are zero initially; the effect is unknown",
    ),
    (
        "ReLU units die.",
        "units that are zero on all images, against the learning rate",
        "more with a higher learning rate",
    ),
    (
        "Response normalization helps.",
        "with and without it, same budget; `cifar10_13pct` against `cifar10_11pct`",
        "1.4 and 1.2 points on ImageNet, 13 to 11 % on CIFAR-10; little or nothing on other data",
    ),
    (
        "Overlapping pooling helps and resists overfitting.",
        "`alexnet_2012_code` against `alexnet_2012_plain_pooling`, with the gap between training and test",
        "at most half a point; needs many runs",
    ),
    (
        "Dropout and augmentation reduce overfitting.",
        "each on and off: gap between training and test",
        "a large gap without them",
    ),
    (
        "Weight decay regularizes LeNet.",
        "add it to the book's recipe for `lenet_d2l`",
        "little change",
    ),
    (
        "Two towers are better than one of half the width.",
        "`alexnet_2012_code` against `alexnet_2012_one_tower`",
        "1.7 and 1.2 points",
    ),
    (
        "More epochs, smaller networks and other batch sizes change the accuracy (exercises).",
        "sweeps over `alexnet_d2l` and `alexnet_28`",
        "unknown",
    ),
    (
        "LeNet improves with ReLU, dropout and preprocessing (exercise).",
        "all combinations, several runs",
        "ReLU better than sigmoid",
    ),
    (
        "LeNet-5 reaches an error of 0.95 %, with distortions 0.8 %.",
        "`lenet5_1998` on MNIST, 20 epochs, with the recipe of 1998",
        "about 1 % test error",
    ),
    (
        "The LeNets of the two editions are the same network.",
        "`lenet_d2l_v1` (max pooling, no padding) against `lenet_d2l` (average pooling, padding), same budget",
        "unknown; 44,426 and 61,706 parameters",
    ),
]
